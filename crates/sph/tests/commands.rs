//! The commands beside training, on one small run: what they say agrees with what training said.

mod common;
#[path = "common/outcome.rs"]
mod outcome;

use common::sph;
use outcome::{json, mistake, stdout};
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;

/// A run on the digits, and what it said.
fn run(dir: &TempDir, flags: &str) -> (String, Value) {
    let out = dir.path().display();
    let said = json(&format!("train --epochs 1 --runs {out} --experiment r {flags}"));
    (format!("{out}/r"), said)
}

/// A PNG of one colour per half, left and right.
fn png(path: &Path, (w, h): (u32, u32), left: u8, right: u8) {
    image::GrayImage::from_fn(w, h, |x, _| image::Luma([if x < w / 2 { left } else { right }]))
        .save(path)
        .unwrap();
}

#[test]
fn eval_says_what_training_said() {
    let dir = TempDir::new().unwrap();
    let (run, said) = run(&dir, "--model mlp --val-split 0.1");
    let found = json(&format!("eval {run}"));
    let close = |a: &Value, b: &Value| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-6;
    assert!(
        close(&found["accuracy"], &said["test_accuracy"]) && close(&found["loss"], &said["test_loss"]),
        "{found} {said}"
    );
    let classes = found["classes"].as_array().unwrap();
    let right: f64 =
        classes.iter().map(|c| c["accuracy"].as_f64().unwrap() * c["images"].as_f64().unwrap()).sum();
    assert!((right - 360.0 * found["accuracy"].as_f64().unwrap()).abs() < 1e-6);
    // The file alone does not know what was held out, but has the rest.
    assert_eq!(json(&format!("eval {run}/best.safetensors"))["loss"], found["loss"]);
    let images = |split: &str| json(&format!("eval {run} --split {split}"))["images"].as_u64().unwrap();
    assert_eq!((images("train"), images("validation")), (1437 - 144, 144));
    mistake(&format!("eval {run}/best.safetensors --split validation"), &["--val-split"]);
    mistake(&format!("eval {}", dir.path().display()), &["args.toml", "folder of a run"]);
    mistake(&format!("eval {run} --dataset folder"), &["--data-dir"]);
    mistake(&format!("eval {run} --data-dir x"), &["digits does not take --data-dir", "folder"]);
    assert!(stdout(&format!("eval {run}")).contains("accuracy"));
}

#[test]
fn few_labelled_images_are_trained_on_and_few_evaluated() {
    let dir = TempDir::new().unwrap();
    let (run, said) = run(&dir, "--model mlp --val-split 0.1 --labels 10 --eval-images 50 --epochs 3");
    let images = |split: &str| json(&format!("eval {run} --split {split}"));
    let classes = images("train")["classes"].as_array().unwrap().clone();
    assert!(classes.len() == 10 && classes.iter().all(|class| class["images"] == 10), "{classes:?}");
    assert_eq!((&images("validation")["images"], &images("test")["images"]), (&144.into(), &360.into()));
    let right = 50.0 * said["test_accuracy"].as_f64().unwrap();
    assert!((right - right.round()).abs() < 1e-9, "{said}");
    let page = std::fs::read_to_string(format!("{run}/report.html")).unwrap();
    let shown = format!("The best model on the 50 test images: {right:.0} right, {:.0} wrong", 50.0 - right);
    assert!(page.contains(&shown), "no {shown:?}");
    // Worst images go by their number in the whole test set.
    let number = |text: &str| text.split(' ').next().unwrap().parse::<usize>().unwrap();
    let numbers: Vec<usize> = page.split("alt=\"test image ").skip(1).map(number).collect();
    assert!(numbers.iter().any(|&n| n >= 50) && numbers.iter().all(|&n| n < 360), "{numbers:?}");
    let out = dir.path().display();
    let train = format!("train --model mlp --runs {out} --experiment other");
    mistake(&format!("{train} --labels 200"), &["--labels 200", "class '0'", "142"]);
    mistake(&format!("{train} --labels 5"), &["--batch-size 64", "50 training images"]);
    mistake(&format!("{train} --labels 0"), &["--labels"]);
    assert!(!dir.path().join("other").exists());
}

