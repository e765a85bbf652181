//! Symmetric maps of flat vectors, and the one that a loss's Hessian is.

use super::AnalysisError;
use crate::curvature::PROBES_PER_SWEEP;
use crate::{Answer, Curvature, Directions, EvalError, Request, Sweep};
pub(super) use sph_tensor::kernels::dot::dot_f64_by_8 as dot;
use sph_tensor::{Array, Element};

/// A symmetric linear map v ↦ Hv of R^n.
pub trait Operator {
    /// n.
    fn len(&self) -> usize;

    /// True when n = 0.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hv for each of `vectors`, all of length n. Several at once may cost less than one by one.
    ///
    /// # Errors
    /// When a product cannot be computed or is not finite.
    fn products(&mut self, vectors: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, AnalysisError>;
}

/// The Hessian of a loss at its current point, over chosen parameters: rows and columns of all others are left out.
///
/// Vectors are flat: the parameters' entries one after the other, in the order in which they were named, each row-major in
/// PyTorch's layout ([`crate::ParamSpec`]).
///
/// The loss is evaluated once, and asked to keep.
///
/// ```
/// # use sph_optim::{Answer, Curvature, Directions, EvalError, ParamSpec, Request, Role, Sweep};
/// # use sph_tensor::{Array, Pool, Shape};
/// use sph_optim::analysis::{Hessian, Operator};
/// #
/// # /// L(x, y) = x²y.
/// # struct Loss(Vec<ParamSpec>, Vec<Array<f64>>);
/// #
/// # impl Loss {
/// #     fn new(point: [f64; 2]) -> Self {
/// #         let spec = |name: &str| ParamSpec::new(name, &[1], Role::NormScale);
/// #         let pool = Pool::new();
/// #         let value = |v: f64| Array::from_slice(&pool, Shape::new(&[1]), &[v]);
/// #         Loss(vec![spec("x"), spec("y")], point.map(value).to_vec())
/// #     }
/// #     fn at(&self) -> [f64; 2] {
/// #         [self.1[0].as_slice()[0], self.1[1].as_slice()[0]]
/// #     }
/// # }
/// #
/// # impl Curvature<f64> for Loss {
/// #     fn params(&self) -> &[ParamSpec] {
/// #         &self.0
/// #     }
/// #     fn values(&self) -> &[Array<f64>] {
/// #         &self.1
/// #     }
/// #     fn evaluate(&mut self, _: &Request<f64>, out: &mut Answer<f64>) -> Result<(), EvalError> {
/// #         let [x, y] = self.at();
/// #         out.loss = x * x * y;
/// #         let array = |v: f64| Some(Array::from_slice(self.1[0].pool(), Shape::new(&[1]), &[v]));
/// #         out.gradient = vec![array(2.0 * x * y), array(x * x)];
/// #         Ok(())
/// #     }
/// #     fn hvp(&mut self, sweep: &Sweep<f64>, out: &mut Directions<f64>) -> Result<(), EvalError> {
/// #         let [x, y] = self.at();
/// #         let h = [[2.0 * y, 2.0 * x], [2.0 * x, 0.0]];
/// #         let probes = sweep.tangents.probes();
/// #         out.clear();
/// #         for &row in &sweep.rows {
/// #             let entry = |k: usize| sweep.tangents.iter().map(|(j, v)| h[row][j] * v.as_slice()[k]).sum();
/// #             let product: Vec<f64> = (0..probes).map(entry).collect();
/// #             out.insert(row, Array::from_slice(self.1[0].pool(), Shape::new(&[probes, 1]), &product));
/// #         }
/// #         Ok(())
/// #     }
/// #     fn loss_at(&mut self, step: &Directions<f64>) -> Result<f64, EvalError> {
/// #         let moved = |i: usize| self.at()[i] + step.get(i).map_or(0.0, |s| s.as_slice()[0]);
/// #         Ok(moved(0) * moved(0) * moved(1))
/// #     }
/// #     fn apply(&mut self, _: &[Option<Array<f64>>]) {}
/// # }
///
/// // L(x, y) = x²y at (1, 3), as a `Curvature`: see `examples/hand_written.rs` for how one is written.
/// let mut loss = Loss::new([1.0, 3.0]);
/// let mut hessian = Hessian::new(&mut loss, &[0, 1])?;
/// assert_eq!((hessian.loss(), hessian.gradient()), (3.0, &[6.0, 1.0][..]));
/// assert_eq!(hessian.products(&[vec![1.0, 0.0], vec![0.0, 1.0]])?, [[6.0, 2.0], [2.0, 0.0]]);
/// // The block of x alone, at the same point.
/// assert_eq!(hessian.on(&[0])?.products(&[vec![1.0]])?, [[6.0]]);
/// # Ok::<(), sph_optim::analysis::AnalysisError>(())
/// ```
pub struct Hessian<'a, T: Element> {
    f: &'a mut dyn Curvature<T>,
    params: Vec<usize>,
    len: usize,
    loss: f64,
    gradient: Vec<f64>,
}

