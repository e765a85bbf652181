//! A comparison as a page: tables, and curves with bands over seeds.

use super::provenance::Provenance;
use super::table::{about, called, name, rows};
use crate::charts::{self, Axes, Curve, colours};
use crate::corruption::Sheet;
use crate::error::Result;
use crate::overlay::{OF_ADAPTATIONS, OVERLAID, STEPS, TIMES, over};
use crate::text::escape;
use crate::{page, sheet, trials};
use plotters::style::RGBColor;
use sph_train::Measure;
use sph_train::compare::{Group, Job, Results, Statistic};
use sph_train::history::Epoch;
use std::fmt::Write;

/// A page: what the corruptions look like (a sheet, or why there is none), tables, and curves with bands over seeds.
///
/// # Errors
/// When a chart cannot be drawn.
pub fn page(
    results: &Results,
    sheets: &[std::result::Result<Sheet, String>],
    made: &Provenance,
) -> Result<String> {
    let title = "Comparison of optimizers";
    let mut body = format!("<h1>{title}</h1>\n");
    for shown in sheets {
        body += &match shown {
            Ok(shown) => sheet::section(shown),
            Err(why) => {
                format!("<p class=\"note\">No pictures of the corruptions: {}.</p>\n", escape(why))
            }
        };
    }
    for (i, group) in results.groups.iter().enumerate() {
        let _ = write!(
            body,
            "<h2>{}</h2>\n<p class=\"note\">{}.",
            escape(&name(results.job(), group)),
            escape(&about(results, group))
        );
        let measure = results.measure();
        body.push_str(&match results.job() {
            Job::Train => format!(" “s to target”: seconds of training and evaluation until the first epoch whose test {} is the target or better;", measure.name()),
            Job::Adapt => " “steps to target”, “s to target”: steps, and their seconds without evaluations, until the first evaluation whose test loss is the target or better;".into(),
        });
        let difference = match measure {
            Measure::Accuracy => {
                "“final acc − baseline”: difference of final test accuracies in percentage points"
            }
            Measure::Loss => "“final loss − baseline”: difference of final test losses",
        };
        let _ = writeln!(
            body,
            " in brackets how many runs got there, where not all did. {difference}, each seed against the same seed of the baseline, with the 95 % interval of its mean by Student's t; none for fewer than three seeds, or differences that are all equal.</p>"
        );
        body += &page::table(&rows(results, group));
        body += &charts(results, group)?;
        if results.groups.get(i + 1).is_none_or(|next| place_of(next) != place_of(group)) {
            body += &responses(results, place_of(group))?;
        }
    }
    body += &results.trials.as_ref().map_or(String::new(), trials::section);
    let said =
        made.shared.as_ref().map_or(String::new(), |s| format!("<p class=\"note\">{}.</p>\n", escape(s)));
    Ok(page::page(title, &(body + &said + &made.section())))
}

/// Configurations drawn, at most; of more only the best of each optimizer are.
const DRAWN: usize = 10;

/// The configurations of a group whose curves are drawn.
fn drawn(results: &Results, group: &Group) -> Vec<usize> {
    if group.configurations.len() <= DRAWN {
        return group.configurations.clone();
    }
    let mean = |c: usize| results.final_figure(c).map(|s| s.mean);
    // Any is better than none.
    let better = |a: usize, b: usize| match (mean(a), mean(b)) {
        (Some(a), Some(b)) => results.measure().better(a, b),
        (a, b) => a.is_some() && b.is_none(),
    };
    let mut best: Vec<usize> = Vec::new();
    for &c in &group.configurations {
        let optimizer = results.configurations[c].optimizer;
        match best.iter_mut().find(|b| results.configurations[**b].optimizer == optimizer) {
            Some(b) if better(c, *b) => *b = c,
            Some(_) => (),
            None => best.push(c),
        }
    }
    best
}

