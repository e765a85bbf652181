"""Side by side on exported networks: this project's steps against PyTorch's AdamW and SGD on the same network.

    cargo build --release -p sph && python bench/graphs.py

Exports networks of torchvision and timm (tools/check_pt2.py names them) to .pt2 files and times, in turn in every round, PyTorch's step in both
memory formats and `sph bench --model NET.pt2`, each in a process of its own. Ratios are taken round by round to PyTorch's faster format.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from run import torch_environment  # noqa: E402

FORMATS = ("contiguous", "channels_last")


def torch_step(name, opt, channels_last, batch, size, steps, threads):
    """Median milliseconds of a step of PyTorch's, in this process."""
    import time

    import torch

    import check_pt2

    warnings.filterwarnings("ignore")
    torch.set_num_threads(threads)
    check_pt2.SIZE = size
    torch.manual_seed(0)
    net = check_pt2.NETWORKS[name]().train()
    form = torch.channels_last if channels_last else torch.contiguous_format
    net = net.to(memory_format=form)
    x = torch.randn(batch, 3, size, size).to(memory_format=form)
    y = torch.randint(0, check_pt2.CLASSES, (batch,))
    make = {"adamw": torch.optim.AdamW, "sgd": lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9)}[opt]
    rule = make(net.parameters(), lr=1e-4)
    times = []
    for step in range(2 + steps):
        start = time.perf_counter()
        rule.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(net(x), y).backward()
        rule.step()
        if step >= 2:
            times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", help="names of tools/check_pt2.py [default: all of images]")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--size", type=int, default=64, help="height and width of the images")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--opt", choices=("adamw", "sgd"), default="adamw", help="PyTorch's optimizer, and the rule beside ours")
    parser.add_argument("--sph", default=str(ROOT / "target/release/sph"))
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        name, form = args.one
        print(torch_step(name, args.opt, form == "channels_last", args.batch_size, args.size, args.steps, args.threads))
        return
    import check_pt2

    warnings.filterwarnings("ignore")
    check_pt2.SIZE = args.size
    names = args.networks or [n for n in check_pt2.NETWORKS if n not in check_pt2.TINY]
    print(f"{'network':20}{'PyTorch ' + args.opt + ' ms':>20}{'ours ÷':>20}{'SPH-DRS ÷':>20}{'SPH-DRS ÷ ours':>20}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            net, inputs, _ = check_pt2.network(name)
            file = Path(folder) / "net.pt2"
            check_pt2.export(net, inputs, file)
            common = ["--batch-size", str(args.batch_size), "--steps", str(args.steps), "--threads", str(args.threads)]
            ours = {
                "ours": ["--opt", args.opt],
                "sph": ["--opt", "sph", "--first-order", args.opt],
            }
            rounds = []
            for _ in range(args.rounds):
                took = {}
                for form in FORMATS:
                    command = [sys.executable, __file__, "--one", name, form, "--opt", args.opt, "--size", str(args.size), *common]
                    done = subprocess.run(command, capture_output=True, text=True, env=torch_environment(), check=True)
                    took[form] = float(done.stdout)
                for which, flags in ours.items():
                    command = [args.sph, "bench", "--model", str(file), *common, *flags, "--json"]
                    done = subprocess.run(command, capture_output=True, text=True)
                    if done.returncode != 0:
                        sys.exit(done.stderr)
                    took[which] = json.loads(done.stdout)["step_ms_median"]
                rounds.append(took)
            best = [min(r[form] for form in FORMATS) for r in rounds]
            ratios = [
                [r["ours"] / b for r, b in zip(rounds, best)],
                [r["sph"] / b for r, b in zip(rounds, best)],
                [r["sph"] / r["ours"] for r in rounds],
            ]
            cells = "".join(f"{statistics.median(v):10.2f} ({min(v):.2f}–{max(v):.2f})".rjust(20) for v in ratios)
            print(f"{name:20}{statistics.median(best):20.1f}{cells}", flush=True)


if __name__ == "__main__":
    main()
