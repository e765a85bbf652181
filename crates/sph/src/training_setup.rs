//! A training, made of its settings.

use crate::config::{self, TrainArgs};
use crate::error::Result;
use crate::model_source::{fit_data, moved};
use sph_data::DataOptions;
use sph_data::sets::unit;
use sph_nn::Real;
use sph_tensor::Pool;
use sph_train::files::{Checkpoint, GraphFile, ModelFile, RunFolder};
use sph_train::training::{TrainSettings, Trainer, Training};
use sph_train::{ModelInfo, Objective, answers_of};

/// What a user should know of a run that begins, a line each.
#[derive(Debug, Default)]
pub struct Said {
    /// What was left out, converted or assumed.
    pub notes: Vec<String>,
    /// What is likely not meant.
    pub warnings: Vec<String>,
}

/// The run that is to begin in `run` with these settings, and what a user should know of it.
///
/// # Errors
/// When data, model and settings do not fit each other.
pub fn begin<T: Real>(args: &TrainArgs, run: RunFolder) -> Result<(Trainer<T>, Said)> {
    let (mut training, mut notes) = training(args, args.model.graph()?)?;
    notes.extend(training.data.notes.iter().cloned());
    let mut warnings = training.data.doubts();
    if let Some(path) = &args.init_checkpoint {
        let file = ModelFile::read(path)?;
        notes.extend(file.load_to_tune(&mut training.objective.store, &training.info.class_names)?);
        if args.normalisation.mean.is_none() && file.info()?.is_none() {
            let path = path.display();
            notes.push(format!(
                "{path} does not say how its images are normalized: the training images' own --mean and --std are taken; name the network's"
            ));
        }
    }
    let trainer = Trainer::new(training, run)?;
    warnings.extend(trainer.cautions());
    Ok((trainer, Said { notes, warnings }))
}

/// The run that left `checkpoint` in `run`, with its own settings, or those of [`TrainArgs::going_on`].
///
/// # Errors
/// When the checkpoint does not fit them.
pub fn resume<T: Real>(args: &TrainArgs, run: RunFolder, checkpoint: &Checkpoint) -> Result<Trainer<T>> {
    if let Some(dir) = args.data.data_dir.as_ref().filter(|dir| !dir.exists()) {
        return Err(moved(dir));
    }
    // The run has its own copy of the graph.
    let own = GraphFile::is_one(&args.model.model).then(|| GraphFile::read(&run.graph())).transpose()?;
    let mut trainer = Trainer::new(training(args, own)?.0, run)?;
    trainer.restore(checkpoint)?;
    Ok(trainer)
}

/// The model, or the network of `graph`, and the data set that the settings name, with initial values, and how they are trained; and what a
/// user should know of it, a line each.
fn training<T: Real>(args: &TrainArgs, graph: Option<GraphFile>) -> Result<(Training<T>, Vec<String>)> {
    let loss = args.loss()?;
    let mut options = DataOptions { answers: answers_of(loss), ..args.data.options() };
    let mut notes = Vec::new();
    if let Some(file) = &graph {
        let imported = file.build(args.model.decouples())?;
        notes.extend(fit_data(&imported, &args.dataset, &mut options));
        notes.extend(imported.notes);
    }
    let mut data = sph_data::load(&args.dataset, &options)?;
    if let Some(given) = args.normalisation.given_for(&data.train)? {
        data.normalisation = given.times(unit(&args.dataset, &data.train.images));
    }
    let info = ModelInfo {
        decouple: args.model.decouples(),
        stem: args.model.stem.clone(),
        loss: args.loss.clone(),
        ..ModelInfo::new(&args.model.model, "", &args.dataset, &options, &data)
    };
    let info = match graph {
        Some(file) => info.of_graph(file),
        None => {
            let norm = config::norm(args.model.norm.as_deref(), &args.model.model)?.name.to_string();
            ModelInfo { norm, ..info }
        }
    };
    let mut objective = Objective::new(info.build(args.model.dropout)?, &Pool::new(), args.seed);
    notes.extend(args.optimizer.freeze(&mut objective.store)?);
    objective.loss = loss;
    objective.smoothing = args.smoothing;
    objective.curvature_fraction = args.optimizer.curvature_batch()?;
    let specs = objective.store.specs();
    let (optimizer, blocks) = (args.optimizer.build(specs, args.seed)?, args.optimizer.blocks(specs)?);
    let settings = TrainSettings {
        epochs: args.epochs,
        batch_size: args.batch_size,
        accumulate: args.grad_accum_steps,
        patience: args.patience,
        schedule: args.schedule()?,
        seed: args.seed,
        augmentation: args.augment.build()?,
        division: args.division(),
        eval_images: args.eval_images,
        average: args.average.config()?,
        record: args.to_toml()?,
    };
    Ok((Training { info, objective, optimizer, blocks, data, settings }, notes))
}
