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

from pytorch_curvature import block_hessian, gradients, hvp, row_sum, second_order_blocks
from pytorch_models import TOKEN_NORMS, Mlp, MlpMixer, MobileNet, ResNet, VisionTransformer

GOLDEN = Path(__file__).resolve().parent.parent / "crates" / "train" / "tests" / "golden"

BATCH, CHANNELS, SIZE, CLASSES = 6, 3, 8, 5
CLASSIFIER_BIAS = "fc.bias"
SAMPLE_NORMS = ("gn", "ln", "in", "rms")


def tiny_resnet(norm="bn"):
    """Every op of the real networks, both kinds of shortcut included, in 5 000 weights."""
    return ResNet((1, 1, 1), (4, 8, 16), CHANNELS, CLASSES, norm)


def perturb_blocks(model):
    """Moves blocks off their defaults: with gamma = 1 and beta = 0 a wrong rule can pass."""
    with torch.no_grad():
        for name in second_order_blocks(model):
            param = model.get_parameter(name)
            if name.endswith((".weight", ".weight_g")):
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
    """Loss, logits, gradients and, for each second-order block, row sums and Hessian."""
    model = copy.deepcopy(model).train(training)
    logits = model(x)
    loss = F.cross_entropy(logits, target, label_smoothing=label_smoothing)
    grads = gradients(loss, model)
    out = {f"{case}.loss": loss.reshape(1), f"{case}.logits": logits}
    out |= {f"{case}.grad.{name}": g for name, g in grads.items()}
    for name in second_order_blocks(model):
        grad, param = grads[name], model.get_parameter(name)
        out[f"{case}.row_sum.{name}"] = row_sum(grad, param)
        out[f"{case}.hessian.{name}"] = block_hessian(grad, param)
    return out, model, grads


def resnet_tiny():
    """Derivatives of first and second order at one point, in both modes of BatchNorm."""
    torch.manual_seed(1)
    model = tiny_resnet()
    perturb_blocks(model)
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
        perturb_blocks(model)
        out |= parameters(f"{norm}.param", model)
        out |= derivatives(norm, model, x, target, training=True)[0]
    return out


def blocks_golden():
    """Derivatives of what the tiny ResNet does not have: one network per kind of layer.

    The blocks are magnitudes and biases of decoupled layers, norms of tokens in front of
    attention and of a mixer, and norms behind depthwise convolutions.
    """
    torch.manual_seed(5)
    x = torch.randn(BATCH, CHANNELS, SIZE, SIZE)
    target = torch.randint(CLASSES, (BATCH,))
    out = {"input": x, "target": target}
    sizes = (CHANNELS, SIZE, CLASSES)
    models = {
        "decoupled": ResNet((1, 1, 1), (4, 8, 16), CHANNELS, CLASSES, "none", decouple=True),
        "attention": VisionTransformer(*sizes, patch=4, dim=8, depth=2, heads=2),
        "depthwise": MobileNet(4, [(8, 1), (12, 2)], CHANNELS, CLASSES, "bn"),
        "mixer": MlpMixer(*sizes, patch=4, dim=8, depth=1),
    }
    for case, model in models.items():
        perturb_blocks(model)
        out |= parameters(f"{case}.param", model) | buffers(f"{case}.buffer", model)
        out |= derivatives(case, model, x, target, training=True)[0]
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


def sign_probes(model, count):
    """Random signs for every parameter, `count` times."""
    params = dict(model.named_parameters())
    return [
        {name: 2.0 * torch.randint(2, p.shape) - 1.0 for name, p in params.items()}
        for _ in range(count)
    ]


