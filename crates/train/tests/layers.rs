//! K-FAC takes layers for what the network does with parameters, not for what they are called.

use sph_autodiff::{Var, ops};
use sph_nn::{Builder, Forward, Init, LayerError, Module, Role};
use sph_optim::Curvature;
use sph_optim::Rule;
use sph_optim::presets::Kfac;
use sph_tensor::{Array, Element, Pool, Rng, Shape};
use sph_train::{Batch, Objective};

/// Two square linear layers behind one another and a classifier; each with its weights and bias, by number.
struct Twice([(usize, usize); 3]);

impl<T: Element> Module<T> for Twice {
    fn forward(&self, f: &mut Forward<'_, T>, x: &Var<T>) -> Result<Var<T>, LayerError> {
        let mut x = f.apply(ops::flatten(), &[x], &[], "flatten")?;
        for (i, (w, b)) in self.0.into_iter().enumerate() {
            x = f.apply(ops::linear(), &[&x], &[w, b], &format!("layer{i}"))?;
        }
        Ok(x)
    }
}

/// Its parameters under `names` (those of a layer one after the other); the layers take weights and biases with these numbers.
fn network(names: [&str; 6], layers: [(usize, usize); 3]) -> Objective<f64> {
    let mut b = Builder::default();
    for (i, pair) in names.chunks(2).enumerate() {
        let out = if i < 2 { 4 } else { 3 };
        let weight = b.param(pair[0].into(), &[out, 4], Role::Weight, Init::Normal(0.5));
        let bias = b.param(pair[1].into(), &[out], Role::Bias, Init::Normal(0.5));
        b.join(weight, bias);
    }
    let mut f = Objective::new(b.finish(Box::new(Twice(layers))), &Pool::new(), 1);
    let mut rng = Rng::new(3, "layers", 0, 0);
    let pixels: Vec<f64> = (0..5 * 4).map(|_| rng.normal()).collect();
    let images = Array::from_slice(f.pool(), Shape::new(&[5, 2, 2, 1]), &pixels);
    f.set_batch(Batch::new(images, vec![0, 1, 2, 2, 0]));
    f
}

const USUAL: [&str; 6] = ["a.weight", "a.bias", "b.weight", "b.bias", "c.weight", "c.bias"];
const OWN: [(usize, usize); 3] = [(0, 1), (2, 3), (4, 5)];

#[test]
fn names_do_not_matter() {
    let end = |names| {
        let mut f = network(names, OWN);
        let mut kfac = Kfac { factor_every: 2, ..Kfac::default() }.build(f.params()).unwrap();
        (0..4).for_each(|_| assert!(kfac.step(&mut f, 0.05).is_ok()));
        f.values().iter().map(Array::to_f64).collect::<Vec<_>>()
    };
    // One of the names would be another layer's bias.
    assert_eq!(end(USUAL), end(["w", "b.bias", "kernel", "offset", "c.weight_0", "head"]));
}

#[test]
fn weights_of_two_layers_are_refused_by_name() {
    let mut f = network(USUAL, [(0, 1), (0, 3), (4, 5)]);
    let before = f.values().to_vec();
    let e = Kfac::default().build(f.params()).unwrap().step(&mut f, 0.05).unwrap_err().to_string();
    assert!(e.contains("'a.weight'") && e.contains("2 places"), "{e}");
    assert!(before.iter().zip(f.values()).all(|(a, b)| a.as_slice() == b.as_slice()));
}

#[test]
fn a_bias_that_another_layer_adds_is_refused() {
    let mut f = network(USUAL, [(0, 3), (2, 1), (4, 5)]);
    let e = Kfac::default().build(f.params()).unwrap().step(&mut f, 0.05).unwrap_err().to_string();
    assert!(e.contains("'a.weight'") && e.contains("bias"), "{e}");
}
