//! Networks of PyTorch's in every command: trained, gone on with, looked at, exported, refused.

mod common;
#[path = "common/outcome.rs"]
mod outcome;

use outcome::{json, mistake, stdout};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One of the tiny networks that PyTorch exported.
fn network(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../pt2/tests/files/{name}.pt2"))
}

/// Images [N, 3, 8, 8] of five classes, each with a colour and a corner of its own.
fn images(path: &Path) {
    let part = |n: usize, start: usize| {
        let labels: Vec<i64> = (0..n).map(|i| ((i * 3 + start) % 5) as i64).collect();
        let mut values = Vec::new();
        for (i, label) in labels.iter().enumerate() {
            for c in 0..3 {
                for p in 0..64 {
                    let bright = (p / 32 == (*label as usize) % 2) && c == (*label as usize) % 3;
                    let noise = ((i * 7919 + c * 104_729 + p * 1_299_709 + start) % 97) as f32 / 97.0;
                    values.push(f32::from(u8::from(bright)) + 0.5 * noise);
                }
            }
        }
        (values, labels)
    };
    let (train, test) = (part(200, 0), part(60, 1));
    let floats = |v: &[f32]| v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let ints = |v: &[i64]| v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let data = [floats(&train.0), ints(&train.1), floats(&test.0), ints(&test.1)];
    let view = |dtype, shape: &[usize], i: usize| TensorView::new(dtype, shape.to_vec(), &data[i]).unwrap();
    let tensors = BTreeMap::from([
        ("x_train", view(Dtype::F32, &[200, 3, 8, 8], 0)),
        ("y_train", view(Dtype::I64, &[200], 1)),
        ("x_test", view(Dtype::F32, &[60, 3, 8, 8], 2)),
        ("y_test", view(Dtype::I64, &[60], 3)),
    ]);
    std::fs::write(path, safetensors::serialize(tensors, None).unwrap()).unwrap();
}

#[test]
fn a_network_from_a_file_goes_through_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let (out, data) = (dir.path().display(), dir.path().join("images.safetensors"));
    images(&data);
    let data = format!("--dataset safetensors --layout nchw --data-dir {}", data.display());
    let file = dir.path().join("net.pt2");
    std::fs::copy(network("residual"), &file).unwrap();
    let net = file.display();

    // What is in it, and what its own weights know.
    let list = stdout(&format!("models {net}"));
    for words in ["net.pt2: x N×3×8×8 -> N×5", "norm scale", "BatchNorm2d", "second-order in 4 blocks"] {
        assert!(list.contains(words), "no {words:?} in {list}");
    }
    let record = json(&format!("models {net}"));
    assert_eq!(record["tensors"][0]["name"], "conv1.weight");
    assert_eq!(record["tensors"][0]["multiply_adds"], 4 * 27 * 64);
    let accuracy = |flags: &str| {
        let record = json(&format!("eval {flags}"));
        record["accuracy"].as_f64().unwrap()
    };
    assert!(accuracy(&format!("{net} {data}")) < 0.7);
    stdout(&format!("bench --model {net} --batch-size 8 --steps 2"));

    // Trained, with exact curvature; the run keeps the file.
    let train = format!("train --model {net} {data} --epochs 4 --batch-size 20 --opt sph --runs {out}");
    stdout(&format!("{train} --experiment whole"));
    let run = dir.path().join("whole");
    assert_eq!(std::fs::read(run.join("model.pt2")).unwrap(), std::fs::read(&file).unwrap());
    assert!(accuracy(&format!("{} {data}", run.display())) > 0.9);

    // Gone on with, from the run's own copy: the file may be elsewhere by then.
    stdout(&format!("{train} --experiment longer --epochs 2"));
    std::fs::rename(&file, dir.path().join("elsewhere.pt2")).unwrap();
    stdout(&format!("train --resume {out}/longer --epochs 4"));
    assert!(accuracy(&format!("{out}/longer {data}")) > 0.9);

    // A model file beside the run's graph is enough; elsewhere the graph is named, and must be that one.
    let best = run.join("best.safetensors");
    assert!(accuracy(&format!("{} {data}", best.display())) > 0.9);
    let moved = dir.path().join("moved.safetensors");
    std::fs::copy(&best, &moved).unwrap();
    mistake(&format!("eval {} {data}", moved.display()), &["net.pt2", "SHA-256", "--model"]);
    let model = format!("--model {out}/elsewhere.pt2");
    assert!(accuracy(&format!("{} {data} {model}", moved.display())) > 0.9);
    let other = network("squeeze");
    mistake(&format!("eval {} {data} --model {}", moved.display(), other.display()), &["is not the graph"]);

    // Inspected and exported under the module's own names.
    let shown = stdout(&format!("inspect --checkpoint {} {data} --batch-size 20", run.display()));
    assert!(shown.contains("bn1.weight"), "{shown}");
    let exported = dir.path().join("state.safetensors");
    stdout(&format!("export {} --format safetensors -o {}", run.display(), exported.display()));
    let bytes = std::fs::read(&exported).unwrap();
    let names: Vec<String> =
        SafeTensors::deserialize(&bytes).unwrap().names().into_iter().map(String::from).collect();
    for name in ["conv1.weight", "bn1.running_mean", "bn1.num_batches_tracked", "fc.bias"] {
        assert!(names.contains(&name.to_string()), "no {name} in {names:?}");
    }
    stdout(&format!("export {} --format onnx -o {out}/net.onnx", run.display()));
}