def adahessian_steps(
    model, x, target, probes, lr=0.15, betas=(0.9, 0.999), eps=1e-4, k=1.0, weight_decay=5e-4
):
    """Yields (steps done, loss) while training by AdaHessian (Yao et al., AAAI 2021).

        h = |z * H z|                                         z random signs
        m <- b1 m + (1 - b1) g
        v <- b2 v + (1 - b2) h^2
        D = m / (1 - b1^t) / ((v / (1 - b2^t))^(k/2) + eps)   t counted from 1
        theta <- theta - lr (D + weight_decay theta)

    For convolutions h is the mean of |z * H z| over each kernel.
    """
    params = dict(model.named_parameters())
    b1, b2 = betas
    first = {name: torch.zeros_like(p) for name, p in params.items()}
    second = {name: torch.zeros_like(p) for name, p in params.items()}
    for t, z in enumerate(probes, start=1):
        loss = F.cross_entropy(model(x[t - 1]), target[t - 1])
        grads = gradients(loss, model)
        products = hvp(list(grads.values()), list(params.values()), list(z.values()))
        with torch.no_grad():
            for (name, p), hz in zip(params.items(), products):
                h = (z[name] * hz).abs()
                if h.ndim == 4:
                    h = h.mean(dim=(2, 3), keepdim=True).expand_as(h)
                first[name].mul_(b1).add_(grads[name], alpha=1 - b1)
                second[name].mul_(b2).addcmul_(h, h, value=1 - b2)
                root = second[name].sqrt() / (1 - b2**t) ** 0.5
                direction = first[name] / (1 - b1**t) / (root**k + eps)
                p -= lr * (direction + weight_decay * p)
        yield t, loss.item()


def patches(layer, x):
    """The inputs of each output position of a layer: [N, inputs, positions], 1 for a bias last."""
    if isinstance(layer, torch.nn.Conv2d):
        a = F.unfold(x, layer.kernel_size, padding=layer.padding, stride=layer.stride)
    else:
        a = x.unsqueeze(2)
    return a if layer.bias is None else torch.cat([a, torch.ones_like(a[:, :1])], dim=1)


def kronecker_factors(layer, x, y_bar):
    """A and G of a layer with inputs a and adjoints g of its outputs, over N images.

    A = sum over positions, mean over images, of a a^T; G = mean over both of (N g) (N g)^T,
    since g belongs to the mean loss.
    """
    a = patches(layer, x)
    count, _, positions = a.shape
    g = y_bar.reshape(count, -1, positions)
    return (
        torch.einsum("nit,njt->ij", a, a) / count,
        torch.einsum("nit,njt->ij", g, g) * count / positions,
    )


def damped_inverses(a, g, damping):
    """Of A + pi sqrt(damping) I and G + sqrt(damping) / pi I.

    pi^2 is the mean of A's diagonal over that of G's.
    """
    pi = (a.diagonal().mean() / g.diagonal().mean()).sqrt()
    root = damping**0.5
    return (
        torch.linalg.inv(a + pi * root * torch.eye(len(a))),
        torch.linalg.inv(g + root / pi * torch.eye(len(g))),
    )


def kfac_steps(
    model,
    x,
    target,
    generator,
    lr=0.01,
    mu=0.9,
    decay=0.95,
    damping=0.01,
    every=3,
    weight_decay=5e-4,
):
    """Yields (steps done, loss, sampled labels) while training by K-FAC.

    Martens & Grosse (arXiv:1503.05671), for convolutions Grosse & Martens (arXiv:1602.01407).
    Labels drawn from the network's own predictions give the adjoints of the factors A and G,
    whose running averages are inverted at every third step:

        u = G^-1 [dW db] A^-1   weights and bias of a layer; the gradient for norms
        u <- u + weight_decay theta   weights only
        m <- mu m + u
        theta <- theta - lr m
    """
    params = dict(model.named_parameters())
    kinds = (torch.nn.Conv2d, torch.nn.Linear)
    layers = {name: m for name, m in model.named_modules() if isinstance(m, kinds)}
    momentum = {name: torch.zeros_like(p) for name, p in params.items()}
    factors, inverses, inputs, outputs = {}, {}, {}, {}

    def keep(layer, args, y):
        inputs[layer], outputs[layer] = args[0].detach(), y

    for layer in layers.values():
        layer.register_forward_hook(keep)
    for t in range(len(x)):
        logits = model(x[t])
        loss = F.cross_entropy(logits, target[t])
        probabilities = logits.detach().softmax(dim=1)
        labels = torch.multinomial(probabilities, 1, generator=generator).squeeze(1)
        sampled = F.cross_entropy(logits, labels)
        # By layer: shortcuts are computed before the layers that they stand behind in `layers`.
        ys = [outputs[layer] for layer in layers.values()]
        adjoints = torch.autograd.grad(sampled, ys, retain_graph=True)
        update = dict(zip(params, torch.autograd.grad(loss, list(params.values()))))
        for (name, layer), y_bar in zip(layers.items(), adjoints):
            new = kronecker_factors(layer, inputs[layer], y_bar)
            if name in factors:
                new = [decay * o + (1 - decay) * n for o, n in zip(factors[name], new)]
            factors[name] = new
            if t % every == 0:
                inverses[name] = damped_inverses(*new, damping)
            a_inverse, g_inverse = inverses[name]
            weight, bias = f"{name}.weight", f"{name}.bias"
            gradient = update[weight].flatten(1)
            if bias in params:
                gradient = torch.cat([gradient, update[bias].unsqueeze(1)], dim=1)
            u = g_inverse @ gradient @ a_inverse
            if bias in params:
                u, update[bias] = u[:, :-1], u[:, -1]
            update[weight] = u.reshape(params[weight].shape)
        with torch.no_grad():
            for name, p in params.items():
                u = update[name] + weight_decay * p if p.ndim > 1 else update[name]
                momentum[name].mul_(mu).add_(u)
                p -= lr * momentum[name]
        yield t + 1, loss.item(), labels


