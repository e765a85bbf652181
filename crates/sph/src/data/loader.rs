//! Batches of normalised images, made ready by a background thread.
//!
//! What a batch holds is a function of (seed, epoch, batch number) alone: a run that goes on in the middle of an epoch sees
//! the batches it would have seen.

use super::{ImageSet, Normalisation};
use crate::objective::Batch;
use sph_nn::Real;
use sph_tensor::{Array, Pool, Rng, Shape};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

/// Random changes of training images.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Augmentation {
    /// Random crop out of the image padded by this many zero-valued pixels (0: none).
    pub crop_pad: usize,
    /// Probability of a horizontal flip.
    pub hflip: f64,
}

/// Where batches come from and how images become numbers.
#[derive(Debug, Clone)]
pub struct Source {
    /// The images.
    pub set: Arc<ImageSet>,
    /// (value − mean)/std per channel.
    pub normalisation: Normalisation,
    /// Images per batch.
    pub batch_size: usize,
}

/// How an epoch of training is drawn.
#[derive(Debug, Clone, Copy)]
pub struct EpochOrder {
    /// The run's seed.
    pub seed: u64,
    /// The epoch, from 0.
    pub epoch: u64,
    /// Random changes.
    pub augmentation: Augmentation,
}

/// Batches kept ready ahead of the one in use.
const AHEAD: usize = 2;

impl Source {
    /// Batches of a training epoch; a last incomplete one is left out.
    pub fn training_batches(&self) -> usize {
        self.set.len() / self.batch_size
    }

    /// A shuffled epoch of training from batch number `first` on. The thread ends when the iterator is dropped.
    pub fn training<T: Real>(&self, pool: &Pool<T>, order: EpochOrder, first: usize) -> Batches<T> {
        let mut numbers: Vec<usize> = (0..self.set.len()).collect();
        Rng::new(order.seed, "shuffle", order.epoch, 0).shuffle(&mut numbers);
        let batch = self.batch_size;
        let ranges = (first..self.training_batches()).map(|b| b * batch..(b + 1) * batch).collect();
        self.start(pool, numbers, ranges, Some(order))
    }

    /// All images in order, the last batch as large as what is left.
    pub fn in_order<T: Real>(&self, pool: &Pool<T>) -> Batches<T> {
        let n = self.set.len();
        let ranges =
            (0..n).step_by(self.batch_size).map(|start| start..(start + self.batch_size).min(n)).collect();
        self.start(pool, (0..n).collect(), ranges, None)
    }

    fn start<T: Real>(
        &self,
        pool: &Pool<T>,
        numbers: Vec<usize>,
        ranges: Vec<Range<usize>>,
        order: Option<EpochOrder>,
    ) -> Batches<T> {
        let (send, receive) = sync_channel(AHEAD);
        let (source, pool) = (self.clone(), pool.clone());
        let thread = std::thread::spawn(move || {
            for range in ranges {
                // Nobody listens any more: the epoch was left early.
                if send.send(source.batch(&pool, &numbers[range], order)).is_err() {
                    break;
                }
            }
        });
        Batches { receive, thread: Some(thread) }
    }

    /// The images with the given numbers as a batch.
    pub fn batch<T: Real>(&self, pool: &Pool<T>, numbers: &[usize], order: Option<EpochOrder>) -> Batch<T> {
        let (h, w, c) = self.set.size;
        let mut images = Array::stale(pool, Shape::new(&[numbers.len(), h, w, c]));
        // One table per channel: a byte has 256 values.
        let n = &self.normalisation;
        let table: Vec<[T; 256]> =
            (0..c).map(|i| std::array::from_fn(|v| T::from_f64((v as f64 - n.mean[i]) / n.std[i]))).collect();
        for (&number, out) in numbers.iter().zip(images.make_mut().chunks_exact_mut(h * w * c)) {
            let image = &self.set.images[number * h * w * c..(number + 1) * h * w * c];
            let (dy, dx, flip) = order.map_or((0, 0, false), |o| o.draw(number));
            let inside = |v: usize, d: isize, end: usize| v.checked_add_signed(d).filter(|v| *v < end);
            for (p, out) in out.chunks_exact_mut(c).enumerate() {
                let (y, x) = (p / w, if flip { w - 1 - p % w } else { p % w });
                let from =
                    inside(y, dy, h).zip(inside(x, dx, w)).map(|(y, x)| &image[(y * w + x) * c..][..c]);
                for (i, out) in out.iter_mut().enumerate() {
                    *out = table[i][from.map_or(0, |pixel| pixel[i]) as usize];
                }
            }
        }
        let targets = numbers.iter().map(|&i| self.set.labels[i] as u32).collect();
        Batch { images, targets }
    }
}

