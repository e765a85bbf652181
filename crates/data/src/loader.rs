//! Batches of normalised images, made ready by a background thread.
//!
//! What a batch holds is a function of (seed, epoch, batch number) alone: a run that goes on in the middle of an epoch sees
//! the batches it would have seen.

use crate::answers::{Answers, Column, Values, Wanted};
use crate::augment::{Draws, Image};
use crate::batch::Batch;
use crate::dataset::Normalisation;
use crate::image_set::{ImageSet, Pixels};
use sph_autodiff::ops::{Mixed, Targets};
use sph_tensor::{Array, Element, Pool, Rng, Shape};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

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

/// Batches kept ready ahead of the one in use.
const AHEAD: usize = 2;

impl Source {
    /// Batches of a training epoch; a last incomplete one is left out.
    pub fn training_batches(&self) -> usize {
        self.set.len() / self.batch_size
    }

    /// A shuffled epoch of training from batch number `first` on. The thread ends when the iterator is dropped.
    pub fn training<T: Element>(&self, pool: &Pool<T>, draws: Draws, first: usize) -> Batches<T> {
        let mut numbers: Vec<usize> = (0..self.set.len()).collect();
        Rng::new(draws.seed, "shuffle", draws.epoch, 0).shuffle(&mut numbers);
        let batch = self.batch_size;
        let ranges = (first..self.training_batches()).map(|b| b * batch..(b + 1) * batch).collect();
        self.start(pool, numbers, ranges, Some(draws))
    }

    /// All images in order, the last batch as large as what is left.
    pub fn in_order<T: Element>(&self, pool: &Pool<T>) -> Batches<T> {
        let n = self.set.len();
        let ranges =
            (0..n).step_by(self.batch_size).map(|start| start..(start + self.batch_size).min(n)).collect();
        self.start(pool, (0..n).collect(), ranges, None)
    }

    fn start<T: Element>(
        &self,
        pool: &Pool<T>,
        numbers: Vec<usize>,
        ranges: Vec<Range<usize>>,
        draws: Option<Draws>,
    ) -> Batches<T> {
        let (send, receive) = sync_channel(AHEAD);
        let (source, pool) = (self.clone(), pool.clone());
        let thread = std::thread::spawn(move || {
            for range in ranges {
                // Nobody listens any more: the epoch was left early.
                if send.send(source.batch(&pool, &numbers[range], draws)).is_err() {
                    break;
                }
            }
        });
        Batches { receive, thread: Some(thread) }
    }

    /// The samples with the given numbers as a batch. Only images are changed by draws, and only those with a class each are mixed.
    pub fn batch<T: Element>(&self, pool: &Pool<T>, numbers: &[usize], draws: Option<Draws>) -> Batch<T> {
        let (images, targets) = match &self.set.as_is {
            None => self.images(pool, numbers, draws),
            Some(shape) => (
                gathered(pool, &self.set.images, shape, numbers),
                numbers.iter().map(|&i| self.set.labels[i]).collect(),
            ),
        };
        let column = |column: &Column| gathered(pool, &column.values, &column.shape, numbers);
        let targets = match self.set.wanted.select(numbers) {
            Wanted::Labels => Answers::Classes(targets),
            Wanted::Classes { classes, .. } => Answers::Classes(classes.into()),
            Wanted::Values(Column { shape, values, .. }) => {
                let shape: Vec<usize> = std::iter::once(numbers.len()).chain(shape).collect();
                Answers::Values(Values { shape, values: values.numbers(&[0], values.len()).into() })
            }
            Wanted::Nothing => Answers::Nothing,
        };
        Batch { images, more: self.set.more.iter().map(column).collect(), targets }
    }

    /// The images with the given numbers, normalised, and their classes.
    fn images<T: Element>(
        &self,
        pool: &Pool<T>,
        numbers: &[usize],
        draws: Option<Draws>,
    ) -> (Array<T>, Targets) {
        let (h, w, c) = self.set.size;
        let len = h * w * c;
        // On the files' own scale until the end.
        let mut pixels = self.set.images.numbers(numbers, len);
        let mut targets: Targets = numbers.iter().map(|&i| self.set.labels[i]).collect();
        if let Some(draws) = draws {
            let normalisation = &self.normalisation;
            let each = |pixels: &mut [f64], change: &mut dyn FnMut(usize, &mut Image<'_>)| {
                for (i, pixels) in pixels.chunks_exact_mut(len).enumerate() {
                    change(i, &mut Image { size: self.set.size, pixels, normalisation });
                }
            };
            each(&mut pixels, &mut |i, image| draws.alone(numbers[i], image));
            if draws.mixes() && self.set.wanted == Wanted::Labels {
                // Partners are the batch from behind, as they are before they are mixed themselves.
                let (before, last) = (pixels.clone(), numbers.len() - 1);
                let mut labels = Vec::new();
                each(&mut pixels, &mut |i, image| {
                    let partner = &before[(last - i) * len..(last - i + 1) * len];
                    let classes = [targets[i], targets[last - i]];
                    labels.push(draws.mix(numbers[i], image, partner, classes));
                });
                let (classes, mixed): (Vec<u32>, Vec<Mixed>) = labels.into_iter().unzip();
                targets = Targets::from(classes).mixed(mixed.into());
            }
        }
        let n = &self.normalisation;
        let mut images = Array::stale(pool, Shape::new(&[numbers.len(), h, w, c]));
        for (out, pixel) in images.make_mut().chunks_exact_mut(c).zip(pixels.chunks_exact(c)) {
            for (i, out) in out.iter_mut().enumerate() {
                *out = T::from_f64((pixel[i] - n.mean[i]) / n.std[i]);
            }
        }
        (images, targets)
    }
}

