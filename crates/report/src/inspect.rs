//! An [`Inspection`] as a table, as CSV and as a page.

use crate::charts::{self, CELLS, FISHER, HESSIAN, Panel};
use crate::error::Result;
use crate::page;
use crate::text::{aligned, escape, number};
use serde::Serialize;
use sph_train::files::Table;
use sph_train::inspect::{BlockFigures, Eigenvalue, Figure, Inspection, NetworkFigures, QUANTITIES};
use std::fmt::Write;

/// What was inspected, and how.
#[derive(Debug, Clone, Serialize)]
pub struct About {
    /// The model.
    pub model: String,
    /// Its norm.
    pub norm: String,
    /// The data set.
    pub dataset: String,
    /// The file its parameters came from; initial values when there is none.
    pub checkpoint: Option<String>,
    /// Images per batch.
    pub batch_size: usize,
    /// `train` or `eval`: which statistics BatchNorm used.
    pub mode: String,
    /// `f32` or `f64`.
    pub dtype: String,
    /// Seed of batches, probes and initial values.
    pub seed: u64,
    /// What the number of batches and that of probes are called where they are set.
    #[serde(skip)]
    pub numbers: [&'static str; 2],
}

impl About {
    fn title(&self) -> String {
        let About { model, norm, dataset, batch_size, mode, dtype, .. } = self;
        // A graph has norms of its own.
        let norm = if norm.is_empty() { String::new() } else { format!(" ({norm})") };
        format!("{model}{norm} on {batch_size} images of {dataset}, {mode} mode, {dtype}")
    }
}

/// Mean, and standard error where there is one; a question mark where the error is larger.
fn with_error(f: Figure) -> String {
    let error = f.standard_error.map_or(String::new(), |e| format!("±{}", number(e)));
    number(f.mean) + &error + if f.is_unresolved() { "?" } else { "" }
}

fn cell(f: Option<Figure>) -> String {
    f.map_or("-".into(), with_error)
}

/// Signed where there is one batch; of several, |λ| and how often it is negative.
fn eigenvalue(e: &Eigenvalue) -> String {
    match &e.values[..] {
        [one] => number(*one),
        all => {
            let negative = all.iter().filter(|v| **v < 0.0).count();
            format!("{} ({negative} of {} negative)", with_error(e.absolute), all.len())
        }
    }
}

fn over_batches(found: &Inspection) -> String {
    match found.batches {
        1 => String::new(),
        n => format!(", mean ± standard error over {n} batches"),
    }
}

/// Blocks beyond the dense limit, in a sentence.
fn larger(found: &Inspection) -> Option<String> {
    let count = found.blocks.iter().filter(|b| !b.dense).count();
    (count > 0).then(|| {
        format!(
            "* {count} larger blocks: the dense block is not formed; off/diag, row-sum err and trace are estimates from random probes"
        )
    })
}

/// What the question marks mean, where there are any.
fn unresolved(about: &About, found: &Inspection) -> Option<String> {
    let shown = |b: &BlockFigures| {
        let pairs = QUANTITIES.iter().zip(&b.figures).filter(|(q, _)| q.head.is_some());
        pairs.filter_map(|(_, f)| *f).any(|f| f.is_unresolved())
    };
    let blocks = found.blocks.iter().any(shown);
    let network = found
        .network
        .as_ref()
        .is_some_and(|n| n.trace.is_unresolved() || n.eigenvalues.iter().any(|e| e.absolute.is_unresolved()));
    let [batches, probes] = about.numbers;
    let more = match (found.batches, network) {
        (1, _) => probes.to_string(),
        (_, true) => format!("{batches} or {probes}"),
        (_, false) => batches.to_string(),
    };
    (blocks || network).then(|| format!("? the figure is smaller than its standard error: take more {more}"))
}

const NO_BLOCKS: &str = "the model has no second-order blocks; they are norms' γ and β and decoupled layers' magnitudes and biases";

/// What is printed: a row per block, then the whole network.
pub fn table(about: &About, found: &Inspection) -> String {
    let mut out = format!("{}{}: loss {}\n", about.title(), over_batches(found), {
        let error = found.loss.standard_error.map_or(String::new(), |e| format!(" ± {}", number(e)));
        format!("{:.6}{error}", found.loss.mean)
    });
    let shown: Vec<usize> = (0..QUANTITIES.len()).filter(|&q| QUANTITIES[q].head.is_some()).collect();
    if found.blocks.is_empty() {
        let _ = writeln!(out, "\n{NO_BLOCKS}");
    } else {
        out.push_str(
            "H: a block's Hessian; F: its empirical Fisher block; off/diag is 0 for a diagonal block; row-sum err: relative error of H·1 \
             taken for the diagonal; docs/inspect.md explains the columns\n\n",
        );
        let heads = shown.iter().filter_map(|&q| QUANTITIES[q].head).map(String::from);
        let mut rows: Vec<Vec<String>> =
            vec![["block", "entries"].map(String::from).into_iter().chain(heads).collect()];
        for b in &found.blocks {
            let star = if b.dense { "" } else { "*" };
            let figures = shown.iter().map(|&q| cell(b.figures[q]));
            rows.push([b.name.clone(), format!("{}{star}", b.entries)].into_iter().chain(figures).collect());
        }
        let median = shown.iter().map(|&q| match QUANTITIES[q].name {
            "trace" | "fisher_trace" => String::new(),
            name => found.spread(name).map_or("-".into(), |s| number(s.median)),
        });
        rows.push(["median over blocks".to_string(), String::new()].into_iter().chain(median).collect());
        out.push_str(&aligned(&rows));
        if let Some(note) = larger(found) {
            let _ = writeln!(out, "{note}");
        }
    }
    if let Some(n) = &found.network {
        let _ = write!(out, "\nwhole network, {}", network(n));
    }
    if let Some(note) = unresolved(about, found) {
        let _ = writeln!(out, "{note}");
    }
    out.trim_end().into()
}

fn network(n: &NetworkFigures) -> String {
    let top: Vec<String> = n.eigenvalues.iter().map(eigenvalue).collect();
    let mut out =
        format!("{} parameters ({} products): trace {}\n", n.parameters, n.products, with_error(n.trace));
    if !top.is_empty() {
        let _ = writeln!(out, "  eigenvalues of largest absolute value: {}", top.join("  "));
    }
    if !n.converged {
        let residual = n.eigenvalues.iter().map(|e| e.residual).fold(0.0, f64::max);
        let _ = writeln!(out, "  not all of them converged: residuals up to {}", number(residual));
    }
    let _ = writeln!(out, "  spectrum from {} to {} (Ritz values)", number(n.range.0), number(n.range.1));
    out
}

/// A row per block: every quantity, and its standard error beside it.
pub fn csv(found: &Inspection) -> String {
    let mut columns = ["block", "entries", "dense"].map(String::from).to_vec();
    QUANTITIES.iter().for_each(|q| columns.extend([q.name.into(), format!("{}_standard_error", q.name)]));
    let mut table = Table::new(columns);
    let field = |v: Option<f64>| v.map_or(String::new(), |v| v.to_string());
    for b in &found.blocks {
        let mut fields = vec![b.name.to_string(), b.entries.to_string(), b.dense.to_string()];
        b.figures
            .iter()
            .for_each(|f| fields.extend([f.map(|f| f.mean), f.and_then(|f| f.standard_error)].map(field)));
        table.push(fields);
    }
    table.text()
}

/// One object: what was inspected, every figure, and their spread over the blocks.
///
/// # Errors
/// Never in practice: numbers that are not known become null, infinite ones the text `inf`.
pub fn json(about: &About, found: &Inspection, seconds: f64) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Record<'a> {
        #[serde(flatten)]
        about: &'a About,
        #[serde(flatten)]
        found: &'a Inspection,
        over_blocks: serde_json::Map<String, serde_json::Value>,
        seconds: f64,
    }
    let spread = |q: &sph_train::inspect::Quantity| {
        Ok((q.name.to_string(), serde_json::to_value(found.spread(q.name))?))
    };
    let over_blocks = QUANTITIES.iter().map(spread).collect::<serde_json::Result<_>>()?;
    serde_json::to_string(&Record { about, found, over_blocks, seconds })
}