impl EpochOrder {
    /// Offset and flip of image `number` in this epoch.
    fn draw(&self, number: usize) -> (isize, isize, bool) {
        let a = self.augmentation;
        if a == Augmentation::default() {
            return (0, 0, false);
        }
        let mut rng = Rng::new(self.seed, "augment", self.epoch, number as u64);
        let mut offset = || rng.below(2 * a.crop_pad + 1) as isize - a.crop_pad as isize;
        let (dy, dx) = (offset(), offset());
        (dy, dx, rng.uniform() < a.hflip)
    }
}

/// An iterator over batches that a background thread makes.
#[derive(Debug)]
pub struct Batches<T: Real> {
    receive: Receiver<Batch<T>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Real> Iterator for Batches<T> {
    type Item = Batch<T>;

    fn next(&mut self) -> Option<Batch<T>> {
        if let Ok(batch) = self.receive.recv() {
            return Some(batch);
        }
        // The thread is done. Had it failed, a short epoch would pass for a whole one.
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Source {
        let set = ImageSet { size: (2, 3, 1), images: (0..60).collect(), labels: (0..10).collect() };
        let normalisation = Normalisation { mean: vec![10.0], std: vec![2.0] };
        Source { set: Arc::new(set), normalisation, batch_size: 4 }
    }

    fn order(epoch: u64, augmentation: Augmentation) -> EpochOrder {
        EpochOrder { seed: 1, epoch, augmentation }
    }

    #[test]
    fn an_epoch_can_be_entered_in_the_middle() {
        let (s, pool) = (source(), Pool::<f32>::new());
        let augmentation = Augmentation { crop_pad: 1, hflip: 0.5 };
        let all: Vec<_> = s.training(&pool, order(3, augmentation), 0).collect();
        let tail: Vec<_> = s.training(&pool, order(3, augmentation), 1).collect();
        assert_eq!((all.len(), tail.len()), (2, 1));
        assert_eq!(all[1].images.as_slice(), tail[0].images.as_slice());
        assert_eq!(all[1].targets, tail[0].targets);
        let other: Vec<_> = s.training(&pool, order(4, augmentation), 0).collect();
        assert_ne!(all[0].targets, other[0].targets);
    }

    #[test]
    fn evaluation_sees_every_image_once_and_normalised() {
        let (s, pool) = (source(), Pool::<f64>::new());
        let all: Vec<_> = s.in_order(&pool).collect();
        assert_eq!(all.iter().map(Batch::len).collect::<Vec<_>>(), [4, 4, 2]);
        assert_eq!(all[2].images.as_slice()[11], (59.0 - 10.0) / 2.0);
    }

    #[test]
    fn crops_and_flips_move_pixels() {
        let (s, pool) = (source(), Pool::<f64>::new());
        let flipped = s.batch(&pool, &[0], Some(order(0, Augmentation { crop_pad: 0, hflip: 1.0 })));
        let raw: Vec<f64> = flipped.images.as_slice().iter().map(|v| v * 2.0 + 10.0).collect();
        assert_eq!(raw, [2.0, 1.0, 0.0, 5.0, 4.0, 3.0]);
        let shifts: std::collections::BTreeSet<_> =
            (0..200).map(|i| order(i, Augmentation { crop_pad: 1, hflip: 0.0 }).draw(0)).collect();
        assert_eq!(shifts.len(), 9);
    }
}
