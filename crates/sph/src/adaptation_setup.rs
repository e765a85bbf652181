//! What an adaptation begins with, made of its settings: the network and its optimizer, then the images.

use crate::adaptation::AdaptData;
use crate::config::{AdaptArgs, AdaptOn, EvalOn};
use crate::corrupt::{Corruptor, Range};
use crate::data::loader::Source;
use crate::data::{Division, ImageSet, sample};
use crate::error::{Error, Result};
use crate::model_source::{Found, Seen};
use crate::objective::Objective;
use sph_optim::Optimizer;
use sph_tensor::Pool;
use std::sync::Arc;

/// A network that is to be adapted.
pub struct Setup {
    /// What is known about it, with its data set.
    pub found: Found,
    /// Its loss on the images that are adapted to, with what is not trained frozen.
    pub objective: Objective<f32>,
    /// What takes the steps.
    pub optimizer: Optimizer<f32>,
}

impl Setup {
    /// The setup of these settings, which are resolved.
    ///
    /// # Errors
    /// When the network, the data and the settings do not fit each other.
    pub fn new(args: &AdaptArgs) -> Result<Self> {
        let found = args.source.find(Some(&args.checkpoint), true)?;
        let mut objective: Objective<f32> = found.objective(&Pool::new(), args.seed)?;
        objective.loss = args.loss()?;
        objective.curvature_fraction = args.optimizer.curvature_batch.unwrap_or(1.0);
        args.optimizer.freeze(&mut objective.store)?;
        let optimizer = args.optimizer.build(objective.store.specs(), args.seed)?;
        Ok(Setup { found, objective, optimizer })
    }
}

/// The numbers of the images to adapt to and of those to evaluate on, each in its part of the data set.
///
/// # Errors
/// When there are none, or fewer than are asked for; when the network was trained on those that are to judge it.
pub fn parts(args: &AdaptArgs, found: &Found) -> Result<(Vec<usize>, Vec<usize>)> {
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
    let (labelled, held_out) = division.numbers(data)?;
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

/// The images to adapt to and to evaluate on, corrupted where that is asked for.
///
/// # Errors
/// As [`parts`].
pub fn images(args: &AdaptArgs, found: &Found) -> Result<AdaptData> {
    let data = found.data()?;
    let (adapt_to, evaluate_on) = parts(args, found)?;
    let eval_part = match args.eval_on {
        EvalOn::Test => AdaptOn::Test,
        EvalOn::Validation => AdaptOn::Train,
    };
    let corruptor = match args.corrupt {
        None => None,
        Some(corruption) => {
            Some(Corruptor { corruption, range: Range::of(&data.train)?, seed: args.corrupt_seed })
        }
    };
    let source = |part: AdaptOn, numbers: &[usize], batch_size: usize| {
        let (set, first): (&ImageSet, usize) = match part {
            AdaptOn::Train => (&data.train, 0),
            AdaptOn::Test => (&data.test, data.train.len()),
        };
        let set = match &corruptor {
            Some(corruptor) => corruptor.images(set, numbers, first),
            None => set.select(numbers),
        };
        Source { set: Arc::new(set), normalisation: found.info.normalisation.clone(), batch_size }
    };
    /// Images evaluated at a time.
    const EVALUATED: usize = 256;
    Ok(AdaptData {
        adapt: source(args.adapt_on, &adapt_to, args.batch_size.min(adapt_to.len())),
        evaluate: source(eval_part, &evaluate_on, EVALUATED),
        classes: found.info.class_names.len(),
    })
}
