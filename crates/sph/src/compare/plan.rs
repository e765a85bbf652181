//! Which runs a comparison has: data sets × models × optimizers × grids of settings × seeds. With a tuning rule: what is tried for
//! each optimizer, and the runs of what is chosen.

use super::job::{RunArgs, command};
use crate::config::{is_of_optimizer, repeats};
use crate::error::{Error, PlanError, Result};
use sph_train::compare::{Configuration, Job, Search, Setting, Tuning, Values, spelled};
use std::collections::BTreeSet;

/// An optimizer with settings of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What tables and folders call it.
    pub name: String,
    /// Its settings, `opt` among them; they override the common ones.
    pub settings: Vec<Setting>,
}

/// What is compared: each optimizer on each model and data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What its runs are.
    pub job: Job,
    /// Data sets; of adaptations the corruptions.
    pub datasets: Vec<String>,
    /// Models; of adaptations the trained networks.
    pub models: Vec<String>,
    /// Optimizers.
    pub optimizers: Vec<Entry>,
    /// Settings that all of them have.
    pub common: Vec<Setting>,
    /// Seeds; every configuration is run with each.
    pub seeds: Vec<u64>,
    /// How settings are chosen beforehand, if they are.
    pub tuning: Option<Tuning>,
}

/// One run of a configuration.
#[derive(Debug, Clone)]
pub struct PlannedRun {
    /// Its folder's name.
    pub name: String,
    /// Which configuration.
    pub configuration: usize,
    /// Its settings; output and experiment are not among them.
    pub args: RunArgs,
}

/// Bytes of a run's name, at most: file systems take 255, and `.diverged.json` and what a temporary file adds stand behind or before it.
const LONGEST: usize = 230;

/// The runs of configurations, seed by seed: a comparison that was cut short is one of fewer seeds.
///
/// # Errors
/// When settings do not fit each other, two runs would have one name, or one is too long.
pub fn runs(configurations: &[Configuration], seeds: &[u64]) -> Result<Vec<PlannedRun>> {
    let mut names = BTreeSet::new();
    let mut runs = Vec::new();
    for &seed in seeds {
        for (i, c) in configurations.iter().enumerate() {
            let label = c.full_label();
            let name = folder_name(&[&c.dataset, &c.model, &label, &format!("seed{seed}")]);
            if !names.insert(name.clone()) {
                return Err(PlanError::SameName(name).into());
            }
            if name.len() > LONGEST {
                return Err(PlanError::LongName(name).into());
            }
            let args = RunArgs::from_settings(c.job, &c.settings, seed).map_err(|e| Error::Run {
                run: format!("{label}, {}", c.job.place(&c.dataset, &c.model)),
                source: Box::new(e),
            })?;
            runs.push(PlannedRun { name, configuration: i, args });
        }
    }
    Ok(runs)
}

impl Plan {
    /// All configurations of a comparison without tuning rule.
    ///
    /// # Errors
    /// When a setting has a range.
    pub fn configurations(&self) -> Result<Vec<Configuration>> {
        let combinations = |entry: &Entry| {
            let settings: Vec<&Setting> = self.settings(entry).map(|s| s.0).collect();
            match settings.iter().find(|s| matches!(s.values, Values::Range(_))) {
                None => Ok(combinations(self.job, settings)),
                Some(s) => Err(Error::from(PlanError::RangeWithoutTrials {
                    setting: s.name.clone(),
                    optimizer: entry.name.clone(),
                })),
            }
        };
        let mut all = Vec::new();
        for (dataset, model, optimizer, entry) in self.places() {
            for (settings, grid) in combinations(entry)? {
                let names = self.conditions().filter(|n| self.optimizers.len() > 1 && !is_of_optimizer(n));
                let condition = of_names(&settings, names);
                let mut c = self.configuration(dataset, model, optimizer, entry, settings);
                let values: Pairs = grid.iter().filter(|v| !condition.contains(v)).cloned().collect();
                c.label += &spelled(&values);
                (c.condition, c.grid) = (condition, grid);
                all.push(c);
            }
        }
        Ok(all)
    }

    /// What is tried under the tuning rule: for each optimizer, on each data set and model and for each combination of the common
    /// grids, points in the space of its own lists and of ranges.
    ///
    /// # Errors
    /// As [`Search::new`].
    pub fn searches(&self, tuning: &Tuning) -> Result<Vec<Search>> {
        let command = command(self.job);
        let mut all = Vec::new();
        for (dataset, model, optimizer, entry) in self.places() {
            let searched = |s: &Setting, own: bool| match &s.values {
                Values::Range(_) => true,
                Values::List(values) => own && values.len() > 1 && !repeats(&s.name, &command),
            };
            let (space, given): (Vec<_>, Vec<_>) =
                self.settings(entry).partition(|(s, own)| searched(s, *own));
            let space: Vec<Setting> = space.into_iter().map(|s| s.0.clone()).collect();
            for (settings, grid) in combinations(self.job, given.into_iter().map(|s| s.0)) {
                let condition = of_names(&settings, self.conditions());
                let mut base = self.configuration(dataset, model, optimizer, entry, settings);
                (base.condition, base.grid) = (condition, grid);
                all.push(Search::new(base, space.clone(), tuning)?);
            }
        }
        // Those that are compared stand together.
        let place = |s: &Search| (s.base.dataset.clone(), s.base.model.clone(), s.base.condition.clone());
        let mut places: Vec<_> = Vec::new();
        for search in &all {
            if !places.contains(&place(search)) {
                places.push(place(search));
            }
        }
        all.sort_by_key(|s| places.iter().position(|p| *p == place(s)));
        Ok(all)
    }

