//! What a recording can be asked, and what it refuses.

use sph_autodiff::sweep::{self, NotKept};
use sph_autodiff::{Leaf, NotOneLayer, Tape, Var, ops};
use sph_tensor::{Array, Pool, Shape};

fn array(dims: &[usize], values: &[f64]) -> Array<f64> {
    Array::from_slice(&Pool::new(), Shape::new(dims), values)
}

fn leaf(tape: &mut Tape<f64>, dims: &[usize], values: &[f64], grad: bool) -> Var<f64> {
    tape.leaf(Leaf { value: array(dims, values), dot: None, grad, hvp: false })
}

/// Mean squares of x·Vᵀ·Wᵀ, V without its gradient.
fn recorded(mut tape: Tape<f64>) -> (Tape<f64>, [Var<f64>; 2], Var<f64>) {
    let x = tape.constant(array(&[2, 2], &[1.0, -2.0, 0.5, 3.0]));
    let v = leaf(&mut tape, &[2, 2], &[0.1, 0.2, -0.3, 0.4], false);
    let w = leaf(&mut tape, &[1, 2], &[2.0, -1.0], true);
    let h = tape.apply(ops::linear(), &[&x, &v], "first").unwrap();
    let y = tape.apply(ops::linear(), &[&h, &w], "second").unwrap();
    let loss = tape.apply(ops::mse(vec![0.5, -0.5].into()), &[&y], "loss").unwrap();
    (tape, [v, w], loss)
}

/// A product of which nothing is known is an error, never zero.
#[test]
fn a_product_that_was_not_kept_is_refused() {
    let along =
        |v: &Var<f64>| array(v.value().shape().prepend(1).dims(), &vec![1.0; v.value().shape().len()]);
    let (mut tape, [v, w], loss) = recorded(Tape::keeping(&Pool::new()));
    let ask =
        |tape: &mut Tape<f64>, of: &Var<f64>, rows: &[&Var<f64>]| sweep::hvp(tape, &[(of, along(of))], rows);
    assert_eq!(ask(&mut tape, &w, &[&w]).unwrap_err(), NotKept::Adjoints);
    tape.backward(&loss);
    assert_eq!(ask(&mut tape, &w, &[&w, &v]).unwrap_err(), NotKept::Row(1));
    // A direction on V is no row of it. With h = x·Vᵀ, the rows of w are those of d/dt (1/2)·2·Σ (w·h − t)·h.
    assert!(ask(&mut tape, &v, &[&w]).unwrap()[0].is_some());
    let rows = ask(&mut tape, &w, &[&w]).unwrap();
    let h = [[0.1 - 0.4, -0.3 - 0.8], [0.05 + 0.6, -0.15 + 1.2]];
    let want = |i: usize| h.iter().map(|h| h[i] * (h[0] + h[1])).sum::<f64>();
    let got = rows[0].as_ref().unwrap().as_slice();
    assert!((0..2).all(|i| (got[i] - want(i)).abs() < 1e-14), "{got:?}");

    let (mut tape, [_, w], loss) = recorded(Tape::new(&Pool::new(), 1));
    tape.backward(&loss);
    assert_eq!(ask(&mut tape, &w, &[&w]).unwrap_err(), NotKept::Tape);
}

/// The adjoints of more inputs than a word has bits, each by itself: the sum's gradient is 1 everywhere, with and without products.
#[test]
fn an_op_may_have_many_inputs() {
    for n in [31, 32, 33, 49, 64, 65, 200] {
        let mut tape = Tape::keeping(&Pool::new());
        // Every third one is not asked for.
        let leaves: Vec<_> = (0..n).map(|i| leaf(&mut tape, &[1, 1], &[i as f64], i % 3 != 2)).collect();
        let all = tape.apply(ops::concat(1), &leaves.iter().collect::<Vec<_>>(), "all").unwrap();
        let loss = tape.apply(ops::mse(vec![0.0; n].into()), &[&all], "loss").unwrap();
        let adjoints = tape.backward(&loss);
        for (i, leaf) in leaves.iter().enumerate() {
            let got = adjoints.grad(leaf).map(|g| g.as_slice()[0]);
            let want = (i % 3 != 2).then_some(2.0 * i as f64 / n as f64);
            assert!(got.is_some() == want.is_some(), "{n} {i}");
            assert!((got.unwrap_or(0.0) - want.unwrap_or(0.0)).abs() < 1e-12, "{n} {i}: {got:?}");
        }
        let last = &leaves[(n - 1) / 3 * 3];
        let rows = sweep::hvp(&mut tape, &[(last, array(&[1, 1, 1], &[1.0]))], &[last, &leaves[1]]).unwrap();
        assert!((rows[0].as_ref().unwrap().as_slice()[0] - 2.0 / n as f64).abs() < 1e-15, "{n}");
        assert!(rows[1].as_ref().is_none_or(|r| r.as_slice() == [0.0]), "{n}");
    }
}

#[test]
fn kronecker_factors_are_those_of_one_layer() {
    let mut tape = Tape::keeping(&Pool::new());
    let x = tape.constant(array(&[2, 2], &[1.0, -2.0, 0.5, 3.0]));
    let [w, shared] = [0.1, 0.3].map(|v| leaf(&mut tape, &[2, 2], &[v; 4], true));
    let [b, other] = [0.1, 0.2].map(|v| leaf(&mut tape, &[2], &[v; 2], true));
    let h = tape.apply(ops::linear(), &[&x, &w, &b], "one").unwrap();
    let h = tape.apply(ops::linear(), &[&h, &shared], "two").unwrap();
    let h = tape.apply(ops::linear(), &[&h, &shared, &other], "three").unwrap();
    let loss = tape.apply(ops::mse(vec![0.5; 4].into()), &[&h], "loss").unwrap();
    tape.backward(&loss);
    assert_eq!(tape.kronecker_factors(&w, Some(&b)).unwrap().unwrap()[0].shape().dims(), &[3, 3]);
    assert_eq!(tape.kronecker_factors(&w, None).unwrap().unwrap()[0].shape().dims(), &[2, 2]);
    assert_eq!(tape.kronecker_factors(&w, Some(&other)).unwrap_err(), NotOneLayer::ForeignBias);
    assert_eq!(tape.kronecker_factors(&shared, None).unwrap_err(), NotOneLayer::Shared { times: 2 });
    // Nothing has weights where x stands.
    assert!(tape.kronecker_factors(&x, None).unwrap().is_none());
}
