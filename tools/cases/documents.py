"""The commands of the README and the book do what they are there for.

Every `sh` block is run in order, in a folder of its own for each document, with the inputs that the text speaks of: pictures in `photos`,
and a trained network in `runs/first` where the document does not train it itself. So that all takes two minutes, trainings have one epoch
and comparisons one seed. What downloads, and what is not `sph`, is left out. Blocks of Python are compiled, and run where NumPy is enough.
"""

import ast
import os
import re
import shlex
import shutil
import struct
from pathlib import Path

import numpy as np

from . import make
from .case import case

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# What makes a command short; the last of several values of a flag counts.
SHORT = {"train": ["--epochs", "1"], "compare": ["--epochs", "1", "--seeds", "1"]}


def blocks(document, language):
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text(), re.S | re.M)


def commands(document):
    """The flags of each command line of `sph`."""
    found = []
    for block in blocks(document, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:6] == ["cargo", "run", "--release", "-p", "sph", "--"]:
                words = ["sph", *words[6:]]
            if words and Path(words[0]).name == "sph" and words[1:3] != ["data", "fetch"]:
                found.append(words[1:])
    return found


def shortened(flags):
    # A run that goes on has its epochs.
    return flags + ([] if "--resume" in flags and "auto" not in flags else SHORT.get(flags[0], []))


def idx(folder):
    """Files as those of MNIST, with a few images of noise."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, n in (("train", 1600), ("t10k", 100)):
        labels = (np.arange(n) % 10).astype(np.uint8)
        images = rng.integers(0, 256, (n, 28, 28), np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, n, 28, 28) + images.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, n) + labels.tobytes())


def trains(flags, name):
    return flags[0] == "train" and "--experiment" in flags and flags[flags.index("--experiment") + 1] == name


@case
def commands_in_documents_run(bench):
    cache = bench.folder / "cache"
    for name in ("fashion-mnist", "mnist"):
        idx(cache / "sph" / name)
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    first = bench.folder / "first"
    bench.run("train", "--epochs", 1, "--runs", first, "--experiment", "first").succeeds()
    photos = bench.folder / "photos"
    make.folder(str(photos), ["top", "left"], 200, make.jpg)
    ran = 0
    for document in filter(commands, DOCUMENTS):
        lines = commands(document)
        folder = bench.folder / "documents" / document.stem
        (folder / "runs").mkdir(parents=True)
        shutil.copytree(photos, folder / "photos")
        shutil.copy(photos / "top" / "1.jpg", folder / "photo.jpg")
        if not any(trains(flags, "first") for flags in lines):
            shutil.copytree(first / "first", folder / "runs" / "first")
        for flags in lines:
            bench.run(*shortened(flags), cwd=folder, env=environment).succeeds()
            ran += 1
    assert ran > 25, ran


@case
def python_in_documents_runs(bench):
    text = "In the beginning God created the heaven and the earth. " * 200
    ran = 0
    for document in DOCUMENTS:
        for block in blocks(document, "python"):
            tree = compile(block, str(document), "exec", ast.PyCF_ONLY_AST)
            imports = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
            imports |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
            if imports == {"numpy"}:
                folder = bench.folder / "python"
                folder.mkdir(exist_ok=True)
                (folder / "bible.txt").write_text(text)
                here = Path.cwd()
                os.chdir(folder)
                try:
                    exec(compile(tree, str(document), "exec"), {})
                finally:
                    os.chdir(here)
                ran += 1
    assert ran >= 1
