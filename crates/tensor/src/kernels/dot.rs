//! Inner products of two slices.
//!
//! They differ in precision and in the order of their additions. The order is part of the result: whoever goes over from one to another
//! gets other last bits.
//!
//! | function | sums in | order |
//! |---|---|---|
//! | [`dot`], [`sum`], [`dot_with`] | the element's type | sixteen partial sums, then the rest |
//! | [`dot_f64`] | f64 | one after the other |
//! | [`dot_f64_by_8`] | f64 | eight partial sums, then the rest as a sum of its own |
//! | [`dot_f64_into_8`] | f64 | eight partial sums, the rest added to the first of them |

use crate::Element;

/// aᵀb = Σ aᵢbᵢ.
#[inline(always)]
pub fn dot<T: Element>(a: &[T], b: &[T]) -> T {
    dot_with(a, b, |a, b| a * b)
}

/// Σ aᵢ, in the order of [`dot`].
#[inline(always)]
pub fn sum<T: Element>(a: &[T]) -> T {
    dot_with(a, a, |a, _| a)
}

/// Σ f(aᵢ, bᵢ), in sixteen partial sums, which vector code can keep.
#[inline(always)]
pub fn dot_with<T: Element>(a: &[T], b: &[T], f: impl Fn(T, T) -> T) -> T {
    const LANES: usize = 16;
    let mut sums = [T::ZERO; LANES];
    let (a16, b16) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a16.remainder().iter().zip(b16.remainder()).map(|(a, b)| f(*a, *b)).sum::<T>();
    for (a, b) in a16.zip(b16) {
        for i in 0..LANES {
            sums[i] += f(a[i], b[i]);
        }
    }
    sums.into_iter().sum::<T>() + rest
}

/// aᵀb in f64, one product after the other.
pub fn dot_f64<T: Element>(a: &[T], b: &[T]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a.to_f64() * b.to_f64()).sum()
}

/// aᵀb in f64, in eight partial sums, which a compiler can keep in one register; what is left of the slices is a ninth.
pub fn dot_f64_by_8<T: Element>(a: &[T], b: &[T]) -> f64 {
    const LANES: usize = 8;
    let (mut sums, n) = ([0.0; LANES], a.len() / LANES * LANES);
    for (a, b) in a[..n].chunks_exact(LANES).zip(b[..n].chunks_exact(LANES)) {
        (0..LANES).for_each(|i| sums[i] += a[i].to_f64() * b[i].to_f64());
    }
    sums.iter().sum::<f64>() + dot_f64(&a[n..], &b[n..])
}

/// aᵀb in f64, in eight partial sums: product i goes to sum i mod 8.
pub fn dot_f64_into_8<T: Element>(a: &[T], b: &[T]) -> f64 {
    let mut sums = [0.0; 8];
    for (a, b) in a.chunks(8).zip(b.chunks(8)) {
        a.iter().zip(b).zip(&mut sums).for_each(|((a, b), s)| *s += a.to_f64() * b.to_f64());
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole numbers below 2²⁴ are exact in every order: all functions give the same, whatever is left behind the last whole block.
    #[test]
    fn every_order_counts_each_product_once() {
        for len in [0, 1, 7, 8, 9, 15, 16, 17, 40, 67] {
            let a: Vec<f32> = (0..len).map(|i| i as f32 - 3.0).collect();
            let b: Vec<f32> = (0..len).map(|i| (i * i % 11) as f32).collect();
            let want: f64 = (0..len).map(|i| f64::from(a[i]) * f64::from(b[i])).sum();
            let got = [f64::from(dot(&a, &b)), dot_f64(&a, &b), dot_f64_by_8(&a, &b), dot_f64_into_8(&a, &b)];
            assert_eq!(got, [want; 4], "{len}");
            assert_eq!(sum(&b), b.iter().sum::<f32>(), "{len}");
        }
    }
}
