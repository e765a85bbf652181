//! The mean of the points that the last half of the steps came to (suffix averaging: Rakhlin, Shamir and Sridharan, ICML 2012; after Polyak and
//! Juditsky 1992). It keeps the speed of large steps and loses most of their noise, where steps are scaled by curvature.

use sph_nn::{Real, Store};
use sph_tensor::Array;
use std::collections::BTreeMap;

/// Sums of the parameters that are trained, over the points so far. Of the points themselves none is kept.
#[derive(Debug)]
pub struct SuffixAverage {
    /// By parameter, of what is trained; of the rest empty.
    sums: Vec<Vec<f64>>,
    points: u64,
    /// Sums over the first half of the points that will have been added when a mean is asked for.
    first_halves: BTreeMap<u64, Vec<Vec<f64>>>,
}

impl SuffixAverage {
    /// Before any point; means will be asked for after `ends` points.
    pub fn new<T: Real>(store: &Store<T>, ends: impl Iterator<Item = u64>) -> Self {
        let zeros = |(value, spec): (&Array<T>, &sph_nn::ParamSpec)| {
            vec![0.0; if spec.frozen { 0 } else { value.shape().len() }]
        };
        let sums: Vec<Vec<f64>> = store.values.iter().zip(store.specs()).map(zeros).collect();
        let first_halves = ends.map(|end| (end / 2, sums.clone())).collect();
        SuffixAverage { sums, points: 0, first_halves }
    }

    /// Adds a point.
    pub fn add<T: Real>(&mut self, store: &Store<T>) {
        for (sums, value) in self.sums.iter_mut().zip(&store.values) {
            sums.iter_mut().zip(value.as_slice()).for_each(|(s, v)| *s += v.to_f64());
        }
        self.points += 1;
        if let Some(half) = self.first_halves.get_mut(&self.points) {
            half.clone_from(&self.sums);
        }
    }

    /// The values of `store` with, in the place of what is trained, its mean over the points after the first half, which is rounded down.
    ///
    /// # Panics
    /// After a number of points that was not among `ends`.
    pub fn mean<T: Real>(&self, store: &Store<T>) -> Vec<Array<T>> {
        let half = self.points / 2;
        let first = self.first_halves.get(&half).expect("a mean that was announced");
        let of = |((value, all), first): ((&Array<T>, &Vec<f64>), &Vec<f64>)| {
            if all.is_empty() {
                return value.clone();
            }
            let count = (self.points - half) as f64;
            let mean: Vec<T> = all.iter().zip(first).map(|(a, f)| T::from_f64((a - f) / count)).collect();
            Array::from_slice(value.pool(), value.shape(), &mean)
        };
        store.values.iter().zip(&self.sums).zip(first).map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sph_nn::models::{self, ModelConfig};
    use sph_tensor::Pool;

    #[test]
    fn the_mean_is_over_the_last_half_and_what_is_frozen_stays() {
        let network = models::build("mlp", &ModelConfig::new(1, (8, 8), 3)).unwrap();
        let mut store = Store::<f64>::init(&network, &Pool::new(), 0);
        store.freeze(|s| !s.is_1d());
        let at = store.specs().iter().position(|s| s.is_1d()).unwrap();
        let frozen = store.specs().iter().position(|s| s.frozen).unwrap();
        let mut average = SuffixAverage::new(&store, [1, 4, 7].into_iter());
        let mut means = Vec::new();
        for point in 1..=7 {
            store.values[at].make_mut().fill(f64::from(point * point));
            average.add(&store);
            if [1, 4, 7].contains(&point) {
                let mean = average.mean(&store);
                assert_eq!(mean[frozen].as_slice(), store.values[frozen].as_slice());
                means.push(mean[at].as_slice()[1]);
            }
        }
        // 1; (9 + 16)/2; (16 + 25 + 36 + 49)/4.
        assert_eq!(means, [1.0, 12.5, 31.5]);
    }
}
