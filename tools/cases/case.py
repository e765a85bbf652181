"""What cases share: where they are registered, and the program with inputs to run it on."""

import json
import subprocess
from functools import cached_property
from pathlib import Path

CASES = []


def case(f):
    """Registers a case: a function of a `Bench` that asserts what is right."""
    CASES.append(f)
    return f


class Outcome:
    """What a command did."""

    def __init__(self, done, args):
        self.code, self.out, self.err, self.args = done.returncode, done.stdout, done.stderr, args

    @property
    def json(self):
        return json.loads(self.out)

    def succeeds(self):
        assert self.code == 0, f"{self}: exit code {self.code}"
        return self

    def refused(self, *words):
        """One line, exit code 2, and these words in it."""
        lines = self.err.strip().splitlines()
        assert self.code == 2, f"{self}: exit code {self.code}"
        assert len(lines) == 1, f"{self}: {len(lines)} lines"
        return self.says(*words)

    def says(self, *words):
        for word in words:
            assert word in self.err + self.out, f"{self}: does not say '{word}'"
        return self

    def __str__(self):
        return f"sph {' '.join(self.args)}\n     {self.out}{self.err}".rstrip()


class Bench:
    """The program, a folder to work in, and inputs."""

    def __init__(self, sph, folder):
        self.sph, self.folder = sph, folder

    def run(self, *args, cwd=None, env=None):
        args = [str(a) for a in args]
        done = subprocess.run([self.sph, *args], capture_output=True, text=True, cwd=cwd or self.folder, env=env)
        return Outcome(done, args)

    @cached_property
    def inputs(self):
        """The folder that make.py fills; it has state files of `model`, too."""
        from . import make

        into = self.folder / "inputs"
        make.main(into, self.model)
        return into

    @cached_property
    def base(self):
        """Pictures of two classes, `top` and `left`."""
        from . import make

        into = self.folder / "base"
        make.folder(str(into), ["top", "left"], 20, make.jpg)
        return into

    @cached_property
    def trained(self):
        """A run on `base` that tells the classes apart."""
        self.run(
            "train", "--dataset", "folder", "--data-dir", self.base, "--test-fraction", 0.2, "--image-size", 32, "--model", "mlp", "--epochs",
            15, "--batch-size", 8, "--runs", self.folder / "runs", "--experiment", "base",
        ).succeeds()
        return self.folder / "runs" / "base"

    @property
    def model(self):
        """The model file of `trained`."""
        return Path(self.trained) / "best.safetensors"