/// The entries with the given numbers of an array with `shape` each, as they are.
fn gathered<T: Element>(pool: &Pool<T>, values: &Pixels, shape: &[usize], numbers: &[usize]) -> Array<T> {
    let all: Vec<usize> = std::iter::once(numbers.len()).chain(shape.iter().copied()).collect();
    let mut out = Array::stale(pool, Shape::new(&all));
    let found = values.numbers(numbers, shape.iter().product());
    out.make_mut().iter_mut().zip(found).for_each(|(out, v)| *out = T::from_f64(v));
    out
}

/// An iterator over batches that a background thread makes.
#[derive(Debug)]
pub struct Batches<T: Element> {
    receive: Receiver<Batch<T>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Element> Iterator for Batches<T> {
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
    use crate::augment::Augmentation;
    use crate::image_set::Pixels;

    fn source() -> Source {
        let set = ImageSet::new((2, 3, 1), Pixels::Bytes((0..60).collect()), (0..10).collect());
        let normalisation = Normalisation { mean: vec![10.0], std: vec![2.0] };
        Source { set: Arc::new(set), normalisation, batch_size: 4 }
    }

    fn draws(epoch: u64, augmentation: Augmentation) -> Draws {
        Draws { seed: 1, epoch, augmentation }
    }

    #[test]
    fn an_epoch_can_be_entered_in_the_middle() {
        let (s, pool) = (source(), Pool::<f32>::new());
        let augmentation = Augmentation { crop_pad: 1, hflip: 0.5, mixup: 1.0, ..Augmentation::default() };
        let all: Vec<_> = s.training(&pool, draws(3, augmentation), 0).collect();
        let tail: Vec<_> = s.training(&pool, draws(3, augmentation), 1).collect();
        assert_eq!((all.len(), tail.len()), (2, 1));
        assert_eq!(all[1].images.as_slice(), tail[0].images.as_slice());
        assert_eq!(all[1].targets, tail[0].targets);
        let other: Vec<_> = s.training(&pool, draws(4, augmentation), 0).collect();
        assert_ne!(all[0].targets, other[0].targets);
    }

    #[test]
    fn evaluation_sees_every_image_once_and_normalised() {
        let (s, pool) = (source(), Pool::<f64>::new());
        let all: Vec<_> = s.in_order(&pool).collect();
        assert_eq!(all.iter().map(Batch::len).collect::<Vec<_>>(), [4, 4, 2]);
        let values: Vec<f64> = all.iter().flat_map(|b| b.images.to_f64()).collect();
        assert_eq!(values, (0..60).map(|v| (f64::from(v) - 10.0) / 2.0).collect::<Vec<_>>());
        let labels: Vec<u32> = all.iter().flat_map(|b| b.targets.classes().unwrap().to_vec()).collect();
        assert_eq!(labels, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn an_epoch_is_shuffled_by_seed_and_number() {
        let (s, pool) = (Source { batch_size: 5, ..source() }, Pool::<f32>::new());
        let order = |seed, epoch| -> Vec<u32> {
            let draws = Draws { seed, epoch, augmentation: Augmentation::default() };
            s.training(&pool, draws, 0).flat_map(|b| b.targets.classes().unwrap().to_vec()).collect()
        };
        let mut one = order(1, 0);
        assert!(one == order(1, 0) && one != order(1, 1) && one != order(2, 0) && !one.is_sorted());
        one.sort_unstable();
        assert_eq!(one, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn partners_are_the_batch_from_behind_before_it_is_mixed() {
        let (s, pool) = (source(), Pool::<f64>::new());
        let augmentation = Augmentation { mixup: 1.0, ..Augmentation::default() };
        let batch = |numbers: &[usize], a| s.batch(&pool, numbers, Some(draws(0, a)));
        let plain = batch(&[3, 5, 8], Augmentation::default());
        let mixed = batch(&[3, 5, 8], augmentation);
        let rows = |b: &Batch<f64>| b.images.as_slice().chunks(6).map(<[f64]>::to_vec).collect::<Vec<_>>();
        let (plain, rows) = (rows(&plain), rows(&mixed));
        for (i, number) in [3, 5, 8].into_iter().enumerate() {
            let own = mixed.targets.classes().unwrap().probability(i, number, 10, 0.0);
            let partner = [8, 5, 3][i];
            assert!(
                number == partner
                    || mixed.targets.classes().unwrap().probability(i, partner, 10, 0.0) == 1.0 - own
            );
            for (m, (a, b)) in rows[i].iter().zip(plain[i].iter().zip(&plain[2 - i])) {
                assert!((m - (own * a + (1.0 - own) * b)).abs() < 1e-12);
            }
        }
        assert!(rows[0] != plain[0] && rows[2] != plain[2]);
    }
}
