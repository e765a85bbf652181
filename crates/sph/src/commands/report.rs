//! `sph report`: the page of a run, or of several over each other.

use crate::config::{ModelSource, TrainArgs, threads};
use crate::error::Result;
use crate::finished_run;
use crate::model_source::Images;
use clap::Args;
use sph_data::loader::Source;
use sph_report::run as report;
use sph_tensor::Pool;
use sph_train::files::{RunFolder, write_atomically};
use sph_train::mistakes::{self, Mistakes};
use std::path::{Path, PathBuf};

/// Make the page of a run again, or one with the curves of several runs over each other.
#[derive(Args, Debug, Clone)]
#[command(
    after_help = "Examples:\n  sph report runs/first\n  sph report runs/first --output first.html\n  sph report runs/first runs/second --output both.html"
)]
pub struct ReportArgs {
    /// Folders of runs.
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// The page [default: report.html, of one run in its folder].
    #[arg(long, value_name = "FILE.html")]
    pub output: Option<PathBuf>,
    /// Worker threads [default: all cores].
    #[arg(long, value_parser = threads)]
    pub threads: Option<usize>,
}

/// Writes the page and says where.
///
/// # Errors
/// When there is no run in a folder, or the page cannot be written.
pub fn run(args: &ReportArgs) -> Result<()> {
    super::configure_threads(args.threads)?;
    let default = match &args.runs[..] {
        [one] => RunFolder::at(one).report(),
        _ => "report.html".into(),
    };
    let path = args.output.clone().unwrap_or(default);
    match &args.runs[..] {
        [one] => write(&RunFolder::at(one), &path)?,
        several => {
            let read = |run: &PathBuf| Ok(finished_run::read(RunFolder::at(run))?.0);
            let histories = several.iter().map(read).collect::<Result<Vec<_>>>()?;
            let page = report::overlay(&histories)?;
            write_atomically(&path, page.as_bytes())?;
        }
    }
    super::say(&path.display().to_string())
}

/// Test images that are shown.
const WORST: usize = 24;

/// Writes the page of one run to `path`.
///
/// # Errors
/// When there is no run in the folder, or the page cannot be written.
pub(crate) fn write(run: &RunFolder, path: &Path) -> Result<()> {
    let (history, args) = finished_run::read(run.clone())?;
    // Curves are worth having where the data has gone; the page says what is missing and why.
    let mistakes = mistakes(run, &args).map_err(|e| e.to_string());
    let page = report::page(&history, &mistakes)?;
    Ok(write_atomically(path, page.as_bytes())?)
}

/// What a run's best model says of the test images that the run evaluated on; none where it answers no classes of samples.
fn mistakes(run: &RunFolder, args: &TrainArgs) -> Result<Option<Mistakes>> {
    let found = ModelSource::default().find(Some(run.path()), Images::Parts)?;
    let (objective, _) = found.objective(&Pool::new(), args.seed)?;
    let (info, data) = (&found.info, found.data()?);
    if !data.has_labels() {
        return Ok(None);
    }
    // Only images have pictures.
    let worst = if data.test.as_is.is_some() { 0 } else { WORST };
    let (set, numbers) = data.evaluated(&data.test, args.eval_images);
    let source = Source { set, normalisation: info.normalisation.clone(), batch_size: args.batch_size };
    Ok(Some(mistakes::find(&objective, &info.class_names, &source, &numbers, worst)?))
}
