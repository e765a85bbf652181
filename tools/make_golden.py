"""Writes the golden files that the Rust tests compare with, in float64, by PyTorch.

    python tools/make_golden.py [FOLDER]

The output depends only on the seeds below and on the PyTorch version, which each file
records in its metadata. Two runs on one machine write the same bytes.
"""

import argparse
import copy
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from pytorch_curvature import block_hessian, gradients, hvp, norm_parameters, row_sum
from pytorch_models import ResNet

GOLDEN = Path(__file__).resolve().parent.parent / "crates" / "sph" / "tests" / "golden"

BATCH, CHANNELS, SIZE, CLASSES = 6, 3, 8, 5
CLASSIFIER_BIAS = "fc.bias"
SAMPLE_NORMS = ("gn", "ln", "in", "rms")


def tiny_resnet(norm="bn"):
    """Every op of the real networks, both kinds of shortcut included, in 5 000 weights."""
    return ResNet((1, 1, 1), (4, 8, 16), CHANNELS, CLASSES, norm)


def perturb_norms(model):
    """Moves norms off their defaults: with gamma = 1 and beta = 0 a wrong rule can pass."""
    with torch.no_grad():
        for name in norm_parameters(model):
            param = model.get_parameter(name)
            if name.endswith(".weight"):
                param.uniform_(0.5, 1.5)
            else:
                param.normal_(0.0, 0.3)
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0.0, 0.3)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)


def separable_batches(count):
    """Noisy copies of one image per class, so that a right optimizer visibly learns."""
    prototypes = torch.randn(CLASSES, CHANNELS, SIZE, SIZE)
    target = torch.randint(CLASSES, (count, BATCH))
    return prototypes[target] + torch.randn(count, BATCH, CHANNELS, SIZE, SIZE), target


def parameters(prefix, model):
    return {f"{prefix}.{name}": p.detach().clone() for name, p in model.named_parameters()}


def buffers(prefix, model):
    """Running statistics only: the update count plays no part with a fixed momentum."""
    return {
        f"{prefix}.{name}": b.clone()
        for name, b in model.named_buffers()
        if not name.endswith("num_batches_tracked")
    }


def derivatives(case, model, x, target, training, label_smoothing=0.0):
    """Loss, logits, gradients and, for each gamma and beta, row sums and Hessian block."""
    model = copy.deepcopy(model).train(training)
    logits = model(x)
    loss = F.cross_entropy(logits, target, label_smoothing=label_smoothing)
    grads = gradients(loss, model)
    out = {f"{case}.loss": loss.reshape(1), f"{case}.logits": logits}
    out |= {f"{case}.grad.{name}": g for name, g in grads.items()}
    for name in norm_parameters(model):
        grad, param = grads[name], model.get_parameter(name)
        out[f"{case}.row_sum.{name}"] = row_sum(grad, param)
        out[f"{case}.hessian.{name}"] = block_hessian(grad, param)
    return out, model, grads


def resnet_tiny():
    """Derivatives of first and second order at one point, in both modes of BatchNorm."""
    torch.manual_seed(1)
    model = tiny_resnet()
    perturb_norms(model)
    x = torch.randn(BATCH, CHANNELS, SIZE, SIZE)
    target = torch.randint(CLASSES, (BATCH,))
    out = {"input": x, "target": target} | parameters("param", model) | buffers("buffer", model)

    train, after, grads = derivatives("train", model, x, target, training=True)
    out |= train | buffers("train.buffer_after", after)
    names, params = zip(*after.named_parameters())
    direction = [torch.randn_like(p) for p in params]
    product = hvp([grads[name] for name in names], params, direction)
    for name, v, hv in zip(names, direction, product):
        out[f"train.hvp.v.{name}"] = v
        out[f"train.hvp.hv.{name}"] = hv

    out |= derivatives("eval", model, x, target, training=False)[0]
    out |= derivatives("smooth", model, x, target, training=True, label_smoothing=0.1)[0]
    return out


def norms_golden():
    """Derivatives with the norms that treat each sample alone: one mode, no buffers.

    GroupNorm has 1, 2 and 4 groups in the three stages; in the first it is LayerNorm.
    """
    torch.manual_seed(4)
    x = torch.randn(BATCH, CHANNELS, SIZE, SIZE)
    target = torch.randint(CLASSES, (BATCH,))
    out = {"input": x, "target": target}
    for norm in SAMPLE_NORMS:
        model = tiny_resnet(norm)
        perturb_norms(model)
        out |= parameters(f"{norm}.param", model)
        out |= derivatives(norm, model, x, target, training=True)[0]
    return out


