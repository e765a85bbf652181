//! The command as a user meets it: mistakes are one line on stderr with exit code 2 and leave files as they were; results do
//! not depend on the number of threads.

mod common;

use common::sph;
use sph_tensor::kernels::isa::Isa;
use std::path::Path;

/// Runs, expects exit code 2, one line on stderr that holds all of `words`, and nothing left where it ran.
#[track_caller]
fn mistake(flags: &str, words: &[&str]) {
    let here = tempfile::tempdir().unwrap();
    let out = sph(flags).current_dir(&here).output().unwrap();
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{flags}: {stderr}");
    assert_eq!(stderr.trim_end().lines().count(), 1, "{flags}: {stderr}");
    assert!(stderr.starts_with("error: "), "{flags}: {stderr}");
    for word in words {
        assert!(stderr.contains(word), "{flags}: no {word:?} in {stderr}");
    }
    assert_eq!(std::fs::read_dir(&here).unwrap().count(), 0, "{flags}: something is left");
}

fn idx(dims: &[u32], value: impl Fn(usize) -> u8) -> Vec<u8> {
    let mut b = vec![0, 0, 8, dims.len() as u8];
    dims.iter().for_each(|d| b.extend(d.to_be_bytes()));
    b.extend((0..dims.iter().product::<u32>() as usize).map(value));
    b
}

/// A tiny data set in Fashion-MNIST's format.
fn fashion(dir: &Path) {
    for (part, n) in [("train", 40), ("t10k", 20)] {
        std::fs::write(dir.join(format!("{part}-images-idx3-ubyte")), idx(&[n, 28, 28], |i| (i * 7) as u8))
            .unwrap();
        std::fs::write(dir.join(format!("{part}-labels-idx1-ubyte")), idx(&[n], |i| (i % 10) as u8)).unwrap();
    }
}

#[test]
fn flags_and_names() {
    mistake("train --learning-rate 1", &["--learning-rate"]);
    mistake("train --bach-size 3", &["--batch-size"]);
    mistake("trian", &["trian", "train"]);
    mistake("train --model resnet21", &["resnet21", "resnet20"]);
    mistake("train --dataset fashion-mist", &["fashion-mnist"]);
    mistake("train --opt spg", &["sph"]);
    mistake("train --lr 0", &["--lr", "greater than 0"]);
    mistake("train --lr nan", &["--lr"]);
    mistake("train --batch-size 0", &["--batch-size"]);
    mistake("train --batch-size 2000", &["2000", "1437"]);
    mistake("train --epochs -3", &["--epochs"]);
    mistake("train --opt sgd --tau 0.1", &["--tau", "sgd"]);
    mistake("train --experiment ../up", &["--experiment"]);
    mistake("train -c no-such.toml", &["no-such.toml"]);
    mistake("train --resume no-such-run", &["no-such-run"]);
    mistake("train --model vit_tiny --norm bn", &["vit_tiny cannot have norm bn", "ln, rms"]);
    mistake("train --stem imagenet", &["resnet8 has no choice of stems", "resnet18"]);
    mistake("train --dropout 0.1", &["resnet8 has no place for dropout", "vit_tiny"]);
    mistake("train --model vgg11", &["features.", "max_pool"]);
    mistake("train --model vit_tiny --image-size 10", &["patch_embed.proj", "multiples of 4"]);
    mistake("train --trainable nowhere.*", &["--trainable", "'nowhere.*'"]);
    mistake("train --trainable [", &["--trainable", "pattern '['"]);
    mistake("train --trainable head", &["no second-order blocks"]);
    mistake("train --second-order fc.bias", &["'fc.bias' selects nothing"]);
    mistake("train --second-order magnitude", &["'magnitude'"]);
    mistake("train --norm none", &["no second-order blocks", "decouple"]);
    mistake("train --opt sgd --first-order drs", &["--first-order", "sgd"]);
    mistake("train --drs-refresh 3", &["--drs-refresh needs --first-order drs"]);
    mistake("train --opt kfac --tau 1", &["--tau", "kfac"]);
    mistake("train --opt adahessian --hessian-power 2", &["--hessian-power", "at most 1"]);
    mistake("train --opt sph --damping 1", &["--damping", "kfac"]);
    mistake("train --kernel fast", &["--kernel", "auto, direct, gemm, portable"]);
    mistake("train --isa sse9", &["--isa", "auto, avx512, avx2, baseline"]);
    for isa in Isa::ALL.into_iter().filter(|isa| !isa.is_available()) {
        mistake(
            &format!("train --isa {}", isa.name()),
            &["--isa", isa.name(), "not on this CPU", "baseline"],
        );
    }
    mistake("train --kernel portable --fast-math", &["--fast-math needs --kernel auto"]);
    mistake("train --clip-mode value", &["--clip-mode needs --clip-grad"]);
    mistake("train --opt-betas 0.8,0.9", &["--opt-betas needs --first-order adam or adamw"]);
    mistake("train --first-order adamw --preset seed", &["--preset seed", "--first-order"]);
    mistake(
        "train --first-order adamw --group head:momentum=0.5",
        &["--group", "the steps of adamw", "no momentum"],
    );
    mistake("train --first-order drs --clip-grad 1", &["--first-order drs", "--clip-grad"]);
    mistake("train --first-order drs --backtrack 2", &["--first-order drs", "--backtrack"]);
    mistake("train --backtrack 33", &["--backtrack", "33", "32"]);
    mistake("train --model-ema-decay 0.9", &["--model-ema-decay needs --model-ema"]);
    mistake("train --mixup-prob 0.5", &["--mixup-prob needs --mixup or --cutmix"]);
    mistake("train --sched one-cycle --decay-rate 0.5", &["--decay-rate", "step", "one-cycle"]);
    mistake("train --sched onecycle", &["one-cycle"]);
    mistake("train --group nowhere*:lr-mult=2", &["--group 'nowhere*'", "no parameter"]);
    mistake("train --group head:lr-mult=2,lr-mult=3", &["lr-mult is there twice"]);
    mistake("train --group head:lr-mult=0", &["lr-mult 0", "greater than 0"]);
    mistake("train --opt adamw --group head:momentum=0", &["--group 'head'", "no momentum", "adamw"]);
    mistake("train --model vit_tiny --group head:momentum=0", &["--group 'head'", "the steps of adamw"]);
    mistake("train --model mlp --norm bn --batch-size 1", &["bn1", "more images in a batch"]);
    mistake("train --model mlp --norm bn --batch-size 8 --curvature-batch 0.1", &["bn1", "more images"]);
    mistake("train --resume auto", &["--resume auto needs --experiment"]);
    mistake("train --init-checkpoint no-such.safetensors", &["no-such.safetensors"]);
    mistake("bench --model resnet99", &["resnet99"]);
    mistake("inspect", &["--model", "--checkpoint"]);
    mistake("inspect --model mlp --batch-size 5000", &["5000", "1437"]);
}