    /// The common settings that have several values.
    fn conditions(&self) -> impl Iterator<Item = &str> {
        let command = command(self.job);
        let several = move |s: &&Setting| s.values.listed().len() > 1 && !repeats(&s.name, &command);
        self.common.iter().filter(several).map(|s| &*s.name)
    }

    /// Every optimizer on every model and data set.
    fn places(&self) -> impl Iterator<Item = (&str, &str, usize, &Entry)> {
        self.datasets.iter().flat_map(move |d| {
            self.models.iter().flat_map(move |m| {
                self.optimizers.iter().enumerate().map(move |(i, entry)| (&**d, &**m, i, entry))
            })
        })
    }

    /// An optimizer's settings, the common ones first, and whether each is its own.
    fn settings<'a>(&'a self, entry: &'a Entry) -> impl Iterator<Item = (&'a Setting, bool)> {
        let common = self.common.iter().filter(|s| entry.settings.iter().all(|e| e.name != s.name));
        common.map(|s| (s, false)).chain(entry.settings.iter().map(|s| (s, true)))
    }

    fn configuration(
        &self,
        dataset: &str,
        model: &str,
        optimizer: usize,
        entry: &Entry,
        settings: Vec<(String, String)>,
    ) -> Configuration {
        let [data, network] = self.job.places();
        let own = [(data, dataset), (network, model)].map(|(name, value)| (name.into(), value.into()));
        Configuration {
            job: self.job,
            dataset: dataset.into(),
            model: model.into(),
            optimizer,
            name: entry.name.clone(),
            label: entry.name.clone(),
            settings: own.into_iter().chain(settings).collect(),
            ..Configuration::default()
        }
    }
}

/// Names with values.
type Pairs = Vec<(String, String)>;

/// The values that settings give these names; an optimizer's own value counts as one of the common ones.
fn of_names<'a>(settings: &[(String, String)], names: impl Iterator<Item = &'a str>) -> Pairs {
    names.filter_map(|name| settings.iter().find(|s| s.0 == name).cloned()).collect()
}

