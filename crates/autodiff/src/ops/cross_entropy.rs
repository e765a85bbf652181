//! Softmax cross-entropy, mean over the rows that count, N of them, with mixed labels and label smoothing α.
//!
//! With p = softmax(x), h = onehot of the class, or (1−s)·onehot + s·onehot of another class where labels are mixed, and
//! q = (1−α)·h + α/C:   L = −(1/N) Σ q·log p
//!
//! ```text
//! ẏ  = (1/N) Σ (p − q)·ẋ
//! x̄  = ȳ (p − q)/N
//! x̄̇ = ȳ̇ (p − q)/N + ȳ p⊙(ẋ − p·ẋ)/N
//! ```
//!
//! Exponentials are taken in f64 for both element types: the logits are few, and the loss is what runs are compared by.

use crate::op::{Context, InputSet, Keep, Op, PerInput, Record, Residuals};
use crate::ops::{Case, case, normal};
use sph_tensor::kernels::dot::dot_f64;
use sph_tensor::kernels::map;
use sph_tensor::{Array, Element, Shape, ShapeError, by_samples};
use std::ops::Deref;
use std::sync::Arc;

/// The class of a row that does not count.
pub const IGNORED: u32 = u32::MAX;

/// A second class of a sample, and its share of the label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mixed {
    /// The other class.
    pub class: u32,
    /// Its share s, in [0, 1]; the sample's own class has the rest.
    pub share: f64,
}

/// What samples are: a class each ([`IGNORED`] where it does not count), which is what the slice holds, and where labels are mixed another one.
///
/// ```
/// use sph_autodiff::ops::{Mixed, Targets};
/// let plain: Targets = vec![0, 2].into();
/// let mixed = plain.clone().mixed(vec![Mixed { class: 1, share: 0.25 }, Mixed { class: 2, share: 0.5 }].into());
/// assert_eq!(mixed[1], 2);
/// assert_eq!((mixed.probability(0, 0, 3, 0.0), mixed.probability(0, 1, 3, 0.0)), (0.75, 0.25));
/// assert_eq!(mixed.probability(1, 2, 3, 0.0), 1.0);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Targets {
    classes: Arc<[u32]>,
    mixed: Option<Arc<[Mixed]>>,
}

impl Targets {
    /// The same classes, each mixed with another one.
    ///
    /// # Panics
    /// When there is not one for every sample.
    pub fn mixed(self, with: Arc<[Mixed]>) -> Self {
        assert_eq!(self.classes.len(), with.len(), "a second class for every sample");
        Targets { mixed: Some(with), ..self }
    }

    /// The targets of the first `n` samples.
    pub fn first(&self, n: usize) -> Self {
        Targets { classes: self.classes[..n].into(), mixed: self.mixed.as_ref().map(|m| m[..n].into()) }
    }

    /// q of sample `n` and class `c` of `classes`, under label smoothing.
    pub fn probability(&self, n: usize, c: usize, classes: usize, smoothing: f64) -> f64 {
        let is = |class: u32| if class as usize == c { 1.0 } else { 0.0 };
        let label = match &self.mixed {
            None => is(self.classes[n]),
            Some(mixed) => (1.0 - mixed[n].share) * is(self.classes[n]) + mixed[n].share * is(mixed[n].class),
        };
        (1.0 - smoothing) * label + smoothing / classes as f64
    }

    /// Whether sample `n` counts.
    pub fn counts(&self, n: usize) -> bool {
        self.classes[n] != IGNORED
    }

    /// How many samples count.
    fn counted(&self) -> usize {
        self.classes.iter().filter(|c| **c != IGNORED).count()
    }

    /// The first class that has no logit among `classes`.
    fn outside(&self, classes: usize) -> Option<u32> {
        let others = self.mixed.iter().flat_map(|m| m.iter().map(|m| m.class));
        let own = self.classes.iter().copied().filter(|c| *c != IGNORED);
        own.chain(others).find(|&c| c as usize >= classes)
    }
}

impl Deref for Targets {
    type Target = [u32];
    fn deref(&self) -> &[u32] {
        &self.classes
    }
}

