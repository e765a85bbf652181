#!/usr/bin/env python3
"""The pictures of the README: runs sph, and takes the charts out of the pages that it writes.

    cargo build --release -p sph
    python3 tools/images.py

writes docs/images/block.svg, one block's Hessian (sph inspect --report) with its diagonal and its row sums (--dump) beside it on the
same colours, and docs/images/loss.svg, training loss over seconds of several optimizers (sph compare). It takes a few minutes; --work DIR
keeps the runs. Only the captions, the white ground and the two columns are drawn here.
"""

import argparse
import json
import re
import struct
import subprocess
import tempfile
from html import escape, unescape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The colours of crates/report/src/charts.rs: blue for the least, red for the largest, nearly white for 0.
LOW, MIDDLE, HIGH, LEVELS = (33, 102, 172), (247, 247, 247), (178, 24, 43), 40
TEXT = 'font-family="sans-serif" fill="#282828"'


def run(*command):
    print("$", *map(str, command), flush=True)
    subprocess.run(command, check=True)


def tensors(path):
    """Names and values of a safetensors file of numbers in 32 or 64 bits."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    heads = json.loads(data[8 : 8 + length])
    found = {}
    for name, head in heads.items():
        if name == "__metadata__" or head["dtype"] not in ("F32", "F64"):
            continue
        first, end = (8 + length + place for place in head["data_offsets"])
        kind, size = ("f", 4) if head["dtype"] == "F32" else ("d", 8)
        found[name] = struct.unpack(f"<{(end - first) // size}{kind}", data[first:end])
    return found


def colour(value, scale):
    level = round(value / scale * LEVELS)
    end = LOW if level < 0 else HIGH
    mixed = (round(m + abs(level) / LEVELS * (e - m)) for m, e in zip(MIDDLE, end))
    return "#{:02X}{:02X}{:02X}".format(*mixed)


def inner(svg):
    """What stands inside an <svg> element, and its width and height."""
    head, rest = svg.split(">", 1)
    width, height = (int(re.search(rf'{name}="(\d+)"', head)[1]) for name in ("width", "height"))
    return rest.rsplit("</svg>", 1)[0], width, height


def picture(path, width, height, parts):
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
    ground = f'<rect width="{width}" height="{height}" fill="#FFFFFF"/>'
    path.write_text("\n".join([head, ground, *parts, "</svg>"]) + "\n")
    print("wrote", path)


def label(x, y, text, anchor="middle", size=13):
    return f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}" {TEXT}>{escape(text)}</text>'


def block(page, dump, out):
    """The block whose row sums are as far from its diagonal as those of half of the blocks, entry by entry."""
    values = tensors(dump)
    errors = {}
    for key, h in values.items():
        if key.startswith("hessian."):
            name = key.removeprefix("hessian.")
            n = len(values[f"row_sum.{name}"])
            diagonal = h[:: n + 1]
            away = sum((r - d) ** 2 for r, d in zip(values[f"row_sum.{name}"], diagonal))
            errors[name] = (away / sum(d**2 for d in diagonal)) ** 0.5
    name = sorted(errors, key=errors.get)[len(errors) // 2]
    heading = page.index(f"<h3>{escape(name)}</h3>")
    svg = re.compile(r"<svg.*?</svg>", re.S).search(page, heading)[0]
    drawn, width, height = inner(svg)
    h, sums = values[f"hessian.{name}"], values[f"row_sum.{name}"]
    n = len(sums)
    diagonal = h[:: n + 1]
    scale = max(map(abs, h))
    # The two columns have a scale of their own where a row sum is larger than every entry.
    both = max(scale, *map(abs, sums))
    side, top, cell = 256, 34, 256 / n
    parts = [f'<g transform="translate(6,{top - 4})">{drawn}</g>', label(138, 22, f"H of {name}")]
    for k, (title, column) in enumerate((("diagonal", diagonal), ("row sums", sums))):
        x = width + 28 + 86 * k
        parts.append(label(x + 20, 22, title))
        for i, value in enumerate(column):
            y = top + i * cell
            parts.append(f'<rect x="{x}" y="{y:.2f}" width="40" height="{cell:.2f}" fill="{colour(value, both)}"/>')
        parts.append(f'<rect x="{x}" y="{top}" width="40" height="{side}" fill="none" stroke="#E1E1E1"/>')
    note = f"row-sum error {errors[name]:.2f}: the median of {len(errors)} blocks; columns ±{both:.3g}"
    parts.append(label(10, top + side + 24, note, "start", 12))
    picture(out, width + 190, height + top + 28, parts)


def loss(page, out, caption):
    figure = re.search(r"<figure>(<svg.*?</svg>)\s*<figcaption>Training loss over wall-clock time", page, re.S)
    # The shortest stretch that ends in the caption begins at the last figure before it.
    svg = "<svg" + figure[1].rsplit("<svg", 1)[1]
    drawn, width, height = inner(svg)
    keys = re.findall(r'class="key" style="background:([^"]+)"></span>([^<]+)</span>', page)
    parts = [f'<g transform="translate(0,34)">{drawn}</g>']
    x = 60
    for background, name in keys:
        name = unescape(name)
        parts.append(f'<rect x="{x}" y="12" width="12" height="12" style="fill:{background}"/>')
        parts.append(label(x + 17, 23, name, "start"))
        x += 34 + 8 * len(name)
    parts.append(label(60, height + 50, caption, "start", 12))
    picture(out, width, height + 60, parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sph", type=Path, default=ROOT / "target" / "release" / "sph")
    parser.add_argument("--work", type=Path, help="where the runs go [default: a temporary folder]")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = args.work or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        args.output.mkdir(parents=True, exist_ok=True)
        if not (work / "runs" / "picture" / "best.safetensors").exists():
            run(args.sph, "train", "--runs", work / "runs", "--experiment", "picture")
        page, dump = work / "inspect.html", work / "inspect.safetensors"
        checkpoint = work / "runs" / "picture" / "best.safetensors"
        inspect = ["inspect", "--checkpoint", checkpoint, "--batch-size", "128", "--dtype", "f64", "--no-network"]
        run(args.sph, *inspect, "--report", page, "--dump", dump)
        block(page.read_text(), dump, args.output / "block.svg")
        comparison = ["compare", "--model", "resnet20", "--opt", "sgd,sph,adamw,adahessian,kfac", "--seeds", "3", "--epochs", "10"]
        run(args.sph, *comparison, "--runs", work / "comparison")
        caption = "resnet20 on the digits, 3 seeds, defaults, ± one standard deviation"
        loss((work / "comparison" / "report.html").read_text(), args.output / "loss.svg", caption)


if __name__ == "__main__":
    main()
