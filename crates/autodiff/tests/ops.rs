//! Every row of the table of ops passes the shared order-2 check in f64 and agrees with that in f32; the check refuses wrong rules; every op
//! file has a row.

use sph_autodiff::ops::{self, OPS};
use sph_autodiff::rules::{Pointwise, PointwiseOp};
use sph_autodiff::{Context, InputSet, Keep, Op, PerInput, Record, Residuals, check_op};
use sph_tensor::{Array, Element, Pool, Rng, Shape, ShapeError};
use std::collections::BTreeSet;

#[test]
fn every_op_passes_the_order_2_check() {
    for row in OPS {
        let cases = (row.cases)();
        assert!(!cases.is_empty(), "{} has no cases", row.name);
        for (i, case) in cases.iter().enumerate() {
            assert_eq!(case.op.name(), row.name);
            if let Err(e) = check_op(&*case.op, &case.inputs, Default::default()) {
                panic!("case {i}: {e}");
            }
        }
    }
}

#[test]
fn every_op_file_has_a_row() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/ops");
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .filter(|name| name != "mod")
        .collect();
    let rows: BTreeSet<String> = OPS.iter().map(|row| row.name.to_string()).collect();
    assert_eq!(files, rows);
}

fn array<T: Element>(dims: &[usize], values: &[f64]) -> Array<T> {
    let values: Vec<T> = values.iter().map(|v| T::from_f64(*v)).collect();
    Array::from_slice(&Pool::new(), Shape::new(dims), &values)
}

/// x³, with f′ or f″ a little wrong when `WRONG` is 1 or 2.
#[derive(Debug)]
struct Cube<const WRONG: usize>;

impl<const WRONG: usize> Pointwise<f64> for Cube<WRONG> {
    const NAME: &'static str = "cube";
    fn at(&self, x: f64) -> [f64; 3] {
        let mut f = [x * x * x, 3.0 * x * x, 6.0 * x];
        if WRONG > 0 {
            f[WRONG] *= 1.0 + 1e-4;
        }
        f
    }
}

/// What is wrong with an [`Op`] that is the identity of two inputs' sum but for it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    Adjoint,
    Combined,
    Subset,
    Short,
    Kept,
}

#[derive(Debug)]
struct Sum(Fault);

impl Op<f64> for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }
    fn output_shape(&self, x: &[Shape]) -> Result<Shape, ShapeError> {
        Ok(x[0])
    }
    fn forward(
        &self,
        _cx: &Context<f64>,
        x: &[&Array<f64>],
        _y: Shape,
        keep: Keep,
    ) -> (Array<f64>, Residuals<f64>) {
        let mut y = x[0].clone();
        y.accumulate(x[1]);
        if self.0 == Fault::Kept && keep.x_bar.has(0) && !keep.x_bar.has(1) {
            y.make_mut()[0] += 1.0;
        }
        (y, Residuals::none())
    }
    fn vjp(
        &self,
        _cx: &Context<f64>,
        _r: &Record<f64>,
        y_bar: &Array<f64>,
        need: &InputSet,
    ) -> PerInput<f64> {
        let mut second = y_bar.clone();
        match self.0 {
            Fault::Adjoint => second.make_mut()[0] *= 1.001,
            Fault::Subset if !need.has(0) => second.make_mut()[0] = 0.0,
            _ => (),
        }
        vec![need.has(0).then(|| y_bar.clone()), need.has(1).then_some(second)]
    }
    fn jvp(&self, _cx: &Context<f64>, _r: &Record<f64>, x_dot: &[Option<&Array<f64>>]) -> Array<f64> {
        let mut y_dot = x_dot.iter().flatten().next().unwrap().to_owned().clone();
        if let [Some(_), Some(second)] = x_dot {
            y_dot.accumulate(second);
        }
        y_dot
    }
    fn vjp_tangent(
        &self,
        cx: &Context<f64>,
        _r: &Record<f64>,
        _x_dot: &[Option<&Array<f64>>],
        _y_bar: &Array<f64>,
        y_bar_dot: Option<&Array<f64>>,
        need: &InputSet,
    ) -> PerInput<f64> {
        let part = |i: usize| {
            let d = y_bar_dot.filter(|_| need.has(i))?;
            if self.0 == Fault::Short {
                return Some(Array::from_slice(
                    &cx.pool,
                    Shape::new(&[cx.probes, 1]),
                    &vec![d.as_slice()[0]; cx.probes],
                ));
            }
            Some(d.clone())
        };
        vec![part(0), part(1)]
    }
    fn vjp_and_tangent(
        &self,
        cx: &Context<f64>,
        r: &Record<f64>,
        x_dot: &[Option<&Array<f64>>],
        y_bar: &Array<f64>,
        y_bar_dot: Option<&Array<f64>>,
        need: &InputSet,
        need_dot: &InputSet,
    ) -> (PerInput<f64>, PerInput<f64>) {
        let mut dots = self.vjp_tangent(cx, r, x_dot, y_bar, y_bar_dot, need_dot);
        if let (Fault::Combined, Some(d)) = (self.0, &mut dots[0]) {
            d.make_mut()[0] *= 1.001;
        }
        (self.vjp(cx, r, y_bar, need), dots)
    }
}