/// A page that needs no network and no script. `seconds` is how long the measuring took.
///
/// # Errors
/// When a chart cannot be drawn.
pub fn page(about: &About, found: &Inspection, seconds: f64) -> Result<String> {
    let title = format!("How diagonal is {}?", about.model);
    let mut body = format!(
        "<h1>{}</h1>\n<p class=\"note\">{}{}. Parameters: {}. Seed {}. {:.1} s.</p>\n",
        escape(&title),
        escape(&about.title()),
        over_batches(found),
        escape(about.checkpoint.as_deref().unwrap_or("initial values")),
        about.seed,
        seconds
    );
    body += &summary(about, found);
    if !found.blocks.is_empty() {
        body += &figures(found);
        body += &layers(found)?;
    }
    if let Some(n) = &found.network {
        body += &whole(n)?;
    }
    if !found.first.hessian.is_empty() {
        body += &maps(found)?;
    }
    Ok(page::page(&title, &body))
}

fn summary(about: &About, found: &Inspection) -> String {
    let mut out = String::from("<h2>Summary</h2>\n<ul>\n");
    if found.blocks.is_empty() {
        let _ = writeln!(out, "<li>{NO_BLOCKS}.</li>");
    }
    let spread = |name: &str| {
        let shown = |s: sph_train::inspect::Spread| {
            format!("median {}, from {} to {}", number(s.median), number(s.min), number(s.max))
        };
        found.spread(name).map_or("not known".into(), shown)
    };
    let count = |holds: &dyn Fn(f64) -> bool, name: &str| {
        found.blocks.iter().filter(|b| b.get(name).is_some_and(|f| holds(f.mean))).count()
    };
    let n = found.blocks.len();
    if n > 0 {
        let _ = write!(
            out,
            "<li>‖off-diagonal‖ / ‖diagonal‖ of the Hessian over {n} blocks: {}; {} of them have more of their norm off the diagonal \
             than on it. A diagonal block has 0. Of the Fisher blocks: {}.</li>\n\
             <li>Row sums H·1 taken for the diagonal are wrong by, relatively: {}; by more than the diagonal itself in {} blocks. \
             Share of entries with the right sign: {}.</li>\n\
             <li>Share of negative curvature (eigenvalues below 0): {}.</li>\n",
            spread("off_diagonal_ratio"),
            count(&|v| v > 1.0, "off_diagonal_ratio"),
            spread("fisher_off_diagonal_ratio"),
            spread("row_sum_error"),
            count(&|v| v > 1.0, "row_sum_error"),
            spread("sign_agreement"),
            spread("negative_eigenvalues"),
        );
    }
    if let Some(n) = &found.network {
        let top = n.eigenvalues.first().map_or("not asked for".into(), eigenvalue);
        let _ = writeln!(
            out,
            "<li>Whole network, {} parameters: trace {}, eigenvalue of largest absolute value {top}.</li>",
            n.parameters,
            with_error(n.trace)
        );
    }
    out.push_str("</ul>\n");
    if let Some(note) = unresolved(about, found) {
        let _ = writeln!(out, "<p class=\"note\">{}</p>", escape(&note));
    }
    out
}

