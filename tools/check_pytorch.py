"""Cross-checks a built `sph` binary with PyTorch, in both directions.

    cargo build --release && python tools/check_pytorch.py

1. `sph` trains a network for one epoch; its checkpoint must load into the PyTorch network
   with `strict=True`, and the loss, gradients, row sums and Hessian blocks that
   `sph inspect` reports for it must agree with PyTorch's double backward in float64.
2. A PyTorch state dict is inspected by `sph`, which must report the same loss.

Prints one line per check; the exit code is 1 if any of them fails.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from pytorch_curvature import block_hessian, gradients, row_sum, second_order_blocks
from pytorch_models import CIFAR_RESNETS, MODELS, NORMS, VGGS, build, default_norm, norms_of

SPH = Path(__file__).resolve().parent.parent / "target" / "release" / "sph"
MODES = ("train", "eval")
CLASSES = 10  # of the digits data set
TOLERANCE = 1e-9
FLOOR = 1e-6  # of the largest entry of all tensors that are compared together
DENSE_LIMIT = 256  # entries of the largest blocks whose Hessians `sph inspect` dumps


class Subject:
    """A network under test, as both sides are asked for it."""

    def __init__(self, model, norm, decouple):
        self.model, self.norm, self.decouple = model, norm, decouple == "auto"
        self.title = f"{model} {norm} decoupled" if self.decouple else f"{model} {norm}"
        self.flags = ["--model", model, "--norm", norm, "--decouple", decouple]
        self.training = []
        if model in VGGS:  # five poolings
            self.flags += ["--image-size", 32]
            # At the default rate one epoch leaves the running statistics far behind: in evaluation mode
            # the loss is in the hundreds, the softmax saturates, and what is left of curvature is rounding.
            self.training = ["--lr", 0.005]
        # Without norms and decoupling there are no second-order blocks to train.
        self.opt = "sgd" if norm == "none" and not self.decouple else "sph"
        # A row of a Hessian takes two passes: few images and rows where those are long.
        small = model == "mlp" or model in CIFAR_RESNETS
        self.batch_size, self.rows = (64, DENSE_LIMIT) if small else (8, 8)

    def build(self, images):
        """The PyTorch network for images of this shape."""
        _, channels, _, size = images
        return build(self.model, channels, size, CLASSES, self.norm, self.decouple)


class Report:
    """Prints each check as it is made and remembers whether one failed."""

    def __init__(self):
        self.failures = 0

    def check(self, what, passed, detail):
        self.failures += not passed
        print(f"{'ok  ' if passed else 'FAIL'} {what}: {detail}", flush=True)

    def close(self, what, actual, expected, tolerance=TOLERANCE):
        """Compares two {name: tensor}; the same names must be there on both sides."""
        if actual.keys() != expected.keys():
            odd = sorted(actual.keys() ^ expected.keys())
            self.check(what, False, f"on one side only: {', '.join(odd)}")
            return
        if not expected:
            self.check(what, True, "none on either side")
            return
        # Of tensors that are zero in theory both sides have different rounding errors.
        floor = FLOOR * max(largest(tensor) for tensor in expected.values())
        errors = {name: relative_error(actual[name], expected[name], floor) for name in expected}
        worst = max(errors, key=errors.get)
        detail = f"error {errors[worst]:.1e} ({worst}), {len(errors)} tensors"
        self.check(what, errors[worst] <= tolerance, detail)


def largest(tensor):
    return tensor.abs().max().item()


def relative_error(actual, expected, floor):
    """max |a - b| / max |b|, and at least `floor` below the fraction.

    Infinite for a wrong shape or a NaN, which pass no tolerance.
    """
    if actual.shape != expected.shape:
        return float("inf")
    difference = largest(actual.double() - expected.double())
    if difference == 0.0:
        return 0.0
    scale = max(largest(expected), floor)
    error = difference / scale if scale > 0.0 else float("inf")
    return error if error == error else float("inf")


def run(sph, *args):
    """Runs the binary; what it prints is only shown when it fails."""
    command = [str(part) for part in (sph, *args)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    except OSError as error:
        sys.exit(f"cannot run {sph}: {error.strerror}")
    if done.returncode != 0:
        sys.exit(f"{done.stdout}exit code {done.returncode} from {' '.join(command)}")


def inspect(sph, checkpoint, subject, mode, folder):
    """What `sph inspect` computes on one batch of the training split."""
    dump = folder / "dump.safetensors"
    dump.unlink(missing_ok=True)
    run(
        sph, "inspect", "--checkpoint", checkpoint, *subject.flags, "--dataset", "digits",
        "--batch-size", subject.batch_size, "--seed", 0, "--dtype", "f64", "--mode", mode,
        "--no-network", "--dump", dump,
    )  # fmt: skip
    return load_file(dump)


def section(dump, prefix):
    """The entries `prefix.NAME` of a dump, by NAME."""
    prefix += "."
    return {k.removeprefix(prefix): v for k, v in dump.items() if k.startswith(prefix)}


def statistics_only(tensors):
    return {k: v for k, v in tensors.items() if not k.endswith("num_batches_tracked")}


def network(subject, dump, state):
    """The PyTorch network for the dumped images, with `state` loaded and in float64."""
    model = subject.build(dump["input"].shape)
    model.load_state_dict(state, strict=True)
    return model.double()


def loss_of(model, dump, mode):
    model.train(mode == "train")
    return F.cross_entropy(model(dump["input"].double()), dump["target"].long())


def check_trained(report, sph, subject, folder):
    """`sph` to PyTorch: one trained checkpoint, all derivatives."""
    run(
        sph, "train", *subject.flags, *subject.training, "--opt", subject.opt, "--dataset", "digits", "--epochs", 1,
        "--seed", 0, "--runs", folder, "--experiment", subject.model,
    )  # fmt: skip
    checkpoint = folder / subject.model / "last.safetensors"
    state = load_file(checkpoint)
    for mode in MODES:
        dump = inspect(sph, checkpoint, subject, mode, folder)
        case = f"{subject.title} {mode}"
        try:
            model = network(subject, dump, state)
        except RuntimeError as error:
            report.check(f"{case} strict load", False, error)
            continue
        report.check(f"{case} strict load", True, f"{len(state)} tensors")

        # Before the forward pass: in training mode it updates the running statistics.
        params = dict(model.named_parameters())
        report.close(f"{case} parameters", section(dump, "param"), params, 0.0)
        if mode == "eval":
            buffers = statistics_only(dict(model.named_buffers()))
            report.close(f"{case} buffers", statistics_only(section(dump, "buffer")), buffers, 0.0)

        loss = loss_of(model, dump, mode)
        grads = gradients(loss, model)
        report.close(f"{case} loss", {"loss": dump["loss"].reshape(())}, {"loss": loss})
        report.close(f"{case} gradients", section(dump, "grad"), grads)
        blocks = second_order_blocks(model)
        sums = {b: row_sum(grads[b], params[b]) for b in blocks}
        report.close(f"{case} row sums", section(dump, "row_sum"), sums)
        sizes = {b: params[b].numel() for b in blocks if params[b].numel() <= DENSE_LIMIT}
        steps = {b: max(1, size // subject.rows) for b, size in sizes.items()}
        hessians = {b: block_hessian(grads[b], params[b], step) for b, step in steps.items()}
        dumped = {b: h[:: steps.get(b, 1)] for b, h in section(dump, "hessian").items()}
        report.close(f"{case} Hessians", dumped, hessians)


def check_state_dict(report, sph, subject, images, folder):
    """PyTorch to `sph`: a state dict with no default value left in its blocks."""
    torch.manual_seed(0)
    model = subject.build(images)
    with torch.no_grad():
        for param in map(model.get_parameter, second_order_blocks(model)):
            param.add_(torch.rand_like(param) - 0.5)
        for buffer in statistics_only(dict(model.named_buffers())).values():
            buffer.add_(torch.rand_like(buffer) - 0.5)
    state = model.state_dict()
    checkpoint = folder / f"{subject.model}_pytorch.safetensors"
    save_file(state, checkpoint)
    for mode in MODES:
        dump = inspect(sph, checkpoint, subject, mode, folder)
        loss = loss_of(network(subject, dump, state), dump, mode)
        what = f"{subject.title} {mode} loss of a PyTorch state dict"
        report.close(what, {"loss": dump["loss"].reshape(())}, {"loss": loss})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sph", type=Path, default=SPH, help="binary (default: release build)")
    parser.add_argument(
        "--model",
        nargs="+",
        choices=MODELS,
        help="default: resnet8, and mlp unless the norm needs images",
    )
    parser.add_argument("--norm", choices=NORMS, help="default: that of each model")
    parser.add_argument(
        "--decouple",
        choices=("none", "auto"),
        default="none",
        help="auto: decouple the layers that no norm follows (default: none)",
    )
    args = parser.parse_args()
    subjects = []
    for name in args.model or ("resnet8", "mlp"):
        norm = args.norm or default_norm(name)
        if norm in norms_of(name):
            subjects.append(Subject(name, norm, args.decouple))
        elif args.model:
            parser.error(f"{name} cannot have norm {norm}")

    report = Report()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for subject in subjects:
            check_trained(report, args.sph, subject, folder)
            images = load_file(folder / "dump.safetensors")["input"].shape
            check_state_dict(report, args.sph, subject, images, folder)
    print(f"{report.failures} checks failed" if report.failures else "all checks passed")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