#[test]
fn a_folder_of_pictures_is_trained_on_and_predicted() {
    let dir = TempDir::new().unwrap();
    let photos = dir.path().join("photos");
    for (class, left, right) in [("dark_left", 20, 220), ("dark_right", 220, 20)] {
        std::fs::create_dir_all(photos.join(class)).unwrap();
        for i in 0..20 {
            png(&photos.join(class).join(format!("{i}.png")), (20 + i, 16), left + i as u8, right - i as u8);
        }
    }
    let data =
        format!("--dataset folder --data-dir {} --image-size 8 --test-fraction 0.25", photos.display());
    let (run, said) = run(&dir, &format!("{data} --model mlp --batch-size 5 --epochs 4"));
    assert_eq!(said["test_accuracy"], 1.0);
    let (a, b) = (dir.path().join("a.png"), dir.path().join("b.jpg"));
    png(&a, (31, 17), 10, 240);
    png(&b, (8, 8), 240, 10);
    let files = format!("{} {}", a.display(), b.display());
    let found = json(&format!("predict {run} {files}"));
    let classes: Vec<&Value> = found["predictions"].as_array().unwrap().iter().map(|p| &p["class"]).collect();
    assert_eq!(classes, ["dark_left", "dark_right"]);
    let table = stdout(&format!("predict {run} {files} --top 2"));
    let first: Vec<&str> = table.lines().next().unwrap().split('\t').collect();
    assert_eq!((first.len(), first[0]), (3, &*a.display().to_string()), "{table}");
    assert!(first[1].starts_with("dark_left ") && first[2].starts_with("dark_right "), "{table}");
    assert_eq!(json(&format!("eval {run}"))["accuracy"], 1.0);
    mistake(&format!("predict {run} {}/args.toml", run), &["args.toml", "not a picture"]);
    let stats = json(&format!("data stats {}", data.trim_start_matches("--dataset ")));
    assert_eq!((&stats["train"], &stats["classes"][1]["test"]), (&Value::from(30), &Value::from(5)));
    mistake("data stats digits --layout nchw", &["digits does not take --layout", "npz, safetensors"]);
}

#[test]
fn networks_and_data_go_together_by_the_names_of_classes() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let pictures = |folder: &str, class: &str, left: u8, right: u8| {
        let folder = dir.path().join(folder).join(class);
        std::fs::create_dir_all(&folder).unwrap();
        (0..12).for_each(|i| png(&folder.join(format!("{i}.png")), (8, 8), left + i, right - i));
    };
    pictures("photos", "dark_left", 20, 220);
    pictures("photos", "dark_right", 220, 20);
    let data = format!("folder --data-dir {} --test-fraction 0.25", at("photos"));
    let (run, said) = run(&dir, &format!("--dataset {data} --model mlp --batch-size 5 --epochs 6"));
    assert_eq!(said["test_accuracy"], 1.0);
    // The second class alone, which is the first of its folder.
    pictures("few", "dark_right", 220, 20);
    let few = format!("--data-dir {}", at("few"));
    let found = json(&format!("eval {run} {few}"));
    let classes: Vec<(&Value, &Value)> =
        found["classes"].as_array().unwrap().iter().map(|c| (&c["images"], &c["accuracy"])).collect();
    assert_eq!(classes, [(&Value::from(0), &Value::Null), (&Value::from(12), &Value::from(1.0))]);
    let said = sph(&format!("eval {run} {few}")).output().unwrap();
    assert!(String::from_utf8_lossy(&said.stdout).contains("no images"));
    assert!(String::from_utf8_lossy(&said.stderr).contains("no images of 'dark_left'"));
    json(&format!("adapt --checkpoint {run} {few} --test-fraction 0.25 --labels 5 --steps 1"));
    // Names that are exchanged exchange the classes, and the rows of a classifier to begin with.
    stdout(&format!("data corrupt {data} --corrupt brightness:1 --output {}", at("copy.npz")));
    let copy = format!("--dataset npz --data-dir {} --layout nhwc", at("copy.npz"));
    std::fs::write(at("names.txt"), "dark_right\ndark_left\n").unwrap();
    let exchanged = format!("{copy} --class-names {}", at("names.txt"));
    assert_eq!(json(&format!("eval {run} {copy}"))["accuracy"], 1.0);
    assert_eq!(json(&format!("eval {run} {exchanged}"))["accuracy"], 0.0);
    let tuned = |data: &str, name: &str| {
        let flags = "--model mlp --opt sgd --lr 1e-30 --weight-decay 0 --batch-size 6 --epochs 1";
        let begin = format!("--init-checkpoint {run}/best.safetensors --runs {}", at("runs"));
        json(&format!("train {data} {flags} {begin} --experiment {name}"))["test_accuracy"].clone()
    };
    assert_eq!(tuned(&copy, "as-they-were"), 1.0);
    assert_eq!(tuned(&exchanged, "exchanged"), 0.0);
    std::fs::write(at("names.txt"), "dark_right\nemu\n").unwrap();
    mistake(&format!("eval {run} {exchanged}"), &["'emu'", "'dark_left', 'dark_right'"]);
}

/// A `.npy` file of values of one type.
fn npy<const N: usize>(descr: &str, shape: &str, values: impl Iterator<Item = [u8; N]>) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let data: Vec<u8> = values.flatten().collect();
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), &data].concat()
}