def adahessian_kfac_golden(steps=20, snapshots=(1, 10, 20)):
    """The second-order baselines, with the random numbers that they used."""
    torch.manual_seed(6)
    initial = tiny_resnet()
    x, target = separable_batches(steps)
    out = {"input": x, "target": target}
    out |= parameters("param0", initial) | buffers("buffer0", initial)

    model, losses = copy.deepcopy(initial), []
    probes = sign_probes(model, steps)
    for step, z in enumerate(probes, start=1):
        out |= {f"adahessian.z{step}.{name}": signs.float() for name, signs in z.items()}
    for done, loss in adahessian_steps(model, x, target, probes):
        losses.append(loss)
        if done in snapshots:
            out |= parameters(f"adahessian.param{done}", model)
    out["adahessian.losses"] = torch.tensor(losses)

    model, losses, labels = copy.deepcopy(initial), [], []
    generator = torch.Generator().manual_seed(7)
    for done, loss, sampled in kfac_steps(model, x, target, generator):
        losses.append(loss)
        labels.append(sampled)
        if done in snapshots:
            out |= parameters(f"kfac.param{done}", model)
    out["kfac.labels"] = torch.stack(labels)
    out["kfac.losses"] = torch.tensor(losses)
    return out


class Tokens(torch.nn.Module):
    """Embedding, norm, linear: logits of every token."""

    def __init__(self, vocabulary, dim):
        super().__init__()
        self.embedding = torch.nn.Embedding(vocabulary, dim)
        self.norm = TOKEN_NORMS["ln"](dim)
        self.fc = torch.nn.Linear(dim, vocabulary)

    def forward(self, x):
        return self.fc(self.norm(self.embedding(x)))


def losses_golden():
    """Losses of numbers, on a small MLP, and of tokens, some of which are ignored.

    Loss, gradients and H v for one v over all parameters.
    """
    torch.manual_seed(6)
    features, outputs, tokens, vocabulary = 5, 2, 4, 7
    x = torch.randn(BATCH, features)
    token = torch.randint(vocabulary, (BATCH, tokens))
    target = torch.randint(vocabulary, (BATCH, tokens))
    target[0, 1:] = target[3, 0] = -100
    cases = {
        "mse": (Mlp(features, outputs, (4, 3)), x, torch.randn(BATCH, outputs), F.mse_loss),
        "bce": (
            Mlp(features, outputs, (4, 3)),
            x,
            torch.rand(BATCH, outputs),
            F.binary_cross_entropy_with_logits,
        ),
        "tokens": (
            Tokens(vocabulary, 3),
            token,
            target,
            lambda y, t: F.cross_entropy(y.transpose(1, 2), t, ignore_index=-100),
        ),
    }
    out = {}
    for case, (model, x, target, loss_of) in cases.items():
        perturb_blocks(model)
        loss = loss_of(model.train()(x), target)
        grads = gradients(loss, model)
        params = list(model.parameters())
        direction = [torch.randn_like(p) for p in params]
        out |= {f"{case}.input": x, f"{case}.target": target, f"{case}.loss": loss.reshape(1)}
        out |= parameters(f"{case}.param", model)
        out |= {f"{case}.grad.{name}": g for name, g in grads.items()}
        for name, v, hv in zip(grads, direction, hvp(list(grads.values()), params, direction)):
            out[f"{case}.v.{name}"] = v
            out[f"{case}.hv.{name}"] = hv
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
    write(folder / "blocks.safetensors", blocks_golden())
    write(folder / "adahessian_kfac.safetensors", adahessian_kfac_golden())
    write(folder / "losses.safetensors", losses_golden())


if __name__ == "__main__":
    main()
