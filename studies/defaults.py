#!/usr/bin/env python3
"""The one value of each setting that serves all settings of comparisons best, by their trials: what defaults are chosen from.

    python studies/defaults.py runs/adapt-digits runs/adapt-fashion-mlp > studies/results/defaults.md

Several comparisons count alike, however many settings they have. Every optimizer tries the same values in all settings (network, corruption,
labels); a comparison of fewer trials has the first of them, and only what was tried everywhere can be chosen. A trial's regret is its held-out
loss over the least that any trial of that optimizer had there, as a ratio; the value with the least geometric mean over settings is printed, with that mean, the worst
ratio, and the mean of choosing anew in each setting against the best optimizer's. A trial that diverged counts as the worst of all in its setting.
Reads trials.csv alone, and so never looks at test images.
"""

import argparse
import csv
import math
import statistics
from collections import defaultdict
from pathlib import Path

from page import head

CONDITIONS = ("checkpoint", "corrupt", "labels", "batch-size", "loss")
OTHERS = (*CONDITIONS, "optimizer", "trial", "state", "validation_accuracy", "validation_loss", "cpu_seconds", "chosen")


def mean(logs):
    """Geometric mean over settings, each comparison with the same weight: `logs` by setting, whose first part is the comparison."""
    folders = defaultdict(list)
    for (folder, *_), log in logs.items():
        folders[folder].append(log)
    return math.exp(statistics.mean(statistics.mean(of) for of in folders.values()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    args = parser.parse_args()
    losses = defaultdict(dict)
    for folder in args.folders:
        with open(folder / "trials.csv", newline="") as file:
            for row in csv.DictReader(file):
                where = (folder, *(row.get(key, "") for key in CONDITIONS))
                values = ", ".join(f"{key} {value}" for key, value in row.items() if value and key not in OTHERS)
                losses[row["optimizer"], where][values] = float(row["validation_loss"] or "inf")
    best = defaultdict(lambda: math.inf)
    for (_, where), trials in losses.items():
        best[where] = min(best[where], *trials.values())
    head("defaults")
    print()
    print("| | value | mean regret | worst | tuned, over the best optimizer's |")
    print("|---|---|---|---|---|")
    for name in dict.fromkeys(name for name, _ in losses):
        settings = {where: trials for (n, where), trials in losses.items() if n == name}
        regrets = defaultdict(dict)
        for where, trials in settings.items():
            worst = max(loss for loss in trials.values() if math.isfinite(loss))
            for values, loss in trials.items():
                regrets[values][where] = math.log(min(loss, worst) / min(trials.values()))
        everywhere = [values for values, of in regrets.items() if len(of) == len(settings)]
        chosen = min(everywhere, key=lambda values: mean(regrets[values]))
        tuned = mean({where: math.log(min(trials.values()) / best[where]) for where, trials in settings.items()})
        print(f"| {name} | {chosen} | {mean(regrets[chosen]):.2f} | {math.exp(max(regrets[chosen].values())):.2f} | {tuned:.2f} |")


if __name__ == "__main__":
    main()