impl<'a, T: Element> Hessian<'a, T> {
    /// Evaluates `f` at its current point; the Hessian over the parameters with these numbers.
    ///
    /// # Errors
    /// When the loss cannot be evaluated or is not finite, or a number is no parameter's or stands twice.
    pub fn new(f: &'a mut dyn Curvature<T>, params: &[usize]) -> Result<Self, AnalysisError> {
        check(params, f.params().len(), |_| true)?;
        let mut answer = Answer::default();
        f.evaluate(&Request { gradient: params.to_vec(), keep: true, ..Request::default() }, &mut answer)?;
        if !answer.loss.is_finite() {
            return Err(EvalError::NonFiniteLoss(answer.loss).into());
        }
        Ok(Self::evaluated(f, params, answer.loss, &answer.gradient))
    }

    /// The Hessian of `f` where it was evaluated last and asked to keep: this is the loss, and these are gradients by parameter number.
    pub(crate) fn evaluated(
        f: &'a mut dyn Curvature<T>,
        params: &[usize],
        loss: f64,
        gradients: &[Option<Array<T>>],
    ) -> Self {
        let mut gradient = Vec::new();
        for &i in params {
            match gradients.get(i).and_then(Option::as_ref) {
                Some(g) => gradient.extend(g.as_slice().iter().map(|v| v.to_f64())),
                None => gradient.extend(std::iter::repeat_n(0.0, f.params()[i].len())),
            }
        }
        Hessian { f, params: params.to_vec(), len: gradient.len(), loss, gradient }
    }

    /// The Hessian over some of these parameters, at the same point and without another evaluation.
    ///
    /// # Errors
    /// When a number is not among this Hessian's parameters or stands twice.
    pub fn on(&mut self, params: &[usize]) -> Result<Hessian<'_, T>, AnalysisError> {
        check(params, self.f.params().len(), |i| self.params.contains(&i))?;
        let gradient: Vec<f64> = params.iter().flat_map(|&i| self.gradient_of(i).to_vec()).collect();
        Ok(Hessian {
            f: &mut *self.f,
            params: params.to_vec(),
            len: gradient.len(),
            loss: self.loss,
            gradient,
        })
    }

    /// The loss.
    pub fn loss(&self) -> f64 {
        self.loss
    }

    /// The gradient, flat.
    pub fn gradient(&self) -> &[f64] {
        &self.gradient
    }

    /// The gradient's part on parameter number `param`; empty when it is not among this Hessian's parameters.
    pub fn gradient_of(&self, param: usize) -> &[f64] {
        let mut start = 0;
        for &i in &self.params {
            let len = self.f.params()[i].len();
            if i == param {
                return &self.gradient[start..start + len];
            }
            start += len;
        }
        &[]
    }

    fn sweep(&mut self, vectors: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, AnalysisError> {
        let k = vectors.len();
        let mut sweep = Sweep { rows: self.params.clone(), ..Sweep::default() };
        let mut start = 0;
        for &i in &self.params {
            let value = &self.f.values()[i];
            let len = value.shape().len();
            let mut part = Array::stale(value.pool(), value.shape().prepend(k));
            for (out, v) in part.make_mut().chunks_exact_mut(len.max(1)).zip(vectors) {
                out.iter_mut().zip(&v[start..start + len]).for_each(|(o, v)| *o = T::from_f64(*v));
            }
            sweep.tangents.insert(i, part);
            start += len;
        }
        let mut out = Directions::default();
        self.f.hvp(&sweep, &mut out)?;
        let mut products = vec![Vec::with_capacity(self.len); k];
        for &i in &self.params {
            for (k, product) in products.iter_mut().enumerate() {
                match out.get(i) {
                    Some(a) => product.extend(a.part(k).iter().map(|v| v.to_f64())),
                    None => product.extend(std::iter::repeat_n(0.0, self.f.params()[i].len())),
                }
            }
        }
        match products.iter().flatten().all(|v| v.is_finite()) {
            true => Ok(products),
            false => Err(AnalysisError::NonFinite),
        }
    }
}