def seed_steps(model, x, target, lr=0.1, mu=0.9, eps=1e-4, tau=1e-3, weight_decay=0.0):
    """Yields (steps done, loss) while training by SGD with Partial Hessian (arXiv:2403.02681).

    The 1-D parameters form a cycle of M blocks, one of which is visited per step:

        d <- mu d + (1 - mu) |H 1|          the visited block only
        m <- mu m + g                       every parameter
        D  = tau m (1 - mu^n) / (d + eps)   n = floor((t + 1) / M) + 1
        theta <- theta - lr (D + weight_decay theta)

    Other parameters, and the classifier's bias, take D = m with the decay inside g. That
    bias stays in the cycle, but H 1 vanishes on it (softmax ignores a common shift), so
    its visit is idle.
    """
    params = dict(model.named_parameters())
    cycle = [name for name, p in params.items() if p.ndim == 1]
    second_order = [name for name in cycle if name != CLASSIFIER_BIAS]
    momentum = {name: torch.zeros_like(p) for name, p in params.items()}
    curvature = {name: torch.zeros_like(params[name]) for name in second_order}
    for t in range(len(x)):
        loss = F.cross_entropy(model(x[t]), target[t])
        grads = gradients(loss, model)
        visited = cycle[t % len(cycle)]
        if visited in curvature:
            h = row_sum(grads[visited], params[visited])
            curvature[visited].mul_(mu).add_(h.abs(), alpha=1 - mu)
        correction = 1 - mu ** ((t + 1) // len(cycle) + 1)
        with torch.no_grad():
            for name, p in params.items():
                decay = weight_decay * p
                if name in curvature:
                    momentum[name].mul_(mu).add_(grads[name])
                    direction = tau * momentum[name] * correction / (curvature[name] + eps)
                    p -= lr * (direction + decay)
                else:
                    momentum[name].mul_(mu).add_(grads[name] + decay)
                    p -= lr * momentum[name]
        yield t + 1, loss.item()


def seed_golden(steps=20, snapshots=(1, 10, 20)):
    """Twenty steps: the whole cycle of 19 blocks and the second visit of the first one."""
    torch.manual_seed(2)
    initial = tiny_resnet()
    x, target = separable_batches(steps)
    out = {"input": x, "target": target}
    out |= parameters("param0", initial) | buffers("buffer0", initial)

    model, losses = copy.deepcopy(initial), []
    for done, loss in seed_steps(model, x, target):
        losses.append(loss)
        if done in snapshots:
            out |= parameters(f"param{done}", model)
    out |= buffers(f"buffer{steps}", model)
    out["losses"] = torch.tensor(losses)

    model = copy.deepcopy(initial)
    losses = [loss for _, loss in seed_steps(model, x, target, weight_decay=5e-4)]
    out |= parameters(f"wd.param{steps}", model)
    out["wd.losses"] = torch.tensor(losses)
    return out


def sgd_adamw_golden(steps=10):
    """The first-order baselines, by PyTorch's own optimizers."""
    torch.manual_seed(3)
    initial = tiny_resnet()
    x, target = separable_batches(steps)
    out = {"input": x, "target": target}
    out |= parameters("param0", initial) | buffers("buffer0", initial)
    optimizers = {
        "sgd": lambda p: torch.optim.SGD(
            p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4, foreach=False
        ),
        "adamw": lambda p: torch.optim.AdamW(
            p, lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05, foreach=False
        ),
    }
    for name, make in optimizers.items():
        model, losses = copy.deepcopy(initial), []
        optimizer = make(model.parameters())
        for batch, labels in zip(x, target):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(batch), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        out |= parameters(f"{name}.param{steps}", model)
        out[f"{name}.losses"] = torch.tensor(losses)
    return out


def write(path, tensors):
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{path.name}: {name} is not finite")
    # One copy each: safetensors refuses views that share storage.
    tensors = {name: t.detach().clone().contiguous() for name, t in tensors.items()}
    save_file(tensors, path, metadata={"torch_version": torch.__version__})
    print(f"{path.name}: {len(tensors)} tensors, {path.stat().st_size / 1e3:.0f} kB")
    for name, tensor in tensors.items():
        if name.endswith(("loss", "losses")):
            print(f"  {name}: {' '.join(f'{v:.4f}' for v in tensor.tolist())}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=GOLDEN)
    folder = parser.parse_args().folder

    # The order of a parallel sum depends on the number of threads.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.set_default_dtype(torch.float64)
    print(f"torch {torch.__version__}")
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "resnet_tiny.safetensors", resnet_tiny())
    write(folder / "seed_steps.safetensors", seed_golden())
    write(folder / "sgd_adamw.safetensors", sgd_adamw_golden())
    write(folder / "norms.safetensors", norms_golden())


if __name__ == "__main__":
    main()
