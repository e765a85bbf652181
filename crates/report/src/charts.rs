//! Charts as SVG text, drawn by plotters.

use crate::error::{Error, Result};
use crate::text::number;
use plotters::coord::Shift;
use plotters::coord::ranged1d::ValueFormatter;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const FONT: &str = "sans-serif";
/// Of the Hessian and of the Fisher block.
pub(crate) const HESSIAN: RGBColor = RGBColor(33, 102, 172);
pub(crate) const FISHER: RGBColor = RGBColor(224, 130, 20);
const MARK: RGBColor = RGBColor(178, 24, 43);
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(225, 225, 225);

fn text(size: i32, h: HPos, v: VPos) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK).pos(Pos::new(h, v))
}

fn draw(size: (u32, u32), paint: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        paint(&area)?;
        area.present().map_err(Error::drawing)?;
    }
    // Defaults, thousands of times.
    Ok(svg.replace(" opacity=\"1\"", "").replace(" stroke=\"none\"", ""))
}

macro_rules! put {
    ($area:expr, $element:expr) => {
        $area.draw(&$element).map_err(Error::drawing)?
    };
}

/// Blue for −1, nearly white for 0, red for 1, in steps: cells of one colour in a row are one rectangle.
const LEVELS: i32 = 40;

fn diverging(level: i32) -> RGBColor {
    let (end, t) =
        (if level < 0 { (33, 102, 172) } else { (178, 24, 43) }, level.abs() as f64 / LEVELS as f64);
    let mix = |from: f64, to: i32| (from + t * (to as f64 - from)).round() as u8;
    RGBColor(mix(247.0, end.0), mix(247.0, end.1), mix(247.0, end.2))
}

/// Cells along a side, at most; of a larger matrix each cell shows its entry of largest absolute value.
pub(crate) const CELLS: usize = 64;

/// Pixels of a heat map's side, and of the whole drawing.
const SIDE: i32 = 256;
const HEAT_SIZE: (u32, u32) = (352, 264);

/// A heat map of an n×n matrix on a symmetric scale ±max|entry|, with its legend.
pub(crate) fn heat_map(n: usize, entries: &[f64]) -> Result<String> {
    let stride = n.div_ceil(CELLS).max(1);
    let cells = n.div_ceil(stride);
    let mut shown = vec![0.0f64; cells * cells];
    for (k, v) in entries.iter().enumerate() {
        let cell = &mut shown[k / n / stride * cells + k % n / stride];
        if v.abs() > cell.abs() {
            *cell = *v;
        }
    }
    let scale = entries.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let level = |v: f64| if scale > 0.0 { (v / scale * LEVELS as f64).round() as i32 } else { 0 };
    draw(HEAT_SIZE, |area| {
        let (left, top) = (4, 4);
        let edge = |i: usize| i as i32 * SIDE / cells as i32;
        let frame = [(left, top), (left + SIDE, top + SIDE)];
        put!(area, Rectangle::new(frame, diverging(0).filled()));
        for (y, row) in shown.chunks(cells.max(1)).enumerate() {
            let mut x = 0;
            while x < cells {
                let (start, colour) = (x, level(row[x]));
                while x < cells && level(row[x]) == colour {
                    x += 1;
                }
                if colour != 0 {
                    let corners = [(left + edge(start), top + edge(y)), (left + edge(x), top + edge(y + 1))];
                    put!(area, Rectangle::new(corners, diverging(colour).filled()));
                }
            }
        }
        put!(area, Rectangle::new(frame, GRID.stroke_width(1)));
        let (x, steps) = (left + SIDE + 12, 2 * LEVELS + 1);
        for i in 0..steps {
            let y = |i: i32| top + i * SIDE / steps;
            put!(area, Rectangle::new([(x, y(i)), (x + 12, y(i + 1))], diverging(LEVELS - i).filled()));
        }
        for (y, v, at) in [(0, scale, VPos::Top), (SIDE / 2, 0.0, VPos::Center), (SIDE, -scale, VPos::Bottom)]
        {
            put!(area, Text::new(number(v), (x + 17, top + y), text(13, HPos::Left, at)));
        }
        Ok(())
    })
}

/// A number at an axis; sums of steps are rounded.
fn tick(v: &f64) -> String {
    format!("{}", (*v * 1e9).round() / 1e9)
}

