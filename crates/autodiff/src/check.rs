//! The shared derivative check, order 2, in f64.

use crate::op::{Context, InputSet, Keep, Op, PerInput, Record};
use sph_tensor::kernels::dot::dot_f64 as dot;
use sph_tensor::{Array, Pool, Rng, Shape};

/// What [`check_op`] allows, relative to the largest entry of the tensor compared.
#[derive(Debug, Clone, Copy)]
pub struct Tolerances {
    /// Against central differences.
    pub differences: f64,
    /// Between exact quantities: adjoint identity, Hessian symmetry, rules that must agree.
    pub identities: f64,
}

impl Default for Tolerances {
    fn default() -> Self {
        Tolerances { differences: 1e-6, identities: 1e-10 }
    }
}

/// A comparison that failed: its rule and by how much.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{op}: {rule} (input {input:?}): relative error {error:.2e}, allowed {allowed:.0e}")]
pub struct CheckError {
    /// The op.
    pub op: &'static str,
    /// Which comparison failed.
    pub rule: &'static str,
    /// At which input, where it makes sense.
    pub input: Option<usize>,
    /// ‖a − b‖∞ / ‖b‖∞.
    pub error: f64,
    /// The tolerance.
    pub allowed: f64,
}

const PROBES: usize = 2;
/// Central differences with this step are exact to about 1e-10 for functions of moderate third derivative.
const STEP: f64 = 1e-5;

struct Check<'a> {
    op: &'a dyn Op<f64>,
    inputs: &'a [Array<f64>],
    y: Shape,
    tolerances: Tolerances,
}

/// Checks the four rules of `op` at `inputs` to second order:
///
/// 1. ẏ against central differences of forward;
/// 2. ⟨ȳ, Jẋ⟩ = ⟨Jᵀȳ, ẋ⟩;
/// 3. the tangent of the vjp against central differences of the vjp, along (ẋ, ȳ̇);
/// 4. uᵀHv = vᵀHu for the Hessian of ⟨ȳ, f(x)⟩;
/// 5. an absent tangent means zero, a subset of inputs gives the same answers, several probes give each probe's answer,
///    and the combined rule agrees with the separate ones.
///
/// Inputs must lie away from kinks.
///
/// # Errors
/// The first comparison that fails.
///
/// ```
/// use sph_autodiff::{check_op, ops};
/// use sph_tensor::{Array, Pool, Shape};
/// let x = Array::from_slice(&Pool::new(), Shape::new(&[3]), &[0.5, -1.0, 2.0]);
/// check_op(&ops::tanh(), &[x], Default::default()).unwrap();
/// ```
pub fn check_op(op: &dyn Op<f64>, inputs: &[Array<f64>], tolerances: Tolerances) -> Result<(), CheckError> {
    let shapes: Vec<Shape> = inputs.iter().map(Array::shape).collect();
    let fail = |rule| CheckError { op: op.name(), rule, input: None, error: f64::NAN, allowed: 0.0 };
    let y = op.output_shape(&shapes).map_err(|_| fail("output_shape accepts the inputs"))?;
    Check { op, inputs, y, tolerances }.run()
}