#[test]
fn configuration_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.toml");
    for (text, words) in [
        ("epoch = 3", vec!["c.toml", "'epoch'", "'epochs'"]),
        ("lr = 'fast'", vec!["c.toml", "'lr'"]),
        ("lr = = 3", vec!["c.toml", "line 1"]),
        ("json = 3", vec!["c.toml", "'json'"]),
        ("[[group]]\nparams = 'head'\nlr-mult = 2\nlr_mult = 3", vec!["c.toml", "lr-mult is there twice"]),
        ("batch-size = 16\nbatch_size = 64", vec!["c.toml", "'batch-size' and 'batch_size'"]),
        ("grad-accum = 2\ngrad-accum-steps = 3", vec!["c.toml", "'grad-accum' and 'grad-accum-steps'"]),
        ("[[group]]\nparams = 'head'\nlr-mul = 2", vec!["c.toml", "'group'", "'lr-mul'"]),
        ("[[group]]\nlr-mult = 2", vec!["c.toml", "'group'", "'params' is missing"]),
        ("[[group]]\nparams = ['head', 1]\nlr-mult = 2", vec!["c.toml", "'group'", "list of strings"]),
    ] {
        std::fs::write(&path, text).unwrap();
        mistake(&format!("train -c {}", path.display()), &words);
    }
}

