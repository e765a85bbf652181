//! What a run's best model says of the test images: who is taken for whom, and the images it is most wrong about.

use crate::config::{ModelSource, TrainArgs};
use crate::error::Result;
use crate::evaluation::argmax;
use crate::run::RunDir;
use sph_autodiff::ops::probabilities;
use sph_data::loader::Source;
use sph_tensor::Pool;
use std::collections::BTreeMap;

/// See the module.
#[derive(Debug, Clone)]
pub struct Mistakes {
    /// What the classes are called, in the order of their numbers.
    pub class_names: Vec<String>,
    /// How many test images of a class (the first) are taken for another, or the same; no entry for none.
    pub confusion: BTreeMap<(usize, usize), u64>,
    /// The images of largest loss, the largest first.
    pub worst: Vec<Worst>,
}

/// A test image that the model is wrong about, or not sure of.
#[derive(Debug, Clone)]
pub struct Worst {
    /// Its number in the test set, from 0.
    pub number: usize,
    /// Its class.
    pub label: usize,
    /// The class it is taken for.
    pub taken_for: usize,
    /// The probability that the model gives to that class.
    pub confidence: f64,
    /// Its loss: −ln of the probability given to its own class.
    pub loss: f64,
    /// Height, width, channels.
    pub size: (usize, usize, usize),
    /// H·W·C values on the data's own scale.
    pub pixels: Vec<f64>,
}

/// Evaluates `best.safetensors` of a run on the test images that the run evaluated on and keeps the `worst` of largest loss.
///
/// # Errors
/// When the model or the data cannot be read any more.
pub fn of_run(run: &RunDir, args: &TrainArgs, worst: usize) -> Result<Mistakes> {
    let pool = Pool::<f32>::new();
    let found = ModelSource::default().find(Some(run.path()), true)?;
    let objective = found.objective(&pool, args.seed)?;
    let (info, data) = (&found.info, found.data()?);
    let (set, numbers) = data.evaluated(&data.test, args.eval_images);
    let source = Source { set, normalisation: info.normalisation.clone(), batch_size: args.batch_size };
    let class_names = info.class_names.clone();
    let classes = class_names.len();
    let mut found = Mistakes { class_names, confusion: BTreeMap::new(), worst: Vec::new() };
    let mut number = 0;
    for batch in source.in_order(&pool) {
        let (_, logits) = objective.evaluate_on(&batch)?;
        let mut p = vec![0.0; classes];
        for (row, &label) in logits.as_slice().chunks_exact(classes).zip(batch.targets.iter()) {
            probabilities(row, &mut p);
            let label = label as usize;
            let taken_for = argmax(row);
            *found.confusion.entry((label, taken_for)).or_default() += 1;
            let loss = -p[label].max(f64::MIN_POSITIVE).ln();
            let size = (0, 0, 0);
            let one =
                Worst { number, label, taken_for, confidence: p[taken_for], loss, size, pixels: vec![] };
            found.worst.push(one);
            number += 1;
        }
        // A stable sort: of equal ones the first.
        found.worst.sort_by(|a, b| b.loss.total_cmp(&a.loss));
        found.worst.truncate(worst);
    }
    for w in &mut found.worst {
        let image = source.batch(&pool, &[w.number], None).images;
        let &[_, h, width, c] = image.shape().dims() else { continue };
        w.number = numbers[w.number];
        w.size = (h, width, c);
        let n = &info.normalisation;
        let raw = |(i, v): (usize, &f32)| f64::from(*v) * n.std[i % c] + n.mean[i % c];
        w.pixels = image.as_slice().iter().enumerate().map(raw).collect();
    }
    Ok(found)
}