/// The check finds each kind of fault, and says which.
#[test]
fn wrong_rules_are_refused() {
    let inputs = |n: usize| (0..n).map(|i| array(&[3], &[0.5, -1.0 + i as f64, 1.5])).collect::<Vec<_>>();
    let refusal =
        |op: &dyn Op<f64>, n: usize| check_op(op, &inputs(n), Default::default()).err().map(|e| e.rule);
    assert_eq!(refusal(&PointwiseOp(Cube::<0>), 1), None);
    assert_eq!(refusal(&PointwiseOp(Cube::<1>), 1), Some("jvp against differences of forward"));
    assert_eq!(refusal(&PointwiseOp(Cube::<2>), 1), Some("vjp_tangent against differences of vjp"));
    for (fault, rule) in [
        (Fault::None, None),
        (Fault::Adjoint, Some("vjp_tangent against differences of vjp")),
        (Fault::Combined, Some("tangent of the combined rule")),
        (Fault::Subset, Some("vjp of a subset")),
        (Fault::Short, Some("vjp_tangent against differences of vjp")),
        (Fault::Kept, Some("forward, whatever is kept")),
    ] {
        assert_eq!(refusal(&Sum(fault), 2), rule, "{fault:?}");
    }
}

/// Values of y where one line feeds all four rules, so that derivatives would agree with a wrong function.
#[test]
fn values_are_the_stated_ones() {
    let y = |op: &dyn Op<f64>, inputs: &[Array<f64>]| {
        let y = op.output_shape(&inputs.iter().map(Array::shape).collect::<Vec<_>>()).unwrap();
        let x: Vec<_> = inputs.iter().collect();
        op.forward(&Context::new(&Pool::new(), 1), &x, y, Keep::default()).0.to_f64()
    };
    assert_eq!(y(&ops::avg_pool(2, 2, 0), &[array(&[1, 2, 2, 1], &[1.0, 2.0, 3.0, 6.0])]), [3.0]);
    // NHWC to rows in the order of channels, height, width.
    assert_eq!(y(&ops::flatten(), &[array(&[1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0])]), [1.0, 3.0, 2.0, 4.0]);
    let pair = [array(&[1, 1, 2], &[1.0, 2.0]), array(&[1, 2, 1], &[3.0, 4.0])];
    assert_eq!(y(&ops::batch_matmul(false, 0.5), &pair), [5.5]);
    let kept = y(&ops::dropout(0.25, Rng::new(1, "d", 0, 0)), &[array(&[10_000], &[1.0; 10_000])]);
    let zeros = kept.iter().filter(|v| **v == 0.0).count() as f64;
    assert!(kept.iter().all(|v| *v == 0.0 || *v == 1.0 / 0.75));
    // Five standard deviations of a binomial.
    assert!((zeros - 2500.0).abs() < 5.0 * (10_000.0f64 * 0.25 * 0.75).sqrt(), "{zeros}");
}

/// The padding row of an embedding has a value, but neither tangent nor adjoint.
#[test]
fn a_row_of_padding_has_no_derivatives() {
    let op = ops::embedding_with_padding(vec![1, 0, 1].into(), Shape::new(&[3]), 1);
    let table = array::<f64>(&[2, 1], &[3.0, 5.0]);
    let (cx, y, all) = (Context::new(&Pool::new(), 1), Shape::new(&[3, 1]), InputSet::all(1));
    let (value, residuals) = Op::forward(&op, &cx, &[&table], y, Keep::default());
    assert_eq!(value.to_f64(), [5.0, 3.0, 5.0]);
    let r = Record { residuals, x: vec![table.shape()], y };
    let ones = array(&[1, 2, 1], &[1.0, 1.0]);
    assert_eq!(Op::jvp(&op, &cx, &r, &[Some(&ones)]).to_f64(), [0.0, 1.0, 0.0]);
    let y_bar = array(&[3, 1], &[1.0, 2.0, 4.0]);
    assert_eq!(Op::vjp(&op, &cx, &r, &y_bar, &all)[0].as_ref().unwrap().to_f64(), [2.0, 0.0]);
}