#[test]
fn arrays_are_predicted_and_evaluated_as_the_network_was_trained() {
    let dir = TempDir::new().unwrap();
    let (run, said) = run(&dir, "--model mlp --epochs 3");
    let digits = sph_data::load("digits", &Default::default()).unwrap();
    let bytes = digits.test.images.bytes().unwrap();
    // Training images of another scale, which must change nothing.
    let file = dir.path().join("f.npz");
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&file).unwrap());
    for (name, array) in [
        ("x_train", npy("|u1", "(10, 8, 8)", (0..640).map(|i| [(i % 251) as u8]))),
        ("y_train", npy("<u2", "(10,)", (0..10u16).map(u16::to_le_bytes))),
        ("x_test", npy("|u1", "(360, 8, 8)", bytes.iter().map(|b| [*b]))),
        ("y_test", npy("<i8", "(360,)", digits.test.labels.iter().map(|l| i64::from(*l).to_le_bytes()))),
    ] {
        zip.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut zip, &array).unwrap();
    }
    zip.finish().unwrap();
    let file = file.display();
    let found = json(&format!("eval {run} --dataset npz --data-dir {file}"));
    assert_eq!((&found["images"], &found["accuracy"]), (&Value::from(360), &said["test_accuracy"]));
    assert!((found["loss"].as_f64().unwrap() - said["test_loss"].as_f64().unwrap()).abs() < 1e-6);
    for (class, about) in found["classes"].as_array().unwrap().iter().enumerate() {
        let count = digits.test.labels.iter().filter(|l| **l as usize == class).count();
        assert_eq!(
            (&about["name"], &about["images"]),
            (&Value::from(class.to_string()), &Value::from(count))
        );
    }
    // In several batches, and every class by its name and number.
    let found = json(&format!("predict {run} {file} --batch-size 100"));
    let predictions = found["predictions"].as_array().unwrap();
    let right = predictions.iter().zip(&digits.test.labels).filter(|(p, label)| p["number"] == **label);
    assert_eq!(right.count() as f64 / 360.0, said["test_accuracy"].as_f64().unwrap());
    for (i, p) in predictions.iter().enumerate() {
        assert_eq!(p["input"], format!("{file}[{i}]"));
        assert_eq!(p["class"], found["classes"][p["number"].as_u64().unwrap() as usize]);
    }
}

#[test]
fn exports_are_files_of_their_formats() {
    let dir = TempDir::new().unwrap();
    let (run, _) = run(&dir, "--model resnet8 --norm none --decouple auto --lr 0.01");
    let out = dir.path().display();
    stdout(&format!("export {run} --format onnx -o {out}/m.onnx"));
    // Protobuf: IR version 8 first.
    assert_eq!(std::fs::read(dir.path().join("m.onnx")).unwrap()[..2], [8, 8]);
    stdout(&format!("export {run} --format safetensors -o {out}/m.safetensors"));
    let module = std::fs::read_to_string(dir.path().join("m.py")).unwrap();
    assert!(
        module.contains(r#"build("resnet8", in_channels=1, image_size=8, num_classes=10, norm="none""#),
        "{module}"
    );
    // Multiplied out, the network is the same.
    let loss = |path: &str| json(&format!("eval {path}"))["loss"].as_f64().unwrap();
    assert!((loss(&run) - loss(&format!("{out}/m.safetensors"))).abs() < 1e-5);
    mistake(&format!("export {run} --format safetensors -o {out}/m.bin"), &["m.bin", ".safetensors"]);
    mistake(&format!("export {run} --format onnx -o {out}/no/m.onnx"), &["cannot write", "m.onnx"]);
}

#[test]
fn models_and_completions_are_listed() {
    let found = json("models resnet20 vit_tiny --image-size 10");
    let models = found["models"].as_array().unwrap();
    let of = |name: &str| models.iter().find(|m| m["name"] == name).unwrap();
    // The published sizes: 272,474 with a classifier and norms (He et al. 2016 say 0.27 M).
    assert_eq!(of("resnet20")["parameters"], 272_474);
    // Scale and shift of its norms: 7 of 16 channels, 6 each of 32 and 64; shortcuts have one each of 32 and 64.
    assert_eq!(of("resnet20")["second_order_parameters"], 2 * (7 * 16 + 7 * 32 + 7 * 64));
    assert!(of("vit_tiny")["error"].as_str().unwrap().contains("multiples of 4"));
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&format!("completions {shell}"));
        assert!(
            script.contains("predict") && script.contains("--layout") || script.contains("-l layout"),
            "{shell}"
        );
    }
    mistake("completions tcsh", &["tcsh", "bash"]);
}
