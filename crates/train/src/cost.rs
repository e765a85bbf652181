//! What a pass of a network costs, counted on its tape.

use crate::objective::Objective;
use sph_data::Batch;
use sph_nn::graph::Imported;
use sph_nn::{Forward, LayerError, Mode, Real, Store};
use sph_tensor::{Array, Pool, Shape};

/// Multiply-adds of an evaluation pass for one image of [height, width, channels]: those of convolutions and matrix products.
///
/// # Errors
/// When the network does not take such images.
pub fn multiply_adds<T: Real>(
    objective: &Objective<T>,
    (h, w, c): (usize, usize, usize),
) -> Result<u64, LayerError> {
    let mut image = Array::stale(objective.pool(), Shape::new(&[1, h, w, c]));
    image.make_mut().fill(T::ZERO);
    let (tape, _) = objective.recorded_on(&Batch::of_inputs(image, Vec::new()))?;
    Ok(tape.recorded().map(|r| r.multiply_adds()).sum())
}

/// Multiply-adds of an evaluation pass for one sample of an imported network: of the whole, and of the layers of each parameter.
///
/// # Errors
/// When the network does not fit its own inputs.
pub fn of_imported<T: Real>(
    network: &Imported,
    store: &Store<T>,
    pool: &Pool<T>,
) -> Result<(u64, Vec<u64>), LayerError> {
    let batch = network.batch.unwrap_or(1);
    let mut f = Forward::new(store, pool, Mode::Eval);
    let mut inputs = Vec::new();
    for input in &network.inputs {
        let mut shape = input.shape.clone();
        if shape.len() == 3 && !input.integer {
            shape.rotate_left(1);
        }
        shape.insert(0, batch);
        inputs.push(f.tape.constant(Array::zeros(pool, Shape::new(&shape))));
    }
    f.more_inputs = inputs.split_off(1);
    T::module(&*network.network.model).forward(&mut f, &inputs[0])?;
    let (tape, leaves) = f.into_parts();
    let mut by_parameter = vec![0; leaves.len()];
    let mut total = 0;
    for op in tape.recorded() {
        let n = op.multiply_adds() / batch as u64;
        total += n;
        if let Some(weights) = op.inputs.get(1).filter(|w| **w < leaves.len()) {
            by_parameter[*weights] += n;
        }
    }
    Ok((total, by_parameter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sph_nn::models::{self, ModelConfig};
    use sph_tensor::Pool;

    #[test]
    fn multiply_adds_are_those_of_the_literature() {
        let of = |model: &str, side, classes| {
            let config = ModelConfig {
                norm: models::find(model).unwrap().default_norm(),
                ..ModelConfig::new(3, (side, side), classes)
            };
            let f = Objective::new(models::build(model, &config).unwrap(), &Pool::<f32>::new(), 0);
            multiply_adds(&f, (side, side, 3)).unwrap() as f64
        };
        // He et al. 2016 and its followers: 40.8 M for ResNet-20 on 32×32, 1.82 G for ResNet-18 on 224×224.
        assert!((of("resnet20", 32, 10) / 40.8e6 - 1.0).abs() < 0.01);
        assert!((of("resnet18", 224, 1000) / 1.82e9 - 1.0).abs() < 0.01);
        // Attention's own products count: 2·T²·dim a block, T = 65, beside 12·T·dim² and the ends.
        let (t, d) = (65.0, 192.0);
        let vit = 12.0 * (12.0 * t * d * d + 2.0 * t * t * d) + 64.0 * 48.0 * d + 10.0 * d;
        assert_eq!(of("vit_tiny", 32, 10), vit);
    }
}
