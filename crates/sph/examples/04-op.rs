//! An op of your own with its four rules, checked to second order: y = x + a x², with one trained a per channel. A wrong factor in the
//! last rule is found, too: gradients would be right, curvature would not.
//!
//! Run with `cargo run --release -p sph --example 04-op`.

use sph_autodiff::{Context, InputSet, Keep, Leaf, Op, Record, Residuals, Tape, check_op, ops};
use sph_tensor::{Array, Pool, Rng, Shape, ShapeError};

/// Inputs x, channels last, and a. The factor is that of the last rule: 2, or the rule is wrong.
#[derive(Debug)]
struct Bend(f64);

/// What the rules read: x and a, element by element, with the element's number and that of its channel.
fn elements(r: &Record<f64>) -> impl Iterator<Item = (usize, usize, f64, f64)> {
    let (x, a) = (r.residuals.at(0).as_slice(), r.residuals.at(1).as_slice());
    x.iter().enumerate().map(|(i, &x)| (i, i % a.len(), x, a[i % a.len()]))
}

impl Op<f64> for Bend {
    fn name(&self) -> &'static str {
        "bend"
    }

    fn output_shape(&self, x: &[Shape]) -> Result<Shape, ShapeError> {
        let fits = x[1].len() == x[0].last();
        fits.then_some(x[0])
            .ok_or_else(|| ShapeError::new("bend", "one coefficient per channel is needed", x))
    }

    fn forward(
        &self,
        cx: &Context<f64>,
        x: &[&Array<f64>],
        y: Shape,
        keep: Keep,
    ) -> (Array<f64>, Residuals<f64>) {
        let mut out = cx.array(y);
        let a = x[1].as_slice();
        for (i, (y, x)) in out.make_mut().iter_mut().zip(x[0].as_slice()).enumerate() {
            *y = x + a[i % a.len()] * x * x;
        }
        (out, Residuals::new([0, 1].map(|i| keep.any().then(|| x[i].clone()))))
    }

    fn jvp(&self, cx: &Context<f64>, r: &Record<f64>, x_dot: &[Option<&Array<f64>>]) -> Array<f64> {
        cx.each_probe(r.y, |k, y_dot| {
            // An absent tangent is zero.
            let dot = |input: usize, i: usize| x_dot[input].map_or(0.0, |d| d.part(k)[i]);
            elements(r)
                .for_each(|(i, c, x, a)| y_dot[i] = (1.0 + 2.0 * a * x) * dot(0, i) + x * x * dot(1, c));
        })
    }

    fn vjp(
        &self,
        cx: &Context<f64>,
        r: &Record<f64>,
        y_bar: &Array<f64>,
        need: &InputSet,
    ) -> Vec<Option<Array<f64>>> {
        let y_bar = y_bar.as_slice();
        let mut bars = [0, 1].map(|i| Array::zeros(&cx.pool, r.x[i]));
        let [x_bar, a_bar] = &mut bars;
        let (x_bar, a_bar) = (x_bar.make_mut(), a_bar.make_mut());
        for (i, c, x, a) in elements(r) {
            x_bar[i] = (1.0 + 2.0 * a * x) * y_bar[i];
            a_bar[c] += x * x * y_bar[i];
        }
        bars.into_iter().enumerate().map(|(i, bar)| need.has(i).then_some(bar)).collect()
    }

    fn vjp_tangent(
        &self,
        cx: &Context<f64>,
        r: &Record<f64>,
        x_dot: &[Option<&Array<f64>>],
        y_bar: &Array<f64>,
        y_bar_dot: Option<&Array<f64>>,
        need: &InputSet,
    ) -> Vec<Option<Array<f64>>> {
        let dot = |k: usize, input: usize, i: usize| x_dot[input].map_or(0.0, |d| d.part(k)[i]);
        let bar = |k: usize, i: usize| (y_bar.as_slice()[i], y_bar_dot.map_or(0.0, |d| d.part(k)[i]));
        let of_x = |k: usize, out: &mut [f64]| {
            for (i, c, x, a) in elements(r) {
                let (y_bar, y_bar_dot) = bar(k, i);
                let slope_dot = 2.0 * (a * dot(k, 0, i) + x * dot(k, 1, c));
                out[i] = (1.0 + 2.0 * a * x) * y_bar_dot + slope_dot * y_bar;
            }
        };
        let of_a = |k: usize, out: &mut [f64]| {
            out.fill(0.0);
            for (i, c, x, _) in elements(r) {
                let (y_bar, y_bar_dot) = bar(k, i);
                out[c] += x * x * y_bar_dot + self.0 * x * dot(k, 0, i) * y_bar;
            }
        };
        vec![
            need.has(0).then(|| cx.each_probe(r.x[0], of_x)),
            need.has(1).then(|| cx.each_probe(r.x[1], of_a)),
        ]
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (pool, mut rng) = (Pool::<f64>::new(), Rng::new(0, "example", 0, 0));
    let mut normal = |dims: &[usize]| {
        let values: Vec<f64> = (0..dims.iter().product()).map(|_| rng.normal()).collect();
        Array::from_slice(&pool, Shape::new(dims), &values)
    };
    let inputs = [normal(&[4, 5, 3]), normal(&[3])];
    check_op(&Bend(2.0), &inputs, Default::default())?;
    println!("all four rules hold");
    let found = check_op(&Bend(1.0), &inputs, Default::default()).expect_err("a rule is wrong");
    println!("with a wrong one: {found}");

    // On a tape: the gradient in a, and H·1 on it, from the same passes.
    let mut tape = Tape::new(&pool, 1);
    let x = tape.constant(normal(&[8, 3]));
    let ones = Array::full(&pool, Shape::new(&[1, 3]), 1.0);
    let a = tape.leaf(Leaf { value: normal(&[3]), dot: Some(ones), grad: true, hvp: true });
    let logits = tape.apply(Bend(2.0), &[&x, &a], "bend")?;
    let targets: Vec<u32> = (0..8).map(|i| i % 3).collect();
    let loss = tape.apply(ops::cross_entropy(targets.into(), 0.0), &[&logits], "loss")?;
    let adjoints = tape.backward(&loss);
    let shown = |array: Option<&Array<f64>>| array.map(Array::to_f64).unwrap_or_default();
    println!("gradient {:.3?}, row sums {:.3?}", shown(adjoints.grad(&a)), shown(adjoints.hvp(&a)));
    Ok(())
}