/// Rows whose target is ignored leave the loss and have no gradient; without any other there is no loss.
#[test]
fn ignored_targets_do_not_count() {
    let x = array::<f64>(&[2, 1, 2], &[1.0, 1.0, 7.0, -3.0]);
    let (cx, shapes) = (Context::new(&Pool::new(), 1), [x.shape()]);
    let op = ops::cross_entropy(vec![0, ops::IGNORED].into(), 0.0);
    let (loss, residuals) = op.forward(&cx, &[&x], Shape::scalar(), Keep::default());
    assert!((loss.as_slice()[0] - 2f64.ln()).abs() < 1e-15);
    let r = Record { residuals, x: shapes.to_vec(), y: Shape::scalar() };
    let x_bar = op.vjp(&cx, &r, &array(&[], &[1.0]), &InputSet::all(1));
    assert_eq!(x_bar[0].as_ref().unwrap().to_f64(), [-0.5, 0.5, 0.0, 0.0]);
    let none = ops::cross_entropy(vec![ops::IGNORED; 2].into(), 0.0);
    assert!(Op::<f64>::output_shape(&none, &shapes).unwrap_err().to_string().contains("ignored"));
}

/// What all four rules of an op answer, K = 2.
fn answers<T: Element>(op: &dyn Op<T>, inputs: &[Array<f64>]) -> Vec<(&'static str, Vec<f64>)> {
    let inputs: Vec<Array<T>> = inputs.iter().map(|x| array(x.shape().dims(), x.as_slice())).collect();
    let shapes: Vec<Shape> = inputs.iter().map(Array::shape).collect();
    let y = op.output_shape(&shapes).unwrap();
    let pool = Pool::new();
    let cx = Context::new(&pool, 2);
    let random = |shape: Shape, tag: u64| -> Array<T> {
        let mut rng = Rng::new(5, "single", tag, shape.len() as u64);
        array(shape.dims(), &(0..shape.len()).map(|_| f64::from(rng.normal() as f32)).collect::<Vec<_>>())
    };
    let x: Vec<_> = inputs.iter().collect();
    let all = || InputSet::all(inputs.len());
    let (value, residuals) = op.forward(&cx, &x, y, Keep { x_bar: all(), x_dot: all(), x_bar_dot: all() });
    let r = Record { residuals, x: shapes, y };
    let dots: Vec<_> = inputs.iter().zip(1..).map(|(x, tag)| random(x.shape().prepend(2), tag)).collect();
    let x_dot: Vec<_> = dots.iter().map(Some).collect();
    let (y_bar, y_bar_dot) = (random(y, 0), random(y.prepend(2), 100));
    let flat = |arrays: PerInput<T>| arrays.iter().flatten().map(Array::to_f64).collect::<Vec<_>>();
    let mut out = vec![("y", value.to_f64()), ("jvp", op.jvp(&cx, &r, &x_dot).to_f64())];
    out.extend(flat(op.vjp(&cx, &r, &y_bar, &all())).into_iter().map(|v| ("vjp", v)));
    let tangent = op.vjp_tangent(&cx, &r, &x_dot, &y_bar, Some(&y_bar_dot), &all());
    out.extend(flat(tangent).into_iter().map(|v| ("vjp_tangent", v)));
    out
}

/// In single precision every rule gives what it gives in double, to 1e-5 of the largest entry.
#[test]
fn single_precision_agrees_with_double() {
    for row in OPS {
        for (i, case) in (row.cases)().iter().enumerate() {
            let rounded: Vec<Array<f64>> = case
                .inputs
                .iter()
                .map(|x| {
                    array(
                        x.shape().dims(),
                        &x.as_slice().iter().map(|v| f64::from(*v as f32)).collect::<Vec<_>>(),
                    )
                })
                .collect();
            let (single, double) = (answers(&*case.single, &rounded), answers(&*case.op, &rounded));
            assert_eq!(single.len(), double.len(), "{} {i}", row.name);
            for ((rule, got), (_, want)) in single.iter().zip(&double) {
                assert_eq!(got.len(), want.len(), "{} {i} {rule}", row.name);
                let largest = want.iter().map(|w| w.abs()).fold(0.0, f64::max);
                for (got, want) in got.iter().zip(want) {
                    assert!((got - want).abs() <= 1e-5 * largest, "{} {i} {rule}: {got} {want}", row.name);
                }
            }
        }
    }
}