fn charts(results: &Results, group: &Group) -> Result<String> {
    let configurations = drawn(results, group);
    let palette = colours(configurations.len());
    let label = |c: &usize| called(results, *c);
    let mut out = page::legend(palette.iter().copied().zip(configurations.iter().map(label)));
    if configurations.len() < group.configurations.len() {
        let best = match results.measure() {
            Measure::Accuracy => "accuracy is highest",
            Measure::Loss => "loss is lowest",
        };
        let _ = writeln!(
            out,
            "<p class=\"note\">Of each optimizer the configuration whose mean final test {best}.</p>"
        );
    }
    out.push_str(
        "<p class=\"note\">Lines: means over seeds after each epoch or evaluation; over seconds each mean stands at the mean time of it. Bands: ± one standard deviation.</p>\n<div class=\"charts\">\n",
    );
    let (overlaid, times) = match results.job() {
        Job::Train => (&OVERLAID[..], TIMES),
        Job::Adapt => (&OF_ADAPTATIONS[..], [STEPS, TIMES[1]]),
    };
    let epochs = results.runs.iter().flat_map(|run| &run.epochs);
    for (shown, log) in overlaid.iter().filter(|(shown, _)| shown.is_in(epochs.clone())) {
        for time in times {
            let curve = |(c, colour): (&usize, &RGBColor)| {
                let runs = results.runs_of(*c).map(|r| &*r.epochs);
                let longest = runs.clone().map(<[Epoch]>::len).max().unwrap_or(0);
                let mut curve = Curve { colour: *colour, points: Vec::new(), band: Vec::new() };
                for i in 0..longest {
                    // Those that are not over yet, where runs differ in length.
                    let epochs = runs.clone().filter_map(|r| r.get(i));
                    let both = Statistic::of(epochs.clone().filter_map(time.of))
                        .zip(Statistic::of(epochs.filter_map(shown.of)));
                    let Some((at, s)) = both else { continue };
                    curve.points.push((at.mean, s.mean));
                    curve.band.extend(s.std.map(|std| (at.mean, s.mean - std, s.mean + std)));
                }
                curve
            };
            let curves: Vec<Curve> = configurations.iter().zip(&palette).map(curve).collect();
            out += &over(shown, &time, *log, &curves)?;
        }
    }
    Ok(out + "</div>\n")
}

/// A group's data set and model.
fn place_of(group: &Group) -> (&str, &str) {
    (&group.dataset, &group.model)
}

/// A line's figures by where they stand.
type Points = Vec<(f64, Statistic)>;

/// Charts of the final test accuracy (or loss) over each setting that has at least three positive numbers on a data set and model: a line for each
/// optimizer and for each combination of its other values, of which those that trials chose are none.
fn responses(results: &Results, place: (&str, &str)) -> Result<String> {
    let mut out = String::new();
    for name in results.grid() {
        // Lines by what they are called; their points by the logarithm of the value.
        let mut lines: Vec<(String, Points)> = Vec::new();
        for (c, configuration) in results.configurations.iter().enumerate() {
            if (&*configuration.dataset, &*configuration.model) != place {
                continue;
            }
            let at = configuration.value(name).and_then(|v| v.parse::<f64>().ok());
            let at = at.filter(|v| *v > 0.0).map(f64::log10);
            let Some((at, s)) = at.zip(results.final_figure(c)) else { continue };
            let given = if results.trials.is_some() { &configuration.condition } else { &configuration.grid };
            let others = given.iter().filter(|g| g.0 != name);
            let others = others.map(|(name, value)| format!(" {name}={value}")).collect::<String>();
            let label = configuration.name.clone() + &others;
            match lines.iter_mut().find(|l| l.0 == label) {
                Some(line) => line.1.push((at, s)),
                None => lines.push((label, vec![(at, s)])),
            }
        }
        lines.retain(|l| l.1.len() >= 3);
        if lines.is_empty() {
            continue;
        }
        let palette = colours(lines.len());
        let (scale, y) = match results.measure() {
            Measure::Accuracy => (100.0, "final test accuracy %"),
            Measure::Loss => (1.0, "final test loss"),
        };
        let curve = |((_, points), colour): (&mut (String, Points), &RGBColor)| {
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            let band = points.iter().filter_map(|(x, s)| {
                let std = s.std?;
                Some((*x, scale * (s.mean - std), scale * (s.mean + std)))
            });
            let points = points.iter().map(|(x, s)| (*x, scale * s.mean));
            Curve { colour: *colour, points: points.collect(), band: band.collect() }
        };
        let curves: Vec<Curve> = lines.iter_mut().zip(&palette).map(curve).collect();
        let x = format!("log10 of {name}");
        let chart = charts::curves(Axes { x: &x, y, log: false }, &curves)?;
        out += &page::legend(palette.iter().copied().zip(lines.iter().map(|l| &*l.0)));
        let place = results.job().place(place.0, place.1);
        let caption = format!(
            "{place}: final test {} over {name}; runs that diverged are left out.",
            results.measure().name()
        );
        out += &format!("<div class=\"charts\">\n{}</div>\n", page::figure(&chart, &caption));
    }
    Ok(out)
}
