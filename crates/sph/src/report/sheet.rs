//! A sheet of corrupted pictures: corruptions by severities, for a few images.

use super::escape;
use super::page::page;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, Rgb, RgbImage};
use std::io::Cursor;

/// One corruption's pictures.
pub struct SheetRow {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// For each image, what it was and then its severities.
    pub pictures: Vec<Vec<RgbImage>>,
}

/// Pixels between pictures.
const GAP: u32 = 2;

/// All pictures side by side: a row per corruption, in it image after image, each as it was and by severity. Enlarged by a whole `factor`.
///
/// All pictures have one size.
pub fn png(rows: &[SheetRow], factor: u32) -> Vec<u8> {
    let first = rows.first().and_then(|r| r.pictures.first()?.first());
    let (w, h) = first.map_or((0, 0), |p| (p.width() * factor, p.height() * factor));
    let columns = rows.first().map_or(0, |r| r.pictures.iter().map(Vec::len).sum::<usize>()) as u32;
    let size = |n: u32, side: u32| GAP + n * (side + GAP);
    let mut sheet = RgbImage::from_pixel(size(columns, w), size(rows.len() as u32, h), Rgb([255, 255, 255]));
    for (y, row) in (0..).zip(rows) {
        for (x, picture) in (0..).zip(row.pictures.iter().flatten()) {
            let (left, top) = (GAP + x * (w + GAP), GAP + y * (h + GAP));
            for (i, j) in (0..h).flat_map(|j| (0..w).map(move |i| (i, j))) {
                sheet.put_pixel(left + i, top + j, *picture.get_pixel(i / factor, j / factor));
            }
        }
    }
    encode(&sheet)
}

fn encode(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    // Into memory: it cannot fail.
    picture.write_to(&mut bytes, ImageFormat::Png).expect("a PNG file in memory");
    bytes.into_inner()
}

/// A page with a table: a row per corruption, a column per image and severity.
pub fn html(title: &str, note: &str, rows: &[SheetRow]) -> String {
    let cell = |picture: &RgbImage| {
        let data = STANDARD.encode(encode(picture));
        format!(
            "<td><img alt=\"\" src=\"data:image/png;base64,{data}\" style=\"width:64px;image-rendering:pixelated;display:block\"/></td>"
        )
    };
    let severities = |pictures: &Vec<RgbImage>| {
        let head = |i: usize| {
            if i == 0 {
                "<th>as it was</th>".into()
            } else {
                format!("<th style=\"text-align:center\">{i}</th>")
            }
        };
        (0..pictures.len()).map(head).collect::<String>()
    };
    let heads = rows.first().map_or(String::new(), |r| r.pictures.iter().map(severities).collect());
    let row = |row: &SheetRow| {
        let cells: String = row.pictures.iter().flatten().map(cell).collect();
        format!("<tr><td><b>{}</b><br/>{}</td>{cells}</tr>\n", escape(row.name), escape(row.about))
    };
    let rows: String = rows.iter().map(row).collect();
    let (heading, note) = (escape(title), escape(note));
    page(
        title,
        &format!(
            "<h1>{heading}</h1>\n<p class=\"note\">{note}</p>\n<div class=\"scroll\">\n<table>\n<tr><th>severity</th>{heads}</tr>\n\
             {rows}</table>\n</div>\n"
        ),
    )
}
