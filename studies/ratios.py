#!/usr/bin/env python3
"""Steps and seconds to the baseline's final loss, setting by setting, of a comparison of adaptations.

    python studies/ratios.py runs/adapt-digits > studies/results/adapt-digits.md

Every run stands beside the baseline's run of the same seed: the ratio of its steps (seconds) to the loss where that one ends, to those
that it took itself. Medians over seeds; a run that never gets there counts as infinitely long, and where the baseline ends no better than it began there
is no ratio. Below, means over settings, with those of recalibration alone, and how often what was chosen is the smallest or the largest value
that was tried. Reads runs.csv, trials.csv and the runs' files.
"""

import argparse
import csv
import json
import math
import statistics
from collections import Counter, defaultdict
from pathlib import Path

from page import head


def record(folder, run):
    """What `sph adapt --json` said of the run."""
    return json.loads((folder / f"{run['run']}.json").read_text())


def name_of(run):
    """The optimizer's, without its chosen values, which its label goes on with."""
    return " ".join(part for part in run["optimizer"].split() if "=" not in part)


def to_target(run, target, what):
    """Steps or seconds until the test loss is the target or less; infinite where that never happens."""
    evaluations = run["evaluations"] + [run["final"]]
    return next((e[what] for e in evaluations if e["loss"] <= target), float("inf"))


def median_ratio(pairs, what):
    """None where the baseline's own steps gain nothing in most runs, so that there is nothing to be fast at."""
    both = [[to_target(run, base["final"]["loss"], what) for run in (run, base)] for run, base in pairs]
    ratios = [own / base for own, base in both if base > 0]
    return statistics.median(ratios) if 2 * len(ratios) > len(pairs) else None


def at_edges(folder):
    """In how many settings an optimizer's chosen value is the smallest or the largest one that was tried."""
    searches = defaultdict(list)
    for trial in csv.DictReader(open(folder / "trials.csv")):
        searches[trial["optimizer"], trial["checkpoint"], trial["corrupt"], trial.get("labels")].append(trial)
    counts = defaultdict(Counter)
    for (optimizer, *_), trials in searches.items():
        chosen = next(t for t in trials if t["chosen"] == "true")
        for key in ("lr", "eps"):
            if chosen.get(key):
                values = [float(t[key]) for t in trials]
                for which, end in (("smallest", min(values)), ("largest", max(values))):
                    counts[optimizer][f"{key}, {which}"] += float(chosen[key]) == end
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--baseline", default="adam")
    args = parser.parse_args()
    settings = defaultdict(lambda: defaultdict(dict))
    for run in csv.DictReader(open(args.folder / "runs.csv")):
        setting = (Path(run["checkpoint"]).name, run["corrupt"], run.get("labels") or "")
        settings[setting][name_of(run)][run["seed"]] = run

    percent = lambda runs, column: f"{100 * statistics.mean(float(r[column]) for r in runs):.1f}"
    head(args.folder.name)
    print()
    print("| network, corruption, labels a class | before, recalibrated | | after 5, 10, 20 steps | end | loss | steps | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    third, faster, either, accurate, total = Counter(), Counter(), Counter(), Counter(), Counter()
    for (network, corruption, labels), by_name in settings.items():
        base = by_name[args.baseline]
        for name, by_seed in by_name.items():
            pairs = [(run, base[seed]) for seed, run in by_seed.items() if seed in base]
            runs = [run for run, _ in pairs]
            records = [[record(args.folder, run) for run in pair] for pair in pairs]
            steps, seconds = (median_ratio(records, what) for what in ("steps", "seconds"))
            gain = statistics.mean(
                float(run["final_test_accuracy"]) - float(b["final_test_accuracy"]) for run, b in pairs
            )
            total[name] += 1
            accurate[name] += gain >= 0
            if steps is not None:
                third[name] += steps <= 1 / 3
                faster[name] += seconds <= 2 / 3
                either[name] += steps <= 1 / 3 or seconds <= 2 / 3
            first = name == next(iter(by_name))
            where = ", ".join(part for part in (network, corruption, labels) if part) if first else ""
            before = f"{percent(runs, 'accuracy_before')}, {percent(runs, 'accuracy_recalibrated')}" if first else ""
            after = ", ".join(percent(runs, f"accuracy_after_{n}") for n in (5, 10, 20))
            loss = statistics.mean(float(r["final_test_loss"]) for r in runs)
            shown = lambda v: "-" if v is None else "never" if v == float("inf") else f"{v:.2f}"
            end = percent(runs, "final_test_accuracy")
            print(f"| {where} | {before} | {name} | {after} | {end} | {loss:.3f} | {shown(steps)} | {shown(seconds)} |")
    print()
    print(f"| | test accuracy after 5, 10, 20 steps and at the end, %, mean over settings | ahead of {args.baseline} in | final test loss over {args.baseline}'s, geometric mean |")
    print("|---|---|---|---|")
    columns = [*(f"accuracy_after_{n}" for n in (5, 10, 20)), "final_test_accuracy"]
    recalibrated = [
        statistics.mean(float(run["accuracy_recalibrated"]) for run in by_name[args.baseline].values())
        for by_name in settings.values()
    ]
    print(f"| recalibration alone | {100 * statistics.mean(recalibrated):.1f} | | |")
    below = {}
    for name in total:
        means, ahead, losses = defaultdict(list), Counter(), []
        for by_name in settings.values():
            own, base = ([*by_name[n].values()] for n in (name, args.baseline))
            of = lambda runs, column: statistics.mean(float(r[column]) for r in runs)
            for column in columns:
                means[column].append(of(own, column))
                ahead[column] += of(own, column) > of(base, column)
            losses.append(math.log(of(own, "final_test_loss") / of(base, "final_test_loss")))
        accuracies = ", ".join(f"{100 * statistics.mean(means[c]):.1f}" for c in columns)
        counts = "" if name == args.baseline else ", ".join(str(ahead[c]) for c in columns)
        print(f"| {name} | {accuracies} | {counts} | {math.exp(statistics.mean(losses)):.2f} |")
        below[name] = ", ".join(str(sum(m < r for m, r in zip(means[c], recalibrated))) for c in columns)
    print("\nLess accurate than recalibration alone, after 5, 10, 20 steps and at the end:", end=" ")
    print("; ".join(f"{name} {counts}" for name, counts in below.items()) + ".\n")
    print(f"| of {max(total.values())} settings | steps ≤ 1/3 | seconds ≤ 2/3 | one of them | accuracy at the end not below {args.baseline}'s |")
    print("|---|---|---|---|---|")
    for name in total:
        if name != args.baseline:
            print(f"| {name} | {third[name]} | {faster[name]} | {either[name]} | {accurate[name]} |")
    if (args.folder / "trials.csv").exists():
        print("\nChosen at the end of what was tried:")
        for name, counts in at_edges(args.folder).items():
            print(f"{name}: " + "; ".join(f"{what} {count}" for what, count in counts.items()))


if __name__ == "__main__":
    main()
