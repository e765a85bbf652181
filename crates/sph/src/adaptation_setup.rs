//! What an adaptation begins with, made of its settings: the network, its optimizer and the images.

use crate::adaptation::AdaptData;
use crate::config::{AdaptArgs, AdaptOn, EvalOn};
use crate::error::{Error, Result};
use crate::model_source::{Found, Seen};
use crate::objective::Objective;
use sph_data::corrupt::{Corruptor, Range};
use sph_data::loader::Source;
use sph_data::{Division, ImageSet, sample};
use sph_optim::Optimizer;
use sph_tensor::Pool;
use std::sync::Arc;

/// An adaptation that can begin.
pub struct Setup {
    /// What is known about the network, with its data set.
    pub found: Found,
    /// Its loss on the images that are adapted to, with what is not trained frozen.
    pub objective: Objective<f32>,
    /// What takes the steps.
    pub optimizer: Optimizer<f32>,
    /// What a user should know of it, a line each.
    pub notes: Vec<String>,
    /// Images in a batch: those asked for, or all where there are fewer.
    pub batch_size: usize,
    /// Numbers of the images that are adapted to.
    adapt_to: Vec<usize>,
    adapt_on: AdaptOn,
    /// Numbers of the images that are evaluated on.
    evaluate_on: Vec<usize>,
    eval_on: AdaptOn,
    corruptor: Option<Corruptor>,
}

impl Setup {
    /// The setup of these settings, which are resolved. What cannot begin is found out here: nothing is corrupted or trained yet.
    ///
    /// # Errors
    /// When the network, the data and the settings do not fit each other: there are no images, or fewer than are asked for; the network was
    /// trained on those that are to judge it; a batch is too small for BatchNorm.
    pub fn new(args: &AdaptArgs) -> Result<Self> {
        let found = args.source.find(Some(&args.checkpoint), true)?;
        let mut objective: Objective<f32> = found.objective(&Pool::new(), args.seed)?;
        objective.loss = args.loss()?;
        args.optimizer.freeze(&mut objective.store)?;
        let optimizer = args.optimizer.build(objective.store.specs(), args.seed)?;
        let (adapt_to, evaluate_on) = parts(args, &found)?;
        let batch_size = args.batch_size.min(adapt_to.len());
        objective.curvature_fraction = args.optimizer.curvature_batch_in_adaptation(batch_size)?;
        let corruptor = match args.corrupt {
            None => None,
            Some(corruption) => {
                let seed = args.corrupt_seed.unwrap_or(AdaptArgs::CORRUPT_SEED);
                Some(Corruptor { corruption, range: Range::of(&found.data()?.train)?, seed })
            }
        };
        let mut notes: Vec<String> = found.note_of_classes()?.into_iter().collect();
        if args.eval_on == EvalOn::Validation && found.seen == Seen::Unknown {
            let network = args.checkpoint.display();
            let folder = if found.is_ours() { "; its run's folder does" } else { "" };
            notes.push(format!(
                "{network} does not tell what it was trained on, maybe on these images, too{folder}"
            ));
        }
        let eval_on = match args.eval_on {
            EvalOn::Test => AdaptOn::Test,
            EvalOn::Validation => AdaptOn::Train,
        };
        let setup = Setup {
            found,
            objective,
            optimizer,
            notes,
            batch_size,
            adapt_to,
            adapt_on: args.adapt_on,
            evaluate_on,
            eval_on,
            corruptor,
        };
        // BatchNorm takes the statistics of a batch, and of the part of it that curvature is taken on.
        let smallest = setup.objective.curved(batch_size).min(2);
        let (set, _) = setup.part(setup.adapt_on)?;
        let source = setup.source(set.select(&setup.adapt_to[..smallest]), smallest);
        let batch = source.batch(setup.objective.pool(), &(0..smallest).collect::<Vec<_>>(), None);
        setup.objective.recalibrated(std::iter::once(batch))?;
        Ok(setup)
    }

    /// A part of the data set, and how many images of the whole stand before it.
    fn part(&self, part: AdaptOn) -> Result<(&ImageSet, usize)> {
        let data = self.found.data()?;
        Ok(match part {
            AdaptOn::Train => (&data.train, 0),
            AdaptOn::Test => (&data.test, data.train.len()),
        })
    }

    fn source(&self, set: ImageSet, batch_size: usize) -> Source {
        Source { set: Arc::new(set), normalisation: self.found.info.normalisation.clone(), batch_size }
    }

    /// The images to adapt to and to evaluate on, corrupted where that is asked for.
    ///
    /// # Errors
    /// When the data set was not read.
    pub fn images(&self) -> Result<AdaptData> {
        let source = |part: AdaptOn, numbers: &[usize], batch_size: usize| -> Result<Source> {
            let (set, first) = self.part(part)?;
            let set = match &self.corruptor {
                Some(corruptor) => corruptor.images(set, numbers, first),
                None => set.select(numbers),
            };
            Ok(self.source(set, batch_size))
        };
        /// Images evaluated at a time.
        const EVALUATED: usize = 256;
        Ok(AdaptData {
            adapt: source(self.adapt_on, &self.adapt_to, self.batch_size)?,
            evaluate: source(self.eval_on, &self.evaluate_on, EVALUATED)?,
            classes: self.found.info.class_names.len(),
        })
    }
}

/// The numbers of the images to adapt to and of those to evaluate on, each in its part of the data set.
fn parts(args: &AdaptArgs, found: &Found) -> Result<(Vec<usize>, Vec<usize>)> {
    let data = found.data()?;
    let val_split = args.val_split.unwrap_or(found.division.val_split);
    match found.seen {
        Seen::AllBut(own) if args.eval_on == EvalOn::Validation && val_split > own => {
            let network = args.checkpoint.display();
            let lower = format!(
                "lower the fraction to {own} (of a comparison's trials with --tuning-val-split {own}), or "
            );
            return Err(Error::Config(format!(
                "--val-split {val_split}: {network} was trained on some of these images; {}train it with --val-split {val_split}",
                if own > 0.0 { &lower } else { "" }
            )));
        }
        _ => (),
    }
    let division = Division { val_split, labels: args.labels, seed: args.seed };
    let (labelled, held_out) = division.numbers(&data.train.labels, &data.class_names)?;
    let all_test: Vec<usize> = (0..data.test.len()).collect();
    let adapt_to = match args.adapt_on {
        AdaptOn::Test => all_test.clone(),
        AdaptOn::Train => labelled,
    };
    let (labels, evaluate_on) = match args.eval_on {
        EvalOn::Test => (&data.test.labels, all_test),
        EvalOn::Validation => (&data.train.labels, held_out),
    };
    for (flag, numbers) in [("adapt-on", &adapt_to), ("eval-on", &evaluate_on)] {
        if numbers.is_empty() {
            let message = format!("--{flag}: no images are left for it with --val-split {val_split}");
            return Err(Error::Config(message));
        }
    }
    let evaluate_on = sample(labels, evaluate_on, data.classes(), args.eval_images);
    Ok((adapt_to, evaluate_on))
}
