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

CHANNELS, SIZE, CLASSES = 3, 32, 10
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def peak_rss_mb():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=MODELS, default="resnet20")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--format", choices=FORMATS, default="contiguous")
    parser.add_argument("--opt", choices=["sgd"], default="sgd")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--warmup", type=int, default=5, help="steps that are not timed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a sentence")
    args = parser.parse_args()

    # What the libraries occupy by themselves, to be told apart from what training takes.
    import_rss_mb = peak_rss_mb()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    memory_format = FORMATS[args.format]
    model = build(args.model, CHANNELS, SIZE, CLASSES).to(memory_format=memory_format).train()
    x = torch.randn(args.batch_size, CHANNELS, SIZE, SIZE).to(memory_format=memory_format)
    target = torch.randint(CLASSES, (args.batch_size,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    times = []
    for _ in range(args.warmup + args.steps):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(x), target)
        loss.backward()
        optimizer.step()
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
