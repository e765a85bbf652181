//! An exponential moving average of a model's weights, timm's: w̄ ← d·w̄ + (1−d)·w after every step, running statistics alike; counts
//! are copied. It begins with the model's first values.

use sph_nn::{BufferKind, Real, Store};
use sph_tensor::kernels::map;

/// How fast an average forgets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AverageConfig {
    /// d in [0, 1).
    pub decay: f64,
    /// Begin with a smaller d: 1 − (1+t)^(−2/3) at step t, until that is larger.
    pub warmup: bool,
}

/// An average of a model's weights.
#[derive(Debug, Clone)]
pub struct WeightAverage<T: Real> {
    config: AverageConfig,
    /// The averages, in the model's place.
    pub store: Store<T>,
}

impl<T: Real> WeightAverage<T> {
    /// An average that begins with `store`.
    pub fn new(config: AverageConfig, store: &Store<T>) -> Self {
        WeightAverage { config, store: store.clone() }
    }

    /// Takes `store` in, as it is after step number `step`, counted from 1.
    pub fn update(&mut self, store: &Store<T>, step: u64) {
        let AverageConfig { decay, warmup } = self.config;
        let first = 1.0 - libm::pow(1.0 + step as f64, -2.0 / 3.0);
        let decay = if warmup { decay.min(first) } else { decay };
        let take = T::from_f64(1.0 - decay);
        for (average, value) in self.store.values.iter_mut().zip(&store.values) {
            map::update(average.make_mut(), value.as_slice(), |a, v| a + take * (v - a));
        }
        let kinds: Vec<BufferKind> = store.buffer_specs().iter().map(|s| s.kind).collect();
        for ((average, buffer), kind) in self.store.buffers.iter_mut().zip(&store.buffers).zip(kinds) {
            for (a, b) in average.iter_mut().zip(buffer) {
                *a = match kind {
                    BufferKind::Whole | BufferKind::Bool => *b,
                    // A file in `T` holds it exactly.
                    BufferKind::Real => T::from_f64(*a + (1.0 - decay) * (b - *a)).to_f64(),
                };
            }
        }
    }
}
