//! Pages of training runs: one run in full, or the curves of several over each other.

use crate::charts::{self, Axes, Curve, along, colours};
use crate::error::{Error, Result};
use crate::overlay::{OVERLAID, TIMES, over};
use crate::page::{self, figure, legend, list};
use crate::text::{escape, number};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use plotters::style::RGBColor;
use sph_train::history::{BlockCurvature, Epoch, History};
use sph_train::mistakes::{Mistakes, Worst};
use sph_train::{Measure, Score};
use std::fmt::Write;

fn percent(v: f64) -> String {
    format!("{:.2} %", 100.0 * v)
}

/// What a network is compared by.
fn shown(score: Score) -> String {
    score.measure().shown(score.value())
}

/// The run's name: that of its folder.
fn name(history: &History) -> String {
    let path = history.run.path();
    let absolute = path.canonicalize().unwrap_or(path.to_path_buf());
    absolute.file_name().map_or(path.display().to_string(), |n| n.to_string_lossy().into_owned())
}

/// Everything about one run. `mistakes` are those of its best model, none where it answers no classes of images, or why they cannot be had.
///
/// # Errors
/// When a chart cannot be drawn.
pub fn page(history: &History, mistakes: &std::result::Result<Option<Mistakes>, String>) -> Result<String> {
    let settings = &history.settings;
    let title =
        format!("{}: {} on {}, {}", name(history), settings.model, settings.dataset, settings.optimizer);
    let mut body = format!("<h1>{}</h1>\n", escape(&title));
    body += &result(history);
    body += &training(&history.epochs)?;
    body += &curvature(&history.curvature)?;
    body += &match mistakes {
        Ok(Some(mistakes)) => confusion(mistakes) + &worst(mistakes)?,
        Ok(None) => String::new(),
        Err(reason) => {
            format!("<h2>Test images</h2>\n<p class=\"note\">They cannot be shown: {}</p>\n", escape(reason))
        }
    };
    let _ = write!(body, "<h2>Settings</h2>\n<pre class=\"note\">{}</pre>\n", escape(&settings.text));
    Ok(page::page(&title, &body))
}

fn result(history: &History) -> String {
    let epochs = format!("{} of {}", history.epochs.len(), history.settings.epochs);
    let Some(r) = &history.result else {
        return format!("<p class=\"note\">Not finished: {epochs} epochs are trained.</p>\n");
    };
    let mut items = Vec::new();
    items.extend(r.loss.as_ref().map(|loss| ("loss", loss.clone())));
    if let (Some(best), Some(epoch)) = (r.best(), r.best_epoch) {
        let chosen = match &*r.chosen_on {
            "validation" => "chosen on held-out images",
            _ => "chosen on the test images, which flatters it",
        };
        let measure = best.measure();
        let [name, last, average] = match measure {
            Measure::Accuracy => {
                ["best test accuracy", "final test accuracy", "final test accuracy of the average of weights"]
            }
            Measure::Loss => {
                ["best test loss", "final test loss", "final test loss of the average of weights"]
            }
        };
        items.push((name, format!("{} in epoch {epoch}, {chosen}", shown(best))));
        items.extend(r.last().map(|score| (last, shown(score))));
        items.extend(r.last_average().map(|value| (average, measure.shown(value))));
    }
    items.push(("epochs", epochs));
    items.push(("time", format!("{:.1} s", r.seconds)));
    items.extend(r.step_ms_median.map(|ms| ("step", format!("{ms:.2} ms (median)"))));
    items.extend(
        r.curvature_overhead.map(|o| ("curvature overhead", format!("{:+.0} % of a gradient", 100.0 * o))),
    );
    items.extend(r.peak_rss_mb.map(|mb| ("peak memory", format!("{mb:.0} MB"))));
    list(items)
}

