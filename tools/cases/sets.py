"""Data sets, classes, labels and arrays."""

import unicodedata

import numpy as np
from PIL import Image

from .case import case


def stats(bench, name, *flags):
    return bench.run("data", "stats", name, *flags, "--json").succeeds()


def npz(bench, name, **arrays):
    path = bench.folder / f"{name}.npz"
    np.savez(path, **arrays)
    return path


def split(x, y, n):
    return {"x_train": x[n:], "y_train": y[n:], "x_test": x[:n], "y_test": y[:n]}


def train(bench, name, *flags):
    """A short training, and the folder of its run."""
    done = bench.run("train", "--model", "mlp", "--epochs", 6, "--batch-size", 8, "--runs", bench.folder / "sets", "--experiment", name, *flags)
    return done, bench.folder / "sets" / name


@case
def classes_in_another_order(bench):
    """Classes are matched by name: a network of arrays in natural order sees a folder in its own, and the other way round."""
    arrays = ["--dataset", "npz", "--data-dir", bench.inputs / "numbered.npz", "--layout", "nhwc", "--test-fraction", 0.25]
    folder = ["--dataset", "folder", "--data-dir", bench.inputs / "numbered", "--test-fraction", 0.25]
    for name, own, other in [("of-arrays", arrays, folder), ("of-folder", folder, arrays)]:
        done, run = train(bench, name, *own)
        done.succeeds()
        for data in (own, other):
            assert bench.run("eval", run, *data, "--json").succeeds().json["accuracy"] > 0.95, (name, data)
        adapted = bench.run("adapt", "--checkpoint", run, *other, "--steps", 2, "--batch-size", 8, "--json").succeeds().json
        assert adapted["before"]["accuracy"] > 0.95, (name, adapted["before"])
        bench.run("inspect", "--checkpoint", run, *other, "--no-network", "--batch-size", 8).succeeds()
    # A classifier is put in the order of the data that it is trained on.
    tuned, _ = train(bench, "tuned", *folder, "--epochs", 1, "--lr", 1e-30, "--opt", "sgd", "--init-checkpoint", bench.folder / "sets/of-arrays/best.safetensors", "--json")
    assert tuned.succeeds().json["test_accuracy"] > 0.95, tuned
    # Names that are mere numbers tell nothing: the order is assumed, and that is said.
    x = np.load(bench.inputs / "numbered.npz")
    plain = npz(bench, "plain", x=x["x"], y=x["y"])
    data = ["--dataset", "npz", "--data-dir", plain, "--layout", "nhwc", "--test-fraction", 0.25]
    bench.run("eval", bench.folder / "sets/of-arrays", *data).succeeds().says("numbers for names", "1 is '2'")
    other = npz(bench, "other", x=x["x"], y=x["y"], class_names=np.array(["1", "2", "emu"]))
    data = ["--dataset", "npz", "--data-dir", other, "--layout", "nhwc", "--test-fraction", 0.25]
    bench.run("eval", bench.folder / "sets/of-arrays", *data).refused("'emu'", "'1', '2', '10'")


@case
def a_test_set_of_fewer_classes(bench):
    """The network's classes rule; one without images says so."""
    data = ["--dataset", "folder", "--data-dir", bench.inputs / "one_class_test", "--test-fraction", 0.5, "--image-size", 32]
    bench.run("eval", bench.model, *data).succeeds().says("no images of 'left'", "no images")
    found = bench.run("eval", bench.model, *data, "--json").succeeds().json
    assert [c["images"] for c in found["classes"]] == [0, 4] and found["classes"][0]["accuracy"] is None, found
    bench.run("adapt", "--checkpoint", bench.model, *data, "--steps", 1, "--labels", 2).succeeds()


