"""Compares imported networks with PyTorch in double precision: torchvision's and timm's, a GPT and one of odd habits.

    python tools/check_pt2.py [--only NAME ...] [--binary PATH] [--keep FOLDER]

Needs torch, torchvision, timm, safetensors. PATH is the example `agreement` of crates/nn, built in release mode:

    cargo build --release -p sph-nn --example agreement

Every network has random weights and is exported in training mode for any size of the batch; four images of 64 pixels with random labels give
the loss. Probabilities of dropout and stochastic depth are 0, but for the networks with "masks" in their names: there PyTorch's masks are
those that we draw (random_masks.py). PyTorch's numbers are float64: gradients by backward, row sums of the Hessian blocks
of all parameters of one axis and three dense blocks by double backward, running statistics after the pass, outputs in evaluation mode. The
table shows relative errors, ‖a − b‖∞ / ‖b‖∞ over a tensor, the largest of each kind. Exits with 1 where one is above what is allowed.
"""

import argparse
import copy
import json
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import timm
import torch
import torchvision.models as tv
from safetensors.torch import save_file
from torch import nn
from torch.export import Dim

import pt2_networks
import random_masks
from make_pt2 import derivative, twice_differentiable

ALLOWED = {"row sums": 1e-8, "blocks": 1e-8}
KINDS = ["output", "loss", "gradients", "row sums", "blocks", "buffers", "evaluation"]
SIZE, CLASSES, BLOCKS, LARGEST_BLOCK = 64, 10, 3, 64


def without_depth(net):
    """Stochastic depth off."""
    for module in net.modules():
        if type(module).__name__ in ("StochasticDepth", "DropPath"):
            for name in ("p", "drop_prob"):
                if hasattr(module, name):
                    setattr(module, name, 0.0)
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return net


def vision(build, **more):
    return lambda: without_depth(build(num_classes=CLASSES, **more))


def of_timm(name, **more):
    return lambda: without_depth(timm.create_model(name, num_classes=CLASSES, **more))


NETWORKS = {
    "resnet18": vision(tv.resnet18),
    "resnet50": vision(tv.resnet50),
    "vgg11_bn": vision(tv.vgg11_bn),
    "mobilenet_v2": vision(tv.mobilenet_v2),
    "mobilenet_v3_small": vision(tv.mobilenet_v3_small),
    "densenet121": vision(tv.densenet121),
    "efficientnet_b0": vision(tv.efficientnet_b0),
    "convnext_tiny": vision(tv.convnext_tiny),
    "vit_b_16": vision(tv.vit_b_16, image_size=SIZE),
    "swin_t": vision(tv.swin_t),
    "timm vit_tiny": of_timm("vit_tiny_patch16_224", img_size=SIZE),
    "timm mixer_s16": of_timm("mixer_s16_224", img_size=SIZE),
    "timm resnetv2": of_timm("resnetv2_50x1_bit"),
    "gpt": None,
    "two inputs": None,
}
RATES = {"drop_rate": 0.1, "proj_drop_rate": 0.1, "attn_drop_rate": 0.1, "drop_path_rate": 0.2}
# Probabilities as the networks have them, or these.
MASKED = {
    "efficientnet_b0 masks": lambda: tv.efficientnet_b0(num_classes=CLASSES),
    "convnext_tiny masks": lambda: tv.convnext_tiny(num_classes=CLASSES),
    "swin_t masks": lambda: tv.swin_t(num_classes=CLASSES, dropout=0.1, attention_dropout=0.1),
    "vit_b_16 masks": lambda: tv.vit_b_16(num_classes=CLASSES, image_size=SIZE, dropout=0.1, attention_dropout=0.1),
    "timm vit_tiny masks": lambda: timm.create_model("vit_tiny_patch16_224", num_classes=CLASSES, img_size=SIZE, **RATES),
    "vgg11_bn masks": lambda: tv.vgg11_bn(num_classes=CLASSES),
}
TINY = {"gpt": "gpt", "two inputs": "two_inputs"}


