#!/usr/bin/env python3
"""The results of a comparison of trainings as Markdown: the pages of studies/results.

    python studies/tables.py runs/full-digits > studies/results/full-digits.md
    python studies/tables.py runs/robustness-digits --over lr
    python studies/tables.py runs/choice-of-tau --held-out
    python studies/tables.py runs/time --step-time

A row per optimizer: final test accuracy (mean ± standard deviation over seeds), its paired difference from the baseline with a 95 % interval,
epochs until the test accuracy is where the baseline's mean ends, of the runs that get there, and what was chosen, with the end of what was
tried where it lies there. With --over, a column per value of a setting instead; with --held-out, accuracy and loss on the images that
--val-split holds out; with --step-time, the time of a step over the baseline's, medians over seeds of each run's median, and their range.
Reads configurations.csv, runs.csv, trials.csv and the runs' summary.csv.
"""

import argparse
import csv
import statistics
from pathlib import Path

from page import head


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def name(row):
    """The optimizer without its chosen values."""
    return " ".join(part for part in row["optimizer"].split() if "=" not in part)


def conditions(configurations):
    """What optimizers are compared for: the columns of settings whose values stand in no label."""
    keys = list(configurations[0])
    keys = keys[keys.index("optimizer") + 1 : keys.index("runs")]
    in_label = lambda key: any(f" {key}=" in row["optimizer"] for row in configurations)
    return ["dataset", "model", *(key for key in keys if not in_label(key))]


def condition(row):
    return tuple((key, row[key]) for key in row["conditions"] if row.get(key))


def accuracy(row):
    mean, std = (100 * float(row[f"final_test_accuracy_{what}"] or "nan") for what in ("mean", "std"))
    return f"{mean:.2f} ± {std:.2f}"


def difference(row):
    if not row["difference_mean"]:
        return ""
    mean = 100 * float(row["difference_mean"])
    if not row["difference_low"]:
        return f"{mean:+.2f}"
    low, high = (100 * float(row[f"difference_{what}"]) for what in ("low", "high"))
    return f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"


def epochs_to(folder, runs, target):
    """Epochs until `target`, of the runs that get there, and how many do."""
    reached = []
    for run in runs:
        epochs = read(folder / run["run"] / "summary.csv")
        column = next(key for key in ("test_accuracy", "test_acc") if key in epochs[0])
        first = (int(e["epoch"]) for e in epochs if float(e[column]) >= target)
        reached += [next(first)] if any(float(e[column]) >= target for e in epochs) else []
    if not reached:
        return f"never (0 of {len(runs)})"
    return f"{statistics.mean(reached):.1f} ({len(reached)} of {len(runs)})"


def settings(row, trials):
    """The chosen values; of a number that is the smallest or the largest one tried, that it is."""
    chosen = [part.split("=") for part in row["optimizer"].split() if "=" in part]
    tried = [t for t in trials if name(t) == name(row) and condition(t) == condition(row)]

    def shown(key, value):
        try:
            values = sorted({float(t[key]) for t in tried})
        except ValueError:
            values = []
        at_end = len(values) > 1 and {values[0]: " (smallest)", values[-1]: " (largest)"}.get(float(value))
        return f"{key}={value}{at_end or ''}"

    return ", ".join(shown(key, value) for key, value in chosen) or "nothing"


def print_by_optimizer(folder, configurations, runs, trials):
    for where in dict.fromkeys(condition(row) for row in configurations):
        rows = [row for row in configurations if condition(row) == where]
        print(f"\n**{', '.join(value for _, value in where)}**\n")
        print("| | final accuracy, % | − baseline [95 %] | epochs to the baseline's end | chosen |")
        print("|---|---|---|---|---|")
        # The baseline is the one without a difference.
        base = next(row for row in rows if not row["difference_mean"])
        target = float(base["final_test_accuracy_mean"])
        for row in rows:
            own = [r for r in runs if r["optimizer"] == row["optimizer"] and condition(r) == where]
            cells = [name(row), accuracy(row), difference(row), epochs_to(folder, own, target), settings(row, trials)]
            print(f"| {' | '.join(cells)} |")


def print_held_out(folder, configurations, runs):
    for where in dict.fromkeys(condition(row) for row in configurations):
        print(f"\n**{', '.join(value for _, value in where)}**\n")
        print("| | held-out accuracy, % | loss | |")
        print("|---|---|---|---|")
        for row in (row for row in configurations if condition(row) == where):
            own = [r for r in runs if r["optimizer"] == row["optimizer"] and condition(r) == where]
            last = [read(folder / run["run"] / "summary.csv")[-1] for run in own]
            accuracies = [100 * float(epoch["val_accuracy"]) for epoch in last]
            mean, std = statistics.mean(accuracies), statistics.stdev(accuracies)
            loss = statistics.mean(float(epoch["val_loss"]) for epoch in last)
            print(f"| {name(row)} | {mean:.2f} ± {std:.2f} | {loss:.3f} | {settings(row, [])} |")


def print_step_time(configurations, runs):
    names = list(dict.fromkeys(map(name, configurations)))
    print("\n| | " + " | ".join(names[1:]) + " |")
    print("|---|" + "---|" * len(names[1:]))
    for where in dict.fromkeys(condition(row) for row in configurations):
        times = {n: {r["seed"]: float(r["step_ms"]) for r in runs if (name(r), condition(r)) == (n, where)} for n in names}

        def ratio(optimizer):
            # Runs of one seed followed each other: they met the same load.
            ratios = [time / times[names[0]][seed] for seed, time in times[optimizer].items()]
            if not ratios:
                return ""
            return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"

        place = ", ".join(value if key != "batch-size" else f"batches of {value}" for key, value in where)
        print(f"| {place} | " + " | ".join(map(ratio, names[1:])) + " |")


def print_over(configurations, setting):
    for where in dict.fromkeys(condition(row) for row in configurations):
        rows = [row for row in configurations if condition(row) == where]
        print(f"\n**{', '.join(f'{key} {value}' if key not in ('dataset', 'model') else value for key, value in where)}**\n")
        by_name = {optimizer: [row for row in rows if name(row) == optimizer] for optimizer in map(name, rows)}
        # Optimizers have values of their own, which stand in the cells.
        columns = max(map(len, by_name.values()))
        print("| |" + f" {setting}: % |" * columns)
        print("|---|" + "---|" * columns)
        for optimizer, own in by_name.items():
            print(f"| {optimizer} | " + " | ".join(f"{row[setting]}: {accuracy(row)}" for row in own) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--over", metavar="SETTING", help="a column per value of this setting")
    parser.add_argument("--held-out", action="store_true", help="accuracy and loss on held-out images")
    parser.add_argument("--step-time", action="store_true", help="time of a step over that of the first optimizer")
    args = parser.parse_args()
    configurations = read(args.folder / "configurations.csv")
    runs = read(args.folder / "runs.csv")
    trials = args.folder / "trials.csv"
    trials = read(trials) if trials.exists() else []
    for row in (*configurations, *runs, *trials):
        row["conditions"] = conditions(configurations)
    head(args.folder.name)
    if args.over:
        print_over(configurations, args.over)
    elif args.held_out:
        print_held_out(args.folder, configurations, runs)
    elif args.step_time:
        print_step_time(configurations, runs)
    else:
        print_by_optimizer(args.folder, configurations, runs, trials)


if __name__ == "__main__":
    main()
