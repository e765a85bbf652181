//! A [`Sheet`] of corrupted pictures as one picture, as a page, and as a part of another page.

use crate::corruption::{Sheet, SheetRow};
use crate::page::page;
use crate::text::escape;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, Rgb, RgbImage};
use std::io::Cursor;

/// Pixels between pictures.
const GAP: u32 = 2;

/// All pictures side by side, enlarged by a whole `factor`.
pub fn png(sheet: &Sheet, factor: u32) -> Vec<u8> {
    let rows = &sheet.rows;
    let first = rows.first().and_then(|r| r.pictures.first());
    let (w, h) = first.map_or((0, 0), |p| (p.width() * factor, p.height() * factor));
    let columns = rows.first().map_or(0, |r| r.pictures.len()) as u32;
    let size = |n: u32, side: u32| GAP + n * (side + GAP);
    let mut sheet = RgbImage::from_pixel(size(columns, w), size(rows.len() as u32, h), Rgb([255, 255, 255]));
    for (y, row) in (0..).zip(rows) {
        for (x, picture) in (0..).zip(&row.pictures) {
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

/// A page with the table alone.
pub fn html(sheet: &Sheet) -> String {
    page(&sheet.title, &format!("<h1>{}</h1>\n{}", escape(&sheet.title), table(sheet)))
}

/// A part of a page: heading, note and table.
pub(crate) fn section(sheet: &Sheet) -> String {
    format!("<h2>{}</h2>\n{}", escape(&sheet.title), table(sheet))
}

/// The note and a table of its rows.
fn table(sheet: &Sheet) -> String {
    let cell = |(name, picture): (&str, &RgbImage)| {
        let data = STANDARD.encode(encode(picture));
        format!(
            "<td><img alt=\"{}\" src=\"data:image/png;base64,{data}\" style=\"width:64px;image-rendering:pixelated;display:block\"/></td>",
            escape(name)
        )
    };
    let row = |row: &SheetRow| {
        let cells: String = row.pictures.iter().map(|p| cell((&row.name, p))).collect();
        format!("<tr><td><b>{}</b><br/>{}</td>{cells}</tr>\n", escape(&row.name), escape(row.about))
    };
    let head = |name: &String| format!("<th style=\"text-align:center\">{}</th>", escape(name));
    let (mut heads, rows) = (sheet.heads.iter(), sheet.rows.iter().map(row).collect::<String>());
    let first = heads.next().map_or(String::new(), |name| format!("<th>{}</th>", escape(name)));
    let heads: String = heads.map(head).collect();
    format!(
        "<p class=\"note\">{}</p>\n<div class=\"scroll\">\n<table>\n<tr>{first}{heads}</tr>\n{rows}</table>\n</div>\n",
        escape(&sheet.note)
    )
}
