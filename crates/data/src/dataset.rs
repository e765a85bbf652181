//! Labelled images to train and to test on.

use crate::answers::Wanted;
use crate::error::{DatasetError, Error, Result};
use crate::image_set::{ImageSet, Pixels};
use crate::split::{Division, sample};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A data set with its normalisation.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Images to train on.
    pub train: Arc<ImageSet>,
    /// Images to test on.
    pub test: Arc<ImageSet>,
    /// What the classes are called, in the order of their numbers; where answers are no classes: the outputs.
    pub class_names: Vec<String>,
    /// (value − mean)/std per channel, on the files' own scale, taken over all training images; empty where samples are taken as they are.
    pub normalisation: Normalisation,
    /// What was left out, converted or assumed when the files were read, a line each. Settings stand in backquotes.
    pub notes: Vec<String>,
}

/// Mean and standard deviation per channel, on the files' own scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// Mean per channel.
    pub mean: Vec<f64>,
    /// Standard deviation per channel.
    pub std: Vec<f64>,
}

impl Normalisation {
    /// The same where values are `factor` times as large.
    #[must_use]
    pub fn times(&self, factor: f64) -> Self {
        let times = |values: &[f64]| values.iter().map(|v| v * factor).collect();
        Normalisation { mean: times(&self.mean), std: times(&self.std) }
    }
}

impl Dataset {
    /// A data set of these images and classes; the normalisation is that of the training images.
    ///
    /// # Errors
    /// When a set is empty, its values do not fit its size and its labels, a label is no class's number, a value is not finite, or the two
    /// sets differ in their channels.
    pub fn new(
        train: impl Into<Arc<ImageSet>>,
        test: impl Into<Arc<ImageSet>>,
        class_names: Vec<String>,
    ) -> std::result::Result<Self, DatasetError> {
        let (train, test) = (train.into(), test.into());
        for (part, set) in [("training", &train), ("test", &test)] {
            let fault = set.fault(class_names.len());
            fault.map_or(Ok(()), |reason| Err(DatasetError { part, reason }))?;
        }
        if train.size.2 != test.size.2 {
            let reason =
                format!("they are {}, the training images {}", test.spelled_size(), train.spelled_size());
            return Err(DatasetError { part: "test", reason });
        }
        let (mean, std) = match train.as_is {
            None => train.images.moments(train.size.2),
            Some(_) => Default::default(),
        };
        let normalisation = Normalisation { mean, std };
        Ok(Dataset { train, test, class_names, normalisation, notes: Vec::new() })
    }

    /// All images are both training and test images: they came in one part and none were set aside.
    pub fn is_whole(&self) -> bool {
        Arc::ptr_eq(&self.train, &self.test)
    }

    /// All images, each once.
    pub fn all(&self) -> Arc<ImageSet> {
        if self.is_whole() { self.test.clone() } else { Arc::new(self.train.with(&self.test)) }
    }

    /// Every sample has a class.
    pub fn has_labels(&self) -> bool {
        self.train.wanted == Wanted::Labels
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.class_names.len()
    }

    /// The CRC-32 of all images and labels, which tells them from others.
    pub fn crc32(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        fn add(crc: &mut crc32fast::Hasher, values: &Pixels) {
            match values {
                Pixels::Bytes(v) => crc.update(v),
                Pixels::Floats(v) => v.iter().for_each(|v| crc.update(&v.to_le_bytes())),
            }
        }
        for set in [&self.train, &self.test] {
            add(&mut crc, &set.images);
            set.labels.iter().for_each(|l| crc.update(&l.to_le_bytes()));
            set.more.iter().for_each(|column| add(&mut crc, &column.values));
            match &set.wanted {
                Wanted::Classes { classes, .. } => classes.iter().for_each(|c| crc.update(&c.to_le_bytes())),
                Wanted::Values(column) => add(&mut crc, &column.values),
                Wanted::Labels | Wanted::Nothing => (),
            }
        }
        crc.finalize()
    }

    /// Leaves of the training images those that `division` trains on, and returns those that it holds out.
    ///
    /// # Errors
    /// As [`Division::numbers`]; when samples per class are asked for, and have none.
    pub fn divide(&mut self, division: &Division) -> Result<Arc<ImageSet>> {
        if let (Some(count), false) = (division.labels, self.has_labels()) {
            let reason = "is of samples per class, and these have none; leave it out";
            return Err(Error::setting("labels", Some(&count.to_string()), reason));
        }
        let (train, held_out) = division.numbers(&self.train.labels, &self.class_names)?;
        let held_out = Arc::new(self.train.select(&held_out));
        if train.len() < self.train.len() {
            self.train = Arc::new(self.train.select(&train));
        }
        Ok(held_out)
    }

    /// The images of `set`, one of this data set's, that a run with `--eval-images count` evaluates on, and their numbers in it.
    pub fn evaluated(&self, set: &Arc<ImageSet>, count: Option<usize>) -> (Arc<ImageSet>, Vec<usize>) {
        let numbers = sample(&set.labels, (0..set.len()).collect(), self.classes(), count);
        let all = numbers.len() == set.len();
        (if all { set.clone() } else { Arc::new(set.select(&numbers)) }, numbers)
    }
}

#[test]
fn images_and_labels_that_make_no_data_set_are_refused() {
    let set = || ImageSet::new((2, 2, 1), Pixels::Floats(vec![0.5; 12]), vec![0, 1, 1]);
    let refusal = |change: &dyn Fn(&mut ImageSet)| {
        let mut other = set();
        change(&mut other);
        let of = |train: ImageSet, test: ImageSet| {
            Dataset::new(train, test, vec!["a".into(), "b".into()])
                .err()
                .map_or("nothing".into(), |e| e.to_string())
        };
        [of(other.clone(), set()), of(set(), other)]
    };
    assert_eq!(refusal(&|_| ()), ["nothing", "nothing"]);
    type Change = dyn Fn(&mut ImageSet);
    let rows: [(&Change, &str); 7] = [
        (&|s| s.labels[2] = 2, "image 2 has label 2, and there are 2 classes"),
        (&|s| s.labels.truncate(2), "12 values for 2 images of 2×2×1"),
        (&|s| s.images = Pixels::Bytes(vec![0; 11]), "11 values for 3 images of 2×2×1"),
        (
            &|s| s.images = Pixels::Floats([vec![0.0; 7], vec![f32::NAN; 5]].concat()),
            "image 1 has a value that is not finite",
        ),
        (&|s| (s.size, s.images) = ((2, 0, 1), Pixels::Bytes(vec![])), "their size is 2×0×1"),
        (&|s| (s.labels, s.images) = (vec![], Pixels::Bytes(vec![])), "there are none"),
        (&|s| s.size = (usize::MAX, 2, 3), "12 values for 3 images of "),
    ];
    for (change, reason) in rows {
        let [train, test] = refusal(change);
        assert!(train.starts_with("the training images: ") && train.contains(reason), "{train}");
        assert!(test.starts_with("the test images: ") && test.contains(reason), "{test}");
    }
    let colour = ImageSet::new((2, 1, 3), Pixels::Bytes(vec![0; 6]), vec![1]);
    let e = Dataset::new(set(), colour, vec!["a".into(), "b".into()]).unwrap_err().to_string();
    assert_eq!(e, "the test images: they are 2×1×3, the training images 2×2×1");
}
