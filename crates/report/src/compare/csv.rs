//! A comparison as CSV.

use sph_train::Measure;
use sph_train::compare::{Job, Results};
use sph_train::files::Table;

/// A row per finished run.
pub fn runs_csv(results: &Results) -> String {
    let grid = results.grid();
    let (job, quantities) = (results.job(), results.quantities());
    let [data, network] = job.places();
    let columns = ["run", data, network, "optimizer", "seed"].into_iter().chain(grid.iter().copied());
    let more: &[&str] = match job {
        // Losses are among the quantities then.
        Job::Train if results.measure() == Measure::Loss => &["epochs", "best_epoch"],
        Job::Train => &["epochs", "best_epoch", "test_loss", "final_test_loss"],
        Job::Adapt => {
            &["steps", "loss_before", "accuracy_before", "loss_recalibrated", "accuracy_recalibrated"]
        }
    };
    let columns = columns.chain(more.iter().copied()).chain(quantities.iter().map(|q| q.name));
    let mut table = Table::new(columns);
    let optional = |v: Option<String>| v.unwrap_or_default();
    for run in &results.runs {
        let c = &results.configurations[run.configuration];
        let mut fields = [&run.name, &c.dataset, &c.model, &c.label].map(String::from).to_vec();
        fields.push(run.seed.to_string());
        fields.extend(grid.iter().map(|name| optional(c.value(name).map(String::from))));
        fields.push(optional(run.epochs.last().map(|e| e.epoch.to_string())));
        let number = |v: Option<f64>| optional(v.map(|v| v.to_string()));
        let end = &run.end;
        match job {
            Job::Train => {
                fields.push(optional(end.best.map(|b| b.0.to_string())));
                if results.measure() == Measure::Accuracy {
                    fields.extend([end.best.map(|b| b.1.loss), end.last.map(|l| l.loss)].map(number));
                }
            }
            Job::Adapt => {
                let recalibrated = run.epochs.first().map(|e| e.test);
                for m in [end.before, recalibrated] {
                    fields.extend([m.map(|m| m.loss), m.and_then(|m| m.accuracy)].map(number));
                }
            }
        }
        fields.extend(quantities.iter().map(|q| optional((q.of)(run).map(|v| v.to_string()))));
        table.push(fields);
    }
    table.text()
}

/// A row per configuration.
pub fn configurations_csv(results: &Results) -> String {
    let grid = results.grid();
    let [data, network] = results.job().places();
    let columns = [data, network, "optimizer"].into_iter().chain(grid.iter().copied()).chain(["runs"]);
    let mut columns: Vec<String> = columns.map(String::from).collect();
    for q in results.quantities() {
        columns.extend(["mean", "std", "count"].map(|of| format!("{}_{of}", q.name)));
    }
    columns.extend(["mean", "low", "high", "count"].map(|of| format!("difference_{of}")));
    let mut table = Table::new(columns);
    for (i, c) in results.configurations.iter().enumerate() {
        let mut fields = [&c.dataset, &c.model, &c.label].map(String::from).to_vec();
        fields.extend(grid.iter().map(|name| c.value(name).unwrap_or_default().into()));
        fields.push(results.runs_of(i).count().to_string());
        for q in results.quantities() {
            let s = results.statistic(i, q.name);
            fields.push(s.map_or(String::new(), |s| s.mean.to_string()));
            fields.push(s.and_then(|s| s.std).map_or(String::new(), |v| v.to_string()));
            fields.push(s.map_or(0, |s| s.count).to_string());
        }
        let s = results.difference(i);
        let number = |v: Option<f64>| v.map_or(String::new(), |v| v.to_string());
        let half = s.and_then(|s| s.half_width());
        let (mean, both) = (s.map(|s| s.mean), s.map(|s| s.mean).zip(half));
        let (low, high) = (both.map(|(m, h)| m - h), both.map(|(m, h)| m + h));
        fields.extend([number(mean), number(low), number(high), s.map_or(0, |s| s.count).to_string()]);
        table.push(fields);
    }
    table.text()
}
