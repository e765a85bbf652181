//! Networks that PyTorch exported agree with PyTorch in double precision.

mod agreement;

use sph_autodiff::{Tape, ops};
use sph_nn::graph::{ImportError, Imported, import};
use sph_nn::{Forward, Mode, Module, Probes, Role, Store};
use sph_pt2::{Argument, Extent, InputKind, Program, Size};
use sph_tensor::{Array, Pool, Rng, Shape};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The tiny networks that tools/make_pt2.py writes.
fn networks() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pt2/tests/files");
    let files = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let mut found: Vec<PathBuf> = files.filter(|p| p.extension().is_some_and(|e| e == "pt2")).collect();
    found.sort();
    assert!(found.len() >= 17, "{found:?}");
    found
}

#[test]
fn tiny_networks_agree_with_pytorch() {
    let mut wrong = Vec::new();
    for pt2 in networks() {
        let name = pt2.file_stem().unwrap().to_string_lossy().into_owned();
        let errors =
            std::panic::catch_unwind(|| agreement::compare(&pt2, &pt2.with_extension("safetensors")));
        let Ok(errors) = errors else {
            wrong.push(name);
            continue;
        };
        println!("{name}: {errors:?}");
        let allowed = |kind: &str| if matches!(kind, "row sums" | "blocks") { 1e-8 } else { 1e-9 };
        // NaN is not allowed either.
        let within = errors.iter().all(|(kind, error)| *error <= allowed(kind));
        if !within || errors.len() < 5 {
            wrong.push(format!("{name}: {errors:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A tiny network, as the reader gives it.
fn program(name: &str) -> Program {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pt2/tests/files");
    Program::read(&folder.join(name).with_extension("pt2")).unwrap()
}

#[test]
fn roles_follow_from_what_a_network_does_with_its_parameters() {
    let rows: &[(&str, &[(&str, Role)])] = &[
        (
            "residual",
            &[("conv1.weight", Role::Weight), ("bn1.weight", Role::NormScale), ("fc.bias", Role::Bias)],
        ),
        ("two_inputs", &[("scale", Role::NormScale), ("shift", Role::NormShift), ("a.bias", Role::Bias)]),
        ("rotary", &[("norm1.weight", Role::NormScale), ("tokens.weight", Role::Embedding)]),
        (
            "vit",
            &[("scale.gamma", Role::Magnitude), ("token", Role::Embedding), ("norm1.bias", Role::NormShift)],
        ),
        ("vit", &[("positions", Role::Embedding), ("patches.weight", Role::Weight)]),
        ("swin", &[("table", Role::Embedding)]),
        ("writes", &[("gain", Role::Magnitude)]),
    ];
    for (name, expected) in rows {
        let network = import(&program(name), false).unwrap().network;
        for (parameter, role) in *expected {
            let spec = network.params().find(|s| s.name == *parameter).unwrap();
            assert_eq!(spec.role, *role, "{name}: {parameter}");
        }
    }
    let of = |name: &str, parameter: &str| {
        let network = import(&program(name), false).unwrap().network;
        network.params().find(|s| s.name == parameter).unwrap().clone()
    };
    // The classifier, and keys' biases, whatever multiplies and moves them on their way.
    assert!(
        of("residual", "fc.weight").head
            && of("residual", "fc.bias").head
            && !of("residual", "bn2.bias").head
    );
    assert!(of("vit", "attn.qkv.bias").flat && of("swin", "qkv.bias").flat && !of("vit", "mlp.0.bias").flat);
    // Tied weights are one parameter with two names.
    assert_eq!(of("gpt", "tokens.weight").aliases, ["head.weight"]);
    assert_eq!(of("residual", "bn1.weight").class_name(), "BatchNorm2d");
}

#[test]
fn what_requires_no_gradient_is_frozen_by_default() {
    for (decouple, expected) in [
        (false, ["a.weight", "norm.weight", "b.weight", "b.bias"].as_slice()),
        // Magnitudes of frozen weights are frozen, too.
        (true, &["a.weight", "norm.weight", "b.weight_v", "b.bias", "b.weight_g"]),
    ] {
        let network = import(&program("frozen"), decouple).unwrap().network;
        let frozen = network.params().filter(|s| s.frozen_by_default).map(|s| &*s.name);
        assert_eq!(frozen.collect::<Vec<_>>(), expected);
        assert!(network.params().all(|s| !s.frozen));
    }
    assert!(import(&program("two_inputs"), false).unwrap().network.params().all(|s| !s.frozen_by_default));
}

#[test]
fn what_a_file_leaves_open_is_said() {
    let notes = |name: &str| import(&program(name), false).unwrap().notes.join("; ");
    assert_eq!(notes("residual"), "");
    assert!(notes("residual_eval").contains("evaluation mode"));
    assert!(notes("residual_fixed").contains("batches of 4 alone"));
    let mut unknown = program("vit");
    for (number, node) in unknown.nodes.iter_mut().filter(|n| n.target.contains("layer_norm")).enumerate() {
        node.target = ["mine.fold.default", "mine.spindle.default"][number % 2].into();
    }
    let Err(ImportError::Unsupported(list)) = import(&unknown, false) else { panic!("unknown operations") };
    let list: Vec<_> = list.iter().map(ToString::to_string).collect();
    assert_eq!(
        list,
        [
            "mine.fold.default (2 times, first in layer 'norm1')",
            "mine.spindle.default (1 times, first in layer 'norm2')"
        ]
    );
    // An argument that nothing here reads is not ignored.
    let mut strange = program("residual");
    let conv = strange.nodes.iter_mut().find(|n| n.target.contains("conv2d")).unwrap();
    conv.arguments.push(("twist".into(), Argument::Int(2)));
    let error = import(&strange, false).map(|_| ()).unwrap_err().to_string();
    assert_eq!(error, "layer 'conv1': aten.conv2d.default: argument 'twist' is not supported");
}

#[test]
fn decoupled_networks_compute_the_same() {
    for (name, decoupled) in [("vit", 6), ("residual", 2), ("squeeze", 3)] {
        let (pool, program) = (Pool::<f64>::new(), program(name));
        let outputs = |decouple: bool| {
            let imported = import(&program, decouple).unwrap();
            let count = imported.network.params().filter(|s| s.role == Role::Direction).count();
            assert_eq!(count, if decouple { decoupled } else { 0 }, "{name}");
            let store = Store::init(&imported.network, &pool, 0);
            let mut f = Forward::new(&store, &pool, Mode::Train);
            let mut rng = Rng::new(1, "images", 0, 0);
            let mut images = Array::stale(&pool, Shape::new(&[3, 8, 8, 3]));
            images.make_mut().iter_mut().for_each(|v| *v = rng.normal());
            let images = f.tape.constant(images);
            let model: &dyn Module<f64> = &*imported.network.model;
            model.forward(&mut f, &images).unwrap().value().to_f64()
        };
        let (plain, split) = (outputs(false), outputs(true));
        let largest = plain.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        let difference = plain.iter().zip(&split).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs()));
        assert!(difference <= 1e-12 * largest, "{name}: {difference}");
    }
}

/// Changes a number, a name, an argument, an operation or an extent of a graph.
fn mutate(program: &mut Program, others: &[Program], rng: &mut Rng) {
    let strange = [0, 1, -1, 2, 7, -7, 1 << 20, 1 << 40, i64::MAX, i64::MIN];
    let node = rng.below(program.nodes.len());
    let names: Vec<String> = program.values.keys().cloned().collect();
    let arguments = program.nodes[node].arguments.len();
    match rng.below(7) {
        0 if arguments > 0 => {
            let (_, argument) = &mut program.nodes[node].arguments[rng.below(arguments)];
            match argument {
                Argument::Int(v) => *v = strange[rng.below(strange.len())],
                Argument::Ints(v) if !v.is_empty() => {
                    let at = rng.below(v.len());
                    v[at] = strange[rng.below(strange.len())];
                }
                Argument::Sizes(v) if !v.is_empty() => {
                    let at = rng.below(v.len());
                    v[at] = Size::Fixed(strange[rng.below(strange.len())]);
                }
                Argument::Float(v) => *v = [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300][rng.below(5)],
                Argument::Bool(v) => *v = !*v,
                Argument::Tensor(name) => name.clone_from(&names[rng.below(names.len())]),
                other => *other = Argument::None,
            }
        }
        1 if arguments > 0 => {
            program.nodes[node].arguments.remove(rng.below(arguments));
        }
        2 => {
            let other = &others[rng.below(others.len())];
            program.nodes[node].target.clone_from(&other.nodes[rng.below(other.nodes.len())].target);
        }
        3 => {
            let name = &names[rng.below(names.len())];
            let meta = program.values.get_mut(name).unwrap();
            if !meta.sizes.is_empty() {
                let at = rng.below(meta.sizes.len());
                meta.sizes[at] = Extent::Fixed(strange[rng.below(strange.len())]);
            }
        }
        4 => {
            let input = rng.below(program.inputs.len());
            if let InputKind::Parameter(name) | InputKind::Buffer { name, .. } = &program.inputs[input].kind
                && let Some(tensor) = program.tensors.get_mut(name)
            {
                // The same bytes under another shape, which the reader could have given as well.
                let n = tensor.bytes.len() / tensor.dtype.size().unwrap_or(1);
                (tensor.shape, tensor.strides, tensor.offset) = (vec![n], vec![1], 0);
            }
        }
        5 => {
            let other = rng.below(program.nodes.len());
            program.nodes.swap(node, other);
        }
        _ => {
            let other = &others[rng.below(others.len())];
            let (target, from) = (&mut program.nodes[node], &other.nodes[rng.below(other.nodes.len())]);
            target.arguments.clone_from(&from.arguments);
        }
    }
}

/// Numbers that a network may make of a sample and is still run.
const LARGEST: usize = 1 << 20;

/// A step's work on a tiny batch, if the network is small: the gradient of its loss, or of the cross-entropy of its output. Shapes may not fit
/// when it runs, since they are those of a batch then.
fn run(imported: &Imported, pool: &Pool<f64>) -> Option<Result<(), String>> {
    let batch = imported.batch.unwrap_or(3);
    if imported.values > LARGEST || batch > 8 {
        return None;
    }
    let store = Store::init(&imported.network, pool, 0);
    let tape = Tape::new(pool, 1);
    let mut f = Forward::on(tape, &store, Mode::Train, |_| Probes { dot: None, grad: true, hvp: false });
    let mut rng = Rng::new(5, "inputs", 0, 0);
    let mut given = Vec::new();
    for input in &imported.inputs {
        let mut dims = input.shape.clone();
        if dims.len() == 3 && !input.integer {
            dims.rotate_left(1);
        }
        let mut x = Array::stale(pool, Shape::new(&[vec![batch], dims].concat()));
        x.make_mut()
            .iter_mut()
            .for_each(|v| *v = if input.integer { rng.below(5) as f64 } else { rng.normal() });
        given.push(f.tape.constant(x));
    }
    f.more_inputs = given.split_off(1);
    let module: &dyn Module<f64> = &*imported.network.model;
    let mut step = || {
        let output = module.forward(&mut f, &given[0]).map_err(|e| e.to_string())?;
        let (n, classes) = (output.value().shape().rows(), output.value().shape().last());
        let loss = match &imported.output {
            None => output,
            Some(_) => {
                let rows = ops::reshape(Shape::new(&[n, classes]));
                let rows = f.tape.apply(rows, &[&output], "loss").map_err(|e| e.to_string())?;
                let loss = ops::cross_entropy(vec![0; n].into(), 0.0);
                f.tape.apply(loss, &[&rows], "loss").map_err(|e| e.to_string())?
            }
        };
        f.tape.backward(&loss);
        Ok(())
    };
    Some(step())
}

/// `GRAPHS` in the environment is their number. Those that are networks are run, in CI a few of them.
#[test]
fn mutated_graphs_are_networks_or_errors() {
    let programs: Vec<Program> = networks().iter().map(|p| Program::read(p).unwrap()).collect();
    let count = std::env::var("GRAPHS").map_or(2000, |n| n.parse().unwrap());
    let runs = if count > 2000 { count } else { 200 };
    let (mut built, mut ran) = (0, 0);
    let pool = Pool::<f64>::new();
    for number in 0..count {
        let mut rng = Rng::new(11, "mutation", number, 0);
        let mut program = programs[rng.below(programs.len())].clone();
        (0..1 + rng.below(3)).for_each(|_| mutate(&mut program, &programs, &mut rng));
        let kept = program.clone();
        let begin = Instant::now();
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let imported = import(&program, number % 2 == 0)?;
            Ok::<_, ImportError>(if built < runs { run(&imported, &pool) } else { None })
        }));
        assert!(begin.elapsed() < Duration::from_secs(60), "graph {number}: {:?}", begin.elapsed());
        match outcome {
            Ok(Ok(done)) => {
                built += 1;
                match done {
                    Some(Ok(())) => ran += 1,
                    Some(Err(e)) => assert!(!e.is_empty() && e.len() < 2000, "{e}"),
                    None => (),
                }
            }
            Ok(Err(e)) => assert!(!e.to_string().is_empty() && e.to_string().len() < 2000),
            Err(_) => panic!("graph {number} of {count}: {:?}", kept.nodes),
        }
    }
    // Both ends are met.
    println!("{built} of {count} are networks, {ran} run");
    assert!(built > count / 50 && built < count * 4 / 5, "{built} of {count} are networks");
    assert!(ran > built.min(runs) / 2, "{ran} of {built} run");
}

