#!/usr/bin/env python3
"""Files and habits as people have them: every case of tools/cases gives the right value, or the right single line.

    cargo build --release && python3 tools/check_cases.py [--sph target/release/sph] [--only WORD]

The last cases run the commands of README and book (tools/cases/documents.py).

A case is a function of a module in tools/cases with a line that says what is right. What is right comes from outside: Pillow, NumPy,
PyTorch's conventions. Needs Pillow, numpy and safetensors; where the interpreter lacks them they come into tools/.venv. Prints one line per
case; the exit code is 1 if any of them fails.
"""

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
import time
import traceback
import venv
from pathlib import Path

TOOLS = Path(__file__).resolve().parent
VENV = TOOLS / ".venv"
NEEDS = ("PIL", "numpy", "safetensors")
MODULES = ("pictures", "states", "sets", "training", "documents")


def with_needs():
    """Goes on in an interpreter that has what is needed."""
    if all(importlib.util.find_spec(name) for name in NEEDS):
        return
    python = VENV / ("Scripts" if os.name == "nt" else "bin") / "python"
    if Path(sys.executable) == python:
        sys.exit(f"{python} lacks one of {', '.join(NEEDS)}")
    if not python.exists():
        print(f"creating {VENV}", file=sys.stderr)
        venv.create(VENV, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "pillow", "numpy", "safetensors"], check=True, stdout=sys.stderr)
    os.execv(python, [python, *sys.argv])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sph", type=Path, default=TOOLS.parent / "target" / "release" / "sph")
    parser.add_argument("--only", default="", help="run the cases whose names contain this")
    args = parser.parse_args()
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(TOOLS))
    from cases.case import CASES, Bench

    for module in MODULES:
        if (TOOLS / "cases" / f"{module}.py").exists():
            importlib.import_module(f"cases.{module}")
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args.sph.resolve(), Path(folder))
        for case in CASES:
            if args.only not in case.__name__:
                continue
            start = time.monotonic()
            try:
                case(bench)
                said = "ok  "
            except Exception as e:
                said, failures = "FAIL", failures + 1
                detail = str(e) if isinstance(e, AssertionError) else traceback.format_exc()
            print(said, case.__name__, f"{time.monotonic() - start:.1f} s", "" if said == "ok  " else f"\n     {detail}", flush=True)
    sys.exit(failures > 0)


if __name__ == "__main__":
    import importlib.util

    with_needs()
    main()
