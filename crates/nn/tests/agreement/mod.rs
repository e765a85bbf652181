//! How far an imported network is from PyTorch in double precision: the numbers of a file that tools/make_pt2.py describes against ours.
//! Relative errors are ‖a − b‖∞ / ‖b‖∞ over a tensor.

use safetensors::{Dtype, SafeTensors};
use sph_autodiff::{Tape, Var, ops, sweep};
use sph_nn::graph::{Imported, import};
use sph_nn::{Forward, Mode, Module, Probes, Store};
use sph_pt2::Program;
use sph_tensor::{Array, Pool, Shape};
use std::collections::BTreeMap;
use std::path::Path;

/// The largest relative error of each kind of number.
pub type Errors = BTreeMap<&'static str, f64>;

/// A tensor of a safetensors file.
struct Given {
    shape: Vec<usize>,
    values: Vec<f64>,
}

fn read(path: &Path) -> BTreeMap<String, Given> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let file = SafeTensors::deserialize(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let tensor = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        let numbers = view.data().as_chunks::<8>().0;
        let values = match view.dtype() {
            Dtype::F64 => numbers.iter().map(|b| f64::from_le_bytes(*b)).collect(),
            Dtype::I64 => numbers.iter().map(|b| i64::from_le_bytes(*b) as f64).collect(),
            other => panic!("{name}: {other:?}"),
        };
        (name, Given { shape: view.shape().to_vec(), values })
    };
    file.tensors().into_iter().map(tensor).collect()
}

/// ‖a − b‖∞ / ‖b‖∞. Where b is rounding alone, beside `scale`, the difference counts beside that.
fn relative(a: &[f64], b: &[f64], scale: f64) -> f64 {
    assert_eq!(a.len(), b.len(), "numbers of entries");
    let largest =
        |v: &mut dyn Iterator<Item = f64>| v.fold(0.0, |m: f64, x| if x.is_nan() { x } else { m.max(x) });
    let size = largest(&mut b.iter().map(|b| b.abs())).max(scale);
    let difference = largest(&mut a.iter().zip(b).map(|(a, b)| (a - b).abs()));
    if difference == 0.0 { 0.0 } else { difference / size }
}

/// The inputs as the network reads them: images channels last.
fn inputs(network: &Imported, given: &BTreeMap<String, Given>, pool: &Pool<f64>) -> Vec<Array<f64>> {
    let arrays = given.iter().filter(|(name, _)| name.starts_with("input.")).map(|(_, g)| g);
    let lay = |(given, info): (&Given, &sph_nn::graph::InputInfo)| {
        let shape = &given.shape;
        if shape.len() != 4 || info.integer {
            return Array::from_slice(pool, Shape::new(shape), &given.values);
        }
        let [n, c, h, w] = [shape[0], shape[1], shape[2], shape[3]];
        let mut values = Vec::with_capacity(given.values.len());
        for i in 0..n * h * w {
            let (n, p) = (i / (h * w), i % (h * w));
            values.extend((0..c).map(|c_i| given.values[(n * c + c_i) * h * w + p]));
        }
        Array::from_slice(pool, Shape::new(&[n, h, w, c]), &values)
    };
    arrays.zip(&network.inputs).map(lay).collect()
}

/// A pass, recorded: the tape, the parameters' leaves, the output.
fn pass(
    network: &Imported,
    store: &Store<f64>,
    inputs: &[Array<f64>],
    mode: Mode,
    pool: &Pool<f64>,
) -> (Tape<f64>, Vec<Var<f64>>, Var<f64>) {
    let mut f =
        Forward::on(Tape::keeping(pool), store, mode, |_| Probes { dot: None, grad: true, hvp: false });
    let mut vars: Vec<_> = inputs.iter().map(|x| f.tape.constant(x.clone())).collect();
    f.more_inputs = vars.split_off(1);
    let module: &dyn Module<f64> = &*network.network.model;
    let output = module.forward(&mut f, &vars[0]).unwrap_or_else(|e| panic!("{e}"));
    let (tape, leaves) = f.into_parts();
    (tape, leaves, output)
}

