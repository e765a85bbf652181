#!/usr/bin/env python3
"""The two main tables of docs/results.md, out of the pages in studies/results.

    python studies/summary.py            prints them
    python studies/summary.py --check    says whether docs/results.md has them as they are

Every figure is one of those pages'; none is computed here.
"""

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Page, the heading there (none where it has one alone), and what the row is called.
TRAININGS = [
    ("full-digits", "digits, resnet8, bn", "digits, resnet8, BN"),
    ("full-digits", "digits, resnet8, gn", "digits, resnet8, GN"),
    ("full-digits-large-batch", "digits, resnet8, bn", "— in batches of 1,024, BN"),
    ("full-digits-large-batch", "digits, resnet8, gn", "— in batches of 1,024, GN"),
    ("full-digits-resnet20", "digits, resnet20, bn", "digits, resnet20, BN"),
    ("full-digits-resnet20", "digits, resnet20, gn", "digits, resnet20, GN"),
    ("full-digits-resnet20-large-batch", "digits, resnet20, bn", "— in batches of 1,024, BN"),
    ("full-digits-resnet20-large-batch", "digits, resnet20, gn", "— in batches of 1,024, GN"),
    ("full-digits-vit_tiny", "digits, vit_tiny", "digits, vit_tiny"),
    ("full-digits-vgg11", "digits, vgg11", "digits, vgg11, no norms"),
    ("full-fashion-bn", "fashion-mnist, resnet8", "Fashion-MNIST, all images, resnet8, BN"),
    ("full-fashion-gn", "fashion-mnist, resnet8, gn", "Fashion-MNIST, all images, resnet8, GN"),
    ("full-fashion-resnet8-cut", "fashion-mnist, resnet8, bn", "— 2,500 images, resnet8, BN"),
    ("full-fashion-resnet8-cut", "fashion-mnist, resnet8, gn", "— 2,500 images, resnet8, GN"),
    ("full-fashion-resnet20-cut", "fashion-mnist, resnet20, bn", "— 2,500 images, resnet20, BN"),
    ("full-fashion-resnet20-cut", "fashion-mnist, resnet20, gn", "— 2,500 images, resnet20, GN"),
    ("full-fashion-vgg11-cut", "fashion-mnist, vgg11", "— 2,000 images, vgg11, no norms"),
    ("full-fashion-vit_tiny-cut", "fashion-mnist, vit_tiny", "— 1,000 images, vit_tiny"),
    ("full-fashion-large-batch", "fashion-mnist, resnet8, bn", "— 10,000 images in batches of 1,024, resnet8, BN"),
    ("full-fashion-large-batch", "fashion-mnist, resnet8, gn", "— 10,000 images in batches of 1,024, resnet8, GN"),
]
COLUMNS = ["adamw", "adahessian", "kfac", "sph seed", "sph", "sph untuned", "sph adamw"]
# Where the row called sph has AdamW's step on the weights.
ADAMW_BY_DEFAULT = "full-fashion-vit_tiny-cut"

ADAPTATIONS = [
    ("adapt-digits", "resnet8, digits, 10 and 100 labels a class, tuned"),
    ("adapt-digits-defaults", "the same, with the defaults"),
    ("adapt-digits-vit_tiny", "vit_tiny, digits, 100 labels, tuned"),
    ("adapt-digits-vit_tiny-few", "vit_tiny, digits, 10 labels, tuned"),
    ("adapt-fashion", "resnet8 with BN, Fashion-MNIST, 1,000 labels, tuned"),
    ("adapt-fashion-gn", "resnet8 with GN, Fashion-MNIST, 1,000 labels, tuned"),
    ("adapt-fashion-large-batch", "resnet8 with BN, batches of 512, tuned"),
    ("adapt-fashion-defaults", "resnet8 with BN, with the defaults"),
    ("adapt-fashion-mlp", "mlp, Fashion-MNIST, batches of 512, tuned"),
]


def rows(lines):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def page(name):
    return (HERE / "results" / f"{name}.md").read_text().splitlines()


def training(name, heading):
    lines = page(name)
    start = lines.index(f"**{heading}**") + 2
    end = next((i for i in range(start, len(lines)) if not lines[i].startswith("|")), len(lines))
    return {row[0]: row for row in rows(lines[start:end])[2:]}


def difference(cell):
    """The difference from SGD, bold where its interval does not hold 0."""
    mean, interval = cell.split(" ", 1)
    low, high = map(float, interval.strip("[]").split(", "))
    mean = mean.replace("-", "−")
    return f"**{mean}**" if low > 0 or high < 0 else mean


def trainings():
    yield "| | SGD, % | AdamW | AdaHessian | K-FAC | `sph seed` | `sph` | `sph untuned` | `sph adamw` |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name, heading, label in TRAININGS:
        table = training(name, heading)
        if name == ADAMW_BY_DEFAULT:
            table["sph adamw"] = table.pop("sph")
        cells = [difference(table[column][2]) if column in table else "" for column in COLUMNS]
        yield f"| {label} | {table['sgd'][1]} | {' | '.join(cells)} |"


def adaptations():
    yield "| | of | Adam, % | `sph` | `krylov` | ahead, `sph` | ahead, `krylov` | aim, `sph` | aim, `krylov` |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name, label in ADAPTATIONS:
        lines = page(name)
        first = next(i for i, line in enumerate(lines) if line.startswith("| | test accuracy"))
        means = {row[0]: row for row in rows(lines[first:])[2:] if len(row) == 4}
        aims = [line for line in lines if line.startswith("| of ")]
        of = sum(1 for row in rows(lines[:first])[2:] if row[0])
        aim = {}
        if aims:
            aim = {row[0]: row[3] for row in rows(lines[lines.index(aims[0]) :])[2:]}
        sph = "sph joint" if "sph joint" in means else "sph"
        at = lambda row, column: [row[column].split(", ")[i] for i in (1, 3)]
        cells = [" → ".join(at(means[n], 1)) for n in ("adam", sph, "krylov")]
        cells += [", ".join(at(means[n], 2)) for n in (sph, "krylov")]
        cells += [aim.get(n, "") for n in (sph, "krylov")]
        yield f"| {label} | {of} | {' | '.join(cells)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    tables = ["\n".join(make()) for make in (trainings, adaptations)]
    if args.check:
        book = (HERE.parent / "docs" / "results.md").read_text()
        sys.exit(0 if all(table in book for table in tables) else "docs/results.md has other tables")
    print("\n\n".join(tables))


if __name__ == "__main__":
    main()
