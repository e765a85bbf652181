#!/usr/bin/env python3
"""Writes small inputs as people have them; the modules beside this one say what is right for each.

    python3 tools/cases/make.py DIR [MODEL.safetensors]

Needs Pillow and numpy; safetensors for the state files, which are made from a model file.
"""

import io, os, shutil, struct, sys, zipfile

import numpy as np
from PIL import Image

rng = np.random.default_rng(7)


def scene(kind, i, size=32):
    """A bright half on the side that names the class: top or left."""
    a = rng.integers(0, 60, (size, size, 3))
    half = size // 2
    if kind == "top":
        a[:half] += 150 + i % 20
    else:
        a[:, :half] += 150 + i % 20
    return Image.fromarray(a.clip(0, 255).astype("uint8"))


def folder(root, classes, n, save, parts=("",)):
    for part in parts:
        for c in classes:
            d = os.path.join(root, part, c)
            os.makedirs(d, exist_ok=True)
            for i in range(n):
                save(d, c, i)


def jpg(d, c, i):
    scene("top" if c in ("top", "a", "1") else "left", i).save(f"{d}/{i}.jpg", quality=95)


def pictures(out):
    folder(f"{out}/base", ["top", "left"], 20, jpg)
    whole = io.BytesIO(); scene("top", 1, 256).save(whole, "JPEG", quality=95)
    open(f"{out}/cut.jpg", "wb").write(whole.getvalue()[: len(whole.getvalue()) // 10])
    shutil.copytree(f"{out}/base", f"{out}/cut"); shutil.copy(f"{out}/cut.jpg", f"{out}/cut/top/3.jpg")
    exif = Image.Exif(); exif[0x0112] = 6
    scene("top", 2).transpose(Image.ROTATE_90).save(f"{out}/turned.jpg", exif=exif, quality=95)  # shows "top" when orientation is applied

    def grey16(d, c, i):
        level = 300 if c == "dim" else 360
        Image.fromarray((level + rng.integers(-20, 20, (16, 16))).astype("uint16")).save(f"{d}/{i}.png")
    folder(f"{out}/grey16", ["dim", "lit"], 30, grey16)

    folder(f"{out}/endings", ["top", "left"], 6, jpg)
    for i, (ending, kind) in enumerate([("bmp", "BMP"), ("webp", "WEBP"), ("tif", "TIFF"), ("gif", "GIF"), ("jfif", "JPEG"), ("JPEG", "JPEG")]):
        scene("top", i).save(f"{out}/endings/top/{ending}{i}.{ending}", kind)
    os.makedirs(f"{out}/endings/top/more"); scene("top", 9).save(f"{out}/endings/top/more/deep.png")

    folder(f"{out}/flat_test", ["top", "left"], 8, jpg, ("train", "val"))
    os.makedirs(f"{out}/flat_test/test"); scene("top", 0).save(f"{out}/flat_test/test/unlabelled.jpg")
    folder(f"{out}/mac", ["top", "left"], 8, jpg); os.makedirs(f"{out}/mac/__MACOSX"); open(f"{out}/mac/__MACOSX/._x", "wb").write(b"\0")
    folder(f"{out}/one_class_test", ["top"], 8, jpg)
    folder(f"{out}/odd/a", ["."], 0, jpg)
    scene("top", 0).save(f"{out}/odd/a/good.jpg"); open(f"{out}/odd/a/page.jpg", "w").write("<html>not found</html>"); open(f"{out}/odd/a/empty.png", "wb")
    # Classes 1, 2 and 10, natural order in the arrays, lexicographic order in the folder.
    x, y = [], []
    for k, c in enumerate(["1", "2", "10"]):
        os.makedirs(f"{out}/numbered/{c}")
        for i in range(20):
            a = rng.integers(0, 40, (12, 12, 3)); a[:, :, k] += 180; x.append(a); y.append(k)
            Image.fromarray(a.astype("uint8")).save(f"{out}/numbered/{c}/{i}.png")
    np.savez(f"{out}/numbered.npz", x=np.array(x, "uint8"), y=np.array(y), class_names=np.array(["1", "2", "10"]))


def arrays(out):
    x, y = rng.integers(0, 255, (64, 8, 8)).astype("uint8"), np.arange(64) % 2
    save = lambda name, **k: np.savez(f"{out}/{name}.npz", **k)
    save("from_one", x=x, y=y + 1); save("one_class", x=x, y=np.zeros(64, int)); save("half", x=(x / 255).astype("f2"), y=y)
    save("big_endian", x=(x / 255).astype(">f4"), y=y.astype(">i8")); save("one_hot", x=x, y=np.eye(2)[y]); save("float_labels", x=x, y=y.astype("f4"))
    save("capitals", X=x, Y=y); save("with_val", x_train=x, y_train=y, x_test=x, y_test=y, val_images=x, val_labels=y)
    np.save(f"{out}/one_picture.npy", rng.integers(0, 255, (16, 16, 3)).astype("uint8"))
    head = "{'descr': '|u1', 'fortran_order': False, 'shape': (64L, 8L, 8L), }"; head += " " * (-(len(head) + 11) % 64) + "\n"
    old = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + x.tobytes(); label = io.BytesIO(); np.save(label, y)
    with zipfile.ZipFile(f"{out}/python2.npz", "w") as z:
        z.writestr("x.npy", old); z.writestr("y.npy", label.getvalue())


def idx(out):
    """MNIST-like files with 26 letters, and names with a dot."""
    for name, classes, dot in [("letters", 26, False), ("dotted", 10, True)]:
        os.makedirs(f"{out}/{name}")
        for part, n in [("train", 130), ("t10k", 52)]:
            sep = "." if dot else "-"
            open(f"{out}/{name}/{part}-images{sep}idx3-ubyte", "wb").write(struct.pack(">IIII", 2051, n, 28, 28) + rng.integers(0, 255, n * 784).astype("uint8").tobytes())
            open(f"{out}/{name}/{part}-labels{sep}idx1-ubyte", "wb").write(struct.pack(">II", 2049, n) + (np.arange(n) % classes + (classes == 26)).astype("uint8").tobytes())


def states(out, model):
    from safetensors.numpy import load_file, save_file
    d = load_file(model); save = lambda name, t: save_file({k: np.asarray(v, order="C") for k, v in t.items()}, f"{out}/{name}.safetensors")
    save("foreign", d); save("no_counter", {k: v for k, v in d.items() if not k.endswith("num_batches_tracked")})
    save("counter_i32", {k: v.astype("i4").reshape(1) if k.endswith("num_batches_tracked") else v for k, v in d.items()})
    save("f16", {k: v.astype("f2") if v.dtype.kind == "f" else v for k, v in d.items()})
    save("data_parallel", {"module." + k: v for k, v in d.items()}); save("compiled", {"_orig_mod." + k: v for k, v in d.items()})
    save("profiled", {**d, "total_ops": np.zeros(1), "conv1.total_params": np.zeros(1)})


def main(out, model=None):
    shutil.rmtree(out, ignore_errors=True); os.makedirs(out)
    out = str(out)
    pictures(out); arrays(out); idx(out)
    if model:
        states(out, model)


if __name__ == "__main__":
    main(*sys.argv[1:])