@case
def labels_that_no_image_has(bench):
    """A class without images, and a single class, are said before training."""
    for name, words in [("from_one", ["class '0' has no training images", "from 1"]), ("one_class", ["one class, '0'"])]:
        data = ["--dataset", "npz", "--data-dir", bench.inputs / f"{name}.npz", "--test-fraction", 0.25]
        done, _ = train(bench, name, *data, "--epochs", 1)
        assert len(done.succeeds().err.strip().splitlines()) == 1, done
        done.says(*words)
        bench.run("data", "stats", "npz", *data[2:]).succeeds().says(*words)


@case
def files_called_like_mnists(bench):
    """Which data set it is, is told by its labels."""
    letters = ["--data-dir", bench.inputs / "letters"]
    bench.run("train", "--dataset", "fashion-mnist", *letters).refused("letters", "1 to 26", "--dataset emnist")
    assert [c["name"] for c in stats(bench, "emnist", *letters).says("read as letters").json["classes"]] == [chr(97 + i) for i in range(26)]
    assert [c["name"] for c in stats(bench, "idx", *letters).says("count from 1").json["classes"]] == [str(i + 1) for i in range(26)]
    names = bench.folder / "letters.txt"
    names.write_text("".join(f"{chr(65 + i)}\n" for i in range(26)))
    assert stats(bench, "idx", *letters, "--class-names", names).json["classes"][25]["name"] == "Z"
    dotted = ["--data-dir", bench.inputs / "dotted"]
    assert stats(bench, "idx", *dotted).json["train"] == 130
    stats(bench, "fashion-mnist", *dotted).says("not those of Fashion-MNIST")


@case
def folders_as_they_are(bench):
    """What is no class is left out, and a test folder without classes is said."""
    done = stats(bench, "folder", "--data-dir", bench.inputs / "flat_test").says("test has no classes", "val is the test set")
    assert (done.json["train"], done.json["test"]) == (16, 16), done
    assert len(stats(bench, "folder", "--data-dir", bench.inputs / "mac", "--test-fraction", 0.5).json["classes"]) == 2


@case
def names_with_accents(bench):
    """A folder written on macOS and one written elsewhere have the same class."""
    root = bench.folder / "accents"
    for part, form in [("train", "NFC"), ("test", "NFD")]:
        for level, name in enumerate(["Zürich", "Genève"]):
            at = root / part / unicodedata.normalize(form, name)
            at.mkdir(parents=True)
            for i in range(4):
                Image.new("RGB", (8, 8), (120 * level + i,) * 3).save(at / f"{i}.png")
    found = stats(bench, "folder", "--data-dir", root).json
    assert [(c["name"], c["train"], c["test"]) for c in found["classes"]] == [("Genève", 4, 4), ("Zürich", 4, 4)], found


@case
def classes_in_a_csv_file(bench):
    """Competitions give a flat folder and a table of ids and labels."""
    root = bench.folder / "competition"
    for part, n in [("train", 12), ("test", 3)]:
        (root / part).mkdir(parents=True)
        for i in range(n):
            Image.new("RGB", (8, 8), (200 * (i % 2),) * 3).save(root / part / f"{part}{i:03}.png")
    rows = "".join(f"train{i:03},{['dark', 'light'][i % 2]}\n" for i in range(12))
    (root / "train.csv").write_text("id,label\n" + rows)
    (root / "test.csv").write_text("id,width,height\ntest000,8,8\n")
    data = ["--data-dir", root, "--test-fraction", 0.25]
    found = stats(bench, "folder", *data).says("train.csv tells the classes", "test has no classes")
    assert [(c["name"], c["train"] + c["test"]) for c in found.json["classes"]] == [("dark", 6), ("light", 6)], found
    done, _ = train(bench, "competition", "--dataset", "folder", *data, "--batch-size", 3, "--json")
    assert done.succeeds().json["test_accuracy"] == 1.0, done
    (root / "mine.csv").write_text("id,label\n" + rows + "train099,dark\n")
    bench.run("data", "stats", "folder", *data, "--labels-file", root / "mine.csv").refused("mine.csv", "line 14", "'train099'")


