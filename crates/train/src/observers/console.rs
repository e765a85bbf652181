//! The progress bar and one line per epoch.

use super::{EpochEvent, EstimateEvent, Observer, StepEvent};
use crate::error::Result;
use crate::score::{Measure, Score};
use crate::timing::spell;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write;
use std::time::Instant;

/// A bar on stderr (on a terminal only), a line per epoch, and a line every so many steps when asked for.
pub struct Console {
    bar: ProgressBar,
    to_stderr: bool,
    log_interval: u64,
    steps: u64,
    /// When the first step ended, and the batches of the run that were over then.
    first: Option<(Instant, usize)>,
}

/// Runs that take longer than this many seconds say so beforehand.
const LONG: f64 = 60.0;

impl Console {
    /// Epoch lines go to stdout, or to stderr when `to_stderr`; `log_interval` 0 means no lines between epochs.
    pub fn new(to_stderr: bool, log_interval: u64) -> Self {
        let bar = ProgressBar::new(0);
        let template = "{prefix} [{bar:24}] {pos}/{len} {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Console { bar, to_stderr, log_interval, steps: 0, first: None }
    }

    /// A line of its own, above the bar.
    pub fn line(&self, text: &str) {
        self.bar.suspend(|| {
            // A reader that has gone away must not end a run.
            let _ = match self.to_stderr {
                true => writeln!(std::io::stderr(), "{text}"),
                false => writeln!(std::io::stdout(), "{text}"),
            };
        });
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// `loss 0.1234`, and an accuracy where there is one, `by` so many spaces.
fn spelled(score: Score, by: &str) -> String {
    let accuracy = score.accuracy.map(|a| format!("{by}acc {}", Measure::Accuracy.shown(a)));
    format!("loss {:.4}{}", score.loss, accuracy.unwrap_or_default())
}

fn curvature(overhead: Option<f64>) -> String {
    overhead.map_or(String::new(), |o| format!("  curvature {:+.0} %", 100.0 * o))
}

impl Observer for Console {
    fn step(&mut self, e: &StepEvent) -> Result<()> {
        if e.batch == 0 || self.bar.length() != Some(e.batches as u64) {
            self.bar.reset();
            self.bar.set_length(e.batches as u64);
            self.bar.set_prefix(format!("epoch {}/{}", e.epoch + 1, e.epochs));
        }
        let (score, overhead) = (spelled(e.train, "  "), curvature(e.overhead));
        let text = format!("{score}  {:.0} images/s{overhead}", e.images_per_s);
        self.bar.set_position(e.batch as u64 + 1);
        self.steps += 1;
        if self.log_interval > 0 && self.steps.is_multiple_of(self.log_interval) {
            let (epoch, batch, batches) = (e.epoch + 1, e.batch + 1, e.batches);
            let line = format!("epoch {epoch} step {batch}/{batches}  {text}");
            self.bar.suspend(|| drop(writeln!(std::io::stderr(), "{line}")));
        }
        let done = e.epoch * e.batches + e.batch + 1;
        let (start, before) = *self.first.get_or_insert((Instant::now(), done));
        let left = (done > before).then(|| {
            let each = start.elapsed().as_secs_f64() / (done - before) as f64;
            format!("  {} left", spell(each * (e.epochs * e.batches - done) as f64))
        });
        self.bar.set_message(text + &left.unwrap_or_default());
        Ok(())
    }

    fn estimate(&mut self, e: &EstimateEvent) -> Result<()> {
        if e.seconds < LONG {
            return Ok(());
        }
        let memory = e.peak_rss_mb.map_or(String::new(), |mb| format!(" and {mb:.0} MB of memory"));
        let (left, (from, to)) = (spell(e.seconds), e.measured);
        let epochs = if e.epochs == 1 { "epoch".into() } else { format!("{} epochs", e.epochs) };
        self.line(&format!(
            "about {left}{memory} for {epochs}: steps {from} to {to} took {:.1} ms each, evaluating a batch {:.1} ms",
            e.step_ms, e.evaluation_ms
        ));
        Ok(())
    }

    fn epoch(&mut self, e: &EpochEvent) -> Result<()> {
        let pair = |name: &str, score: Score| format!("  {name} {}", spelled(score, " "));
        let width = e.epochs.to_string().len();
        let held_out = e.validation.map_or(String::new(), |v| pair("val", v));
        let average = e.average.map_or(String::new(), |a| pair("ema", a.test));
        self.line(&format!(
            "epoch {:>width$}/{}  lr {:.4}{}{held_out}{}{average}  {:.0} images/s{}  {:.1} s",
            e.epoch + 1,
            e.epochs,
            e.lr,
            pair("train", e.train),
            pair("test", e.test),
            e.images_per_s,
            curvature(e.overhead),
            e.seconds,
        ));
        Ok(())
    }
}
