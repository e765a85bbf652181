#!/usr/bin/env python3
"""Compares what `sph export` writes with what `sph predict` says.

For every model: a short training on random images, `sph predict` for the logits of others, then the ONNX file in onnxruntime, in every
version of the operators, with a batch of one image and with all, and, where PyTorch is installed, the exported Python module.

    pip install onnx onnxruntime numpy safetensors    (torch: for the second half)
    python tools/check_export.py --sph target/release/sph [--model resnet20 --norm gn --decouple auto …]

Files of networks are models, too: `--model crates/pt2/tests/files/*.pt2`. Those that read tokens, or several inputs, are left out. Of those
that compute what ONNX has no operation for, the line that says so is shown.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

TOLERANCE = {"onnx": 1e-5, "pytorch": 1e-4}
OPSETS = range(13, 22)


def difference(found, wanted):
    """The largest difference over the largest value."""
    return float(np.abs(found - wanted).max() / max(1.0, np.abs(wanted).max()))


def takes(sph, model):
    """The extents of the images that a model takes, channels last, or of its rows, and its classes; None where it reads anything else."""
    if not model.endswith(".pt2"):
        return (32, 32, 3), 5
    listed = subprocess.run([sph, "models", model, "--json"], check=True, capture_output=True, text=True).stdout
    record = json.loads(listed)
    (first, *more), output, batch = record["inputs"], record["output"], record["batch"]
    if more or first["integer"] or len(first["shape"]) not in (1, 3) or len(output or []) != 1 or batch:
        return None
    return (*first["shape"][1:], *first["shape"][:1]), output[0]


def check(sph, folder, model, flags, shape, classes):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (48, *shape), dtype=np.uint8)
    if len(shape) == 1:
        x = (x / 64).astype(np.float32)
    y = np.arange(48) % classes
    np.savez(folder / "data.npz", x_train=x[:40], y_train=y[:40], x_test=x[40:], y_test=y[40:])
    run = lambda *args: subprocess.run([sph, *map(str, args)], check=True, capture_output=True, text=True).stdout
    run(
        "train", "--dataset", "npz", "--data-dir", folder / "data.npz", *(("--layout", "nhwc") if len(shape) == 3 else ()), "--model", model, "--epochs", 1,
        "--batch-size", 8, "--opt", "sgd", "--lr", 0.001, "--runs", folder, "--experiment", "run", *flags,
    )
    predictions = json.loads(run("predict", folder / "run", folder / "data.npz", "--json"))["predictions"]
    wanted = np.array([p["logits"] for p in predictions], np.float32)

    results = {}
    for opset in OPSETS:
        run("export", folder / "run", "--format", "onnx", "--opset", opset, "-o", folder / "model.onnx")
        proto = onnx.load(folder / "model.onnx")
        assert [o.version for o in proto.opset_import] == [opset]
        onnx.checker.check_model(proto, full_check=True)
        about = {p.key: json.loads(p.value) for p in proto.metadata_props}
        mean, std = (np.array(about[key], np.float64) for key in ("mean", "std"))
        images = ((x[40:].reshape(8, *(1, 1)[: 3 - len(shape)], *shape) - mean) / std).astype(np.float32).transpose(0, 3, 1, 2)
        session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
        found = session.run(["logits"], {"images": images})[0]
        one = session.run(["logits"], {"images": images[:1]})[0]
        results[f"onnx {opset}"] = max(difference(found, wanted), difference(one, wanted[:1]))

    run("export", folder / "run", "--format", "safetensors", "-o", folder / "exported.safetensors")
    if not model.endswith(".pt2") and importlib.util.find_spec("torch"):
        import torch

        spec = importlib.util.spec_from_file_location("exported", folder / "exported.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        raw = torch.from_numpy(x[40:].transpose(0, 3, 1, 2).astype(np.float32))
        found = module.predict(raw).numpy()
        exponentials = np.exp(wanted - wanted.max(1, keepdims=True))
        results["pytorch"] = difference(found, exponentials / exponentials.sum(1, keepdims=True))
    nodes = [n.op_type for n in proto.graph.node]
    return results, len(nodes), nodes.count("Transpose")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sph", default="target/release/sph", help="the built command")
    parser.add_argument("--model", nargs="*", help="models; all by default")
    parser.add_argument("flags", nargs="*", help="flags of sph train, behind --")
    args = parser.parse_args()
    listed = subprocess.run([args.sph, "models", "--json"], check=True, capture_output=True, text=True).stdout
    models = args.model or [m["name"] for m in json.loads(listed)["models"]]
    failed = False
    for model in models:
        name = Path(model).stem
        with tempfile.TemporaryDirectory() as folder:
            try:
                if (of_inputs := takes(args.sph, model)) is None:
                    print(f"{name:16} is no network of images or rows")
                    continue
                results, nodes, transposes = check(args.sph, Path(folder), model, args.flags, *of_inputs)
            except subprocess.CalledProcessError as e:
                print(f"{name:16} {e.stderr.strip()}")
                failed |= "ONNX" not in e.stderr
                continue
        right = all(r <= TOLERANCE[what.split()[0]] for what, r in results.items())
        failed |= not right
        shown = ", ".join(f"{what} {r:.1e}" for what, r in results.items())
        print(f"{name:16} {'ok' if right else 'WRONG'}: {shown}; {nodes} nodes, {transposes} transpositions", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
