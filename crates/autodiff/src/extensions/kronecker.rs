//! The Kronecker factors of a layer's Fisher block (Martens and Grosse 2015; Grosse and Martens 2016).

use crate::op::{Context, Record};
use sph_tensor::kernels::gemm::{View, matmul};
use sph_tensor::{Array, Element, Shape};

/// A layer with weights: input 1 is W, and y = Wa at every position, with the layer's inputs a there.
pub trait KroneckerFactors<T: Element> {
    /// The factors [A, G] of the Fisher block F ≈ A ⊗ G of W: A = (1/N) Σ aaᵀ over the inputs, [in, in], with a 1 behind each a when
    /// `bias` and then [in + 1, in + 1]; G = (N/T) Σ ȳȳᵀ, [out, out]. N counts samples, T positions of a sample.
    ///
    /// # Panics
    /// When the op's input x was not kept.
    fn kronecker_factors(
        &self,
        cx: &Context<T>,
        r: &Record<T>,
        y_bar: &Array<T>,
        bias: bool,
    ) -> [Array<T>; 2];
}

/// Rows of inputs that are multiplied at a time.
const TILE: usize = 4096;

/// A = (1/N) Σ aaᵀ and G = (N/T) Σ ȳȳᵀ over N samples of T positions each; ȳ are adjoints of a mean over samples.
///
/// `rows(first, out)` writes inputs a from number `first` on, as many as fill `out`; with `bias` a 1 follows each.
pub(crate) fn factors<T: Element>(
    cx: &Context<T>,
    (samples, positions): (usize, usize),
    (inputs, outputs): (usize, usize),
    y_bar: &[T],
    bias: bool,
    rows: impl Fn(usize, &mut [T]),
) -> [Array<T>; 2] {
    let (count, columns) = (samples * positions, inputs + usize::from(bias));
    let mut a = Array::zeros(&cx.pool, Shape::new(&[columns, columns]));
    let mut g = Array::stale(&cx.pool, Shape::new(&[outputs, outputs]));
    for first in (0..count).step_by(TILE) {
        let n = TILE.min(count - first);
        let mut plain = cx.array(Shape::new(&[n, inputs]));
        rows(first, plain.make_mut());
        if bias {
            let mut joined = Array::full(&cx.pool, Shape::new(&[n, columns]), T::ONE);
            let pairs =
                joined.make_mut().chunks_exact_mut(columns).zip(plain.as_slice().chunks_exact(inputs));
            pairs.for_each(|(to, from)| to[..inputs].copy_from_slice(from));
            plain = joined;
        }
        let tile = View::new(plain.as_slice(), n, columns);
        matmul(a.make_mut(), true, tile.t(), tile);
    }
    let y_bar = View::new(y_bar, count, outputs);
    matmul(g.make_mut(), false, y_bar.t(), y_bar);
    let scale = |m: &mut Array<T>, by: f64| {
        let by = T::from_f64(by);
        m.make_mut().iter_mut().for_each(|v| *v *= by);
    };
    scale(&mut a, 1.0 / samples as f64);
    scale(&mut g, samples as f64 / positions as f64);
    [a, g]
}
