"""Side-by-side benchmark: this project's SGD and second-order steps against PyTorch's SGD.

    cargo build --release && python bench/run.py

`--peers` adds what users have elsewhere for curvature: the ancestor's double backward, the same
pruned by hand, and AdaHessian, each in both memory formats.

    python bench/run.py --old OTHER/sph --rounds 10

compares two builds of this project instead, without PyTorch: a change and what was before it.

The contenders take turns in each round, and ratios are taken within a round, so that
a machine that slows down or speeds up meanwhile does not favour any of them.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import venv
from pathlib import Path

BENCH = Path(__file__).resolve().parent
VENV = BENCH / ".venv"
FORMATS = ("contiguous", "channels_last")
OURS = ("sgd", "sph")
PEERS = ("double-backward", "pruned-double-backward", "adahessian")


def has_torch(python):
    return subprocess.run([python, "-c", "import torch"], capture_output=True).returncode == 0


def find_python(chosen):
    """The interpreter for PyTorch: the chosen one, or this one, or a private venv's."""
    if chosen:
        if not has_torch(chosen):
            sys.exit(f"{chosen} cannot import torch")
        return chosen
    if has_torch(sys.executable):
        return sys.executable
    python = VENV / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not (python.exists() and has_torch(python)):
        print(f"creating {VENV}", file=sys.stderr)
        venv.create(VENV, with_pip=True)
        (VENV / ".gitignore").write_text("*\n")
        pip = [python, "-m", "pip", "install", "-r", BENCH / "requirements.txt"]
        subprocess.run(pip, check=True, stdout=sys.stderr)
    return str(python)


def torch_environment():
    """PyTorch at its best: settings meant for another BLAS user removed, memory kept.

    By default glibc hands large activations back to the system after each step and then
    takes page faults to get them again.
    """
    env = dict(os.environ)
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        env.pop(name, None)
    for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"):
        env[name] = str(10**10)
    return env


def contenders(args, python):
    """Name -> (command, environment)."""
    common = ["--model", args.model, "--batch-size", str(args.batch_size)]
    common += ["--steps", str(args.steps), "--threads", str(args.threads), "--json"]
    if args.image_size:
        common += ["--image-size", str(args.image_size)]
    out = {}
    ours = {"sph": args.sph} if not args.old else {"new": args.sph, "old": args.old}
    for opt in OURS:
        # The same first-order step in both: transformers have AdamW beside sph by default.
        first_order = ["--first-order", "sgd"] if opt == "sph" else []
        for name, binary in ours.items():
            isa = ["--isa", args.isa] if args.isa else []
            out[f"{name} {opt}"] = ([binary, "bench", "--opt", opt, *first_order, *isa, *common], None)
    if args.old:
        return out
    env = torch_environment()
    if args.isa:
        env |= {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
    for fmt in FORMATS:
        command = [python, BENCH / "torch_step.py", "--opt", "sgd", "--format", fmt, *common]
        out[f"torch {fmt}"] = (command, env)
        if args.compile:
            out[f"torch compiled {fmt}"] = ([*command, "--compile"], env)
    if args.peers:
        for opt in PEERS:
            for fmt in FORMATS:
                command = [python, BENCH / "torch_step.py", "--opt", opt, "--format", fmt, *common]
                out[f"torch {opt} {fmt}"] = (command, env)
    return out


def measure(name, command, env):
    command = [str(part) for part in command]
    try:
        done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True)
    except OSError as error:
        sys.exit(f"{name}: cannot run {command[0]}: {error.strerror}")
    if done.returncode != 0:
        sys.exit(f"{name}: exit code {done.returncode} from {' '.join(command)}")
    return json.loads(done.stdout)


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def summarize(rounds):
    """Statistics over rounds of each contender, and of the ratios within each round."""
    step_ms = {name: [r[name]["step_ms_median"] for r in rounds] for name in rounds[0]}
    rss_mb = {name: max(r[name]["peak_rss_mb"] for r in rounds) for name in rounds[0]}
    if "old sgd" in step_ms:
        best = None
        pairs = [(f"new {opt}", f"old {opt}") for opt in OURS]
    else:
        # One format for all rounds: the smaller of two noisy numbers per round would flatter torch.
        best = min((f"torch {f}" for f in FORMATS), key=lambda n: statistics.median(step_ms[n]))
        pairs = [("sph sgd", best), ("sph sph", "sph sgd"), ("sph sph", best)]
    compiled = [name for name in step_ms if name.startswith("torch compiled")]
    if compiled:
        fastest = min(compiled, key=lambda n: statistics.median(step_ms[n]))
        pairs += [("sph sgd", fastest), ("sph sph", fastest)]
    for opt in PEERS:
        names = [f"torch {opt} {f}" for f in FORMATS if f"torch {opt} {f}" in step_ms]
        if names:
            peer = min(names, key=lambda n: statistics.median(step_ms[n]))
            pairs += [(peer, best), ("sph sph", peer)]
    return {
        "best_torch": best,
        "contenders": {
            name: {"step_ms": spread(times), "peak_rss_mb": rss_mb[name]}
            for name, times in step_ms.items()
        },
        "ratios": {
            f"{a} / {b}": spread([x / y for x, y in zip(step_ms[a], step_ms[b])])
            for a, b in pairs
        },
    }


