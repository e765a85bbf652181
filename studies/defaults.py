#!/usr/bin/env python3
"""The one value of each setting that serves all of a comparison's settings best, by its trials: what defaults are chosen from.

    python studies/defaults.py runs/adapt-digits

Every optimizer tries the same values in all settings (network, corruption, labels). A trial's regret is its held-out loss over the least that
any trial of that optimizer had there, as a ratio; the value with the least geometric mean over settings is printed, with that mean, the worst
ratio, and the mean of choosing anew in each setting against the best optimizer's. A trial that diverged counts as the worst of all in its setting.
Reads trials.csv alone, and so never looks at test images.
"""

import argparse
import csv
import math
from collections import defaultdict
from pathlib import Path

CONDITIONS = ("checkpoint", "corrupt", "labels", "batch-size", "loss")
OTHERS = (*CONDITIONS, "optimizer", "trial", "state", "validation_accuracy", "validation_loss", "cpu_seconds", "chosen")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    with open(args.folder / "trials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    losses = defaultdict(dict)
    for row in rows:
        where = tuple(row.get(key, "") for key in CONDITIONS)
        values = ", ".join(f"{key} {value}" for key, value in row.items() if value and key not in OTHERS)
        losses[row["optimizer"], where][values] = float(row["validation_loss"] or "inf")
    best = defaultdict(lambda: math.inf)
    for (_, where), trials in losses.items():
        best[where] = min(best[where], *trials.values())
    print("| | value | mean regret | worst | tuned, over the best optimizer's |")
    print("|---|---|---|---|---|")
    mean = lambda logs: math.exp(sum(logs) / len(logs))
    for name in dict.fromkeys(name for name, _ in losses):
        settings = {where: trials for (n, where), trials in losses.items() if n == name}
        regrets = defaultdict(list)
        for trials in settings.values():
            worst = max(loss for loss in trials.values() if math.isfinite(loss))
            for values, loss in trials.items():
                regrets[values].append(math.log(min(loss, worst) / min(trials.values())))
        chosen = min(regrets, key=lambda values: sum(regrets[values]))
        tuned = mean([math.log(min(trials.values()) / best[where]) for where, trials in settings.items()])
        print(f"| {name} | {chosen} | {mean(regrets[chosen]):.2f} | {math.exp(max(regrets[chosen])):.2f} | {tuned:.2f} |")


if __name__ == "__main__":
    main()