/// The axes of a chart, what they are called, and lines across at about `y_labels` values, written by `y_label`.
fn mesh<'a, Y>(
    chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, Y>>,
    (x, y): (&str, &str),
    y_labels: usize,
    y_label: &dyn Fn(&f64) -> String,
) -> Result<()>
where
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    chart
        .configure_mesh()
        .disable_x_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .x_desc(x)
        .y_desc(y)
        .x_labels(9)
        .y_labels(y_labels)
        .x_label_formatter(&tick)
        .y_label_formatter(&y_label)
        .label_style(text(12, HPos::Left, VPos::Top))
        .draw()
        .map_err(Error::drawing)?;
    Ok(())
}

/// A density over λ with a logarithmic axis, and eigenvalues as marks below it.
pub(crate) fn density(at: &[f64], density: &[f64], eigenvalues: &[f64]) -> Result<String> {
    let top = density.iter().fold(0.0f64, |m, v| m.max(*v)) * 2.0;
    // What lies further below is nothing but the tails of Gaussians.
    let bottom = top * 1e-7;
    let all = at.iter().chain(eigenvalues);
    let (min, max) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(*v), b.max(*v)));
    let margin = 0.02 * (max - min);
    draw((860, 340), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .x_label_area_size(42)
            .y_label_area_size(70)
            .build_cartesian_2d(min - margin..max + margin, (bottom..top).log_scale())
            .map_err(Error::drawing)?;
        let label = |v: &f64| format!("{v:.0e}");
        mesh(&mut chart, ("eigenvalue", "density (log scale)"), 8, &label)?;
        let line = at.iter().zip(density).map(|(x, d)| (*x, d.max(bottom)));
        chart.draw_series(LineSeries::new(line, HESSIAN.stroke_width(2))).map_err(Error::drawing)?;
        let mark = |v: &f64| PathElement::new(vec![(*v, bottom), (*v, bottom * 4.0)], MARK.stroke_width(3));
        chart.draw_series(eigenvalues.iter().map(mark)).map_err(Error::drawing)?;
        Ok(())
    })
}

/// A line of [`curves`].
pub(crate) struct Curve {
    pub(crate) colour: RGBColor,
    /// In the order of x.
    pub(crate) points: Vec<(f64, f64)>,
    /// x, lower and upper end of what is shaded around the line; may be empty.
    pub(crate) band: Vec<(f64, f64, f64)>,
}

/// The axes of [`curves`].
#[derive(Clone, Copy)]
pub(crate) struct Axes<'a> {
    pub(crate) x: &'a str,
    pub(crate) y: &'static str,
    /// A logarithmic scale of y; values that are not positive are left out.
    pub(crate) log: bool,
}

/// Lines over a common x, each with its band.
pub(crate) fn curves(axes: Axes<'_>, curves: &[Curve]) -> Result<String> {
    let shown = |y: f64| y.is_finite() && (!axes.log || y > 0.0);
    let points = || curves.iter().flat_map(|c| &c.points).filter(|p| shown(p.1));
    let ends = curves.iter().flat_map(|c| &c.band).flat_map(|b| [b.1, b.2]).filter(|y| shown(*y));
    let ys = points().map(|p| p.1).chain(ends);
    let (mut low, mut high) = ys.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    let xs = points().map(|p| p.0);
    let (first, mut last) = xs.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    if !(low.is_finite() && first.is_finite()) {
        (low, high) = if axes.log { (0.1, 1.0) } else { (0.0, 1.0) };
    }
    let first = if first.is_finite() { first } else { 0.0 };
    if last <= first {
        last = first + 1.0;
    }
    // A band may reach below what can be shown.
    let floor = if axes.log { low } else { f64::NEG_INFINITY };
    let clamp = |y: f64| y.max(floor);
    draw((640, 330), |area| {
        let mut builder = ChartBuilder::on(area);
        builder.margin(8).margin_right(16).x_label_area_size(38).y_label_area_size(64);
        if axes.log {
            let factor = (high / low).powf(0.04).max(1.02);
            let (bottom, top) = (low / factor, high * factor);
            let range = (bottom..top).log_scale();
            if high / low >= 10.0 {
                let chart = builder.build_cartesian_2d(first..last, range).map_err(Error::drawing)?;
                return lines(chart, axes, curves, &clamp, shown);
            }
            // There may be no power of ten to write at the axis.
            let (step, count) = ticks(top - bottom);
            let from = (bottom / step).ceil();
            let values = (0..=count).map(|i| (from + i as f64) * step).filter(|v| *v <= top).collect();
            let range = range.with_key_points(values);
            let chart = builder.build_cartesian_2d(first..last, range).map_err(Error::drawing)?;
            lines(chart, axes, curves, &clamp, shown)
        } else {
            let margin = if high > low { 0.04 * (high - low) } else { 0.04 * high.abs().max(1.0) };
            let range = low - margin..high + margin;
            let chart = builder.build_cartesian_2d(first..last, range).map_err(Error::drawing)?;
            lines(chart, axes, curves, &clamp, shown)
        }
    })
}