impl Check<'_> {
    fn run(&self) -> Result<(), CheckError> {
        let n = self.inputs.len();
        let all = InputSet::all(n);
        let cx = Context::new(&Pool::new(), PROBES);
        let record = self.record(&cx, self.inputs);
        let y_bar = random(self.y, 1);
        let y_bar_dot = random(self.y.prepend(PROBES), 2);
        let x_dot: Vec<_> =
            (0..n).map(|i| random(self.inputs[i].shape().prepend(PROBES), 3 + i as u64)).collect();
        let x_dot_refs: Vec<_> = x_dot.iter().map(Some).collect();

        let y_dot = self.op.jvp(&cx, &record, &x_dot_refs);
        let x_bar = self.op.vjp(&cx, &record, &y_bar, &all);
        let x_bar_dot = self.op.vjp_tangent(&cx, &record, &x_dot_refs, &y_bar, Some(&y_bar_dot), &all);
        for k in 0..PROBES {
            // 1 and 3: differences along (ẋ, ȳ̇).
            let along = |sign: f64| -> (Vec<f64>, PerInput<f64>) {
                let cx = Context::new(&Pool::new(), 1);
                let moved: Vec<_> =
                    self.inputs.iter().zip(&x_dot).map(|(x, d)| shifted(x, d.part(k), sign * STEP)).collect();
                let y = self.value(&cx, &moved);
                let record = self.record(&cx, &moved);
                let y_bar = shifted(&y_bar, y_bar_dot.part(k), sign * STEP);
                (y, self.op.vjp(&cx, &record, &y_bar, &all))
            };
            let ((y1, x_bar1), (y0, x_bar0)) = (along(1.0), along(-1.0));
            let slope = |a: &[f64], b: &[f64]| -> Vec<f64> {
                a.iter().zip(b).map(|(a, b)| (a - b) / (2.0 * STEP)).collect()
            };
            self.compare("jvp against differences of forward", None, y_dot.part(k), &slope(&y1, &y0), true)?;
            for i in 0..n {
                let zeros = vec![0.0; self.inputs[i].shape().len()];
                let slice = |x_bar: &PerInput<f64>| {
                    x_bar[i].as_ref().map_or(zeros.clone(), |b| b.as_slice().to_vec())
                };
                let got = x_bar_dot[i].as_ref().map_or(&zeros[..], |b| b.part(k));
                let want = slope(&slice(&x_bar1), &slice(&x_bar0));
                self.compare("vjp_tangent against differences of vjp", Some(i), got, &want, true)?;
            }
            // 2: adjoint identity.
            let left = dot(y_bar.as_slice(), y_dot.part(k));
            let right: f64 =
                (0..n).map(|i| x_bar[i].as_ref().map_or(0.0, |b| dot(b.as_slice(), x_dot[i].part(k)))).sum();
            let scale = norm(y_bar.as_slice()) * norm(y_dot.part(k));
            self.allow("adjoint identity", None, (left - right).abs() / scale, self.tolerances.identities)?;
        }
        // 4: symmetry of the Hessian of ⟨ȳ, f⟩; its products have no ȳ̇.
        let h = self.op.vjp_tangent(&cx, &record, &x_dot_refs, &y_bar, None, &all);
        let product = |u: usize, v: usize| -> (f64, f64) {
            let terms = (0..n).map(|i| {
                let Some(h) = &h[i] else { return (0.0, 0.0) };
                (dot(x_dot[i].part(u), h.part(v)), norm(x_dot[i].part(u)) * norm(h.part(v)))
            });
            terms.fold((0.0, 0.0), |s, t| (s.0 + t.0, s.1 + t.1))
        };
        let ((uhv, s1), (vhu, s2)) = (product(0, 1), product(1, 0));
        if s1.max(s2) > 0.0 {
            let error = (uhv - vhu).abs() / s1.max(s2);
            self.allow("symmetry of the Hessian", None, error, self.tolerances.identities)?;
        }
        self.consistency(&cx, &y_bar, &y_bar_dot, &x_dot)
    }

    /// 5: presence, subsets, probes and the combined rule, for combinations of present tangents and wanted inputs.
    fn consistency(
        &self,
        cx: &Context<f64>,
        y_bar: &Array<f64>,
        y_bar_dot: &Array<f64>,
        x_dot: &[Array<f64>],
    ) -> Result<(), CheckError> {
        let n = self.inputs.len();
        let zeros: Vec<_> = x_dot.iter().map(|d| Array::zeros(&cx.pool, d.shape())).collect();
        let zero_y = Array::zeros(&cx.pool, y_bar_dot.shape());
        let single = Context::new(&cx.pool, 1);
        let value = self.value(cx, self.inputs);
        let full = self.record(cx, self.inputs);
        let plain = self.op.vjp(cx, &full, y_bar, &InputSet::all(n));
        for need in subsets(n).into_iter().filter(InputSet::any) {
            // A gradient alone, as a plain step has it.
            let lean = self.record_keeping(cx, self.inputs, Keep { x_bar: need.clone(), ..Keep::default() });
            let adjoints = self.op.vjp(cx, &lean, y_bar, &need);
            for i in (0..n).filter(|&i| need.has(i)) {
                self.same("vjp of a subset", i, &adjoints[i], &plain[i])?;
            }
        }
        for present in subsets(n) {
            let has = |i: usize| present.has(i);
            let sparse: Vec<_> = (0..n).map(|i| has(i).then_some(&x_dot[i])).collect();
            let dense: Vec<_> = (0..n).map(|i| Some(if has(i) { &x_dot[i] } else { &zeros[i] })).collect();
            if present.any() {
                let keep = Keep { x_dot: present.clone(), ..Keep::default() };
                let lean = self.record_keeping(cx, self.inputs, keep);
                let got = self.op.jvp(cx, &lean, &sparse);
                let want = self.op.jvp(cx, &full, &dense);
                self.compare("jvp with absent tangents", None, got.as_slice(), want.as_slice(), false)?;
            }
            for need in subsets(n).into_iter().filter(InputSet::any) {
                for with_y in [false, true] {
                    if !present.any() && !with_y {
                        continue;
                    }
                    let keep = Keep { x_bar: need.clone(), x_dot: present.clone(), x_bar_dot: need.clone() };
                    let (y, lean) = self.run_keeping(cx, self.inputs, keep.clone());
                    self.compare("forward, whatever is kept", None, y.as_slice(), &value, false)?;
                    let read = self.op.tangents_read(&need);
                    let kept: Vec<_> = (0..n).map(|i| sparse[i].filter(|_| read.has(i))).collect();
                    let y_sparse = with_y.then_some(y_bar_dot);
                    let y_dense = Some(if with_y { y_bar_dot } else { &zero_y });
                    let got = self.op.vjp_tangent(cx, &lean, &kept, y_bar, y_sparse, &need);
                    let want = self.op.vjp_tangent(cx, &full, &dense, y_bar, y_dense, &InputSet::all(n));
                    let (adjoints, adjoint_tangents) =
                        self.op.vjp_and_tangent(cx, &lean, &kept, y_bar, y_sparse, &need, &need);
                    let one = Array::from_slice(&cx.pool, self.y.prepend(1), y_bar_dot.part(1));
                    let ones: Vec<_> = (0..n).map(|i| self.second(cx, i, &x_dot[i])).collect();
                    let kept: Vec<_> = (0..n).map(|i| kept[i].map(|_| &ones[i])).collect();
                    let lean = self.record_keeping(&single, self.inputs, keep);
                    let alone =
                        self.op.vjp_tangent(&single, &lean, &kept, y_bar, y_sparse.map(|_| &one), &need);
                    for i in (0..n).filter(|&i| need.has(i)) {
                        self.same("vjp_tangent with absent tangents", i, &got[i], &want[i])?;
                        self.same("tangent of the combined rule", i, &adjoint_tangents[i], &want[i])?;
                        self.same("adjoint of the combined rule", i, &adjoints[i], &plain[i])?;
                        let second = got[i].as_ref().map(|g| self.second(cx, i, g));
                        self.same("one probe alone", i, &alone[i], &second)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The second probe of a tangent of input `i`.
    fn second(&self, cx: &Context<f64>, i: usize, dot: &Array<f64>) -> Array<f64> {
        Array::from_slice(&cx.pool, self.inputs[i].shape().prepend(1), dot.part(1))
    }

    fn keep_all(&self) -> Keep {
        let all = || InputSet::all(self.inputs.len());
        Keep { x_bar: all(), x_dot: all(), x_bar_dot: all() }
    }

    fn record(&self, cx: &Context<f64>, inputs: &[Array<f64>]) -> Record<f64> {
        self.record_keeping(cx, inputs, self.keep_all())
    }

    fn record_keeping(&self, cx: &Context<f64>, inputs: &[Array<f64>], keep: Keep) -> Record<f64> {
        self.run_keeping(cx, inputs, keep).1
    }

    fn run_keeping(&self, cx: &Context<f64>, inputs: &[Array<f64>], keep: Keep) -> (Array<f64>, Record<f64>) {
        let x: Vec<_> = inputs.iter().collect();
        let (y, residuals) = self.op.forward(cx, &x, self.y, keep);
        (y, Record { residuals, x: inputs.iter().map(Array::shape).collect(), y: self.y })
    }

    fn value(&self, cx: &Context<f64>, inputs: &[Array<f64>]) -> Vec<f64> {
        let x: Vec<_> = inputs.iter().collect();
        self.op.forward(cx, &x, self.y, Keep::default()).0.as_slice().to_vec()
    }

    fn same(
        &self,
        rule: &'static str,
        input: usize,
        got: &Option<Array<f64>>,
        want: &Option<Array<f64>>,
    ) -> Result<(), CheckError> {
        // An absent array is zero, with as many entries as the other.
        let n = got.as_ref().or(want.as_ref()).map_or(0, |a| a.shape().len());
        let slice = |a: &Option<Array<f64>>| a.as_ref().map_or(vec![0.0; n], |a| a.as_slice().to_vec());
        self.compare(rule, Some(input), &slice(got), &slice(want), false)
    }

    fn compare(
        &self,
        rule: &'static str,
        input: Option<usize>,
        got: &[f64],
        want: &[f64],
        differences: bool,
    ) -> Result<(), CheckError> {
        if got.len() != want.len() {
            let (op, error) = (self.op.name(), f64::NAN);
            return Err(CheckError { op, rule, input, error, allowed: 0.0 });
        }
        let error = got.iter().zip(want).map(|(g, w)| (g - w).abs()).fold(0.0, f64_max);
        // Where the exact answer is zero the difference itself is bounded.
        let scale = want.iter().map(|w| w.abs()).fold(0.0, f64_max).max(1e-3);
        let allowed = if differences { self.tolerances.differences } else { self.tolerances.identities };
        self.allow(rule, input, error / scale, allowed)
    }

    fn allow(
        &self,
        rule: &'static str,
        input: Option<usize>,
        error: f64,
        allowed: f64,
    ) -> Result<(), CheckError> {
        // The comparison is false for NaN.
        if error <= allowed {
            Ok(())
        } else {
            Err(CheckError { op: self.op.name(), rule, input, error, allowed })
        }
    }
}

/// Sets of `n` inputs. For few inputs every set; for many the empty one, the first and the last input alone, all but each of those, and all.
fn subsets(n: usize) -> Vec<InputSet> {
    if n <= 5 {
        return (0..1u32 << n).map(|bits| (0..n).filter(|&i| bits >> i & 1 == 1).collect()).collect();
    }
    let ends = [0, n - 1];
    let alone = ends.iter().map(|&i| [i].into_iter().collect());
    let others = ends.iter().map(|&i| (0..n).filter(|&j| j != i).collect());
    [InputSet::NONE, InputSet::all(n)].into_iter().chain(alone).chain(others).collect()
}

/// The larger number; NaN if either is.
fn f64_max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

fn random(shape: Shape, tag: u64) -> Array<f64> {
    let mut rng = Rng::new(0xC4EC, "check", tag, shape.len() as u64);
    let values: Vec<f64> = (0..shape.len()).map(|_| rng.normal()).collect();
    Array::from_slice(&Pool::new(), shape, &values)
}

fn shifted(x: &Array<f64>, direction: &[f64], step: f64) -> Array<f64> {
    let values: Vec<f64> = x.as_slice().iter().zip(direction).map(|(x, d)| x + step * d).collect();
    Array::from_slice(x.pool(), x.shape(), &values)
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}