/// Each number is a parameter's, is allowed, and stands once.
fn check(params: &[usize], count: usize, allowed: impl Fn(usize) -> bool) -> Result<(), AnalysisError> {
    let wrong = |i: &usize| *i >= count || !allowed(*i) || params.iter().filter(|p| *p == i).count() > 1;
    match params.iter().find(|i| wrong(i)) {
        None => Ok(()),
        Some(i) => Err(AnalysisError::Setting(format!(
            "parameter number {i} is not there, not evaluated or named twice"
        ))),
    }
}

impl<T: Element> Operator for Hessian<'_, T> {
    fn len(&self) -> usize {
        self.len
    }

    fn products(&mut self, vectors: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, AnalysisError> {
        let mut products = Vec::with_capacity(vectors.len());
        for some in vectors.chunks(PROBES_PER_SWEEP) {
            products.extend(self.sweep(some)?);
        }
        Ok(products)
    }
}

/// Calls `take` with i and H e_i, for i from 0 to n − 1.
pub(super) fn unit_products(
    h: &mut dyn Operator,
    mut take: impl FnMut(usize, &[f64]),
) -> Result<(), AnalysisError> {
    let n = h.len();
    for first in (0..n).step_by(PROBES_PER_SWEEP) {
        let unit = |i: usize| (0..n).map(|j| if i == j { 1.0 } else { 0.0 }).collect();
        let vectors: Vec<Vec<f64>> = (first..n.min(first + PROBES_PER_SWEEP)).map(unit).collect();
        for (k, product) in h.products(&vectors)?.iter().enumerate() {
            take(first + k, product);
        }
    }
    Ok(())
}

/// Calls `take` with z_k and H z_k, for k from 0 to `count` − 1 and the vectors that `fill` writes.
pub(super) fn probe_products(
    h: &mut dyn Operator,
    count: usize,
    fill: impl Fn(usize, &mut [f64]),
    mut take: impl FnMut(&[f64], &[f64]),
) -> Result<(), AnalysisError> {
    for first in (0..count).step_by(PROBES_PER_SWEEP) {
        let mut vectors = vec![vec![0.0; h.len()]; PROBES_PER_SWEEP.min(count - first)];
        vectors.iter_mut().enumerate().for_each(|(k, z)| fill(first + k, z));
        let products = h.products(&vectors)?;
        vectors.iter().zip(&products).for_each(|(z, product)| take(z, product));
    }
    Ok(())
}

/// a ← a + s·b.
pub(crate) fn add_scaled(a: &mut [f64], s: f64, b: &[f64]) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += s * b);
}

/// Scales to length 1 and returns the length before; a vector of length 0 stays as it is.
pub(crate) fn normalise(v: &mut [f64]) -> f64 {
    let norm = dot(v, v).sqrt();
    if norm > 0.0 {
        v.iter_mut().for_each(|v| *v /= norm);
    }
    norm
}
