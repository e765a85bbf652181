//! What is compared with what: one combination of data set, model, optimizer and values.

use super::job::Job;

/// One combination of data set, model, optimizer and values.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Configuration {
    /// What its runs are.
    pub job: Job,
    /// The data set; of an adaptation the corruption.
    pub dataset: String,
    /// The model; of an adaptation the trained network.
    pub model: String,
    /// Which of the plan's optimizers.
    pub optimizer: usize,
    /// What that is called.
    pub name: String,
    /// The optimizer's name and its values of grids, such as `sgd lr=0.1`; of tuned ones those that were tried or chosen.
    pub label: String,
    /// Its values of the common grids that optimizers are tuned and compared for. With a tuning rule those are all; without one those that
    /// are no settings of an optimizer, and one optimizer alone has none: it is compared across them.
    pub condition: Vec<(String, String)>,
    /// Settings that have several values in the comparison, and its own.
    pub grid: Vec<(String, String)>,
    /// All its settings, data set and model among them.
    pub settings: Vec<(String, String)>,
}

impl Configuration {
    /// Its name with all values of grids, which tells it from all others on its data set and model.
    pub fn full_label(&self) -> String {
        self.name.clone() + &spelled(&self.grid)
    }

    /// Its value of a setting that has several in the comparison.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.grid.iter().chain(&self.condition).find(|v| v.0 == name).map(|v| &*v.1)
    }

    /// This one with values of a grid.
    pub(super) fn with(&self, values: &[(String, String)]) -> Self {
        let mut with = self.clone();
        with.label += &spelled(values);
        with.grid.extend_from_slice(values);
        with.settings.extend_from_slice(values);
        with
    }
}

/// Values in a label, each with a space before it.
pub fn spelled(values: &[(String, String)]) -> String {
    values.iter().map(|(name, value)| format!(" {name}={value}")).collect()
}
