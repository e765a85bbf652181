//! Settings that do not do what they seem to, as far as that is known beforehand.

use super::trainer::Trainer;
use crate::few_images;
use sph_data::Wanted;
use sph_nn::Real;

impl<T: Real> Trainer<T> {
    /// What a user should know before the run begins, a line each; settings stand in backquotes.
    pub fn cautions(&self) -> Vec<String> {
        let all = [
            few_images::caution(&self.objective, &self.train, self.settings.batch_size),
            self.caution_of_kept_statistics(),
            self.caution_of_schedule(),
            self.caution_of_average(),
            self.caution_of_patience(),
            self.caution_of_held_out(),
        ];
        all.into_iter().flatten().collect()
    }

    fn caution_of_kept_statistics(&self) -> Option<String> {
        let store = &self.objective.store;
        let layer = store.norms(false).next()?;
        store.kept_statistics_are_initial().then(|| {
            format!(
                "layer '{layer}' and other norms keep their running statistics, mean 0 and variance 1, and so do not normalize; begin with \
                 an `init-checkpoint`, or take `norm-statistics` batch"
            )
        })
    }

    fn caution_of_schedule(&self) -> Option<String> {
        let (schedule, config) = self.settings.schedule;
        let (first, epochs) = (config.warmup_epochs + config.decay_epochs, self.settings.epochs);
        (schedule.name == "step" && first >= epochs as f64).then(|| {
            format!("`sched` step never lowers the rate: its first decay is after epoch {first} of {epochs}; lower `decay-epochs`")
        })
    }

    /// How much of its first values an average without warmup still holds in the end.
    fn caution_of_average(&self) -> Option<String> {
        let average = self.settings.average.filter(|a| !a.warmup)?;
        let steps = self.steps_per_epoch() * self.settings.epochs;
        let held = average.decay.powi(i32::try_from(steps).unwrap_or(i32::MAX));
        (held > 0.05).then(|| {
            format!(
                "after the {steps} steps of this run the average of weights is still {:.0} % the first values; lower \
                 `model-ema-decay`, or leave `model-ema-warmup` on",
                100.0 * held
            )
        })
    }

    fn caution_of_patience(&self) -> Option<String> {
        let (patience, epochs) = (self.settings.patience?, self.settings.epochs);
        (patience >= epochs)
            .then(|| format!("`patience` {patience} never stops a run of {epochs} epochs early; lower it"))
    }

    /// Held-out images choose the best epoch: without some of a class they do not see what becomes of it.
    fn caution_of_held_out(&self) -> Option<String> {
        let held_out = self.validation.as_ref().filter(|held_out| held_out.set.wanted == Wanted::Labels)?;
        let missing: Vec<usize> = (0..self.info.class_names.len())
            .filter(|class| !held_out.set.labels.contains(&(*class as u32)))
            .collect();
        let first = self.info.class_names.get(*missing.first()?)?;
        let others = match missing.len() - 1 {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        Some(format!(
            "the {} held-out images, which choose the best epoch, have none of class '{first}'{others}; raise `val-split`",
            held_out.set.len()
        ))
    }
}