fn lines<'a, Y>(
    mut chart: ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, Y>>,
    axes: Axes<'_>,
    curves: &[Curve],
    clamp: &dyn Fn(f64) -> f64,
    shown: impl Fn(f64) -> bool,
) -> Result<()>
where
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    // On a logarithmic axis all ticks are powers of ten and their multiples.
    let label = |v: &f64| if *v != 0.0 && v.abs() < 1e-3 { format!("{v:.0e}") } else { tick(v) };
    mesh(&mut chart, (axes.x, axes.y), 7, &label)?;
    for c in curves {
        let band: Vec<_> = c.band.iter().filter(|b| shown(b.2)).collect();
        if band.len() > 1 {
            let upper = band.iter().map(|b| (b.0, b.2));
            let lower = band.iter().rev().map(|b| (b.0, clamp(b.1)));
            let area = Polygon::new(upper.chain(lower).collect::<Vec<_>>(), c.colour.mix(0.15).filled());
            chart.draw_series(std::iter::once(area)).map_err(Error::drawing)?;
        }
    }
    for c in curves {
        let points: Vec<(f64, f64)> = c.points.iter().copied().filter(|p| shown(p.1)).collect();
        // A line needs two ends.
        if let [point] = points[..] {
            let mark = Circle::new(point, 3, c.colour.filled());
            chart.draw_series(std::iter::once(mark)).map_err(Error::drawing)?;
        }
        chart.draw_series(LineSeries::new(points, c.colour.stroke_width(2))).map_err(Error::drawing)?;
    }
    Ok(())
}

/// `n` colours that can be told apart.
pub(crate) fn colours(n: usize) -> Vec<RGBColor> {
    const TEN: [(u8, u8, u8); 10] = [
        (33, 102, 172),
        (224, 130, 20),
        (27, 120, 55),
        (178, 24, 43),
        (118, 42, 131),
        (1, 145, 135),
        (140, 81, 10),
        (222, 119, 174),
        (110, 110, 110),
        (127, 188, 65),
    ];
    match n {
        0..=10 => TEN[..n].iter().map(|c| RGBColor(c.0, c.1, c.2)).collect(),
        _ => along(n),
    }
}

/// `n` colours from blue over green to red: of things in an order.
pub(crate) fn along(n: usize) -> Vec<RGBColor> {
    let hue = |i: usize| 0.66 * (1.0 - i as f64 / (n.max(2) - 1) as f64);
    let colour = |i: usize| {
        let (r, g, b) = HSLColor(hue(i), 0.7, 0.42).rgb();
        RGBColor(r, g, b)
    };
    (0..n).map(colour).collect()
}

/// One panel of [`bars`].
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    /// Values of one or two series per row.
    pub(crate) series: Vec<(RGBColor, Vec<Option<f64>>)>,
    /// The axis ends at least here.
    pub(crate) at_least: f64,
}

