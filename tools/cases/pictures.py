"""Reading pictures; what is right is what Pillow makes of them."""

import csv
import io
import os
import shutil
import warnings

import numpy as np
from PIL import Image, ImageOps

from .case import case

# It warns of what is cut off before it refuses it.
warnings.filterwarnings("ignore", module="PIL")


def noise(rng, size, channels=None, top=256, kind="uint8"):
    """Smooth colours with some noise: a JPEG file keeps what is smooth."""
    (h, w), (y, x) = size, np.mgrid[0 : size[0], 0 : size[1]]
    waves = [np.sin(x / rng.uniform(3, 12) + rng.uniform(0, 6)) + np.cos(y / rng.uniform(3, 12)) for _ in range(channels or 1)]
    a = (((np.stack(waves, -1) + 2) / 4 * 0.8 + rng.uniform(0, 0.2, (h, w, 1))) * (top - 1)).astype(kind)
    return a if channels else a[..., 0]


def encoded(image, kind, **settings):
    to = io.BytesIO()
    image.save(to, kind, **settings)
    return to.getvalue()


def is_read(path):
    """Whether Pillow reads the file whole."""
    try:
        with Image.open(path) as image:
            image.load()
        return True
    except Exception:
        return False


@case
def cut_off_pictures_are_refused_as_pillow_refuses_them(bench):
    rng, into = np.random.default_rng(3), bench.folder / "cuts"
    into.mkdir()
    for size in (20, 100):
        image = Image.fromarray(noise(rng, (size, size), 3))
        for name, kind, settings in [
            ("baseline.jpg", "JPEG", {}), ("progressive.jpg", "JPEG", {"progressive": True}), ("grey.jpg", "JPEG", {}),
            ("a.png", "PNG", {}), ("a.bmp", "BMP", {}), ("a.gif", "GIF", {}), ("a.tif", "TIFF", {}), ("z.tif", "TIFF", {"compression": "tiff_lzw"}),
            ("a.webp", "WEBP", {}), ("b.webp", "WEBP", {"lossless": True}),
        ]:
            whole = encoded(image.convert("L") if "grey" in name else image, kind, **settings)
            for percent in (10, 50, 90, 99, 100):
                (into / f"{size}-{percent}-{name}").write_bytes(whole[: len(whole) * percent // 100])
            if kind == "JPEG":
                # Data missing between is what decoders make up for; the end marker alone is what Pillow mostly wants.
                (into / f"{size}-hole-{name}").write_bytes(whole[: len(whole) // 2] + whole[-2:])
                (into / f"{size}-behind-{name}").write_bytes(whole + b"\0garbage\xff")
            if kind == "PNG":
                (into / f"{size}-no-end-{name}").write_bytes(whole[:-12])
    said = bench.run("predict", bench.model, into, "--json")
    assert said.code == 2, said
    refused = {os.path.basename(f["input"]) for f in said.json["failed"]}
    # Pillow does not miss the end of a PNG file whose values are all there; here it is cut off as a JPEG file without its end is.
    endless = lambda p: p.suffix == ".png" and not p.read_bytes().endswith(b"IEND\xaeB`\x82")
    expected = {p.name for p in into.iterdir() if endless(p) or not is_read(p)}
    assert refused == expected, f"refused only here {sorted(refused - expected)}, only by Pillow {sorted(expected - refused)}"
    read = {os.path.basename(p["input"]) for p in said.json["predictions"]}
    assert read | refused == {p.name for p in into.iterdir()} and not read & refused
    bench.run("predict", bench.model, bench.inputs / "cut.jpg").refused("cut.jpg", "cut off")


@case
def broken_pictures_end_every_command_or_are_left_out(bench):
    data = ["--dataset", "folder", "--data-dir", bench.inputs / "cut", "--test-fraction", 0.2, "--image-size", 32]
    train = ["train", *data, "--model", "mlp", "--epochs", 1, "--batch-size", 8, "--runs", bench.folder / "runs"]
    bench.run(*train, "--experiment", "cut").refused("top/3.jpg", "cut off")
    bench.run("data", "stats", "folder", *data[2:]).refused("top/3.jpg")
    assert not (bench.folder / "runs" / "cut").exists()
    skipping = bench.run(*train, "--experiment", "cut", "--skip-broken").succeeds().says("pictures that cannot be read are left out (1): top/3.jpg (")
    run = bench.folder / "runs" / "cut"
    assert skipping.err.count("note:") == 1, skipping
    # The other commands read the set as the run did.
    for command in (["eval", run], ["inspect", "--checkpoint", run, "--batch-size", 8, "--no-network"], ["adapt", "--checkpoint", run, "--steps", 1]):
        bench.run(*command).succeeds().says("pictures that cannot be read are left out (1): top/3.jpg (")
    compared = bench.run("compare", *train[1:-2], "--skip-broken", "--opt", "sgd", "--seeds", "1,2", "--runs", bench.folder / "compared").succeeds()
    assert compared.err.count("note:") == 1, compared
    stats = bench.run("data", "stats", "folder", *data[2:], "--skip-broken", "--json").succeeds().json
    assert stats["train"] + stats["test"] == 39, stats


@case
def the_orientation_is_that_which_people_see(bench):
    turned = bench.inputs / "turned.jpg"
    classes = lambda *flags: [p["class"] for p in bench.run("predict", bench.model, turned, "--json", *flags).succeeds().json["predictions"]]
    assert classes() == ["top"] and classes("--no-exif") == ["left"], (classes(), classes("--no-exif"))


@case
def sixteen_bits_are_not_cut_to_eight(bench):
    data = ["--dataset", "folder", "--data-dir", bench.inputs / "grey16", "--test-fraction", 0.2]
    said = bench.run("train", *data, "--model", "mlp", "--epochs", 8, "--batch-size", 8, "--runs", bench.folder / "runs", "--experiment", "grey16", "--json")
    said.succeeds().says("16-bit", "of 65535")
    assert said.json["test_accuracy"] >= 0.95, said
    # A network of 8-bit pictures sees 16-bit ones on the same scale.
    rng, pair = np.random.default_rng(5), bench.folder / "pair"
    pair.mkdir()
    a = rng.integers(0, 256, (32, 32))
    Image.fromarray(a.astype("uint8")).save(pair / "8.png")
    Image.fromarray((a * 257).astype("uint16")).save(pair / "16.png")
    for alone in (["8.png"], ["16.png"], ["8.png", "16.png"]):
        logits = [p["logits"] for p in bench.run("predict", bench.model, *[pair / f for f in alone], "--json").succeeds().json["predictions"]]
        assert np.allclose(logits, bench.run("predict", bench.model, pair / "8.png", "--json").json["predictions"][0]["logits"], atol=1e-5)


@case
def the_content_tells_what_a_file_is(bench):
    folder = bench.inputs / "endings"
    (folder / "top" / "notes.txt").write_text("BMW")
    shutil.copy(folder / "top" / "0.jpg", folder / "left" / "copy.photo")
    said = bench.run("data", "stats", "folder", "--data-dir", folder, "--image-size", 32, "--test-fraction", 0.2, "--json").succeeds()
    counts = {c["name"]: c["train"] + c["test"] for c in said.json["classes"]}
    assert counts == {"top": 12, "left": 7}, counts
    said.says("1 .txt", "1 .png (such as top/more/deep.png)")
    assert len(said.err.strip().splitlines()) == 1, said
    # Of several pictures in a file the first.
    several = bench.folder / "several"
    several.mkdir()
    top, left = [Image.open(bench.base / c / "0.jpg") for c in ("top", "left")]
    for name, kind in [("a.gif", "GIF"), ("a.tif", "TIFF"), ("a.webp", "WEBP"), ("a.png", "PNG")]:
        top.save(several / name, kind, save_all=True, append_images=[left])
    said = bench.run("predict", bench.model, several).succeeds().says("the first is predicted", "a.gif", "a.tif", "a.webp", "a.png")
    assert [line.split("\t")[1].split()[0] for line in said.out.splitlines()] == ["top"] * 4, said


@case
def one_bad_input_does_not_stop_the_others(bench):
    odd = bench.inputs / "odd" / "a"
    named = [odd / name for name in ("page.jpg", "good.jpg", "empty.png")]
    for inputs in (named, [odd]):
        table = bench.folder / "odd.csv"
        said = bench.run("predict", bench.model, *inputs, "--csv", table).refused("2 of 3", "page.jpg (an HTML page", "empty.png (an empty file")
        assert said.out.split("\t")[0].endswith("good.jpg") and len(said.out.splitlines()) == 1, said
        (row,) = csv.DictReader(table.open())
        assert row["class"] == "top" and abs(float(row["top"]) + float(row["left"]) - 1) < 1e-6, row
        assert float(row["probability"]) == float(row["top"]), row
    bench.run("predict", bench.model, odd / "nothing.jpg").refused("nothing.jpg")
    bench.run("predict", bench.model, odd / "empty.png", named[1], bench.base / "top" / "1.jpg").says("1 of 3")


@case
def an_array_of_one_picture_is_one_picture(bench):
    image = Image.open(bench.base / "top" / "0.jpg")
    image.save(bench.folder / "same.bmp")
    np.save(bench.folder / "same.npy", np.array(image))
    os.replace(bench.folder / "same.npy", bench.folder / "SAME.NPY")
    said = bench.run("predict", bench.model, bench.folder / "same.bmp", bench.folder / "SAME.NPY", bench.inputs / "one_picture.npy", "--json")
    one, same, other = said.succeeds().json["predictions"]
    assert one["logits"] == same["logits"] and same["input"].endswith("SAME.NPY") and other["input"].endswith("one_picture.npy"), said


def samples(rng, size):
    """Pictures as files, their names, and how far their values may be from Pillow's at most and on average (of 255)."""
    # One step of rounding in each of luma and blue makes up to three in blue.
    exact, near, mean = (0, 0), (3, 0.1), (255, 1)
    exif = lambda o: {"exif": oriented(o)} if o else {}
    for i, o in enumerate([0, 1, 2, 3, 4, 5, 6, 7, 8] * 2):
        own = size if o < 5 else size[::-1]
        rgb = Image.fromarray(noise(rng, own, 3))
        for sub, limit in [(0, near), (1, mean), (2, mean)]:
            for progressive in (False, True):
                settings = dict(subsampling=sub, progressive=progressive, quality=int(rng.integers(80, 96)), **exif(o))
                yield f"{i}-{sub}-{progressive}.jpg", encoded(rgb, "JPEG", **settings), limit
        yield f"{i}.png", encoded(rgb, "PNG", **exif(o)), exact
        yield f"{i}.webp", encoded(rgb, "WEBP", lossless=True, **exif(o)), exact
        yield f"{i}.tif", encoded(rgb, "TIFF", **exif(o)), exact
    alpha = Image.fromarray(noise(rng, size, 4))
    for i in range(4):
        grey, rgb = Image.fromarray(noise(rng, size)), Image.fromarray(noise(rng, size, 3))
        for mode in ("1", "L", "P", "RGB"):
            one = (rgb if mode == "P" else grey).convert(mode)
            yield f"{i}-{mode}.png", encoded(one, "PNG"), exact
            yield f"{i}-{mode}.bmp", encoded(one, "BMP"), exact
            if mode != "P":
                yield f"{i}-{mode}-lzw.tif", encoded(one, "TIFF", compression="tiff_lzw"), exact
        yield f"{i}-few.png", encoded(rgb.quantize(4), "PNG", bits=2), exact
        yield f"{i}.gif", encoded(rgb, "GIF"), exact
        yield f"{i}-clear.gif", encoded(rgb.quantize(16), "GIF", transparency=i), exact
        yield f"{i}-LA.png", encoded(alpha.convert("LA"), "PNG"), exact
        yield f"{i}-RGBA.png", encoded(alpha, "PNG"), exact
        yield f"{i}-RGBA.webp", encoded(alpha, "WEBP", lossless=True, exact=True), exact
        yield f"{i}-RGBA.tif", encoded(alpha, "TIFF"), exact
        yield f"{i}-lossy.webp", encoded(rgb, "WEBP", quality=90), mean
        yield f"{i}-L.jpg", encoded(grey, "JPEG", quality=90), near
        yield f"{i}-CMYK.jpg", encoded(rgb.convert("CMYK"), "JPEG", quality=95, subsampling=0), near
        yield f"{i}-CMYK.tif", encoded(rgb.convert("CMYK"), "TIFF"), near
        deep = noise(rng, size, top=int(rng.choice([400, 4096, 65536])), kind="uint16")
        for kind in ("PNG", "TIFF"):
            yield f"{i}-deep.{kind.lower()}", encoded(Image.fromarray(deep), kind), exact


def oriented(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@case
def decoded_values_are_pillows(bench):
    rng, size, root = np.random.default_rng(11), (40, 56), bench.folder / "samples"
    limits = {}
    for part in ("deep/train/a", "deep/test/a", "plain/train/a", "plain/test/a"):
        (root / part).mkdir(parents=True)
    for name, file, limit in samples(rng, size):
        limits[name] = limit
        (root / "deep/train/a" / name).write_bytes(file)
        if "deep" not in name:
            (root / "plain/train/a" / name).write_bytes(file)
    for kind in ("deep", "plain"):
        shutil.copy(root / kind / "train/a/0.png", root / kind / "test/a")
        names = sorted((p.name for p in (root / kind / "train/a").iterdir()), key=str.encode)
        bench.run("data", "convert", "folder", "--data-dir", root / kind, "--output", root / f"{kind}.npz").succeeds()
        found = np.load(root / f"{kind}.npz")["x_train"]
        # Bytes stay bytes where no picture has more.
        assert found.dtype == ("float32" if kind == "deep" else "uint8") and len(found) == len(names) >= 190, (found.shape, found.dtype)
        wrong, worst = [], {}
        for name, values in zip(names, found):
            with Image.open(root / kind / "train/a" / name) as image:
                image = ImageOps.exif_transpose(image)
                if "deep" in name:
                    expected = np.array(image).astype("f8")[..., None].repeat(3, -1) / 65535 * 255
                else:
                    expected = np.array(image.convert("RGB")).astype("f8")
            off = np.abs(values - expected) if values.shape == expected.shape else np.array([np.inf])
            most, mean = limits[name]
            kind_of = name.split("-", 1)[-1]
            worst[kind_of] = max(worst.get(kind_of, (0, 0)), (off.max(), off.mean()))
            if off.max() > most + 1e-4 or off.mean() > mean + 1e-4:
                wrong.append(f"{name}: {off.max():.1f} at most, {off.mean():.2f} on average")
        assert not wrong, f"{len(wrong)} of {len(names)}: {'; '.join(wrong[:30])}"
    # How far JPEG's halved colours are off at most: there is no one right way to enlarge them.
    print("     at most of 255:", ", ".join(f"{k} {v[0]:.0f} (mean {v[1]:.2f})" for k, v in worst.items() if v[0] > 2))