@case
def arrays_as_numpy_writes_them(bench):
    """Every type gives the values that NumPy says, and labels their classes."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(40, 6, 5)), np.arange(40) % 3
    for name, images in {
        "f2": x.astype("f2"), "big4": x.astype(">f4"), "big8": x.astype(">f8"), "fortran": np.asfortranarray(x), "i2": (100 * x).astype(">i2"),
        "bool": x > 0,
    }.items():
        found = stats(bench, "npz", "--data-dir", npz(bench, name, **split(images, y, 10))).json
        want = images[10:].astype("f8").mean(), images[10:].astype("f8").std()
        assert np.allclose([found["mean"][0], found["std"][0]], want, rtol=1e-5), (name, found, want)
    counts = [(y[10:] == c).sum() for c in range(3)]
    for name, labels, words in [
        ("one-hot", np.eye(3)[y], ["one-hot"]), ("floats", y.astype("f4"), ["floating-point"]), ("big", y.astype(">i8"), []),
        ("names", np.array(["a", "b", "cé"])[y], []), ("column", y[:, None].astype("u1"), []),
    ]:
        found = stats(bench, "npz", "--data-dir", npz(bench, name, **split(x, labels, 10))).says(*words)
        assert [c["train"] for c in found.json["classes"]] == counts, found
        assert found.json["classes"][2]["name"] == ("cé" if name == "names" else "2"), found
    bench.run("data", "stats", "npz", "--data-dir", npz(bench, "soft", **split(x, np.full((40, 3), 1 / 3), 10))).refused("'y_train'", "0.33")
    for name in ["half", "big_endian", "one_hot", "float_labels", "capitals", "python2"]:
        found = stats(bench, "npz", "--data-dir", bench.inputs / f"{name}.npz", "--test-fraction", 0.25).json
        assert (found["train"], len(found["classes"])) == (48, 2), (name, found)
    stats(bench, "npz", "--data-dir", bench.inputs / "with_val.npz").says("'val_images' and 'val_labels'", "not used")


@case
def arrays_in_safetensors(bench):
    """Half precision and bfloat16, and names in the metadata."""
    from safetensors.numpy import save_file

    x, y = np.random.default_rng(2).normal(size=(20, 4)).astype("f2"), np.arange(20) % 2
    path = bench.folder / "half.safetensors"
    save_file(split(x, y, 5), path, metadata={"class_names": '["no", "yes"]'})
    found = stats(bench, "safetensors", "--data-dir", path).json
    assert np.allclose(found["mean"], x[5:].astype("f8").mean(0), rtol=1e-5) and found["classes"][1]["name"] == "yes", found


@case
def one_picture_as_an_array(bench):
    """An array of the network's own size is one picture, whichever axis its channels are."""
    data = ["--dataset", "folder", "--data-dir", bench.base, "--test-fraction", 0.2, "--image-size", 16]
    done, run = train(bench, "sixteen", *data)
    done.succeeds()
    path = bench.inputs / "one_picture.npy"
    picture = np.load(path)
    first, several = bench.folder / "first.npy", bench.folder / "several.npy"
    np.save(first, picture.transpose(2, 0, 1))
    np.save(several, np.stack([picture] * 3))
    found = bench.run("predict", run, path, first, several, "--json").succeeds().json["predictions"]
    assert len(found) == 5 and all(p["logits"] == found[0]["logits"] for p in found), found


@case
def copies_keep_names(bench):
    """A corrupted copy calls its classes as the data set did."""
    copy = bench.folder / "copy.npz"
    data = ["--data-dir", bench.base, "--test-fraction", 0.2, "--image-size", 32]
    bench.run("data", "corrupt", "folder", *data, "--corrupt", "brightness:1", "--output", copy).succeeds()
    assert list(np.load(copy)["class_names"]) == ["left", "top"]
    found = bench.run("eval", bench.model, "--dataset", "npz", "--data-dir", copy, "--layout", "nhwc", "--json").succeeds()
    assert found.json["accuracy"] == 1.0 and not found.err, found