impl From<Arc<[u32]>> for Targets {
    fn from(classes: Arc<[u32]>) -> Self {
        Targets { classes, mixed: None }
    }
}

impl From<Vec<u32>> for Targets {
    fn from(classes: Vec<u32>) -> Self {
        Arc::<[u32]>::from(classes).into()
    }
}

impl FromIterator<u32> for Targets {
    fn from_iter<I: IntoIterator<Item = u32>>(classes: I) -> Self {
        classes.into_iter().collect::<Arc<[u32]>>().into()
    }
}

/// Softmax cross-entropy; made by [`cross_entropy`].
#[derive(Debug)]
pub struct CrossEntropy {
    targets: Targets,
    smoothing: f64,
}

/// Cross-entropy of logits [.., C] against a target for each row, the mean over those that are not [`IGNORED`]; `smoothing` in [0, 1) as in
/// PyTorch.
pub fn cross_entropy(targets: Targets, smoothing: f64) -> CrossEntropy {
    CrossEntropy { targets, smoothing }
}

/// The softmax of a row of logits, in f64, into `p`; returns the logarithm of its normaliser Σ exp.
pub fn probabilities<T: Element>(logits: &[T], p: &mut [f64]) -> f64 {
    let nan_wins = |a: f64, b: f64| if b > a || b.is_nan() { b } else { a };
    let max = logits.iter().map(|v| v.to_f64()).fold(f64::NEG_INFINITY, nan_wins);
    p.iter_mut().zip(logits).for_each(|(p, v)| *p = Element::exp(v.to_f64() - max));
    let sum: f64 = p.iter().sum();
    p.iter_mut().for_each(|p| *p /= sum);
    max + Element::ln(sum)
}

impl CrossEntropy {
    /// q of sample `n` and class `c`.
    fn target(&self, n: usize, c: usize, classes: usize) -> f64 {
        self.targets.probability(n, c, classes, self.smoothing)
    }

    /// (p − q)/N by row and class; zero where the row does not count.
    fn slope<'a, T: Element>(&'a self, r: &Record<T>) -> impl Fn(usize, usize, T) -> f64 + Sync + 'a {
        let (n, classes) = (self.targets.counted() as f64, r.x[0].last());
        move |row, c, p| match self.targets.counts(row) {
            true => (p.to_f64() - self.target(row, c, classes)) / n,
            false => 0.0,
        }
    }
}

