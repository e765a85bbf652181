//! What an adaptation begins with, made of its settings: the network, its optimizer and the images.

use crate::config::AdaptArgs;
use crate::error::Result;
use crate::model_source::Images;
use sph_data::Division;
use sph_optim::Optimizer;
use sph_tensor::Pool;
use sph_train::adaptation::{AdaptData, AdaptationImages, EvalOn, ImageChoice};
use sph_train::{LoadedModel, Objective, TrainingOverlap};

/// An adaptation that can begin.
pub struct AdaptationSetup {
    /// What is known about the network, with its data set.
    pub network: LoadedModel,
    /// Its loss on the images that are adapted to, with what is not trained frozen.
    pub objective: Objective<f32>,
    /// What takes the steps.
    pub optimizer: Optimizer<f32>,
    /// Which images are adapted to, and which are evaluated on.
    pub images: AdaptationImages,
    /// What a user should know of it, a line each.
    pub notes: Vec<String>,
}

impl AdaptationSetup {
    /// The setup of these settings, which are resolved. What cannot begin is found out here: nothing is corrupted or trained yet.
    ///
    /// # Errors
    /// When the network, the data and the settings do not fit each other: there are no images, or fewer than are asked for; the network was
    /// trained on those that are to judge it; a batch is too small for BatchNorm.
    pub fn new(args: &AdaptArgs) -> Result<Self> {
        let network = args.source.find(Some(&args.checkpoint), Images::Parts)?;
        let (mut objective, notes) = network.objective(&Pool::new(), args.seed)?;
        objective.loss = args.loss()?;
        let frozen = args.optimizer.freeze(&mut objective.store)?;
        let optimizer = args.optimizer.build(objective.store.specs(), args.seed)?;
        let choice = ImageChoice {
            adapt_on: args.adapt_on,
            eval_on: args.eval_on,
            division: Division {
                val_split: args.val_split.unwrap_or(network.division.val_split),
                labels: args.labels,
                seed: args.seed,
            },
            keep_split: args.keep_split.unwrap_or(0.0),
            eval_images: args.eval_images,
            batch_size: args.batch_size,
            corruption: args.corrupt.map(|c| (c, args.corrupt_seed.unwrap_or(AdaptArgs::CORRUPT_SEED))),
        };
        let images = AdaptationImages::choose(&network, &args.checkpoint, &choice)?;
        objective.curvature_fraction = args.optimizer.curvature_batch_in_adaptation(images.batch_size)?;
        let mut notes: Vec<String> = notes.into_iter().chain(network.notes.clone()).chain(frozen).collect();
        if args.eval_on == EvalOn::Validation && network.overlap == TrainingOverlap::Unknown {
            let path = args.checkpoint.display();
            let folder = if network.is_ours { "; its run's folder does" } else { "" };
            notes.push(format!(
                "{path} does not tell what it was trained on, maybe on these images, too{folder}"
            ));
        }
        if args.keep_split.is_some() && images.held_out() == 0 {
            notes.push(
                "no class has enough labelled images to hold one out, so the last point is kept, unchecked; raise --labels or \
                 --keep-split"
                    .into(),
            );
        }
        notes.extend(images.check(network.data()?, &objective)?);
        Ok(AdaptationSetup { network, objective, optimizer, images, notes })
    }

    /// The images themselves.
    ///
    /// # Errors
    /// When the data set was not read.
    pub fn data(&self) -> Result<AdaptData> {
        Ok(self.images.take(self.network.data()?))
    }
}
