#!/usr/bin/env python3
"""Loads state dicts with the names that torchvision and timm publish, and compares outputs.

For every model: the library's own network with initial values and random running statistics, saved with safetensors as it is; then
`sph predict` on that file against the library's logits in evaluation mode, and one step of `sph train --init-checkpoint` with a
classifier for another number of classes.

    pip install torch torchvision timm safetensors numpy
    python tools/check_published.py --sph target/release/sph [--model resnet18 …]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

TOLERANCE = 1e-4


def vit_tiny():
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(img_size=32, patch_size=4, embed_dim=192, depth=12, num_heads=3, num_classes=10)


def torchvision(name):
    def build():
        import torchvision.models

        return getattr(torchvision.models, name)(weights=None, num_classes=10)

    return build


# Our name: how the library builds it, the side of its images, and the flags that say the same to us.
MODELS = {
    "resnet18": (torchvision("resnet18"), 64, ["--stem", "imagenet"]),
    "resnet34": (torchvision("resnet34"), 64, ["--stem", "imagenet"]),
    "resnet50": (torchvision("resnet50"), 64, ["--stem", "imagenet"]),
    "vit_tiny": (vit_tiny, 32, []),
}


def check(sph, folder, name):
    build, side, flags = MODELS[name]
    torch.manual_seed(0)
    model = build().eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "published.safetensors")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((24, 3, side, side), dtype=np.float32)
    y = (np.arange(24) % 10).astype(np.int64)
    np.savez(folder / "data.npz", x_train=x[:20], y_train=y[:20], x_test=x[20:], y_test=y[20:])
    data = ["--dataset", "npz", "--data-dir", folder / "data.npz", "--layout", "nchw", "--model", name, *flags]

    def run(*args):
        done = subprocess.run([sph, *map(str, args)], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"sph {' '.join(map(str, args))}: {done.stderr}")
        return done.stdout

    said = json.loads(run("predict", folder / "published.safetensors", folder / "data.npz", "--json", *data))
    found = np.array([p["logits"] for p in said["predictions"]], np.float64)
    # sph normalises by the training images' channels.
    mean, std = x[:20].mean((0, 2, 3), np.float64), x[:20].astype(np.float64).std((0, 2, 3))
    images = (x[20:] - mean[:, None, None]) / std[:, None, None]
    with torch.no_grad():
        wanted = model.double()(torch.from_numpy(images)).numpy()
    difference = np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max())

    y %= 7
    np.savez(folder / "seven.npz", x_train=x[:20], y_train=y[:20], x_test=x[20:], y_test=y[20:])
    seven = [folder / "seven.npz" if part == folder / "data.npz" else part for part in data]
    run("train", *seven, "--init-checkpoint", folder / "published.safetensors", "--epochs", 1, "--batch-size", 4, "--opt", "sgd",
        "--lr", 0.001, "--runs", folder, "--experiment", "run")
    return difference


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sph", default="target/release/sph")
    parser.add_argument("--model", nargs="+", choices=MODELS, default=list(MODELS))
    args = parser.parse_args()
    worst = 0.0
    for name in args.model:
        with tempfile.TemporaryDirectory() as folder:
            difference = check(args.sph, Path(folder), name)
        worst = max(worst, difference)
        print(f"{name}: {difference:.1e} {'ok' if difference <= TOLERANCE else 'DIFFERS'}", flush=True)
    sys.exit(1 if worst > TOLERANCE else 0)


if __name__ == "__main__":
    main()