#[test]
fn data_files() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path();
    let train = format!(
        "train --dataset fashion-mnist --data-dir {0} --runs {0}/runs --model mlp --epochs 1 --batch-size 20 --experiment r",
        data.display()
    );
    mistake(&train, &["train-images-idx3-ubyte", "not found", "--data-dir"]);
    fashion(data);
    let images = data.join("train-images-idx3-ubyte");
    let labels = data.join("t10k-labels-idx1-ubyte");
    let good = (std::fs::read(&images).unwrap(), std::fs::read(&labels).unwrap());
    std::fs::write(&images, &good.0[..5000]).unwrap();
    mistake(&train, &["train-images-idx3-ubyte", "truncated"]);
    std::fs::write(&images, "<html>not here</html>").unwrap();
    mistake(&train, &["train-images-idx3-ubyte", "not an IDX file"]);
    std::fs::write(&images, [0x1f, 0x8b, 8, 0, 1, 2, 3]).unwrap();
    mistake(&train, &["train-images-idx3-ubyte", "gzip"]);
    std::fs::write(&images, &good.1).unwrap();
    mistake(&train, &["train-images-idx3-ubyte", "[N, H, W]"]);
    std::fs::write(&images, &good.0).unwrap();
    std::fs::write(&labels, idx(&[20], |_| 11)).unwrap();
    mistake(&train, &["t10k-labels-idx1-ubyte", "label 11"]);
    std::fs::write(&labels, idx(&[19], |_| 1)).unwrap();
    mistake(&train, &["t10k-labels-idx1-ubyte", "20 images"]);
    assert!(!data.join("runs").exists(), "a run that could not begin leaves nothing");
    std::fs::write(&labels, idx(&[20], |i| (i + 7) as u8)).unwrap();
    mistake(&train, &["t10k-labels-idx1-ubyte", "labels go from 0 to 26", "--dataset emnist"]);
    let other = |dataset: &str| train.replace("fashion-mnist", dataset);
    mistake(&other("idx").replace("--data-dir", "--runs"), &["--data-dir is needed by the data set 'idx'"]);
    let names = data.join("names.txt");
    std::fs::write(&names, "a\nb\n").unwrap();
    let named = format!("{} --class-names {}", other("idx"), names.display());
    mistake(&named, &["names.txt", "2 names for the 27 classes"]);
    mistake(
        &format!("{} --class-names x", other("mnist")),
        &["mnist does not take --class-names", "idx, npz, safetensors"],
    );
    mistake(&format!("{} --emnist-split letter", other("emnist")), &["--emnist-split", "letters"]);
    mistake(&other("folder"), &["no class folders", "--labels-file"]);
    std::fs::write(&labels, &good.1).unwrap();
    let run = sph(&train).output().unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.contains("not those of Fashion-MNIST"), "{said}");
}

#[test]
fn checkpoints_of_other_models() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().display();
    sph(&format!("train --model mlp --epochs 1 --runs {out} --experiment m")).assert().success();
    let best = format!("{out}/m/best.safetensors");
    mistake(
        &format!("inspect --checkpoint {best} --model resnet8"),
        &["best.safetensors", "'conv1.weight'", "[16, 1, 3, 3]"],
    );
    mistake(&format!("inspect --checkpoint {best} --dataset fashion-mnist --data-dir {out}"), &["not found"]);
    fashion(dir.path());
    let other =
        format!("inspect --checkpoint {best} --dataset fashion-mnist --data-dir {out} --batch-size 10");
    mistake(&other, &["'fc1.weight'", "[64, 64]", "[64, 784]"]);
    let half = std::fs::read(&best).unwrap();
    std::fs::write(dir.path().join("half.safetensors"), &half[..half.len() / 2]).unwrap();
    mistake(
        &format!("inspect --checkpoint {out}/half.safetensors"),
        &["half.safetensors", "not a whole safetensors file"],
    );
    mistake(&format!("inspect --checkpoint {out}/none.safetensors"), &["none.safetensors"]);
    mistake(&format!("train --resume {out}/m/best.safetensors"), &["best.safetensors"]);
    // The folder of a run is not taken by another one.
    let before = std::fs::read(&best).unwrap();
    mistake(
        &format!("train --model mlp --epochs 1 --runs {out} --experiment m"),
        &["holds a run already", "--resume"],
    );
    assert_eq!(std::fs::read(&best).unwrap(), before);
}