/// Horizontal bars, a row per name, panels side by side.
pub(crate) fn bars(names: &[&str], panels: &[Panel]) -> Result<String> {
    const ROW: i32 = 22;
    const WIDTH: i32 = 250;
    const GAP: i32 = 44;
    const TOP: i32 = 26;
    let longest = names.iter().map(|n| n.chars().count()).max().unwrap_or(0) as i32;
    let left = 16 + 7 * longest;
    let height = TOP + ROW * names.len() as i32 + 24;
    let width = left + (WIDTH + GAP) * panels.len() as i32;
    draw((width as u32, height as u32), |area| {
        let bottom = TOP + ROW * names.len() as i32;
        for (row, name) in names.iter().enumerate() {
            let y = TOP + ROW * row as i32 + ROW / 2;
            put!(area, Text::new(name.to_string(), (left - 8, y), text(12, HPos::Right, VPos::Center)));
        }
        for (p, panel) in panels.iter().enumerate() {
            let x = left + (WIDTH + GAP) * p as i32;
            let values = panel.series.iter().flat_map(|(_, v)| v.iter().flatten());
            let end = values.fold(panel.at_least, |m, v| m.max(*v));
            let (step, ticks) = ticks(end);
            let end = step * ticks as f64;
            let at = |v: f64| x + (v / end * WIDTH as f64).round() as i32;
            put!(area, Text::new(panel.title, (x, 4), text(13, HPos::Left, VPos::Top)));
            for t in 0..=ticks {
                let v = step * t as f64;
                put!(area, PathElement::new(vec![(at(v), TOP), (at(v), bottom)], GRID));
                let label = format!("{}", (v * 1e6).round() / 1e6);
                put!(area, Text::new(label, (at(v), bottom + 5), text(11, HPos::Center, VPos::Top)));
            }
            let thick = (ROW - 6) / panel.series.len().max(1) as i32;
            for (s, (colour, values)) in panel.series.iter().enumerate() {
                for (row, v) in values.iter().enumerate() {
                    let y = TOP + ROW * row as i32 + 3 + thick * s as i32;
                    match v {
                        Some(v) => put!(area, Rectangle::new([(x, y), (at(*v), y + thick)], colour.filled())),
                        None => put!(area, Text::new("–", (x + 3, y), text(11, HPos::Left, VPos::Top))),
                    }
                }
            }
        }
        Ok(())
    })
}

/// Step and number of ticks of an axis from 0 to `end` or a little more: steps of 1, 2 or 5 times a power of ten.
fn ticks(end: f64) -> (f64, usize) {
    let end = if end > 0.0 && end.is_finite() { end } else { 1.0 };
    let power = 10f64.powf((end / 5.0).log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].map(|s| s * power).into_iter().find(|s| end / s <= 5.0).unwrap_or(10.0 * power);
    (step, (end / step - 1e-9).ceil() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_steps() {
        assert_eq!(ticks(1.0), (0.2, 5));
        assert_eq!(ticks(2.3), (0.5, 5));
        assert_eq!(ticks(0.0), (0.2, 5));
        let (step, n) = ticks(7.2);
        assert_eq!((step, n), (2.0, 4));
    }

    #[test]
    fn a_large_matrix_keeps_its_extremes_and_few_rectangles() {
        let n = 200;
        let mut entries = vec![0.0; n * n];
        entries[n * n - 1] = -3.0;
        let svg = heat_map(n, &entries).unwrap();
        // Blue is the one cell that is not zero and the end of the legend; the other rectangles are the legend's and the frame.
        assert_eq!((svg.matches("#2166AC").count(), svg.matches("<rect").count()), (2, 84));
        assert_eq!(heat_map(n, &vec![0.0; n * n]).unwrap().matches("#2166AC").count(), 1);
        heat_map(0, &[]).unwrap();
        heat_map(1, &[0.0]).unwrap();
    }

    #[test]
    fn curves_are_drawn_whatever_there_is() {
        let drawn = |log: bool, points: &[(f64, f64)], band: &[(f64, f64, f64)]| {
            let curve = Curve { colour: HESSIAN, points: points.to_vec(), band: band.to_vec() };
            let svg = curves(Axes { x: "epoch", y: "loss", log }, &[curve]).unwrap();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            svg
        };
        for log in [false, true] {
            drawn(log, &[], &[]);
            drawn(log, &[(1.0, 0.0)], &[]);
            drawn(log, &[(1.0, f64::NAN), (2.0, 3.0)], &[]);
            assert!(drawn(log, &[(1.0, 2.0)], &[]).contains("<circle"));
            // Less than a decade, with no power of ten in it.
            assert!(drawn(log, &[(1.0, 2.2), (2.0, 3.9)], &[]).contains("\n3\n"), "no value at the axis");
            let svg = drawn(log, &[(1.0, 2.0), (2.0, 1.0)], &[(1.0, 1.0, 3.0), (2.0, -1.0, 2.0)]);
            assert!(svg.contains("<polyline") && svg.contains("<polygon") && !svg.contains("NaN"), "{svg}");
        }
    }
}