def print_table(summary):
    print(f"{'':<62}{'median':>9}{'min':>9}{'max':>9}{'peak MB':>10}")
    for name, row in summary["contenders"].items():
        s = row["step_ms"]
        times = f"{s['median']:>9.1f}{s['min']:>9.1f}{s['max']:>9.1f}"
        print(f"{name + ', ms per step':<62}{times}{row['peak_rss_mb']:>10.0f}")
    for name, s in summary["ratios"].items():
        print(f"{name:<62}{s['median']:>9.3f}{s['min']:>9.3f}{s['max']:>9.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--image-size", type=int, help="height and width of the images (default: 32)")
    parser.add_argument("--isa", choices=("avx2",), help="hold both to this instruction set")
    parser.add_argument("--compile", action="store_true", help="also torch.compile's step")
    parser.add_argument("--rounds", type=int, default=5)
    # One step of the second-order optimizer visits one block, and deep blocks are cheaper:
    # a run should be long enough to go round the cycle.
    parser.add_argument("--steps", type=int, default=40, help="timed steps per process")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peers", action="store_true", help="also PyTorch's ways to curvature")
    parser.add_argument("--python", help="interpreter with PyTorch (default: found or created)")
    parser.add_argument("--sph", default=BENCH.parent / "target" / "release" / "sph")
    parser.add_argument("--old", metavar="SPH", help="another build to compare with, instead of PyTorch")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all numbers here")
    args = parser.parse_args()
    if min(args.rounds, args.steps, args.batch_size, args.threads) < 1:
        parser.error("rounds, steps, batch size and threads must be at least 1")
    if args.old and args.peers:
        parser.error("--peers are PyTorch's, with which --old does not compare")

    python = None if args.old else find_python(args.python)
    runs = list(contenders(args, python).items())
    rounds = []
    for i in range(args.rounds):
        # Each round starts with another contender, so that none always runs first.
        turn = i % len(runs)
        results = {}
        for name, (command, env) in runs[turn:] + runs[:turn]:
            results[name] = measure(name, command, env)
            ms = results[name]["step_ms_median"]
            print(f"round {i + 1}: {name} {ms:.1f} ms", file=sys.stderr)
        rounds.append({name: results[name] for name, _ in runs})

    summary = summarize(rounds)
    print(f"{args.model}, batch {args.batch_size}, {args.threads} threads, ", end="")
    print(f"{args.rounds} rounds of {args.steps} steps")
    print_table(summary)
    if args.json:
        settings = {k: getattr(args, k) for k in ("model", "batch_size", "steps", "threads")}
        args.json.write_text(json.dumps(settings | summary | {"rounds": rounds}, indent=2) + "\n")


if __name__ == "__main__":
    main()