/// Another model's file is refused by the name of a tensor; a classifier for another number of classes is begun anew, with a line.
#[test]
fn training_begins_with_the_values_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().display();
    sph(&format!("train --model mlp --epochs 1 --runs {out} --experiment m --model-ema")).assert().success();
    let file = format!("{out}/m/last.safetensors");
    let page = std::fs::read_to_string(dir.path().join("m/report.html")).unwrap();
    assert!(
        page.contains("final test accuracy of the average of weights")
            && page.contains("test, average of weights")
    );
    let tensors = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let owned = |(name, t): (String, safetensors::tensor::TensorView)| {
            (name, (t.shape().to_vec(), t.data().to_vec()))
        };
        file.tensors().into_iter().map(owned).collect::<std::collections::BTreeMap<_, _>>()
    };
    let tuned = |checkpoint: &Path, name: &str| {
        let flags = format!(
            "train --model mlp --epochs 1 --lr 1e-30 --weight-decay 0 --opt sgd --runs {out} --experiment {name} --model-ema"
        );
        let run = sph(&format!("{flags} --init-checkpoint {}", checkpoint.display())).output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        (String::from_utf8(run.stderr).unwrap(), tensors(&dir.path().join(name).join("last-ema.safetensors")))
    };
    let there = tensors(Path::new(&file));
    let (said, here) = tuned(Path::new(&file), "same");
    assert!(!said.contains("classifier"), "{said}");
    let learnt = |name: &&String| !name.contains("running_") && !name.contains("num_batches");
    assert!(there.keys().filter(learnt).all(|name| here[name] == there[name]));
    // As if ten classes more had been there.
    let mut other = there.clone();
    for name in ["fc.weight", "fc.bias"] {
        let (shape, data) = other.get_mut(name).unwrap();
        shape[0] *= 2;
        data.extend(data.clone());
    }
    let write = |name: &str, tensors: &std::collections::BTreeMap<String, (Vec<usize>, Vec<u8>)>| {
        let view = |(name, (shape, data)): (&String, &(Vec<usize>, Vec<u8>))| {
            let dtype = if shape.is_empty() { safetensors::Dtype::I64 } else { safetensors::Dtype::F32 };
            let data: &'static [u8] = data.clone().leak();
            (name.clone(), safetensors::tensor::TensorView::new(dtype, shape.clone(), data).unwrap())
        };
        let path = dir.path().join(name);
        std::fs::write(&path, safetensors::serialize(tensors.iter().map(view), None).unwrap()).unwrap();
        path
    };
    let (said, here) = tuned(&write("twenty.safetensors", &other), "twenty");
    assert!(said.contains("classifier") && said.contains("20 classes, not 10"), "{said}");
    assert!(here["fc1.weight"] == there["fc1.weight"] && here["fc.weight"] != there["fc.weight"]);
    // Nothing else is forgiven.
    let refused = |name: &str, tensors, words: &[&str]| {
        let path = write(name, tensors);
        mistake(&format!("train --model mlp --runs {out} --init-checkpoint {}", path.display()), words);
    };
    let mut less = other.clone();
    less.remove("bn1.bias");
    refused("less.safetensors", &less, &["less.safetensors", "'bn1.bias'", "missing"]);
    let mut wider = there.clone();
    wider.insert("fc.weight".into(), (vec![10, 32], vec![0; 1280]));
    refused("wider.safetensors", &wider, &["'fc.weight'", "[10, 32]", "[10, 64]"]);
    mistake(
        &format!("train --model mlp --init-checkpoint {out}/m/last.ckpt"),
        &["last.ckpt", "last.safetensors"],
    );
    // The run goes on without the file.
    std::fs::remove_file(dir.path().join("twenty.safetensors")).unwrap();
    sph(&format!("train --resume {out}/twenty")).assert().success();
}

#[test]
fn resume_auto_begins_goes_on_and_tells_other_settings() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().display();
    let flags = format!("train --model mlp --epochs 1 --runs {out} --experiment a --resume auto");
    let said =
        |flags: &str| String::from_utf8(sph(flags).assert().success().get_output().stdout.clone()).unwrap();
    assert!(!said(&flags).contains("going on"));
    // Finished: the same line at the end, and nothing is trained.
    let result = || std::fs::read(dir.path().join("a/result.json")).unwrap();
    let before = result();
    let again = said(&flags);
    assert!(again.contains("after epoch 1") && again.contains("best test accuracy"), "{again}");
    assert!(result() == before);
    mistake(
        &format!("{flags} --lr 0.3"),
        &["other settings", "'lr' is not set there and 0.3 here", "--experiment"],
    );
    // Stopped before the first checkpoint: begun again, but not by a command that does not say so.
    let begun = dir.path().join("b");
    std::fs::create_dir(&begun).unwrap();
    std::fs::write(begun.join("args.toml"), "").unwrap();
    let flags = flags.replace("--experiment a", "--experiment b");
    mistake(&flags.replace("--resume auto", ""), &["before its first checkpoint", "--resume auto"]);
    assert!(!said(&flags).contains("going on"));
}

