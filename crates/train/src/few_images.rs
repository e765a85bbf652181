//! Norms whose batches are too small to say anything.

use crate::objective::Objective;
use sph_data::loader::Source;
use sph_nn::{LayerError, Real};

/// What a user should know where norms take the statistics of one image, or of two values per channel: what is trained is another
/// network than evaluation, with its running statistics, has. `source` has at least one image; settings stand in backquotes.
pub(crate) fn caution<T: Real>(
    objective: &Objective<T>,
    source: &Source,
    batch_size: usize,
) -> Option<String> {
    let first = objective.store.norms(true).next()?.to_string();
    let images = objective.curved(batch_size);
    // Where one image does not do, it has one value per channel.
    let alone = |source: &Source| {
        let one = source.batch(objective.pool(), &[0], None);
        objective.recalibrated(objective.store.norm_statistics, std::iter::once(one)).err()
    };
    let (layer, few) = match images {
        1 => (first, "the one image"),
        2 => {
            let LayerError { layer, .. } = alone(source)?;
            (layer, "two values per channel")
        }
        _ => return None,
    };
    let (of, setting) = match images == batch_size {
        true => ("a batch", "batch-size"),
        false => ("the part of a batch that curvature is taken on", "curvature-batch"),
    };
    Some(format!(
        "layer '{layer}' and other norms normalize by {few} of {of}, and by running statistics in evaluation: another network; raise \
         `{setting}`, or take another `norm`, such as gn"
    ))
}
