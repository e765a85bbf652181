//! Which runs a comparison has: data sets × models × optimizers × grids of settings × seeds.

use crate::config::{TrainArgs, repeats};
use crate::error::{Error, Result};
use clap::CommandFactory;
use std::collections::BTreeSet;

/// A setting of `sph train` and the values it has in a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The flag's name, without dashes.
    pub name: String,
    /// One value, or several: a grid.
    pub values: Vec<String>,
}

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
    /// Data sets.
    pub datasets: Vec<String>,
    /// Models.
    pub models: Vec<String>,
    /// Optimizers.
    pub optimizers: Vec<Entry>,
    /// Settings that all of them have.
    pub common: Vec<Setting>,
    /// Seeds; every configuration is run with each.
    pub seeds: Vec<u64>,
}

/// One combination of data set, model, optimizer and values of grids.
#[derive(Debug, Clone, PartialEq)]
pub struct Configuration {
    /// The data set.
    pub dataset: String,
    /// The model.
    pub model: String,
    /// Which of the plan's optimizers.
    pub optimizer: usize,
    /// The optimizer's name and its values of grids, such as `sgd lr=0.1`.
    pub label: String,
    /// Settings that have several values in the comparison, and its own.
    pub grid: Vec<(String, String)>,
}

/// One run of a configuration.
#[derive(Debug, Clone)]
pub struct PlannedRun {
    /// Its folder's name.
    pub name: String,
    /// Which configuration.
    pub configuration: usize,
    /// Its settings; output and experiment are not among them.
    pub args: TrainArgs,
}

impl Plan {
    /// All configurations, and their runs seed by seed: a comparison that was cut short is one of fewer seeds.
    ///
    /// # Errors
    /// When settings do not fit each other, or two configurations would have one name.
    pub fn runs(&self) -> Result<(Vec<Configuration>, Vec<PlannedRun>)> {
        let mut configurations = Vec::new();
        let mut settings = Vec::new();
        for dataset in &self.datasets {
            for model in &self.models {
                for (optimizer, entry) in self.optimizers.iter().enumerate() {
                    for values in self.combinations(entry) {
                        let grid: Vec<_> =
                            values.iter().filter(|v| v.2).map(|v| (v.0.clone(), v.1.clone())).collect();
                        let shown = grid.iter().map(|(name, value)| format!(" {name}={value}"));
                        let label = entry.name.clone() + &shown.collect::<String>();
                        let (dataset, model) = (dataset.clone(), model.clone());
                        let own = [("dataset", &dataset), ("model", &model)];
                        let mut all: Vec<(String, String)> =
                            own.into_iter().map(|(name, value)| (name.into(), value.clone())).collect();
                        all.extend(values.into_iter().map(|v| (v.0, v.1)));
                        settings.push(all);
                        configurations.push(Configuration { dataset, model, optimizer, label, grid });
                    }
                }
            }
        }
        let mut names = BTreeSet::new();
        let mut runs = Vec::new();
        for &seed in &self.seeds {
            for (i, (c, settings)) in configurations.iter().zip(&settings).enumerate() {
                let name = folder_name(&[&c.dataset, &c.model, &c.label, &format!("seed{seed}")]);
                if !names.insert(name.clone()) {
                    let reason =
                        "seeds, data sets, models and values are named once, optimizers have a 'name' each";
                    return Err(Error::Config(format!(
                        "two runs of this comparison are called {name}: {reason}"
                    )));
                }
                let args = TrainArgs::from_settings(settings.iter(), seed)
                    .map_err(|e| Error::Config(format!("{} on {} {}: {e}", c.label, c.dataset, c.model)))?;
                runs.push(PlannedRun { name, configuration: i, args });
            }
        }
        Ok((configurations, runs))
    }

    /// Every combination of an optimizer's settings, its own and the common ones: name, value, and whether it is one of several.
    fn combinations(&self, entry: &Entry) -> Vec<Vec<(String, String, bool)>> {
        let own = |s: &&Setting| entry.settings.iter().all(|e| e.name != s.name);
        let command = TrainArgs::command();
        let mut all = vec![Vec::new()];
        for setting in self.common.iter().filter(own).chain(&entry.settings) {
            let value = |v: &String, several| (setting.name.clone(), v.clone(), several);
            if repeats(&setting.name, &command) {
                // Its values are no grid: a run has them all.
                all.iter_mut()
                    .for_each(|before| before.extend(setting.values.iter().map(|v| value(v, false))));
                continue;
            }
            let several = setting.values.len() > 1;
            let longer = |before: &Vec<(String, String, bool)>| {
                let with = |v: &String| [&before[..], &[value(v, several)]].concat();
                setting.values.iter().map(with).collect::<Vec<_>>()
            };
            all = all.iter().flat_map(longer).collect();
        }
        all
    }
}

/// Parts of a name, joined so that every shell and file system takes it.
fn folder_name(parts: &[&str]) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.=+".contains(c) { c } else { '_' };
    parts.iter().map(|p| p.chars().map(plain).collect::<String>()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(name: &str, values: &[&str]) -> Setting {
        Setting { name: name.into(), values: values.iter().map(|v| v.to_string()).collect() }
    }

    fn plan() -> Plan {
        let entry = |opt: &str, more: &[Setting]| Entry {
            name: opt.into(),
            settings: [&[setting("opt", &[opt])], more].concat(),
        };
        Plan {
            datasets: vec!["digits".into()],
            models: vec!["mlp".into(), "resnet8".into()],
            optimizers: vec![entry("sgd", &[setting("lr", &["0.1", "0.2"])]), entry("adamw", &[])],
            common: vec![
                setting("epochs", &["3"]),
                setting("lr", &["0.01"]),
                setting("batch-size", &["32", "64"]),
            ],
            seeds: vec![1, 2],
        }
    }

    #[test]
    fn grids_are_multiplied_and_an_optimizers_own_settings_win() {
        let (configurations, runs) = plan().runs().unwrap();
        assert_eq!((configurations.len(), runs.len()), (2 * (2 * 2 + 2), 24));
        let labels: BTreeSet<&str> = configurations.iter().map(|c| &*c.label).collect();
        assert!(labels.contains("sgd batch-size=64 lr=0.2") && labels.contains("adamw batch-size=32"));
        let find = |name: &str| &runs.iter().find(|r| r.name == name).unwrap().args;
        let sgd = find("digits-mlp-sgd_batch-size=64_lr=0.2-seed2");
        assert_eq!((sgd.optimizer.lr, sgd.batch_size, sgd.seed, sgd.epochs), (Some(0.2), 64, 2, 3));
        assert_eq!(find("digits-resnet8-adamw_batch-size=32-seed1").optimizer.lr, Some(0.01));
        // All configurations of the first seed come first.
        assert!(runs[..12].iter().all(|r| r.args.seed == 1));
    }

    #[test]
    fn mistakes_name_the_configuration() {
        let fails = |change: &dyn Fn(&mut Plan)| {
            let mut p = plan();
            change(&mut p);
            p.runs().unwrap_err().to_string()
        };
        let e = fails(&|p| p.common.push(setting("tau", &["1"])));
        assert!(e.contains("sgd") && e.contains("--tau is a setting of --opt sph"), "{e}");
        let twice = |p: &mut Plan| p.optimizers.push(p.optimizers[1].clone());
        assert!(fails(&twice).contains("'name'"));
        assert!(fails(&|p| p.seeds.push(1)).contains("digits-mlp-sgd_batch-size=32_lr=0.1-seed1"));
    }
}
