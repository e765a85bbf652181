"""Reads the event files of a run with TensorBoard's own reader.

    cargo build --release && python tools/check_tensorboard.py

A run is interrupted and gone on with, so that it leaves two files. Its scalars must be those of summary.csv, each step once; its
histograms must count every multiplier and lie where curvature.csv says. Needs `pip install tensorboard`. Prints one line per check;
the exit code is 1 if any of them fails.
"""

import argparse
import csv
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

SPH = Path(__file__).resolve().parent.parent / "target" / "release" / "sph"
EPOCHS = 60

failures = 0


def check(name, ok, detail=""):
    global failures
    failures += not ok
    print("ok  " if ok else "FAIL", name, detail)


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def train(sph, folder):
    """A run that was interrupted once."""
    run = Path(folder) / "run"
    settings = f"train --model mlp --val-split 0.1 --epochs {EPOCHS} --experiment run --stop-on-eof --runs".split()
    process = subprocess.Popen(
        [sph, *settings, folder], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not (run / "summary.csv").exists():
        time.sleep(0.005)
    process.stdin.close()
    if process.wait() != 130:
        sys.exit("the run was over before it could be interrupted; raise EPOCHS")
    subprocess.run([sph, "train", "--resume", run], check=True, stdout=subprocess.DEVNULL)
    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sph", default=SPH, help="the binary")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = train(args.sph, folder)
        files = sorted(run.glob("events.out.tfevents.*"))
        check("two files", len(files) == 2, str(len(files)))
        # 0: keep everything.
        events = EventAccumulator(str(run), size_guidance={"scalars": 0, "histograms": 0}).Reload()
        summary, curvature = rows(run / "summary.csv"), rows(run / "curvature.csv")

        for tag in events.Tags()["scalars"]:
            steps = [e.step for e in events.Scalars(tag)]
            check(f"{tag}: every step once", steps == sorted(set(steps)) and len(steps) > 0, f"{len(steps)} values")
        for tag, column in [
            ("loss/train", "train_loss"),
            ("loss/validation", "val_loss"),
            ("loss/test", "test_loss"),
            ("accuracy/train", "train_accuracy"),
            ("accuracy/test", "test_accuracy"),
            ("time/step_ms", "step_ms"),
        ]:
            ours = [float(row[column]) for row in summary]
            theirs = [e.value for e in events.Scalars(tag)]
            same = len(ours) == len(theirs) and all(math.isclose(a, b, rel_tol=1e-6) for a, b in zip(ours, theirs))
            check(f"{tag}: the column {column}", same)

        blocks = {row["block"] for row in curvature}
        tags = {f"log10_multiplier/{block}" for block in blocks}
        check("a histogram per block", tags == set(events.Tags()["histograms"]), f"{len(tags)}")
        for block in sorted(blocks):
            ours = [row for row in curvature if row["block"] == block]
            theirs = events.Histograms(f"log10_multiplier/{block}")
            same = len(ours) == len(theirs) == EPOCHS
            for row, event in zip(ours, theirs):
                h = event.histogram_value
                same &= event.step == int(row["step"]) and sum(h.bucket) == h.num
                same &= math.isclose(h.min, math.log10(float(row["multiplier_min"])), rel_tol=1e-9)
                same &= math.isclose(h.max, math.log10(float(row["multiplier_max"])), rel_tol=1e-9)
            check(f"{block}: multipliers of every epoch", same)
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
