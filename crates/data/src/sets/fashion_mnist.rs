//! Fashion-MNIST (Xiao, Rasul and Vollgraf 2017; MIT licence) from its four IDX files, gzipped or not, in the folder
//! given, where `sph data fetch` puts them, or where Debian's package `dataset-fashion-mnist` does.

use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::fetch;
use crate::formats::idx;
use crate::image_set::{ImageSet, Pixels};
use crate::options::DataOptions;
use std::path::{Path, PathBuf};

const CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];
const DEBIAN: &str = "/usr/share/datasets/fashion-mnist";

pub(super) fn load(options: &DataOptions) -> Result<Dataset> {
    let dir = match &options.data_dir {
        Some(dir) => dir.clone(),
        None => fetch::cache("fashion-mnist").ok().filter(|d| d.is_dir()).unwrap_or(DEBIAN.into()),
    };
    let train = read(&dir, "train")?;
    let test = read(&dir, "t10k")?;
    if train.size != test.size {
        let reason = format!("test images are {:?}, training images {:?}", test.size, train.size);
        return Err(Error::file(&dir, reason));
    }
    Ok(Dataset::new(train, test, CLASSES.map(String::from).to_vec())?)
}

fn read(dir: &Path, part: &str) -> Result<ImageSet> {
    let (images_path, labels_path) =
        (find(dir, part, "images-idx3-ubyte")?, find(dir, part, "labels-idx1-ubyte")?);
    let (images, labels) = (idx::read(&images_path)?, idx::read(&labels_path)?);
    let &[n, h, w] = &images.dims[..] else {
        return Err(Error::file(
            &images_path,
            format!("images have dimensions {:?}, [N, H, W] is expected", images.dims),
        ));
    };
    if n == 0 || h == 0 || w == 0 {
        return Err(Error::file(&images_path, format!("no images in it (dimensions {:?})", images.dims)));
    }
    if labels.dims != [n] {
        let reason = format!("labels have dimensions {:?} for {n} images", labels.dims);
        return Err(Error::file(&labels_path, reason));
    }
    if let Some(label) = labels.values.iter().find(|l| **l > 9) {
        return Err(Error::file(&labels_path, format!("label {label} is not a class from 0 to 9")));
    }
    Ok(ImageSet {
        size: (h, w, 1),
        images: Pixels::Bytes(images.values),
        labels: labels.values.into_iter().map(u32::from).collect(),
    })
}

fn find(dir: &Path, part: &str, kind: &str) -> Result<PathBuf> {
    let plain = dir.join(format!("{part}-{kind}"));
    let zipped = dir.join(format!("{part}-{kind}.gz"));
    [&zipped, &plain].into_iter().find(|p| p.is_file()).cloned().ok_or_else(|| {
        let hint = "not found, with .gz or without; sph data fetch fashion-mnist, install Debian's package dataset-fashion-mnist, \
                    or name the folder of the four IDX files with `data-dir`";
        Error::file(&plain, hint)
    })
}