/// Told to stop, a run leaves with an exit code of its own; `--resume RUN` takes its settings, kernels included.
#[test]
fn an_interrupted_run_is_gone_on_with_under_its_own_settings() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().display();
    let flags = |name: &str| {
        format!(
            "train --model resnet8 --batch-size 256 --epochs 1 --kernel portable --runs {out} --experiment {name}"
        )
    };
    let cut = sph(&format!("{} --stop-on-eof", flags("cut"))).write_stdin("").output().unwrap();
    assert_eq!(cut.status.code(), Some(130), "{}", String::from_utf8_lossy(&cut.stderr));
    let progress = || sph_train::files::Checkpoint::read(&dir.path().join("cut/last.ckpt")).unwrap().progress;
    assert_eq!(progress().epoch, 0);
    sph(&format!("train --resume {out}/cut")).assert().success();
    assert_eq!(progress().epoch, 1);
    sph(&flags("whole")).assert().success();
    let bits = |name: &str| std::fs::read(dir.path().join(name).join("last.safetensors")).unwrap();
    assert!(bits("cut") == bits("whole"));
    // The kernels are what makes the difference.
    sph(&flags("auto").replace("--kernel portable", "")).assert().success();
    assert!(bits("auto") != bits("whole"));
    // Portable loops give the same bits with every instruction set.
    sph(&format!("{} --isa baseline", flags("narrow"))).assert().success();
    assert!(bits("narrow") == bits("whole"));
}

#[test]
fn folders_that_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    mistake(&format!("train --epochs 1 --runs {}", file.display()), &["is a file"]);
    // A folder below a file cannot be made, whoever asks: not even root.
    mistake(&format!("train --epochs 1 --runs {}/runs --experiment x", file.display()), &["cannot write"]);
    mistake(
        &format!("inspect --model mlp --dump {}/no/out.safetensors", dir.path().display()),
        &["out.safetensors"],
    );
}

#[test]
fn a_loss_that_is_not_finite_names_step_and_layer_and_keeps_the_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().display();
    // The second epoch's rate blows the parameters up; the first one's checkpoint is kept.
    let flags = format!(
        "train --model mlp --opt sgd --lr 0.01 --sched step --decay-epochs 1 --decay-rate 1e32 --epochs 2 --runs {out} --experiment n"
    );
    let e = sph(&flags).output().unwrap();
    let stderr = String::from_utf8_lossy(&e.stderr);
    assert_eq!(e.status.code(), Some(3), "{stderr}");
    assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
    assert!(
        stderr.contains("not finite at step")
            && (stderr.contains("layer '") || stderr.contains("parameter '")),
        "{stderr}"
    );
    assert!(stderr.contains("(epoch 2)") && stderr.contains("last.ckpt of epoch 1 is kept"), "{stderr}");
    let checkpoint = dir.path().join("n/last.ckpt");
    let kept = sph_train::files::Checkpoint::read(&checkpoint).unwrap().progress;
    assert_eq!((kept.epoch, kept.step), (1, 0));
    sph(&format!("eval {out}/n")).assert().success();
}

#[test]
fn json_is_one_object_on_stdout() {
    let dir = tempfile::tempdir().unwrap();
    let out = sph(&format!("train --model mlp --epochs 2 --json --runs {}", dir.path().display()))
        .output()
        .unwrap();
    let record: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    for key in ["test_accuracy", "test_loss", "epochs", "seconds", "step_ms_median", "peak_rss_mb"] {
        assert!(record[key].is_number(), "{key}: {record}");
    }
    let out = sph("bench --model mlp --batch-size 8 --opt sph --steps 3 --json").output().unwrap();
    let record: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert!(record["step_ms_median"].as_f64().unwrap() > 0.0);
}

