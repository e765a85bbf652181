"""State files as PyTorch leaves them, the preprocessing of torchvision, and runs whose data or length change."""

import json
import os
import shutil

import numpy as np
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from .case import Bench, case

MODES = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "hamming": Image.HAMMING, "lanczos": Image.LANCZOS}


def resize_and_crop(picture, resize, crop, mode="bilinear"):
    """torchvision's Resize(resize, antialias=True) and CenterCrop(crop) on a PIL image, as its source has them."""
    w, h = picture.size
    if resize and min(w, h) != resize:
        short, long = min(w, h), max(w, h)
        long = int(resize * long / short)
        picture = picture.resize((resize, long) if w <= h else (long, resize), MODES[mode])
    a = np.asarray(picture.convert("RGB"))
    h, w = a.shape[:2]
    if crop:
        up, left = max((crop - h) // 2, 0), max((crop - w) // 2, 0)
        down, right = max((crop - h + 1) // 2, 0), max((crop - w + 1) // 2, 0)
        a = np.pad(a, ((up, down), (left, right), (0, 0)))
        top, left = int(round((a.shape[0] - crop) / 2.0)), int(round((a.shape[1] - crop) / 2.0))
        a = a[top : top + crop, left : left + crop]
    return a


def mlp(state, images, mean, std):
    """The logits of the network `mlp` in evaluation, by NumPy, for bytes NHWC normalized as torchvision does."""
    x = ((images / 255 - mean) / std).transpose(0, 3, 1, 2).reshape(len(images), -1)
    for layer in range(1, 9):
        if f"fc{layer}.weight" not in state:
            break
        x = x @ state[f"fc{layer}.weight"].T.astype(float)
        if f"fc{layer}.bias" in state:
            x = x + state[f"fc{layer}.bias"]
        bn = {k: state[f"bn{layer}.{k}"].astype(float) for k in ("weight", "bias", "running_mean", "running_var")}
        x = np.maximum((x - bn["running_mean"]) / np.sqrt(bn["running_var"] + 1e-5) * bn["weight"] + bn["bias"], 0)
    return x @ state["fc.weight"].T.astype(float) + state["fc.bias"]


def listed(values):
    return ",".join(map(str, values))


def pictures(folder, sizes):
    """A folder of two classes with pictures of these sizes (height, width), none of a plain pattern."""
    rng = np.random.default_rng(3)
    found = []
    for name in ("top", "left"):
        os.makedirs(folder / name)
        for i, (h, w) in enumerate(sizes):
            coarse = rng.integers(0, 256, (h // 3 + 2, w // 3 + 2, 3)).astype("uint8")
            picture = Image.fromarray(coarse).resize((w, h), Image.BICUBIC)
            picture.save(folder / name / f"{i}.png")
            found.append(picture)
    return found


def of_foreign(bench, data, *flags):
    """Flags for the network of `trained` in a file that says nothing of itself."""
    return ["--model", "mlp", "--dataset", "folder", "--data-dir", data, *flags]


def normalisation(model):
    """The mean and deviation in a model file, on torchvision's scale."""
    with safe_open(model, "numpy") as f:
        n = json.loads(f.metadata()["sph"])["normalisation"]
    return np.array(n["mean"]) / 255, np.array(n["std"]) / 255


@case
def a_foreign_network_is_normalized_by_its_own_numbers(bench):
    mean, std = normalisation(bench.model)
    numbers = ["--mean", listed(mean), "--std", listed(std)]
    foreign = bench.inputs / "foreign.safetensors"
    # Other light than in training: the data's own mean would undo it.
    data = bench.folder / "dimmed"
    images, labels = [], []
    for label, name in enumerate(("left", "top")):
        os.makedirs(data / name)
        for i in range(20):
            a = np.asarray(Image.open(bench.base / name / f"{i}.jpg")) // 2
            Image.fromarray(a).save(data / name / f"{i}.png")
            images.append(a)
            labels.append(label)
    logits = mlp(load_file(foreign), np.array(images), mean, std)
    accuracy = np.mean(logits.argmax(1) == labels)
    loss = np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(40), labels])
    said = bench.run("eval", foreign, *of_foreign(bench, data, "--json"), *numbers).succeeds().json
    assert said["images"] == 40 and said["split"] == "all", said
    assert abs(said["accuracy"] - accuracy) < 1e-9 and abs(said["loss"] - loss) < 1e-4 * max(1, loss), (said, accuracy, loss)
    assert np.allclose(said["mean"], mean) and np.allclose(said["std"], std), said
    shown = bench.run("eval", foreign, *of_foreign(bench, data), *numbers).succeeds()
    shown.says(f"--mean {mean[0]:.4f},", "--std")
    # The run itself says the same without flags.
    own = bench.run("eval", bench.trained, "--data-dir", data, "--json").succeeds()
    assert abs(own.json["loss"] - said["loss"]) < 1e-6 and "normalized" not in own.err, own
    assumed = bench.run("eval", foreign, *of_foreign(bench, data, "--json")).succeeds().says("does not say how its images are normalized")
    # Nor does it name its classes.
    assert len(assumed.err.strip().splitlines()) == 2 and abs(assumed.json["loss"] - loss) > 1e-3, assumed
    bench.run("eval", foreign, *of_foreign(bench, data), "--mean", "0.5").refused("--mean needs --std")
    bench.run("eval", foreign, *of_foreign(bench, data), "--mean", "0.5,0.5", "--std", "1").refused("--mean has 2 numbers", "3 channels")
    # The same numbers wherever images are read for a network.
    picture = data / "top" / "0.png"
    predicted = bench.run("predict", foreign, picture, *of_foreign(bench, data, "--json"), *numbers).succeeds().json
    assert np.allclose(predicted["predictions"][0]["logits"], logits[20], atol=1e-3), (predicted, logits[20])
    bench.run("adapt", "--checkpoint", foreign, "--steps", 1, "--json", "--test-fraction", 0.5, *of_foreign(bench, data), *numbers).succeeds()
    tuned = bench.run(
        "train", "--init-checkpoint", foreign, "--epochs", 1, "--lr", 1e-30, "--opt", "sgd", "--weight-decay", 0, "--batch-size", 8,
        "--test-fraction", 0.2, "--image-size", 32, "--runs", bench.folder / "runs", "--experiment", "tuned",
        *of_foreign(bench, data), *numbers,
    ).succeeds()  # fmt: skip
    assert "does not say" not in tuned.out + tuned.err, tuned
    kept = normalisation(bench.folder / "runs" / "tuned" / "best.safetensors")
    assert np.allclose(kept[0], mean) and np.allclose(kept[1], std), kept


@case
def pictures_are_resized_as_pillow_does(bench):
    data = bench.folder / "sizes"
    found = pictures(data, [(50, 83), (61, 40), (28, 30)])
    model = ["--model", "mlp", "--dataset", "folder", "--data-dir", data, "--mean", 0, "--std", 1, "--batch-size", 6, "--no-network"]
    for mode, flag in [(m, ["--interpolation", m]) for m in MODES] + [("bilinear", [])]:
        dump = bench.folder / "dump.safetensors"
        bench.run("inspect", *model, "--resize", 36, "--crop", 31, *flag, "--dump", dump).succeeds()
        got = np.round(load_file(dump)["input"].transpose(0, 2, 3, 1) * 255)
        for picture in found:
            wanted = resize_and_crop(picture, 36, 31, mode).astype(float)
            near = min(got, key=lambda g: np.abs(g - wanted).max())
            assert np.abs(near - wanted).max() <= 1, (mode, picture.size, np.abs(near - wanted).max())
    bench.run("inspect", *model, "--resize", 36, "--image-size", 36).refused("--image-size", "--resize")
    bench.run("inspect", *model, "--resize", 36).refused("pixels, others have", "--crop")
    bench.run("inspect", *model, "--interpolation", "hamming").refused("--interpolation needs --resize")


@case
def a_run_keeps_how_its_pictures_were_made(bench):
    data = bench.folder / "kept"
    found = pictures(data, [(50, 83), (61, 40), (40, 44), (45, 42)])
    runs = bench.folder / "runs"
    bench.run(
        "train", "--dataset", "folder", "--data-dir", data, "--test-fraction", 0.25, "--resize", 36, "--crop", 32, "--interpolation", "bicubic",
        "--model", "mlp", "--epochs", 1, "--batch-size", 3, "--mean", "0.5,0.4,0.3", "--std", 0.25, "--runs", runs, "--experiment", "kept",
    ).succeeds()  # fmt: skip
    state = load_file(runs / "kept" / "best.safetensors")
    images = np.array([resize_and_crop(p, 36, 32, "bicubic") for p in found])
    wanted = mlp(state, images, np.array([0.5, 0.4, 0.3]), 0.25)
    files = [data / name / f"{i}.png" for name in ("top", "left") for i in range(4)]
    said = bench.run("predict", runs / "kept", *files, "--json").succeeds().json
    logits = np.array([p["logits"] for p in said["predictions"]])
    assert np.abs(logits - wanted).max() < 0.02 * max(1, np.abs(wanted).max()), (logits, wanted)
    # Other data are read in the same way, whole.
    other = bench.folder / "kept_too"
    pictures(other, [(70, 50)])
    assert bench.run("eval", runs / "kept", "--data-dir", other, "--json").succeeds().json["images"] == 2


@case
def state_files_of_other_programs_are_taken(bench):
    foreign = load_file(bench.inputs / "foreign.safetensors")
    data = of_foreign(bench, bench.base, "--json", "--mean", 0.4, "--std", 0.3)
    loss = lambda path: bench.run("eval", path, *data).succeeds()
    wanted = loss(bench.inputs / "foreign.safetensors").json["loss"]
    made = bench.folder / "made.safetensors"
    write = lambda tensors: save_file({k: np.asarray(v, order="C") for k, v in tensors.items()}, made)

    def is_taken(path, words, tolerance=1e-7):
        said = loss(path)
        notes = [line for line in said.err.splitlines() if "normalized" not in line and "name its classes" not in line]
        assert abs(said.json["loss"] - wanted) <= tolerance, said
        assert len(notes) == (1 if words else 0) and all(word in notes[0] for word in words), said

    is_taken(bench.inputs / "foreign.safetensors", [])
    for name, words, tolerance in [
        ("no_counter", ["num_batches_tracked", "missing"], 1e-7), ("counter_i32", ["num_batches_tracked", "converted"], 1e-7),
        ("f16", ["F16"], 1e-2), ("data_parallel", ["'module.'"], 1e-7), ("compiled", ["'_orig_mod.'"], 1e-7),
        ("profiled", ["2 counters", "total_ops"], 1e-7),
    ]:  # fmt: skip
        is_taken(bench.inputs / f"{name}.safetensors", words, tolerance)
    for prefix in ("model.", "state_dict.", "state_dict.module.", "net.encoder."):
        write({prefix + k: v for k, v in foreign.items()})
        is_taken(made, [f"'{prefix}'"])
    write({"module._orig_mod." + k: v for k, v in foreign.items()})
    is_taken(made, ["'module.'", "'_orig_mod.'"])
    # bfloat16 has no type in NumPy: the upper halves of floats.
    header, at, body = {}, 0, b""
    for k, v in foreign.items():
        upper = (np.ascontiguousarray(v, "<f4").view("<u4") >> 16).astype("<u2").tobytes() if v.dtype.kind == "f" else v.astype("<i8").tobytes()
        kind = "BF16" if v.dtype.kind == "f" else "I64"
        header[k] = {"dtype": kind, "shape": list(v.shape), "data_offsets": [at, at + len(upper)]}
        at, body = at + len(upper), body + upper
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    made.write_bytes(len(text).to_bytes(8, "little") + text + body)
    is_taken(made, ["BF16"], 5e-2)
    # All of it, and begun from in a training.
    write({"module." + k: v.astype("f2") for k, v in foreign.items() if not k.endswith("num_batches_tracked")} | {"module.total_ops": np.zeros(1)})
    is_taken(made, ["'module.'", "F16", "missing", "1 counter"], 1e-2)
    bench.run(
        "train", "--init-checkpoint", made, "--epochs", 1, "--batch-size", 8, "--test-fraction", 0.2, "--image-size", 32, "--runs",
        bench.folder / "runs", "--experiment", "from_f16", *of_foreign(bench, bench.base),
    ).succeeds().says("'module.'", "does not say how its images are normalized")  # fmt: skip
    # What is another network stays an error that names the tensor.
    write({"module." + k: v for k, v in foreign.items() if k != "fc.bias"})
    bench.run("eval", made, *data).refused("'fc.bias'", "missing")
    write(foreign | {"module.extra": np.zeros(3, "f4")})
    bench.run("eval", made, *data).refused("'module.extra'")
    (bench.folder / "old.pt").write_bytes(b"PK\x03\x04" + bytes(100))
    bench.run("eval", bench.folder / "old.pt", *data).refused("old.pt", "torch.save", "save_file")


@case
def a_run_finds_its_data_from_everywhere_and_where_they_move_to(bench):
    here, elsewhere = bench.folder / "here", bench.folder / "elsewhere"
    shutil.copytree(bench.base, here / "photos")
    elsewhere.mkdir()
    there = Bench(bench.sph, elsewhere)
    train = ["--dataset", "folder", "--data-dir", "photos", "--test-fraction", 0.25, "--image-size", 16, "--model", "mlp", "--batch-size", 8]
    named = ["--runs", here, "--experiment", "run"]
    Bench(bench.sph, here).run("train", *train, "--epochs", 1, *named).succeeds()
    wanted = there.run("eval", here / "run", "--json").succeeds().json
    there.run("train", "--resume", here / "run").succeeds()
    # A run of an older build names its data as the flag did.
    args = here / "run" / "args.toml"
    text = args.read_text()
    args.write_text(text.replace(str(here / "photos"), "photos"))
    there.run("eval", here / "run").refused("photos: not found", "--data-dir")
    args.write_text(text)

    shutil.move(here / "photos", elsewhere / "moved")
    there.run("eval", here / "run").refused("photos: not found", "--data-dir")
    there.run("train", "--resume", here / "run", "--epochs", 2).refused("photos: not found", "--data-dir")
    # The same images are divided in the same way, wherever they are.
    assert there.run("eval", here / "run", "--data-dir", "moved", "--json").succeeds().json == wanted
    shutil.copytree(elsewhere / "moved", elsewhere / "other")
    os.remove(elsewhere / "other" / "top" / "0.jpg")
    there.run("train", "--resume", here / "run", "--data-dir", "other").refused("are not those", "--data-dir")
    there.run("train", "--resume", here / "run", "--data-dir", "moved").succeeds()
    assert there.run("eval", here / "run", "--json").succeeds().json == wanted
    there.run("train", *["moved" if part == "photos" else part for part in train], "--epochs", 1, *named, "--resume", "auto").succeeds()


@case
def a_run_is_trained_for_longer(bench):
    flags = ["--model", "mlp", "--batch-size", 200, "--runs", bench.folder / "runs"]
    bench.run("train", *flags, "--epochs", 2, "--experiment", "longer").succeeds()
    run = bench.folder / "runs" / "longer"
    rows = lambda: [line.split(",") for line in (run / "summary.csv").read_text().splitlines()]
    rates = lambda: [float(row[1]) for row in rows()[1:]]
    before = rates()
    bench.run("train", "--resume", run, "--epochs", 1).refused("--epochs 1", "2 that the run has begun")
    said = bench.run("train", "--resume", run, "--epochs", 4, "--json").succeeds().says("to 4 epochs instead of 2")
    # Half a cosine over four epochs of seven steps, from the third epoch on; the rate of an epoch is that of its last step.
    cosine = lambda epoch: 0.05 * (1 + np.cos(np.pi * epoch / 4))
    assert rates()[:2] == before and np.allclose(rates()[2:], [cosine(2 + 6 / 7), cosine(3 + 6 / 7)]), rates()
    assert said.json["epochs"] == 4 and "epochs = 4" in (run / "args.toml").read_text()
    auto = [*flags, "--experiment", "longer", "--resume", "auto"]
    bench.run("train", *auto, "--epochs", 5).succeeds().says("to 5 epochs instead of 4")
    bench.run("train", *auto, "--epochs", 3).refused("'epochs' is 5 there and 3 here")
    assert len(rows()) == 6
    bench.run("train", "--resume", run, "--lr", 0.3).refused("--lr cannot stand beside --resume", "--init-checkpoint")


@case
def other_data_are_evaluated_whole(bench):
    # The run took a fifth of its own data to test on; nobody says that of other data.
    assert bench.run("eval", bench.trained, "--json").succeeds().json["images"] == 8
    other = bench.folder / "other"
    for name, n in [("left", 7), ("top", 5)]:
        os.makedirs(other / name)
        for i in range(n):
            Image.open(bench.base / name / f"{i}.jpg").transpose(Image.FLIP_TOP_BOTTOM if name == "left" else Image.FLIP_LEFT_RIGHT).save(other / name / f"{i}.png")
    said = bench.run("eval", bench.trained, "--data-dir", other, "--json").succeeds().json
    assert said["split"] == "all" and said["images"] == 12, said
    assert [c["images"] for c in said["classes"]] == [7, 5], said
    assert bench.run("eval", bench.trained, "--data-dir", other, "--split", "all", "--json").succeeds().json == said
    bench.run("eval", bench.trained, "--data-dir", other, "--split", "test").refused("--test-fraction", "other")
    with_fraction = bench.run("eval", bench.trained, "--data-dir", other, "--test-fraction", 0.5, "--json").succeeds().json
    assert with_fraction["split"] == "test" and with_fraction["images"] == 6, with_fraction
    # Data with a test part of their own keep it; all of them are all.
    parts = bench.folder / "parts"
    shutil.copytree(other, parts / "train")
    shutil.copytree(bench.base, parts / "test")
    images = lambda *flags: bench.run("eval", bench.trained, "--data-dir", parts, "--json", *flags).succeeds().json["images"]
    assert (images(), images("--split", "all"), images("--split", "train")) == (40, 52, 12)
    assert bench.run("eval", bench.trained, "--split", "all", "--json").succeeds().json["images"] == 40
