//! What a run's best model says of the test images: who is taken for whom, and the images it is most wrong about.

use crate::error::Result;
use crate::evaluation::argmax;
use crate::objective::Objective;
use sph_autodiff::ops::probabilities;
use sph_data::loader::Source;
use std::collections::BTreeMap;

/// What a model makes of the test images.
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

/// Evaluates a network on the images of `source`, whose numbers in the test set are `numbers`, and keeps the `worst` of largest loss.
///
/// # Errors
/// When the images do not fit the network.
pub fn find(
    objective: &Objective<f32>,
    class_names: &[String],
    source: &Source,
    numbers: &[usize],
    worst: usize,
) -> Result<Mistakes> {
    let classes = class_names.len();
    let mut found =
        Mistakes { class_names: class_names.to_vec(), confusion: BTreeMap::new(), worst: Vec::new() };
    let mut number = 0;
    for batch in source.in_order(objective.pool()) {
        let (_, logits) = objective.evaluate_on(&batch)?;
        let mut p = vec![0.0; classes];
        let Some(targets) = batch.targets.classes() else { continue };
        for (row, &label) in logits.as_slice().chunks_exact(classes).zip(targets.iter()) {
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
        let image = source.batch(objective.pool(), &[w.number], None).images;
        let &[_, h, width, c] = image.shape().dims() else { continue };
        w.number = numbers[w.number];
        w.size = (h, width, c);
        let n = &source.normalisation;
        let raw = |(i, v): (usize, &f32)| f64::from(*v) * n.std[i % c] + n.mean[i % c];
        w.pixels = image.as_slice().iter().enumerate().map(raw).collect();
    }
    Ok(found)
}
