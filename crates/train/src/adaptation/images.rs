//! Which images a network is adapted to, and which ones judge it.

use super::adapt::AdaptData;
use crate::error::{Error, Result};
use crate::few_images;
use crate::loaded_model::{LoadedModel, TrainingOverlap};
use crate::objective::Objective;
use serde::Serialize;
use sph_data::corrupt::{Corruption, Corruptor, Range};
use sph_data::loader::Source;
use sph_data::{Dataset, Division, ImageSet, Normalisation, part_of_each_class, sample};
use sph_nn::{NormStatistics, Real};
use std::path::Path;
use std::sync::Arc;

/// Images to adapt to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AdaptOn {
    /// Training images.
    Train,
    /// Test images, without their labels.
    Test,
}

impl AdaptOn {
    /// Names, values, and what each is.
    pub const ALL: [(&'static str, Self, &'static str); 2] = [
        ("train", Self::Train, "Training images"),
        ("test", Self::Test, "Test images, without their labels"),
    ];
}

/// Images to evaluate on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EvalOn {
    /// Test images.
    Test,
    /// Training images that were held out.
    Validation,
}

impl EvalOn {
    /// Names, values, and what each is.
    pub const ALL: [(&'static str, Self, &'static str); 2] = [
        ("test", Self::Test, "Test images"),
        ("validation", Self::Validation, "Training images that were held out"),
    ];
}

/// The images of an adaptation as they are asked for.
#[derive(Debug, Clone, Copy)]
pub struct ImageChoice {
    /// What is adapted to.
    pub adapt_on: AdaptOn,
    /// What is evaluated on.
    pub eval_on: EvalOn,
    /// How the training images are divided: those that are not held out are adapted to.
    pub division: Division,
    /// The part of them whose labels choose among the points, instead of being adapted to; never all of a class. 0 for none.
    pub keep_split: f64,
    /// Evaluate on so many images; on all where it is `None`.
    pub eval_images: Option<usize>,
    /// Images per batch, or all where there are fewer.
    pub batch_size: usize,
    /// What all images are corrupted by, and the seed of that.
    pub corruption: Option<(Corruption, u64)>,
}

/// The images of an adaptation, chosen but not corrupted yet.
pub struct AdaptationImages {
    /// Images in a batch: those asked for, or all where there are fewer.
    pub batch_size: usize,
    adapt: Numbers,
    evaluate: Numbers,
    held_out: Numbers,
    normalisation: Normalisation,
    classes: usize,
    corruptor: Option<Corruptor>,
}

/// Some images of a part of a data set.
struct Numbers {
    of_test: bool,
    numbers: Vec<usize>,
}

impl Numbers {
    /// The part, and how many images of the whole stand before it.
    fn part<'a>(&self, data: &'a Dataset) -> (&'a ImageSet, usize) {
        match self.of_test {
            true => (&data.test, data.train.len()),
            false => (&data.train, 0),
        }
    }
}

impl AdaptationImages {
    /// The images for the adaptation of `network`, the model at `path`.
    ///
    /// # Errors
    /// When there are none, or fewer than are asked for, or the network was trained on those that are to judge it.
    pub fn choose(network: &LoadedModel, path: &Path, choice: &ImageChoice) -> Result<Self> {
        let (data, val_split) = (network.data()?, choice.division.val_split);
        match network.overlap {
            TrainingOverlap::AllBut(held_out)
                if choice.eval_on == EvalOn::Validation && val_split > held_out =>
            {
                return Err(Error::TrainedOn { network: path.to_path_buf(), val_split, held_out });
            }
            _ => (),
        }
        if !data.has_labels() {
            return Err(Error::NoClasses);
        }
        let (labelled, held_out) = choice.division.numbers(&data.train.labels, &data.class_names)?;
        let all_test: Vec<usize> = (0..data.test.len()).collect();
        let adapt_to = match choice.adapt_on {
            AdaptOn::Test => all_test.clone(),
            AdaptOn::Train => labelled,
        };
        let (labels, evaluate_on) = match choice.eval_on {
            EvalOn::Test => (&data.test.labels, all_test),
            EvalOn::Validation => (&data.train.labels, held_out),
        };
        for (setting, numbers) in [("adapt-on", &adapt_to), ("eval-on", &evaluate_on)] {
            if numbers.is_empty() {
                return Err(Error::NoImages { setting, val_split });
            }
        }
        let (adapt_to, choose_on) = match choice.keep_split > 0.0 {
            true => part_of_each_class(&data.train.labels, &adapt_to, data.classes(), choice.keep_split),
            false => (adapt_to, Vec::new()),
        };
        let evaluate_on = sample(labels, evaluate_on, data.classes(), choice.eval_images);
        let corruptor = |(corruption, seed)| {
            let range = Range::of(&data.train)?;
            Ok::<_, Error>(Corruptor { corruption, range, seed })
        };
        Ok(AdaptationImages {
            batch_size: choice.batch_size.min(adapt_to.len()),
            adapt: Numbers { of_test: choice.adapt_on == AdaptOn::Test, numbers: adapt_to },
            evaluate: Numbers { of_test: choice.eval_on == EvalOn::Test, numbers: evaluate_on },
            held_out: Numbers { of_test: false, numbers: choose_on },
            normalisation: network.info.normalisation.clone(),
            classes: network.info.class_names.len(),
            corruptor: choice.corruption.map(corruptor).transpose()?,
        })
    }

    /// How many images choose among the points by their labels.
    pub fn held_out(&self) -> usize {
        self.held_out.numbers.len()
    }

    fn source(&self, set: ImageSet, batch_size: usize) -> Source {
        Source { set: Arc::new(set), normalisation: self.normalisation.clone(), batch_size }
    }

    /// Finds out whether `objective` takes batches of them: BatchNorm takes the statistics of a batch, and of the part of it that curvature
    /// is taken on. Says what a user should know of it; settings stand in backquotes.
    ///
    /// # Errors
    /// When it does not.
    pub fn check<T: Real>(&self, data: &Dataset, objective: &Objective<T>) -> Result<Option<String>> {
        let smallest = objective.curved(self.batch_size).min(2);
        let (set, _) = self.adapt.part(data);
        let source = self.source(set.select(&self.adapt.numbers[..smallest]), smallest);
        let batch = source.batch(objective.pool(), &(0..smallest).collect::<Vec<_>>(), None);
        objective.recalibrated(NormStatistics::Batch, std::iter::once(batch))?;
        Ok(few_images::caution(objective, &source, self.batch_size))
    }

    /// The images themselves, of the data set that they were chosen from, corrupted where that is asked for.
    pub fn take(&self, data: &Dataset) -> AdaptData {
        let source = |of: &Numbers, batch_size: usize| {
            let (set, first) = of.part(data);
            let set = match &self.corruptor {
                Some(corruptor) => corruptor.images(set, &of.numbers, first),
                None => set.select(&of.numbers),
            };
            self.source(set, batch_size)
        };
        /// Images evaluated at a time.
        const EVALUATED: usize = 256;
        AdaptData {
            adapt: source(&self.adapt, self.batch_size),
            evaluate: source(&self.evaluate, EVALUATED),
            held_out: (self.held_out() > 0).then(|| source(&self.held_out, EVALUATED)),
            classes: self.classes,
        }
    }
}