/// Every combination of the values of settings: all of them, and those of settings with several.
fn combinations<'a>(job: Job, settings: impl IntoIterator<Item = &'a Setting>) -> Vec<(Pairs, Pairs)> {
    let command = command(job);
    let mut all = vec![(Vec::new(), Vec::new())];
    for setting in settings {
        let values = setting.values.listed();
        let pair = |v: &String| (setting.name.clone(), v.clone());
        if repeats(&setting.name, &command) {
            // Its values are no grid: a run has them all.
            all.iter_mut().for_each(|(before, _)| before.extend(values.iter().map(pair)));
            continue;
        }
        let longer = |(before, grid): &(Pairs, Pairs)| {
            let with = |v: &String| {
                let pair = [pair(v)];
                let several = if values.len() > 1 { &pair[..] } else { &[] };
                ([before, &pair[..]].concat(), [grid, several].concat())
            };
            values.iter().map(with).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

/// Parts of a name, joined so that every shell and file system takes it.
fn folder_name(parts: &[&str]) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.=+".contains(c) { c } else { '_' };
    parts.iter().map(|p| p.chars().map(plain).collect::<String>()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sph_train::compare::Range;

    fn setting(name: &str, values: &[&str]) -> Setting {
        Setting { name: name.into(), values: Values::List(values.iter().map(|v| v.to_string()).collect()) }
    }

    fn train_args(run: &PlannedRun) -> &crate::config::TrainArgs {
        match &run.args {
            RunArgs::Train(args) => args,
            RunArgs::Adapt(_) => panic!("{} is no training", run.name),
        }
    }

    fn plan() -> Plan {
        let entry = |opt: &str, more: &[Setting]| Entry {
            name: opt.into(),
            settings: [&[setting("opt", &[opt])], more].concat(),
        };
        Plan {
            job: Job::Train,
            datasets: vec!["digits".into()],
            models: vec!["mlp".into(), "resnet8".into()],
            optimizers: vec![entry("sgd", &[setting("lr", &["0.1", "0.2"])]), entry("adamw", &[])],
            common: vec![
                setting("epochs", &["3"]),
                setting("lr", &["0.01"]),
                setting("batch-size", &["32", "64"]),
            ],
            seeds: vec![1, 2],
            tuning: None,
        }
    }

    #[test]
    fn grids_are_multiplied_and_an_optimizers_own_settings_win() {
        let configurations = plan().configurations().unwrap();
        let runs = runs(&configurations, &plan().seeds).unwrap();
        assert_eq!((configurations.len(), runs.len()), (2 * (2 * 2 + 2), 24));
        let labels: BTreeSet<String> = configurations.iter().map(Configuration::full_label).collect();
        assert!(labels.contains("sgd batch-size=64 lr=0.2") && labels.contains("adamw batch-size=32"));
        let find = |name: &str| train_args(runs.iter().find(|r| r.name == name).unwrap());
        let sgd = find("digits-mlp-sgd_batch-size=64_lr=0.2-seed2");
        assert_eq!((sgd.optimizer.lr().unwrap(), sgd.batch_size, sgd.seed, sgd.epochs), (0.2, 64, 2, 3));
        assert_eq!(find("digits-resnet8-adamw_batch-size=32-seed1").optimizer.lr().unwrap(), 0.01);
        // All configurations of the first seed come first.
        assert!(runs[..12].iter().all(|r| r.args.seed() == 1));
    }

    #[test]
    fn optimizers_are_compared_for_each_value_of_what_is_not_theirs() {
        let mut p = plan();
        p.common[1] = setting("lr", &["0.01", "0.02"]);
        let values = |c: &[(String, String)]| c.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>();
        let all = p.configurations().unwrap();
        let adamw = all.iter().rfind(|c| c.name == "adamw").unwrap();
        assert_eq!(
            (values(&adamw.condition), &*adamw.label),
            (vec!["batch-size=64".into()], "adamw lr=0.02")
        );
        assert_eq!(values(&adamw.grid), ["lr=0.02", "batch-size=64"]);
        // Its own value, too, says where an optimizer belongs.
        p.optimizers[1].settings.push(setting("batch-size", &["64"]));
        let own = p.configurations().unwrap();
        assert!(own.iter().filter(|c| c.name == "adamw").all(|c| values(&c.condition) == ["batch-size=64"]));
        // One optimizer alone is compared across them.
        p.optimizers.pop();
        assert!(p.configurations().unwrap().iter().all(|c| c.condition.is_empty() && c.grid.len() == 2));
    }

    #[test]
    fn mistakes_name_the_configuration() {
        let fails = |change: &dyn Fn(&mut Plan)| {
            let mut p = plan();
            change(&mut p);
            runs(&p.configurations().unwrap(), &p.seeds).unwrap_err().to_string()
        };
        let e = fails(&|p| p.common.push(setting("tau", &["1"])));
        assert!(e.contains("sgd") && e.contains("--tau is a setting of --opt sph"), "{e}");
        let twice = |p: &mut Plan| p.optimizers.push(p.optimizers[1].clone());
        assert!(fails(&twice).contains("'name'"));
        assert!(fails(&|p| p.seeds.push(1)).contains("digits-mlp-sgd_batch-size=32_lr=0.1-seed1"));
    }

    #[test]
    fn optimizers_are_tuned_for_every_combination_of_common_values() {
        let tuning = Tuning { trials: 2, seed: 9, epochs: Some(1), val_split: 0.2, budget_cpu_hours: None };
        let searches = plan().searches(&tuning).unwrap();
        // adamw's rate is given; sgd's own list is tried, not run.
        assert_eq!(searches.len(), 2 * 2 * 2);
        let sgd = &searches[2];
        assert_eq!((&*sgd.base.label, sgd.trials.len()), ("sgd", 2));
        assert_eq!(sgd.base.condition, [("batch-size".to_string(), "64".to_string())]);
        let trials: Vec<_> = sgd.trials.iter().map(|t| Search::settings(t, &tuning)).collect();
        let planned = runs(&trials, &[tuning.seed]).unwrap();
        let trial = planned.iter().find(|r| r.name == "digits-mlp-sgd_batch-size=64_lr=0.2-seed9").unwrap();
        let args = train_args(trial);
        assert_eq!(
            (args.epochs, args.val_split, args.batch_size, args.optimizer.lr().unwrap()),
            (1, 0.2, 64, 0.2)
        );
        // A run of what was chosen has the comparison's own settings.
        let planned = runs(&[sgd.trials[0].clone()], &[1]).unwrap();
        let args = train_args(&planned[0]);
        assert_eq!((args.epochs, args.val_split), (3, 0.0));
        assert_eq!(searches.iter().map(|s| s.trials.len()).collect::<Vec<_>>(), [2, 1, 2, 1, 2, 1, 2, 1]);
        let mut p = plan();
        p.common[1].values = Values::Range(Range::new(true, 0.1, 1.0).unwrap());
        let e = p.configurations().unwrap_err().to_string();
        assert!(e.contains("'lr' of 'adamw' has a range") && e.contains("[tuning]"), "{e}");
        assert_eq!(p.searches(&tuning).unwrap()[1].trials.len(), 2);
    }
}
