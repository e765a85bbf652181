//! How the runs of a comparison read the images that they corrupt, to show what corruptions look like.

use super::job::RunArgs;
use super::plan::PlannedRun;
use crate::config::AdaptArgs;
use crate::error::Error;
use crate::model_source::Images;
use sph_data::corrupt::Corruption;
use sph_report::corruption::{Reading, Sheet};
use sph_train::LoadedModel;

/// What the corruptions of a comparison look like, with the seed that its runs have: a sheet for each data set, or why there is none; nothing
/// where nothing is corrupted. A row with the images as they were, then one for each corruption.
pub fn sheets(runs: &[PlannedRun]) -> Vec<std::result::Result<Sheet, String>> {
    let (read, mut missing) = readings(runs);
    let mut sheets = Vec::new();
    for (reading, corruptions) in read {
        match reading.sheet(&corruptions) {
            Ok(sheet) => sheets.push(Ok(sheet)),
            Err(e) => missing.push(Error::from(e).to_string()),
        }
    }
    // Networks whose data has gone often say so in the same words.
    missing.dedup();
    sheets.into_iter().chain(missing.into_iter().map(Err)).collect()
}

/// How runs read the images that they corrupt, each with its corruptions; and why that is not known of some.
fn readings(runs: &[PlannedRun]) -> (Vec<(Reading, Vec<Corruption>)>, Vec<String>) {
    let (mut read, mut missing): (Vec<(Reading, Vec<Corruption>)>, _) = (Vec::new(), Vec::new());
    // A network's file is read once, however many runs adapt it.
    let mut known: Vec<(&AdaptArgs, Option<usize>)> = Vec::new();
    for run in runs {
        let RunArgs::Adapt(args) = &run.args else { continue };
        let Some(corruption) = args.corrupt else { continue };
        let place = |a: &AdaptArgs| (a.checkpoint.clone(), a.source.clone(), a.corrupt_seed);
        let at = match known.iter().find(|k| place(k.0) == place(args)) {
            Some((_, at)) => *at,
            None => {
                let at = match args.source.find(Some(&args.checkpoint), Images::None) {
                    Ok(LoadedModel { info, options, .. }) => {
                        let seed = args.corrupt_seed.unwrap_or(AdaptArgs::CORRUPT_SEED);
                        let reading = Reading { dataset: info.dataset, options, seed };
                        Some(read.iter().position(|r| r.0 == reading).unwrap_or_else(|| {
                            read.push((reading, Vec::new()));
                            read.len() - 1
                        }))
                    }
                    Err(e) => {
                        missing.push(e.to_string());
                        None
                    }
                };
                known.push((args, at));
                at
            }
        };
        if let Some((_, corruptions)) = at.map(|at| &mut read[at])
            && !corruptions.contains(&corruption)
        {
            corruptions.push(corruption);
        }
    }
    (read, missing)
}
