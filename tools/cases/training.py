"""What goes wrong in training and adaptation without an error."""

import numpy as np
from safetensors.numpy import load_file

from .case import case

DIGITS = ("--dataset", "digits", "--model", "resnet8")


def train(bench, name, *flags):
    return bench.run("train", *flags, "--runs", bench.folder / "training", "--experiment", name, "--json")


def network(bench):
    """A run on the digits that images are held out of."""
    folder = bench.folder / "training" / "network"
    if not folder.exists():
        train(bench, "network", *DIGITS, "--epochs", 3, "--val-split", 0.2, "--opt", "sgd").succeeds()
    return folder


@case
def frozen_norms_keep_their_statistics(bench):
    """PyTorch's eval() on the layers: buffers are those of the file, byte for byte; another value of the setting lets them follow."""
    file = network(bench) / "best.safetensors"
    before = load_file(file)
    flags = (*DIGITS, "--epochs", 1, "--opt", "sgd", "--trainable", "head", "--init-checkpoint", file)
    for which, same in (("auto", True), ("batch", False)):
        train(bench, which, *flags, "--norm-statistics", which).succeeds()
        after = load_file(bench.folder / "training" / which / "last.safetensors")
        buffers = [name for name in before if "running_" in name or "num_batches" in name]
        assert len(buffers) == 27 and all(np.array_equal(before[n], after[n]) == same for n in buffers), which
        assert not np.array_equal(before["fc.weight"], after["fc.weight"])


@case
def an_average_of_weights_serves_a_short_run(bench):
    """With warmup it is near the network itself; without, as timm's is, it still holds its first values, and that is said."""
    flags = ("--model", "mlp", "--epochs", 4, "--model-ema")
    warm = train(bench, "warm", *flags).succeeds().json
    assert warm["final_ema_test_accuracy"] > warm["final_test_accuracy"] - 0.05, warm
    cold = train(bench, "cold", *flags, "--model-ema-warmup=false").succeeds().says("88 steps", "98 % the first values")
    assert cold.json["final_ema_test_accuracy"] < 0.5


@case
def an_adaptation_keeps_no_point_worse_than_none(bench):
    """By the loss on held-out labelled images."""
    adapt = ("adapt", "--checkpoint", network(bench), "--corrupt", "fog:3", "--steps", 20, "--eval-at", "2,5,10", "--json", "--labels")
    best, last = bench.run(*adapt, 20).succeeds().json, bench.run(*adapt, 20, "--keep", "last").succeeds().json
    points = [best["before"], *best["evaluations"]]
    losses = [p["held_out"]["loss"] for p in points]
    assert best["kept"] == points[losses.index(min(losses))]
    assert (best["adaptation_images"], best["held_out_images"]) == (160, 40)
    assert (last["adaptation_images"], last["held_out_images"], last["kept"]["steps"]) == (200, 0, 20)
    bench.run(*adapt, 2).succeeds().says("raise --labels or --keep-split")


@case
def norms_of_one_image_are_warned_of(bench):
    said = train(bench, "one", *DIGITS, "--labels", 1, "--epochs", 1, "--batch-size", 1).succeeds()
    said.says("warning: layer 'bn1'", "the one image of a batch", "raise --batch-size")
    # Of two images a linear layer has two values per channel: all become 1 and -1.
    for size, warned in ((2, True), (3, False)):
        said = train(bench, f"mlp{size}", "--model", "mlp", "--labels", 1, "--epochs", 1, "--batch-size", size).succeeds()
        assert ("two values per channel of a batch" in said.err) == warned


@case
def entropy_that_collapses_is_said_and_left(bench):
    """Nothing is kept whose mean prediction is spread over fewer than nine tenths of the classes of no step."""
    adapt = ("adapt", "--checkpoint", network(bench), "--corrupt", "invert:5", "--loss", "entropy", "--opt", "adam", "--lr", 0.03, "--json")
    steps = ("--steps", 20, "--eval-at", "2,5,10", "--recalibrate-batches", 4)
    best = bench.run(*adapt, *steps).succeeds().says("the predictions have collapsed after")
    first, end = (p["predictions"] for p in (best.json["recalibrated"], best.json["final"]))
    assert end["entropy"] < first["entropy"] and best.json["final"]["loss"] > 1.5 * best.json["recalibrated"]["loss"]
    assert end["classes"] < 0.9 * first["classes"] <= best.json["kept"]["predictions"]["classes"]
    last = bench.run(*adapt, *steps, "--keep", "last").succeeds().says("--keep best keeps a point from before")
    assert last.json["kept"]["steps"] == 20


@case
def settings_that_never_do_anything_are_warned_of(bench):
    mlp = ("--model", "mlp", "--epochs", 1, "--opt", "sgd", "--labels", 7)
    for name, flags, words in (
        ("step", ("--sched", "step"), ("--sched step never lowers the rate", "epoch 30 of 1", "--decay-epochs")),
        ("patience", ("--patience", 1), ("--patience 1 never stops a run of 1 epochs early",)),
        ("held", ("--val-split", 0.003), ("4 held-out images", "class '0' and 5 more", "--val-split")),
        ("kept", ("--trainable", "head"), ("layer 'bn1' and other norms keep", "--init-checkpoint", "--norm-statistics batch")),
        ("curved", ("--opt", "sph", "--batch-size", 10, "--curvature-batch", 0.1), ("the one image of the part of a batch that curvature", "--curvature-batch")),
    ):
        model = (*DIGITS, "--epochs", 1, "--labels", 1) if name == "curved" else mlp
        said = train(bench, name, *model, *flags).succeeds().says(*words)
        assert sum(line.startswith("warning:") for line in said.err.splitlines()) == 1, said
    assert "warning" not in train(bench, "none", *mlp, "--sched", "step", "--decay-epochs", 0.5, "--val-split", 0.1).succeeds().err
