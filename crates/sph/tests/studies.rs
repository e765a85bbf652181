//! The files in `studies/` are comparisons that can be run: they resolve to plans, and where the data are at hand to runs.

use clap::{Args, FromArgMatches};
use sph::compare::flags::CompareArgs;
use sph::compare::job::RunArgs;
use sph::compare::plan;
use sph::training_setup::begin;
use sph_nn::Store;
use sph_nn::models::{self, ModelConfig};
use sph_tensor::Pool;
use sph_train::compare::{Configuration, Job, Search};
use sph_train::files::RunFolder;
use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn every_study_resolves_to_runs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../studies");
    let guide = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let files = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path());
    let files: Vec<_> = files.filter(|p| p.extension().is_some_and(|e| e == "toml")).collect();
    assert!(files.len() > 20, "{}", files.len());
    let named = guide.split('`').filter(|word| word.ends_with(".toml"));
    for name in named {
        assert!(folder.join(name).exists(), "studies/README.md mentions {name}, which is not there");
    }
    let mut network: Store<f32> =
        Store::init(&models::build("resnet8", &ModelConfig::new(1, (8, 8), 10)).unwrap(), &Pool::new(), 0);
    network.freeze(|s| !s.is_second_order());
    let specs = network.specs().to_vec();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        assert!(guide.contains(&name), "studies/README.md does not mention {name}");
        let flags = ["compare".to_string(), format!("--config={}", file.display())];
        let matches = CompareArgs::augment_args(clap::Command::new("compare")).get_matches_from(flags);
        let plan = CompareArgs::from_arg_matches(&matches).unwrap().plan();
        let plan = plan.unwrap_or_else(|e| panic!("{name}: {e}"));
        let ones: Vec<Configuration> = match &plan.tuning {
            None => plan.configurations().unwrap_or_else(|e| panic!("{name}: {e}")),
            Some(tuning) => {
                assert!(tuning.budget_cpu_hours.is_some() && plan.seeds.len() >= 5, "{name}");
                assert!(!plan.seeds.contains(&tuning.seed), "{name}");
                let searches = plan.searches(tuning).unwrap_or_else(|e| panic!("{name}: {e}"));
                let trials = searches.iter().flat_map(|s| &s.trials);
                let trials: Vec<_> = trials.map(|t| Search::settings(t, tuning)).collect();
                plan::runs(&trials, &[tuning.seed]).unwrap_or_else(|e| panic!("{name}: {e}"));
                searches.into_iter().map(|s| s.trials[0].clone()).collect()
            }
        };
        let runs = plan::runs(&ones, &plan.seeds).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut built = BTreeSet::new();
        let at_hand = |c: &Configuration| c.job == Job::Adapt || c.dataset == "digits";
        for (run, c) in runs.iter().zip(&ones).filter(|r| at_hand(r.1)) {
            if !built.insert((&c.model, c.optimizer, c.condition.clone())) {
                continue;
            }
            let args = match &run.args {
                RunArgs::Train(args) => args,
                // The networks of adaptations are not here; another one has as many kinds of parameters.
                RunArgs::Adapt(args) => {
                    let optimizer = args.optimizer.build::<f32>(&specs, 0);
                    optimizer.map(drop).unwrap_or_else(|e| panic!("{name}: {}: {e}", run.name));
                    continue;
                }
            };
            let trainer = begin::<f32>(args, RunFolder::at(Path::new("nowhere")));
            trainer.map(drop).unwrap_or_else(|e| panic!("{name}: {}: {e}", run.name));
        }
    }
}