/// f, f′ and f″ of functions of one number in single precision, far from zero, entry by entry: relative to the value, or to the terms
/// that it is a difference of.
#[test]
fn single_precision_keeps_its_digits_far_from_zero() {
    type Truth = fn(f64) -> [(f64, f64); 3];
    let rows: [(&str, &dyn Op<f32>, f64, Truth); 4] = [
        ("tanh", &ops::tanh(), 40.0, |x| {
            let slope = 1.0 / (x.cosh() * x.cosh());
            [x.tanh(), slope, -2.0 * x.tanh() * slope].map(|v| (v, v.abs()))
        }),
        ("sigmoid", &ops::sigmoid(), 80.0, |x| {
            let half = 0.5 * x;
            let slope = 0.25 / (half.cosh() * half.cosh());
            [1.0 / (1.0 + (-x).exp()), slope, -slope * half.tanh()].map(|v| (v, v.abs()))
        }),
        ("silu", &ops::silu(), 80.0, |x| {
            let (s, half) = (1.0 / (1.0 + (-x).exp()), 0.5 * x);
            let slope = 0.25 / (half.cosh() * half.cosh());
            let (f1, f2) = (s + x * slope, slope * (2.0 - x * half.tanh()));
            [
                (x * s, (x * s).abs()),
                (f1, s + (x * slope).abs()),
                (f2, slope * (2.0 + (x * half.tanh()).abs())),
            ]
        }),
        // Φ is ½(1 + erf), as PyTorch has it: its digits are those of ½. e^(−x²/2) is as good as the rounded exponent lets it be.
        ("gelu", &ops::gelu(), 12.0, |x| {
            let pdf = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
            let cdf = normal_cdf(x);
            let (f1, f2) = (cdf + x * pdf, (2.0 - x * x) * pdf);
            [(x * cdf, x.abs()), (f1, 1.0 + (x * pdf).abs()), (f2, (2.0 + x * x) * pdf * (1.0 + 0.5 * x * x))]
        }),
    ];
    for (name, op, range, truth) in rows {
        let x: Vec<f64> = (-2000..=2000).map(|i| f64::from((f64::from(i) / 2000.0 * range) as f32)).collect();
        let n = x.len();
        let ones = |dims: &[usize]| array::<f32>(dims, &vec![1.0; n]);
        let cx = Context::new(&Pool::new(), 1);
        let shape = Shape::new(&[n]);
        let all = || InputSet::all(1);
        let keep = Keep { x_bar: all(), x_dot: all(), x_bar_dot: all() };
        let (y, residuals) = op.forward(&cx, &[&array(&[n], &x)], shape, keep);
        let r = Record { residuals, x: vec![shape], y: shape };
        let first = op.vjp(&cx, &r, &ones(&[n]), &all())[0].as_ref().unwrap().to_f64();
        let dot = ones(&[1, n]);
        let second = op.vjp_tangent(&cx, &r, &[Some(&dot)], &ones(&[n]), None, &all());
        let got = [y.to_f64(), first, second[0].as_ref().unwrap().to_f64()];
        for (i, x) in x.iter().enumerate() {
            for (order, (want, scale)) in truth(*x).into_iter().enumerate() {
                let got = got[order][i];
                assert!((got - want).abs() <= 2e-6 * scale, "{name}, order {order}, at {x}: {got} {want}");
            }
        }
    }
}

/// Φ(x) by its integral from 0 (Simpson).
fn normal_cdf(x: f64) -> f64 {
    let n = 4000;
    let h = x / n as f64;
    let density = |t: f64| (-0.5 * t * t).exp();
    let weight = |i: usize| if i == 0 || i == n { 1.0 } else { 2.0 * (1 + i % 2) as f64 };
    let sum: f64 = (0..=n).map(|i| weight(i) * density(i as f64 * h)).sum();
    0.5 + sum * h / 3.0 / (2.0 * std::f64::consts::PI).sqrt()
}