/// Compares a file's network with the numbers beside it.
pub fn compare(pt2: &Path, numbers: &Path) -> Errors {
    let program = Program::read(pt2).unwrap_or_else(|e| panic!("{e}"));
    let network = import(&program, false).unwrap_or_else(|e| panic!("{}: {e}", pt2.display()));
    let (given, pool) = (read(numbers), Pool::new());
    let mut store = Store::<f64>::init(&network.network, &pool, 0);
    let inputs = inputs(&network, &given, &pool);
    let mut errors = Errors::new();
    let mut note = |kind: &'static str, error: f64| {
        let worst = errors.entry(kind).or_insert(0.0);
        *worst = if error.is_nan() { error } else { worst.max(error) };
    };
    let (_, _, evaluated) = pass(&network, &store, &inputs, Mode::Eval, &pool);
    note("evaluation", relative(evaluated.value().as_slice(), &given["evaluation"].values, 0.0));
    let (mut tape, leaves, output) = pass(&network, &store, &inputs, Mode::Train, &pool);
    note("output", relative(output.value().as_slice(), &given["output"].values, 0.0));
    let rows = Shape::new(&[output.value().shape().rows(), output.value().shape().last()]);
    let logits = tape.apply(ops::reshape(rows), &[&output], "loss").unwrap();
    let targets: Vec<u32> = given["target"].values.iter().map(|t| *t as u32).collect();
    let loss = tape.apply(ops::cross_entropy(targets.into(), 0.0), &[&logits], "loss").unwrap();
    note("loss", relative(loss.value().as_slice(), &given["loss"].values, 0.0));
    let adjoints = tape.backward(&loss);
    let sizes = given.iter().filter(|(name, _)| name.starts_with("grad.")).flat_map(|(_, g)| &g.values);
    let largest = sizes.fold(0.0, |m: f64, v| m.max(v.abs()));
    let specs: Vec<_> = network.network.params().cloned().collect();
    for (name, want) in &given {
        let Some((kind, name)) = name.split_once('.') else { continue };
        if kind == "buffer" {
            continue;
        }
        let Some(number) = specs.iter().position(|s| s.name == name) else {
            assert!(kind == "input", "parameter '{name}' is not in the network");
            continue;
        };
        match kind {
            "grad" => {
                let zeros = vec![0.0; specs[number].len()];
                let got = adjoints.grad(&leaves[number]).map_or(zeros, Array::to_f64);
                note("gradients", relative(&got, &want.values, 1e-6 * largest));
            }
            "row_sum" | "block" => {
                let n = specs[number].len();
                let columns = if kind == "block" { n } else { 1 };
                let mut got = vec![0.0; n * columns];
                for column in 0..columns {
                    let mut probe = vec![0.0; n];
                    match kind {
                        "block" => probe[column] = 1.0,
                        _ => probe.fill(1.0),
                    }
                    let shape = Shape::new(&specs[number].shape).prepend(1);
                    let probe = Array::from_slice(&pool, shape, &probe);
                    let product =
                        sweep::hvp(&mut tape, &[(&leaves[number], probe)], &[&leaves[number]]).unwrap();
                    if let Some(product) = &product[0] {
                        product
                            .as_slice()
                            .iter()
                            .enumerate()
                            .for_each(|(i, v)| got[i * columns + column] = *v);
                    }
                }
                let kind = if kind == "block" { "blocks" } else { "row sums" };
                note(kind, relative(&got, &want.values, 1e-6 * largest));
            }
            _ => (),
        }
    }
    store.track(&tape.take_statistics());
    for (spec, values) in store.buffer_specs().iter().zip(&store.buffers) {
        if let Some(want) = given.get(&format!("buffer.{}", spec.name)) {
            note("buffers", relative(values, &want.values, 0.0));
        }
    }
    errors
}
