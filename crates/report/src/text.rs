//! Words and numbers as tables and pages show them.

use sph_train::compare::Job;
use std::fmt::Write;

/// Text inside an HTML element or attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

/// What configurations have in common that are compared or tried.
pub(crate) fn place(job: Job, model: &str, dataset: &str, condition: &[(String, String)]) -> String {
    let condition = condition.iter().map(|(name, value)| format!(", {name}={value}"));
    job.place(dataset, model) + &condition.collect::<String>()
}

/// A number in few characters: three significant digits, with an exponent where it is very large or small.
pub(crate) fn number(v: f64) -> String {
    let size = v.abs();
    match size {
        0.0 => "0".into(),
        f64::INFINITY => if v > 0.0 { "∞" } else { "-∞" }.into(),
        _ if !(1e-2..1e4).contains(&size) => format!("{v:.1e}"),
        _ if size >= 100.0 => format!("{v:.0}"),
        _ if size >= 10.0 => format!("{v:.1}"),
        _ if size >= 0.1 => format!("{v:.2}"),
        _ => format!("{v:.3}"),
    }
}

/// Columns as wide as they must be; the first to the left, the others to the right.
pub fn aligned(rows: &[Vec<String>]) -> String {
    let width = |c: usize| rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let _ = write!(out, "{:<w$}", row[0], w = widths[0]);
        row.iter().zip(&widths).skip(1).for_each(|(cell, w)| {
            let _ = write!(out, "  {cell:>w$}");
        });
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    out
}

#[test]
pub(crate) fn numbers_are_short() {
    let shown = [0.0, 0.001234, -0.0567, 0.567, 1.234, 12.34, 123.4, 12345.0, f64::INFINITY].map(number);
    assert_eq!(shown, ["0", "1.2e-3", "-0.057", "0.57", "1.23", "12.3", "123", "1.2e4", "∞"]);
}
