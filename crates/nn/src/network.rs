//! A network, and how its values start.

use crate::layer::Model;
use crate::param::{BufferSpec, Init};
use crate::statistics::Tracked;
use crate::store::{Store, row_norm};
use sph_autodiff::ParamSpec;
use sph_tensor::{Array, Element, Pool, Rng, Shape};

/// A network: how it computes, and what it needs to know to start.
pub struct Network {
    /// The computation, from images NHWC to logits.
    pub model: Box<dyn Model>,
    pub(crate) params: Vec<(ParamSpec, Init)>,
    pub(crate) buffers: Vec<BufferSpec>,
    pub(crate) statistics: Vec<Tracked>,
}

impl Network {
    /// The parameters, in order.
    pub fn params(&self) -> impl Iterator<Item = &ParamSpec> {
        self.params.iter().map(|(spec, _)| spec)
    }

    /// Number of trained numbers.
    pub fn size(&self) -> usize {
        self.params().map(ParamSpec::len).sum()
    }
}

impl<T: Element> Store<T> {
    /// Initial values; parameter i draws from the stream (`seed`, "init", i).
    pub fn init(network: &Network, pool: &Pool<T>, seed: u64) -> Self {
        let mut values: Vec<Array<T>> = Vec::with_capacity(network.params.len());
        for (i, (spec, init)) in network.params.iter().enumerate() {
            let mut rng = Rng::new(seed, "init", i as u64, 0);
            let mut value = Array::stale(pool, Shape::new(&spec.shape));
            let entries = value.make_mut();
            let mut fill = |draw: &mut dyn FnMut(usize) -> f64| {
                entries.iter_mut().enumerate().for_each(|(i, v)| *v = T::from_f64(draw(i)));
            };
            match init {
                Init::Constant(c) => fill(&mut |_| *c),
                Init::Normal(std) => fill(&mut |_| std * rng.normal()),
                Init::Uniform(bound) => fill(&mut |_| bound * (2.0 * rng.uniform() - 1.0)),
                Init::RowNorms { of } => fill(&mut |row| row_norm(&values[*of], row)),
                Init::Given(tensor) => {
                    let given = tensor.to_f64();
                    fill(&mut |i| given[i]);
                }
            }
            values.push(value);
        }
        let specs = network.params().cloned().collect();
        Store::new(specs, values, &network.buffers, &network.statistics)
    }
}