#[test]
fn dropout_in_place_calls_its_input_by_another_name() {
    let mut program = program("residual");
    let dropout = program.nodes.iter_mut().find(|n| n.target == "aten.dropout.default").unwrap();
    dropout.target = "aten.dropout_.default".into();
    dropout.arguments[0].0 = "self".into();
    import(&program, false).unwrap();
}

#[test]
fn attention_wants_axes_for_tokens_with_dropout_too() {
    let mut program = program("dropped");
    let attention = program.nodes.iter_mut().find(|n| n.target.contains("scaled_dot")).unwrap();
    attention.arguments[1].1 = Argument::Tensor("p_norm_bias".into());
    let error = import(&program, false).map(|_| ()).unwrap_err().to_string();
    let want = "queries of [N, 2, 4, 2], keys of [4] and values of [N, 2, 4, 2] are not supported";
    assert!(error.ends_with(want), "{error}");
}

#[test]
fn a_row_of_zeros_cannot_be_decoupled() {
    let mut program = program("residual");
    let weights = program.tensors.get_mut("fc.weight").unwrap();
    let mut bytes = weights.bytes.to_vec();
    // The second row of six.
    bytes[6 * 4..12 * 4].fill(0);
    weights.bytes = bytes.into();
    let error = import(&program, true).map(|_| ()).unwrap_err().to_string();
    assert_eq!(error, "layer 'fc' cannot be decoupled: row 1 of its weights is zero");
    assert!(import(&program, false).is_ok());
}

#[test]
fn layers_whose_weights_do_not_begin_with_outputs_stay_whole() {
    let network = import(&program("convolutions"), true).unwrap().network;
    let names: Vec<_> = network.params().map(|s| s.name.clone()).collect();
    assert!(
        names.contains(&"transposed.weight".into()) && names.contains(&"dilated.weight_v".into()),
        "{names:?}"
    );
}