impl<T: Element> Op<T> for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape, ShapeError> {
        let fits = x[0].rank() >= 2 && x[0].rows() == self.targets.len() && x[0].len() > 0;
        if !fits {
            let reason = format!("expects logits [.., C] for {} targets", self.targets.len());
            return Err(ShapeError::new("cross_entropy", reason, x));
        }
        if self.targets.counted() == 0 {
            return Err(ShapeError::new(
                "cross_entropy",
                "every target is ignored: there is nothing to average",
                x,
            ));
        }
        match self.targets.outside(x[0].last()) {
            Some(t) => Err(ShapeError::new("cross_entropy", format!("target class {t} has no logit"), x)),
            None => Ok(Shape::scalar()),
        }
    }

    fn forward(&self, cx: &Context<T>, x: &[&Array<T>], y: Shape, _keep: Keep) -> (Array<T>, Residuals<T>) {
        let (x, shape) = (x[0].as_slice(), x[0].shape());
        let classes = shape.last();
        let mut residuals = cx.array(shape);
        let losses = by_samples(Some(residuals.make_mut()), shape.rows(), shape.len(), |rows, residuals| {
            let mut p = vec![0.0; classes];
            let one = |(i, residuals): (usize, &mut [T])| {
                let row = &x[i * classes..][..classes];
                let log_norm = probabilities(row, &mut p);
                residuals.iter_mut().zip(&p).for_each(|(s, p)| *s = T::from_f64(*p));
                if !self.targets.counts(i) {
                    return 0.0;
                }
                // −Σ q·(x − log Σ exp x), with Σ q = 1.
                let terms = row.iter().enumerate().map(|(c, v)| self.target(i, c, classes) * v.to_f64());
                log_norm - terms.sum::<f64>()
            };
            rows.zip(residuals.unwrap_or_default().chunks_exact_mut(classes)).map(one).collect::<Vec<f64>>()
        });
        let mut loss = 0.0;
        losses.iter().flatten().for_each(|l| loss += l);
        let loss = T::from_f64(loss / self.targets.counted() as f64);
        (Array::full(&cx.pool, y, loss), Residuals::new([Some(residuals)]))
    }

    fn vjp(&self, cx: &Context<T>, r: &Record<T>, y_bar: &Array<T>, need: &InputSet) -> PerInput<T> {
        vec![need.has(0).then(|| {
            let (mut x_bar, p) = (cx.array(r.x[0]), r.residuals.at(0).as_slice());
            let (slope, y_bar) = (self.slope(r), y_bar.as_slice()[0].to_f64());
            map::rows(x_bar.make_mut(), [p], r.x[0].last(), |row, [p], out| {
                (0..out.len()).for_each(|c| out[c] = T::from_f64(y_bar * slope(row, c, p[c])));
            });
            x_bar
        })]
    }

    fn jvp(&self, cx: &Context<T>, r: &Record<T>, x_dot: &[Option<&Array<T>>]) -> Array<T> {
        let (slope, x_dot) = (self.slope(r), x_dot[0].expect("a tangent"));
        let (p, classes) = (r.residuals.at(0).as_slice(), r.x[0].last());
        cx.each_probe(r.y, |k, y_dot| {
            let rows = p.chunks_exact(classes).zip(x_dot.part(k).chunks_exact(classes)).enumerate();
            let terms = rows.flat_map(|(row, (p, d))| {
                let slope = &slope;
                p.iter().zip(d).enumerate().map(move |(c, (p, d))| slope(row, c, *p) * d.to_f64())
            });
            y_dot[0] = T::from_f64(terms.sum());
        })
    }

    fn vjp_tangent(
        &self,
        cx: &Context<T>,
        r: &Record<T>,
        x_dot: &[Option<&Array<T>>],
        y_bar: &Array<T>,
        y_bar_dot: Option<&Array<T>>,
        need: &InputSet,
    ) -> PerInput<T> {
        if !need.has(0) {
            return vec![None];
        }
        let (n, classes) = (self.targets.counted() as f64, r.x[0].last());
        let (slope, p) = (self.slope(r), r.residuals.at(0).as_slice());
        let scale = y_bar.as_slice()[0].to_f64() / n;
        let out = cx.each_probe(r.x[0], |k, out| {
            let y_bar_dot = y_bar_dot.map_or(0.0, |y| y.part(k)[0].to_f64());
            map::rows(out, [p], classes, |row, [p], out| {
                (0..classes).for_each(|c| out[c] = T::from_f64(y_bar_dot * slope(row, c, p[c])));
            });
            let Some(x_dot) = x_dot[0] else { return };
            map::rows(out, [p, x_dot.part(k)], classes, |row, [p, x_dot], out| {
                if !self.targets.counts(row) {
                    return;
                }
                let mean = dot_f64(p, x_dot);
                for c in 0..classes {
                    out[c] += T::from_f64(scale * p[c].to_f64() * (x_dot[c].to_f64() - mean));
                }
            });
        });
        vec![Some(out)]
    }
}

pub(super) fn cases() -> Vec<Case> {
    let targets: Targets = vec![0, 2, 1, 3, 2].into();
    let some: Targets = vec![1, IGNORED, 3, IGNORED, 0, 0].into();
    let mix = |(class, share)| Mixed { class, share };
    let mixed = [(1, 0.3), (2, 0.5), (0, 0.0), (2, 0.4), (3, 1.0)].map(mix);
    vec![
        case(cross_entropy(targets.clone(), 0.0), vec![normal(&[5, 4], 0)]),
        case(cross_entropy(targets.clone(), 0.1), vec![normal(&[5, 4], 1)]),
        case(cross_entropy(targets.mixed(Arc::new(mixed)), 0.1), vec![normal(&[5, 4], 2)]),
        case(cross_entropy(some, 0.2), vec![normal(&[2, 3, 4], 3)]),
    ]
}