/// One line of a chart over epochs.
fn line(epochs: &[Epoch], colour: RGBColor, y: impl Fn(&Epoch) -> Option<f64>) -> Curve {
    let points = epochs.iter().filter_map(|e| Some((e.epoch as f64, y(e)?)));
    Curve { colour, points: points.collect(), band: Vec::new() }
}

fn training(epochs: &[Epoch]) -> Result<String> {
    let c = colours(4);
    let axes = |y, log| Axes { x: "epoch", y, log };
    type Of = fn(&Epoch) -> Option<Score>;
    let mut scores: Vec<(RGBColor, &str, Of)> =
        vec![(c[0], "training", |e| Some(e.train)), (c[1], "test", |e| Some(e.test))];
    if epochs.iter().any(|e| e.validation.is_some()) {
        scores.push((c[2], "held-out", |e| e.validation));
    }
    if epochs.iter().any(|e| e.average.is_some()) {
        scores.push((c[3], "test, average of weights", |e| e.average));
    }
    let keys = scores.iter().map(|(colour, name, _)| (*colour, *name));
    let curves = |y: &dyn Fn(Score) -> Option<f64>| -> Vec<Curve> {
        scores.iter().map(|(colour, _, of)| line(epochs, *colour, |e| y(of(e)?))).collect()
    };
    let mut charts = vec![(
        charts::curves(axes("loss", true), &curves(&|s| Some(s.loss)))?,
        "Loss. That of training is the mean over the epoch, each image before its step.",
    )];
    if epochs.is_empty() || epochs.iter().any(|e| e.test.accuracy.is_some()) {
        let accuracy = curves(&|s| Some(100.0 * s.accuracy?));
        charts.push((charts::curves(axes("accuracy %", false), &accuracy)?, "Accuracy."));
    }
    charts.extend([
        (
            charts::curves(axes("learning rate", false), &[line(epochs, c[0], |e| Some(e.lr))])?,
            "Learning rate of each epoch's last step.",
        ),
        (
            charts::curves(axes("seconds", false), &[line(epochs, c[0], |e| Some(e.seconds))])?,
            "Time since the run began, evaluation included.",
        ),
    ]);
    let charts = charts.iter().map(|(chart, caption)| figure(chart, caption)).collect::<String>();
    Ok(format!("<h2>Training</h2>\n{}<div class=\"charts\">\n{charts}</div>\n", legend(keys)))
}

/// Curvature of every block over the epochs; nothing for optimizers without.
fn curvature(rows: &[BlockCurvature]) -> Result<String> {
    let mut blocks: Vec<&str> = Vec::new();
    for row in rows {
        if !blocks.contains(&&*row.block) {
            blocks.push(&row.block);
        }
    }
    if blocks.is_empty() {
        return Ok(String::new());
    }
    let palette = along(blocks.len());
    let curves = |y: &dyn Fn(&BlockCurvature) -> f64| -> Vec<Curve> {
        let of = |block: &str| rows.iter().filter(move |r| r.block == block).collect::<Vec<_>>();
        let points = |block: &str| of(block).iter().map(|r| (r.epoch as f64, y(r))).collect();
        let curve = |(block, colour): (&&str, &RGBColor)| Curve {
            colour: *colour,
            points: points(block),
            band: Vec::new(),
        };
        blocks.iter().zip(&palette).map(curve).collect()
    };
    let axes = |y, log| Axes { x: "epoch", y, log };
    let charts = [
        (
            charts::curves(axes("median multiplier", true), &curves(&|r| r.multiplier))?,
            "What a block's momentum is multiplied by: τ over rectified curvature, median over its entries.",
        ),
        (
            charts::curves(axes("|trace|", true), &curves(&|r| r.trace.abs()))?,
            "Absolute value of the sum of a block's averaged curvature.",
        ),
        (
            charts::curves(axes("% negative", false), &curves(&|r| 100.0 * r.negative))?,
            "Share of a block's averaged curvature that is negative.",
        ),
    ];
    let charts = charts.iter().map(|(chart, caption)| figure(chart, caption)).collect::<String>();
    let keys = palette.iter().copied().zip(blocks);
    Ok(format!(
        "<h2>Curvature of the second-order blocks</h2>\n{}<div class=\"charts\">\n{charts}</div>\n",
        legend(keys)
    ))
}