def network(name):
    """The network in training mode, its inputs and its labels."""
    torch.manual_seed(0)
    if name in TINY:
        case = pt2_networks.CASES[TINY[name]]
        net = case.build()
        torch.manual_seed(1)
        return net.train(), case.inputs(), case.targets()
    net = (NETWORKS | MASKED)[name]().train()
    with torch.no_grad():
        for param in net.parameters():
            # Zeros that some networks begin with hide what stands before them.
            if param.ndim == 1:
                param.add_(0.1 * torch.randn(param.shape))
            elif not param.any():
                param.normal_(std=0.02)
    torch.manual_seed(1)
    return net, (torch.randn(4, 3, SIZE, SIZE),), torch.randint(0, CLASSES, (4,))


def compute(net, inputs, targets):
    """What PyTorch computes, in float64, under the names of tools/make_pt2.py."""
    net = copy.deepcopy(net).double()
    inputs = [x.double() if x.is_floating_point() else x for x in inputs]
    fresh = copy.deepcopy(net)
    numbers = {f"input.{i}": x for i, x in enumerate(inputs)} | {"target": targets}
    before = {key: value.clone() for key, value in net.named_buffers()}
    # Swin's layers have their channels last throughout.
    with random_masks.ours(images=not isinstance(net, tv.SwinTransformer)):
        output = net(*inputs)
    loss = nn.functional.cross_entropy(output.flatten(0, -2), targets.flatten())
    numbers |= {"output": output, "loss": loss}
    for key, value in net.named_buffers():
        if not torch.equal(value, before[key]):
            numbers[f"buffer.{key}"] = value.double()
    params = dict(net.named_parameters())
    grads = dict(zip(params, torch.autograd.grad(loss, list(params.values()), create_graph=True)))
    rows = [key for key, param in params.items() if param.ndim == 1]
    small = [key for key in rows if params[key].numel() <= LARGEST_BLOCK] or rows[:1]
    dense = {small[0], small[len(small) // 2], small[-1]}
    for key, grad in grads.items():
        numbers[f"grad.{key}"] = grad
        if key in rows:
            numbers[f"row_sum.{key}"] = derivative(grad.sum(), params[key])
        if key in dense and grad.numel() <= LARGEST_BLOCK:
            numbers[f"block.{key}"] = torch.stack([derivative(g, params[key]) for g in grad])
    with torch.no_grad():
        numbers["evaluation"] = fresh.eval()(*inputs)
    return {key: value.detach().clone().contiguous() for key, value in numbers.items()}


def export(net, inputs, path):
    batch = {0: Dim("batch", min=2, max=4096)}
    program = torch.export.export(net, inputs, dynamic_shapes=tuple(batch for _ in inputs))
    torch.export.save(program, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = Path(__file__).resolve().parent.parent
    parser.add_argument("--only", nargs="+", choices=NETWORKS | MASKED, default=[*NETWORKS, *MASKED])
    parser.add_argument("--binary", type=Path, default=root / "target/release/examples/agreement")
    parser.add_argument("--keep", type=Path, help="folder for the files")
    flags = parser.parse_args()
    warnings.filterwarnings("ignore")
    print(f"{'network':22}" + "".join(f"{kind:>12}" for kind in KINDS) + f"{'PyTorch':>10}{'ours':>8}", flush=True)
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        folder = flags.keep or Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name in flags.only:
            net, inputs, targets = network(name)
            stem = folder / name.replace(" ", "_")
            export(net, inputs, stem.with_suffix(".pt2"))
            start = time.perf_counter()
            with twice_differentiable():
                save_file(compute(net, inputs, targets), stem.with_suffix(".safetensors"))
            theirs = time.perf_counter() - start
            start = time.perf_counter()
            files = [stem.with_suffix(".pt2"), stem.with_suffix(".safetensors")]
            done = subprocess.run([flags.binary, *files], capture_output=True, text=True)
            ours = time.perf_counter() - start
            if not flags.keep:
                [file.unlink() for file in files]
            if done.returncode != 0:
                print(f"{name:22}  {done.stderr.strip().splitlines()[1:2] or done.stderr}")
                failed = True
                continue
            errors = json.loads(done.stdout)
            cells = "".join(f"{errors[kind]:12.1e}" if kind in errors else f"{'-':>12}" for kind in KINDS)
            print(f"{name:22}{cells}{theirs:9.1f}s{ours:7.1f}s", flush=True)
            failed |= any(not error <= ALLOWED.get(kind, 1e-9) for kind, error in errors.items())
    sys.exit(failed)


if __name__ == "__main__":
    main()
