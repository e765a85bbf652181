"""Times training steps of one network in this PyTorch process and prints JSON.

The data is random and stays fixed: the time of a step does not depend on its values, and
a data loader would only add noise.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
from pytorch_models import MODELS, build  # noqa: E402

from pytorch_curvature import second_order_blocks  # noqa: E402

CHANNELS, CLASSES = 3, 10
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def peak_rss_mb():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


class Sgd:
    """Momentum SGD on everything."""

    def __init__(self, model):
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step(self, loss):
        self.optimizer.zero_grad(set_to_none=True)
        loss().backward()
        self.optimizer.step()


class DoubleBackward(Sgd):
    """Row sums of one block a step, in turn, as the ancestor takes them: a gradient whose graph is
    kept for all parameters, then the gradient of the block's part of it. Then SGD on everything."""

    def __init__(self, model):
        super().__init__(model)
        params = dict(model.named_parameters())
        self.params = list(params.values())
        self.blocks = [params[name] for name in second_order_blocks(model)]
        self.steps = 0

    def block(self):
        self.steps += 1
        return self.blocks[(self.steps - 1) % len(self.blocks)]

    def step(self, loss):
        block = self.block()
        grads = torch.autograd.grad(loss(), self.params, create_graph=True)
        of_block = next(g for p, g in zip(self.params, grads) if p is block)
        self.curvature = torch.autograd.grad(of_block, block, torch.ones_like(block))[0]
        for param, grad in zip(self.params, grads):
            param.grad = grad.detach()
        self.optimizer.step()


class PrunedDoubleBackward(DoubleBackward):
    """The same, pruned by hand: the graph of a gradient is kept for the block alone, so that it
    reaches back to it and no further."""

    def step(self, loss):
        block = self.block()
        value = loss()
        of_block = torch.autograd.grad(value, block, create_graph=True)[0]
        self.curvature = torch.autograd.grad(
            of_block, block, torch.ones_like(block), retain_graph=True
        )[0]
        self.optimizer.zero_grad(set_to_none=True)
        value.backward()
        self.optimizer.step()


class AdaHessian:
    """AdaHessian (Yao et al. 2021): a Rademacher product over all parameters every step; the
    diagonal of a convolution's kernel is averaged over its taps."""

    def __init__(self, model, lr=0.01, betas=(0.9, 0.999), eps=1e-4):
        self.params = [p for p in model.parameters()]
        self.lr, self.betas, self.eps, self.steps = lr, betas, eps, 0
        self.mean = [torch.zeros_like(p) for p in self.params]
        self.square = [torch.zeros_like(p) for p in self.params]

    def step(self, loss):
        self.steps += 1
        grads = torch.autograd.grad(loss(), self.params, create_graph=True)
        probes = [torch.randint_like(p, 2) * 2 - 1 for p in self.params]
        products = torch.autograd.grad(grads, self.params, probes)
        b1, b2 = self.betas
        with torch.no_grad():
            for p, g, z, hz, m, s in zip(
                self.params, grads, probes, products, self.mean, self.square
            ):
                diagonal = z * hz
                if p.dim() == 4:
                    diagonal = diagonal.abs().mean((2, 3), keepdim=True).expand_as(p)
                m.mul_(b1).add_(g, alpha=1 - b1)
                s.mul_(b2).addcmul_(diagonal, diagonal, value=1 - b2)
                root = (s / (1 - b2**self.steps)).sqrt().add_(self.eps)
                p.addcdiv_(m, root, value=-self.lr / (1 - b1**self.steps))


OPTIMIZERS = {
    "sgd": Sgd,
    "double-backward": DoubleBackward,
    "pruned-double-backward": PrunedDoubleBackward,
    "adahessian": AdaHessian,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=MODELS, default="resnet20")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--format", choices=FORMATS, default="contiguous")
    parser.add_argument("--opt", choices=OPTIMIZERS, default="sgd")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--warmup", type=int, default=5, help="steps that are not timed")
    parser.add_argument("--compile", action="store_true", help="let torch.compile make the forward and backward passes")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a sentence")
    args = parser.parse_args()

    # What the libraries occupy by themselves, to be told apart from what training takes.
    import_rss_mb = peak_rss_mb()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    memory_format = FORMATS[args.format]
    model = build(args.model, CHANNELS, args.image_size, CLASSES).to(memory_format=memory_format).train()
    x = torch.randn(args.batch_size, CHANNELS, args.image_size, args.image_size).to(memory_format=memory_format)
    target = torch.randint(CLASSES, (args.batch_size,))
    optimizer = OPTIMIZERS[args.opt](model)

    forward = torch.compile(model) if args.compile else model
    times = []
    for _ in range(args.warmup + args.steps):
        start = time.perf_counter()
        optimizer.step(lambda: F.cross_entropy(forward(x), target))
        times.append(1e3 * (time.perf_counter() - start))
    times = times[args.warmup :]

    result = {
        "step_ms_median": statistics.median(times),
        "step_ms_min": min(times),
        "peak_rss_mb": peak_rss_mb(),
        "import_rss_mb": import_rss_mb,
        "steps": args.steps,
    }
    if args.json:
        print(json.dumps(result))
    else:
        print(
            f"{args.model} {args.format}: {result['step_ms_median']:.1f} ms per step "
            f"(fastest {result['step_ms_min']:.1f}), peak {result['peak_rss_mb']:.0f} MB"
        )


if __name__ == "__main__":
    main()