/// With more classes than these a matrix is too large to read: the most frequent mistakes are listed.
const MATRIX: usize = 24;
const PAIRS: usize = 30;

fn confusion(m: &Mistakes) -> String {
    let names: Vec<String> = m.class_names.iter().map(|name| escape(name)).collect();
    let n = names.len();
    let images: u64 = m.confusion.values().sum();
    let right: u64 =
        m.confusion.iter().filter(|((label, taken_for), _)| label == taken_for).map(|c| c.1).sum();
    let mut out = format!(
        "<h2>Confusion</h2>\n<p class=\"note\">The best model on the {images} test images: {right} right, {} wrong.</p>\n",
        images - right
    );
    if n > MATRIX {
        let mut pairs: Vec<_> =
            m.confusion.iter().filter(|((label, taken_for), _)| label != taken_for).collect();
        pairs.sort_by_key(|(pair, count)| (std::cmp::Reverse(**count), **pair));
        let heads = ["class", "taken for", "images"].map(String::from).to_vec();
        let row = |((label, taken_for), count): &(&(usize, usize), &u64)| {
            vec![m.class_names[*label].clone(), m.class_names[*taken_for].clone(), count.to_string()]
        };
        let rows: Vec<_> = std::iter::once(heads).chain(pairs.iter().take(PAIRS).map(row)).collect();
        return out + &page::table(&rows);
    }
    out.push_str("<p class=\"note\">Rows: class; columns: what its images are taken for.</p>\n<div class=\"scroll\">\n<table class=\"confusion\">\n<tr><th></th>");
    out.extend(names.iter().map(|name| format!("<th>{name}</th>")));
    out.push_str("<th>right</th></tr>\n");
    for (label, name) in names.iter().enumerate() {
        let _ = write!(out, "<tr><th>{name}</th>");
        let row: Vec<u64> = (0..n).map(|c| m.confusion.get(&(label, c)).copied().unwrap_or(0)).collect();
        let total = row.iter().sum::<u64>().max(1) as f64;
        for (c, &count) in row.iter().enumerate() {
            let (share, colour) = (count as f64 / total, if c == label { "33,102,172" } else { "178,24,43" });
            // Few are to be seen, too.
            let shade = if count == 0 { 0.0 } else { 0.08 + 0.55 * share.sqrt() };
            let text = if count == 0 { "·".into() } else { count.to_string() };
            let _ = write!(out, "<td style=\"background:rgba({colour},{shade:.2})\">{text}</td>");
        }
        let _ = writeln!(out, "<td>{}</td></tr>", percent(row[label] as f64 / total));
    }
    out + "</table>\n</div>\n"
}

fn worst(m: &Mistakes) -> Result<String> {
    // Samples that are no images have no pictures.
    if m.worst.is_empty() {
        return Ok(String::new());
    }
    let (low, high) = m
        .worst
        .iter()
        .flat_map(|w| &w.pixels)
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
    let mut out = String::from(
        "<h2>Worst test images</h2>\n<p class=\"note\">Those of largest loss under the best model, with their class, what they are taken \
         for, how sure the model is of that, and their number in the test set.</p>\n<div class=\"images\">\n",
    );
    let name = |class: usize| m.class_names.get(class).map_or(String::new(), |name| escape(name));
    for w in &m.worst {
        let picture = picture(w, low, high)?;
        let verdict = match w.taken_for == w.label {
            true => format!("{}, found", name(w.label)),
            false => format!("{}, taken for {}", name(w.label), name(w.taken_for)),
        };
        let alt = format!("test image {} of class {}", w.number, name(w.label));
        let _ = writeln!(
            out,
            "<figure><img alt=\"{alt}\" src=\"data:image/png;base64,{picture}\"/><figcaption>{verdict}<br/>{:.0} % sure, loss \
             {}<br/>no. {}</figcaption></figure>",
            100.0 * w.confidence,
            number(w.loss),
            w.number
        );
    }
    Ok(out + "</div>\n")
}