fn figures(found: &Inspection) -> String {
    let mut out =
        String::from("<h2>Blocks</h2>\n<div class=\"scroll\">\n<table>\n<tr><th>block</th><th>entries</th>");
    let shown: Vec<usize> = (0..QUANTITIES.len()).filter(|&q| QUANTITIES[q].head.is_some()).collect();
    for &q in &shown {
        let head = QUANTITIES[q].head.unwrap_or_default();
        let _ = write!(out, "<th title=\"{}\">{}</th>", escape(QUANTITIES[q].about), escape(head));
    }
    out.push_str("</tr>\n");
    for b in &found.blocks {
        let star = if b.dense { "" } else { "*" };
        let _ = write!(out, "<tr><td>{}</td><td>{}{star}</td>", escape(&b.name), b.entries);
        for &q in &shown {
            let _ = write!(out, "<td>{}</td>", cell(b.figures[q]));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</table>\n</div>\n");
    if let Some(note) = larger(found) {
        let _ = writeln!(out, "<p class=\"note\">{}</p>", escape(&note));
    }
    out.push_str("<dl>\n");
    for &q in &shown {
        let head = QUANTITIES[q].head.unwrap_or_default();
        let _ = writeln!(out, "<dt>{}</dt><dd>{}</dd>", escape(head), escape(QUANTITIES[q].about));
    }
    out + "</dl>\n"
}

fn layers(found: &Inspection) -> Result<String> {
    let names: Vec<&str> = found.blocks.iter().map(|b| &*b.name).collect();
    let drawn = |f: Figure| Some(f.mean).filter(|v| v.is_finite());
    let values = |q: &str| found.blocks.iter().map(|b| b.get(q).and_then(drawn)).collect();
    let panel = |title, of: &str, fisher: Option<&str>, at_least| {
        let both = [(HESSIAN, Some(of)), (FISHER, fisher)];
        let series = both.into_iter().filter_map(|(colour, q)| Some((colour, values(q?)))).collect();
        Panel { title, series, at_least }
    };
    let panels = [
        panel("‖off-diagonal‖ / ‖diagonal‖", "off_diagonal_ratio", Some("fisher_off_diagonal_ratio"), 1.0),
        panel("row-sum error", "row_sum_error", Some("fisher_row_sum_error"), 1.0),
        panel("share of negative eigenvalues", "negative_eigenvalues", None, 0.5),
    ];
    Ok(format!(
        "<h2>Layer by layer</h2>\n{}<div class=\"scroll\">{}</div>\n",
        page::legend([(HESSIAN, "Hessian"), (FISHER, "empirical Fisher")]),
        charts::bars(&names, &panels)?
    ))
}

fn whole(n: &NetworkFigures) -> Result<String> {
    let eigenvalues: Vec<f64> = n.eigenvalues.iter().flat_map(|e| e.values.clone()).collect();
    let mut rows = String::new();
    for (i, e) in n.eigenvalues.iter().enumerate() {
        let _ = writeln!(
            rows,
            "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
            i + 1,
            eigenvalue(e),
            number(e.residual)
        );
    }
    let table = if rows.is_empty() {
        String::new()
    } else {
        let converged = if n.converged { "" } else { " (not all converged)" };
        format!(
            "<table>\n<tr><th>no.</th><th>eigenvalue{converged}</th><th>residual</th></tr>\n{rows}</table>\n"
        )
    };
    Ok(format!(
        "<h2>Whole network</h2>\n<figure>{}<figcaption>Density of the eigenvalues of the Hessian over all {} parameters, by stochastic \
         Lanczos quadrature; Gaussians of width {}. Bumps are nodes of the quadrature, each a share of the eigenvalues: more Lanczos steps tell more apart. Red marks: eigenvalues of \
         largest absolute value.</figcaption></figure>\n{table}",
        charts::density(&n.density.at, &n.density.density, &eigenvalues)?,
        n.parameters,
        number(n.density.width)
    ))
}

fn maps(found: &Inspection) -> Result<String> {
    let batch = if found.batches > 1 { " of the first batch" } else { "" };
    let mut out = format!(
        "<h2>Blocks entry by entry</h2>\n<p class=\"note\">Hessian and Fisher blocks{batch}, each on its own scale, symmetric around 0: \
         blue is negative, red positive. Of blocks larger than {CELLS} each cell shows its entry of largest absolute value.</p>\n\
         <div class=\"blocks\">\n"
    );
    for b in &found.blocks {
        let Some(h) = found.first.hessian.get(&b.param) else { continue };
        let _ = writeln!(
            out,
            "<div class=\"block\"><h3>{}</h3><p class=\"note\">{} entries, off/diag {}, row-sum error {}, share of negative eigenvalues {}</p>\n\
             <div class=\"pair\">",
            escape(&b.name),
            b.entries,
            cell(b.get("off_diagonal_ratio")),
            cell(b.get("row_sum_error")),
            cell(b.get("negative_eigenvalues"))
        );
        for (caption, matrix) in
            [("Hessian", Some(h)), ("empirical Fisher", found.first.fisher.get(&b.param))]
        {
            if let Some(m) = matrix {
                let svg = charts::heat_map(m.size(), m.entries())?;
                let _ = writeln!(out, "<figure>{svg}<figcaption>{caption}</figcaption></figure>");
            }
        }
        out.push_str("</div></div>\n");
    }
    Ok(out + "</div>\n")
}
