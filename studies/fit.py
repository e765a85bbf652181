#!/usr/bin/env python3
"""How fast optimizers minimise the loss on the images that they adapt to, of a comparison whose batches hold them all.

    python studies/fit.py runs/adapt-digits-full-batch

Of the values that an optimizer ran with, the one with the least mean final loss over seeds counts, setting by setting. Its runs stand
beside the baseline's of the same seed: the ratio of the steps (seconds) to the loss where that one ends (or is --after N steps), to those that it took itself; medians over
seeds, infinite where a run never gets there. Losses are those before each step, on the whole batch. Reads runs.csv and the runs' files.
"""

import argparse
import csv
import math
import statistics
from collections import defaultdict
from itertools import accumulate
from pathlib import Path

from page import head
from ratios import name_of, record


def curve(folder, run):
    """(steps, seconds, loss on the images adapted to) before every step, of a run's file."""
    said = record(folder, run)
    assert said["batch_size"] >= said["adaptation_images"], f"{run['run']}: batches do not hold all images"
    seconds = [0, *accumulate(said["step_seconds"])]
    return [(step, seconds[step], loss) for step, loss in enumerate(said["train_loss"])]


def ratio(own, base, target, what):
    """Steps (`what` 0) or seconds (1) of `own` to the target loss, over those of `base`."""
    first = lambda points: next((point[what] for point in points if point[2] <= target), math.inf)
    return first(own) / first(base)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--baseline", default="adam")
    parser.add_argument("--after", type=int, help="steps after which the baseline's loss is the target [default: all but the last]")
    args = parser.parse_args()
    end_of = lambda points: points[-1 if args.after is None else args.after]
    settings = defaultdict(lambda: defaultdict(lambda: defaultdict(dict)))
    for run in csv.DictReader(open(args.folder / "runs.csv", newline="")):
        values = ", ".join(word for word in run["optimizer"].split() if "=" in word)
        setting = (Path(run["checkpoint"]).name, run["corrupt"])
        settings[setting][name_of(run)][values][run["seed"]] = curve(args.folder, run)

    head(args.folder.name)
    print()
    at = "at the end" if args.after is None else f"after {args.after} steps"
    print(f"| network, corruption | | value | loss {at} | steps | seconds |")
    print("|---|---|---|---|---|---|")
    ratios = defaultdict(list)
    for setting, optimizers in settings.items():
        end = lambda by_seed: statistics.mean(end_of(points)[2] for points in by_seed.values())
        best = {name: min(values.items(), key=lambda item: end(item[1])) for name, values in optimizers.items()}
        base = best[args.baseline][1]
        for name, (values, by_seed) in best.items():
            targets = {seed: end_of(points)[2] for seed, points in base.items()}
            both = [statistics.median(ratio(by_seed[s], base[s], targets[s], what) for s in base) for what in (0, 1)]
            ratios[name].append(both)
            shown = " | ".join("never" if r == math.inf else f"{r:.2f}" for r in both)
            where = ", ".join(setting) if name == next(iter(best)) else ""
            print(f"| {where} | {name} | {values} | {end(by_seed):.4f} | {shown} |")
    print()
    print(f"| of {len(settings)} settings | steps, median | seconds, median | steps ≤ 1/3 | seconds ≤ 2/3 | one of them |")
    print("|---|---|---|---|---|---|")
    for name, both in ratios.items():
        if name != args.baseline:
            medians = " | ".join(f"{statistics.median(r[what] for r in both):.2f}" for what in (0, 1))
            third, faster = ([r[what] <= bound for r in both] for what, bound in ((0, 1 / 3), (1, 2 / 3)))
            counts = (sum(third), sum(faster), sum(map(max, third, faster)))
            print(f"| {name} | {medians} | {' | '.join(map(str, counts))} |")


if __name__ == "__main__":
    main()