#[test]
fn what_does_not_fit_a_network_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let net = network("residual");
    let net = net.display();
    mistake(&format!("train --model {net} --dataset digits"), &["3×8×8", "1×8×8"]);
    mistake(&format!("train --model {net} --norm gn"), &["--norm", ".pt2"]);
    mistake(&format!("train --model {net} --dropout 0.1"), &["--dropout", ".pt2"]);
    mistake("train --model nowhere.pt2", &["nowhere.pt2", "No such file"]);
    let broken = dir.path().join("broken.pt2");
    std::fs::write(&broken, b"no archive").unwrap();
    mistake(&format!("train --model {}", broken.display()), &["broken.pt2"]);
    let data = dir.path().join("images.safetensors");
    images(&data);
    let data = format!("--dataset safetensors --layout nchw --data-dir {}", data.display());
    let fixed = network("residual_fixed");
    mistake(
        &format!("train --model {} {data} --batch-size 20 --runs {}", fixed.display(), dir.path().display()),
        &["batches of 4", "torch.export.Dim"],
    );
}

/// Rows of six numbers of five classes.
fn rows(path: &Path) {
    let labels: Vec<i64> = (0..100).map(|i| i % 5).collect();
    let value = |i: usize| (i * 7919 % 97) as f32 / 97.0 + f32::from(u8::from(i % 6 == (i / 6) % 5));
    let x: Vec<u8> = (0..600).flat_map(|i| value(i).to_le_bytes()).collect();
    let y: Vec<u8> = labels.iter().flat_map(|v| v.to_le_bytes()).collect();
    let tensors = BTreeMap::from([
        ("x_train", TensorView::new(Dtype::F32, vec![100, 6], &x).unwrap()),
        ("y_train", TensorView::new(Dtype::I64, vec![100], &y).unwrap()),
        ("x_test", TensorView::new(Dtype::F32, vec![100, 6], &x).unwrap()),
        ("y_test", TensorView::new(Dtype::I64, vec![100], &y).unwrap()),
    ]);
    std::fs::write(path, safetensors::serialize(tensors, None).unwrap()).unwrap();
}

#[test]
fn rows_of_numbers_are_features() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.safetensors");
    rows(&path);
    let (out, net) = (dir.path().display(), network("copies"));
    let data = format!("--dataset safetensors --data-dir {}", path.display());
    let flags = format!("--epochs 20 --batch-size 20 --opt adamw --lr 0.03 --experiment a --runs {out}");
    stdout(&format!("train --model {} {data} {flags}", net.display()));
    let record = json(&format!("eval {out}/a {data}"));
    assert!(record["accuracy"].as_f64().unwrap() > 0.6, "{record}");
}

#[test]
fn what_a_file_freezes_stays_until_it_is_chosen() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.safetensors");
    rows(&path);
    let (out, net) = (dir.path().display(), network("frozen"));
    let net = net.display();
    let list = stdout(&format!("models {net}"));
    let line = |name: &str| list.lines().find(|l| l.starts_with(&format!("{name} "))).unwrap().to_string();
    assert!(line("a.weight").ends_with("  frozen") && !line("a.bias").ends_with("frozen"), "{list}");
    assert!(list.contains("189 parameters, 128 of them frozen"), "{list}");
    assert_eq!(json(&format!("models {net}"))["tensors"][0]["frozen"], true);

    let data = format!("--dataset safetensors --data-dir {}", path.display());
    let train = |experiment: &str, more: &str| {
        let flags = format!("train --model {net} {data} --epochs 1 --batch-size 20 --runs {out}");
        let done = common::sph(&format!("{flags} --experiment {experiment} {more}")).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let bytes = std::fs::read(dir.path().join(experiment).join("last.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let begun = sph_pt2::Program::read(&network("frozen")).unwrap();
        let changed = |name: &str| {
            let floats = file.tensor(name).unwrap().data().as_chunks::<4>().0.to_vec();
            let values: Vec<f64> = floats.iter().map(|b| f32::from_le_bytes(*b).into()).collect();
            values != begun.tensors[name].to_f64()
        };
        let names = ["a.weight", "a.bias", "norm.weight", "norm.bias", "b.weight", "b.bias", "head.weight"];
        let moved: Vec<&str> = names.into_iter().filter(|name| changed(name)).collect();
        (moved.join(" "), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    let said = "note: the network's file freezes 4 of 8 parameters (no requires_grad), 'a.weight' first: ";
    let (moved, stderr) = train("own", "--opt sgd");
    assert_eq!(moved, "a.bias norm.bias head.weight");
    assert!(stderr.contains(&format!("{said}they are not trained; --trainable all,")), "{stderr}");
    let (moved, stderr) = train("chosen", "--opt sgd --trainable b.*,norm");
    assert_eq!(moved, "norm.weight norm.bias b.weight b.bias");
    assert!(stderr.contains(&format!("{said}--trainable b.*,norm trains 3 of them")), "{stderr}");
    let (moved, _) = train("all", "--opt sph --trainable all");
    assert_eq!(moved.split(' ').count(), 7);
    // A built-in network freezes nothing.
    let done =
        common::sph("bench --model mlp --batch-size 4 --steps 1 --trainable unfrozen").output().unwrap();
    assert!(done.status.success() && !String::from_utf8_lossy(&done.stderr).contains("freezes"));
}