/// A PNG in base64, values from `low` to `high`: in colour when there are three channels, else the first one in grey.
fn picture(w: &Worst, low: f64, high: f64) -> Result<String> {
    let (height, width, channels) = w.size;
    let byte = |v: f64| ((v - low) / (high - low).max(1e-12) * 255.0).round() as u8;
    let (kind, step) = if channels == 3 { (ExtendedColorType::Rgb8, 3) } else { (ExtendedColorType::L8, 1) };
    let bytes: Vec<u8> =
        w.pixels.chunks_exact(channels.max(1)).flat_map(|p| &p[..step]).map(|v| byte(*v)).collect();
    let mut file = Vec::new();
    PngEncoder::new(&mut file)
        .write_image(&bytes, width as u32, height as u32, kind)
        .map_err(Error::drawing)?;
    Ok(STANDARD.encode(file))
}

/// Curves of several runs over each other, over epochs and over wall-clock time.
///
/// # Errors
/// When a chart cannot be drawn.
pub fn overlay(histories: &[History]) -> Result<String> {
    let title = format!("{} runs", histories.len());
    let short: Vec<String> = histories.iter().map(name).collect();
    // Runs of one name in several folders are told apart by their paths.
    let told = |(h, name): (&History, &String)| match short.iter().filter(|n| *n == name).count() {
        1 => name.clone(),
        _ => h.run.path().display().to_string(),
    };
    let names: Vec<String> = histories.iter().zip(&short).map(told).collect();
    let palette = colours(histories.len());
    let mut body = format!("<h1>{title}</h1>\n");
    let by_loss = histories.iter().any(|h| h.epochs.iter().any(|e| e.test.accuracy.is_none()));
    let [best, last] = match by_loss {
        true => ["best test acc or loss", "final test acc or loss"],
        false => ["best test acc", "final test acc"],
    };
    let heads =
        ["run", "model", "data set", "optimizer", "lr", "seed", "epochs", best, last, "seconds", "ms/step"];
    let mut rows = vec![heads.map(String::from).to_vec()];
    for (h, name) in histories.iter().zip(&names) {
        let (s, r) = (&h.settings, h.result.as_ref());
        let or_dash = |v: Option<String>| v.unwrap_or("-".into());
        rows.push(vec![
            name.clone(),
            s.model.clone(),
            s.dataset.clone(),
            s.optimizer.clone(),
            s.lr.to_string(),
            s.seed.to_string(),
            h.epochs.len().to_string(),
            or_dash(r.and_then(|r| r.best()).map(shown)),
            or_dash(h.epochs.last().map(|e| shown(e.test))),
            or_dash(h.epochs.last().map(|e| format!("{:.1}", e.seconds))),
            or_dash(h.epochs.last().map(|e| format!("{:.2}", e.step_ms))),
        ]);
    }
    body += &page::table(&rows);
    body += &legend(palette.iter().copied().zip(names.iter().map(|n| &**n)));
    body.push_str("<div class=\"charts\">\n");
    let epochs = histories.iter().flat_map(|h| &h.epochs);
    for (shown, log) in OVERLAID.iter().filter(|(shown, _)| shown.is_in(epochs.clone())) {
        for time in TIMES {
            let curve = |(h, colour): (&History, &RGBColor)| Curve {
                colour: *colour,
                points: h.epochs.iter().filter_map(|e| (time.of)(e).zip((shown.of)(e))).collect(),
                band: Vec::new(),
            };
            let curves: Vec<Curve> = histories.iter().zip(&palette).map(curve).collect();
            body += &over(shown, &time, *log, &curves)?;
        }
    }
    body.push_str("</div>\n");
    Ok(page::page(&title, &body))
}
