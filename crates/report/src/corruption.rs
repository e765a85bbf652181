//! What corruptions look like: pictures of a data set's first test images, as they were and corrupted.

use crate::error::{Error, Result};
use image::{Rgb, RgbImage};
use sph_data::corrupt::{CORRUPTIONS, Corruption, CorruptionRow, Corruptor, Range, SEVERITIES};
use sph_data::{DataOptions, Dataset};
use sph_train::compare::NOTHING;

/// A table of pictures.
#[derive(Debug, Clone)]
pub struct Sheet {
    /// What it shows.
    pub title: String,
    /// Which images, and by which random numbers they were corrupted.
    pub note: String,
    /// What stands above the rows' names, then above each column of pictures.
    pub heads: Vec<String>,
    /// Its rows; all have as many pictures, of one size.
    pub rows: Vec<SheetRow>,
}

/// One corruption's pictures.
#[derive(Debug, Clone)]
pub struct SheetRow {
    /// Its name.
    pub name: String,
    /// What it does.
    pub about: &'static str,
    /// A picture for each column.
    pub pictures: Vec<RgbImage>,
}

/// Every corruption: for each of the first `images` test images a column as it was, and one by severity.
///
/// # Errors
/// When they are no images, or have another number of channels than 1 or 3.
pub fn of_all(dataset: &str, data: &Dataset, images: usize, seed: u64) -> Result<Sheet> {
    let camera = Camera::new(data, seed)?;
    let images = images.min(data.test.len());
    let of_image = |row: &'static CorruptionRow, number: usize| {
        let corrupted = (1..=SEVERITIES).map(move |severity| Corruption { row, severity });
        let corrupted = corrupted.map(|c| camera.corrupted(c, number)).collect::<Vec<_>>();
        [vec![camera.as_it_was(number)], corrupted].concat()
    };
    let row = |row: &'static CorruptionRow| SheetRow {
        name: row.name.into(),
        about: row.about,
        pictures: (0..images).flat_map(|number| of_image(row, number)).collect(),
    };
    let severities = (1..=SEVERITIES).map(|severity| severity.to_string());
    let heads: Vec<String> = std::iter::once("as it was".into()).chain(severities).collect();
    Ok(Sheet {
        title: format!("Corruptions of {dataset}"),
        note: format!(
            "The first {images} test images, as they were and by severity from 1 to {SEVERITIES}; seed {seed}."
        ),
        heads: [vec!["severity".into()], vec![heads; images].concat()].concat(),
        rows: CORRUPTIONS.iter().map(row).collect(),
    })
}

/// Test images of a comparison's sheet.
const SHOWN: usize = 6;

/// Images as the runs of a comparison read and corrupt them.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The data set's name.
    pub dataset: String,
    /// How it is read.
    pub options: DataOptions,
    /// The seed of corruptions.
    pub seed: u64,
}

impl Reading {
    /// Some of these corruptions: a row with the images as they were, then one for each.
    ///
    /// # Errors
    /// When the images cannot be read, or have another number of channels than 1 or 3.
    pub fn sheet(&self, corruptions: &[Corruption]) -> Result<Sheet> {
        let Reading { dataset, options, seed } = self;
        let data = sph_data::load(dataset, options)?;
        let camera = Camera::new(&data, *seed)?;
        let images = SHOWN.min(data.test.len());
        let clean = SheetRow {
            name: NOTHING.into(),
            about: "as they were",
            pictures: (0..images).map(|number| camera.as_it_was(number)).collect(),
        };
        let row = |c: &Corruption| SheetRow {
            name: c.to_string(),
            about: c.row.about,
            pictures: (0..images).map(|number| camera.corrupted(*c, number)).collect(),
        };
        let class = |number: usize| data.class_names[data.test.labels[number] as usize].clone();
        let path = options.data_dir.as_deref().map_or(String::new(), |path| format!(" ({})", path.display()));
        Ok(Sheet {
            title: format!("Corruptions of {dataset}{path}"),
            note: format!(
                "The first {images} test images, as they were and as the runs see them; seed {seed} of the corruption."
            ),
            heads: std::iter::once("class".into()).chain((0..images).map(class)).collect(),
            rows: std::iter::once(clean).chain(corruptions.iter().map(row)).collect(),
        })
    }
}

/// Takes pictures of test images.
struct Camera<'a> {
    data: &'a Dataset,
    range: Range,
    seed: u64,
}

impl<'a> Camera<'a> {
    fn new(data: &'a Dataset, seed: u64) -> Result<Self> {
        let channels = data.test.size.2;
        if channels != 1 && channels != 3 {
            return Err(Error::Channels(channels));
        }
        Ok(Camera { data, range: Range::of(&data.train)?, seed })
    }

    fn as_it_was(&self, number: usize) -> RgbImage {
        let (set, Range { black, white }) = (&self.data.test, self.range);
        let values = set.images.numbers(&[number], set.image_len());
        self.picture(values.iter().map(|v| (v - black) / (white - black)))
    }

    fn corrupted(&self, corruption: Corruption, number: usize) -> RgbImage {
        let Camera { data, range, seed } = *self;
        let corruptor = Corruptor { corruption, range, seed };
        let after = corruptor.picture(&data.test, number, (data.train.len() + number) as u64);
        self.picture(after.values.into_iter())
    }

    /// Values from 0 to 1.
    fn picture(&self, values: impl Iterator<Item = f64>) -> RgbImage {
        let (h, w, channels) = self.data.test.size;
        let bytes: Vec<u8> = values.map(|v| (255.0 * v.clamp(0.0, 1.0)).round() as u8).collect();
        RgbImage::from_fn(w as u32, h as u32, |x, y| {
            let at = (y as usize * w + x as usize) * channels;
            Rgb([0, 1, 2].map(|i| bytes[at + i % channels]))
        })
    }
}