#[test]
fn every_block_leaves_a_row_of_curvature_per_epoch() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().display();
    let train = |flags: &str| sph(&format!("train --model mlp --runs {out} {flags}")).assert().success();
    train("--epochs 2 --experiment c --probe dense --second-order scale,bn2.bias");
    let text = std::fs::read_to_string(dir.path().join("c/curvature.csv")).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().map(|l| l.split(',').collect()).collect();
    let blocks: Vec<&str> = rows[1..].iter().map(|r| r[2]).collect();
    let one = ["bn1.weight", "bn2.weight", "bn2.bias", "bn3.weight"];
    assert_eq!(blocks, [one, one].concat());
    assert_eq!(rows[1..].iter().map(|r| r[0]).collect::<Vec<_>>(), [["1"; 4], ["2"; 4]].concat());
    for row in &rows[1..] {
        let numbers: Vec<f64> = row[3..].iter().map(|v| v.parse().unwrap()).collect();
        assert_eq!(row.len(), rows[0].len());
        let [visits, trace, min, max, negative] = numbers[..5] else { panic!() };
        assert!(visits >= 1.0 && min <= max && (0.0..=1.0).contains(&negative), "{row:?}");
        assert!(64.0 * min <= trace && trace <= 64.0 * max, "{row:?}");
        assert!(numbers[5..].is_sorted() && numbers[5] > 0.0, "{row:?}");
    }
    // Optimizers without blocks leave no such file.
    train("--epochs 1 --opt sgd --experiment s");
    assert!(!dir.path().join("s/curvature.csv").exists());
}

/// The names in a folder that begin with `prefix`.
fn names(folder: &Path, prefix: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    entries.filter(|n| n.starts_with(prefix)).collect()
}

#[test]
fn a_run_is_one_process_s_alone_and_leaves_its_result_events_and_page() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().display();
    let run = dir.path().join("r");
    let json =
        sph(&format!("train --model mlp --epochs 2 --json --runs {out} --experiment r")).output().unwrap();
    let mut printed: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    printed.as_object_mut().unwrap().remove("run");
    let result = || -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(run.join("result.json")).unwrap()).unwrap()
    };
    assert_eq!(result(), printed);
    assert_eq!(names(&run, "events.out.tfevents.").len(), 1);
    // There is nothing to go on with: the times that were measured are kept, and there are no events of no steps.
    sph(&format!("train --resume {out}/r")).assert().success();
    assert_eq!(result(), printed);
    assert_eq!(names(&run, "events.out.tfevents.").len(), 1);
    let settings = std::fs::File::open(run.join("args.toml")).unwrap();
    settings.lock().unwrap();
    mistake(&format!("train --resume {out}/r"), &["/r is being trained by another process"]);
    drop(settings);
    sph(&format!("train --model mlp --epochs 1 --no-tensorboard --runs {out} --experiment q"))
        .assert()
        .success();
    assert!(names(&dir.path().join("q"), "events").is_empty());
    // The page is made again without the test images; it says why.
    std::fs::remove_file(run.join("best.safetensors")).unwrap();
    sph(&format!("report {out}/r")).assert().success();
    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(page.contains("They cannot be shown") && page.contains("best.safetensors"));
    mistake(&format!("report {out}/nowhere"), &["nowhere/args.toml", "settings"]);
    std::fs::write(run.join("summary.csv"), "epoch,lr\n1,x\n").unwrap();
    mistake(&format!("report {out}/r"), &["summary.csv", "line 2"]);
}

#[test]
fn the_same_seed_gives_the_same_bits_on_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().display();
    let train = |settings: &str, threads: usize, name: &str| {
        let flags = format!(
            "train --epochs 1 --batch-size 256 --random-crop 1 {settings} --threads {threads} --runs {out} --experiment {name}"
        );
        sph(&flags).assert().success();
        let bits = std::fs::read(dir.path().join(name).join("last.safetensors")).unwrap();
        std::fs::remove_dir_all(dir.path().join(name)).unwrap();
        bits
    };
    let one = train("--model resnet8", 1, "one");
    assert!(one == train("--model resnet8", 1, "again"));
    assert!(one == train("--model resnet8", 2, "two"));
    assert!(one == train("--model resnet8", 4, "four"));
    for settings in [
        "--model mlp_mixer --dropout 0.1 --opt adamw",
        "--model resnet8 --norm none --decouple auto --lr 0.01 --first-order drs --drs-refresh 2",
        "--model resnet8 --opt kfac --factor-every 2",
        "--model resnet8 --kernel portable",
        "--model resnet8 --norm gn",
        "--model mobilenet --opt sgd --batch-size 64",
        "--model vit_tiny",
        "--model mlp --opt krylov",
        "--model resnet8 --mixup 0.2 --cutmix 1 --reprob 0.5 --color-jitter 0.4 --clip-grad 1 --grad-accum-steps 2 --model-ema",
    ] {
        assert!(train(settings, 1, "one") == train(settings, 2, "two"), "{settings}");
    }
}
