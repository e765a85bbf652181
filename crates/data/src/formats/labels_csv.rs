//! CSV files that tell the classes of files: a row each, its file's name or id in one column and its class in another.
//!
//! Columns are known by their heads (`file_name`, `image`, `id` …, `label`, `class` …); of two columns the first is the file's, whatever their
//! heads, and so are those of a file without heads. Cells are separated by commas, semicolons or tabs.

use crate::classes::{composed, is_name};

/// A file and its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The file as it is named.
    pub file: String,
    /// Its class.
    pub class: String,
    /// Where it stands, counted from 1.
    pub line: u64,
}

/// Heads of the column of files and of that of classes; the first one found is taken.
const FILES: [&str; 14] = [
    "file_name",
    "filename",
    "file",
    "filepath",
    "file_path",
    "path",
    "image",
    "image_name",
    "image_path",
    "image_id",
    "img",
    "img_name",
    "id",
    "name",
];
const CLASSES: [&str; 8] =
    ["label", "labels", "class", "class_name", "class_label", "category", "target", "species"];

/// The rows of a file. `is_file` says whether a cell names a file: then the first row has no heads.
///
/// # Errors
/// When it is no CSV file, has no column of files or classes, or a class has no name.
pub fn parse(bytes: &[u8], is_file: impl Fn(&str) -> bool) -> Result<Vec<Row>, String> {
    let first = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let delimiter = [b',', b';', b'\t'].into_iter().find(|d| first.contains(d)).unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new();
    let mut reader =
        reader.has_headers(false).delimiter(delimiter).trim(csv::Trim::All).flexible(true).from_reader(bytes);
    let (mut rows, mut columns) = (Vec::new(), None);
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|e| format!("no CSV file: {e}"))? {
        let line = record.position().map_or(0, csv::Position::line);
        let (file, class) = match columns {
            Some(columns) => columns,
            None => {
                let (found, heads) = match (record.get(0), record.len()) {
                    (Some(cell), 2) if is_file(cell) => ((0, 1), false),
                    _ => (of_heads(&record)?, true),
                };
                columns = Some(found);
                if heads {
                    continue;
                }
                found
            }
        };
        let (Some(file), Some(class)) = (record.get(file), record.get(class)) else {
            return Err(format!("line {line} has {} cells; a file and its class are expected", record.len()));
        };
        let class = composed(class);
        if file.is_empty() || !is_name(&class) {
            return Err(format!("line {line}: the file or its class is empty, or holds a control character"));
        }
        rows.push(Row { file: file.to_string(), class, line });
    }
    match rows.is_empty() {
        true => Err("no rows of a file and its class in it".into()),
        false => Ok(rows),
    }
}

/// The columns of files and of classes, by their heads.
fn of_heads(heads: &csv::StringRecord) -> Result<(usize, usize), String> {
    let spelled: Vec<String> = heads.iter().map(|h| h.to_lowercase().replace([' ', '-'], "_")).collect();
    let find = |known: &[&str]| known.iter().find_map(|k| spelled.iter().position(|head| head == k));
    let found = match (find(&FILES), find(&CLASSES), heads.len()) {
        (Some(file), Some(class), _) => Some((file, class)),
        (Some(file), None, 2) => Some((file, 1 - file)),
        (None, Some(class), 2) => Some((1 - class, class)),
        (None, None, 2) => Some((0, 1)),
        _ => None,
    };
    found.ok_or_else(|| {
        let heads: Vec<String> = heads.iter().take(10).map(|h| h.chars().take(40).collect()).collect();
        format!(
            "the columns are [{}]; one called file, image or id and one called label or class are expected",
            heads.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, String> {
        let rows = parse(text.as_bytes(), |cell| cell.ends_with(".png"))?;
        Ok(rows.into_iter().map(|row| (row.file, row.class)).collect())
    }

    #[test]
    fn columns_are_known_by_their_heads() {
        let rows =
            Ok([("1.png", "cat"), ("2.png", "dog")].map(|(f, c)| (f.to_string(), c.to_string())).to_vec());
        for text in [
            "image,label\n1.png,cat\n2.png,dog\n",
            "\u{feff}Class,width,Image ID\r\ncat,3,1.png\r\ndog,4,2.png\r\n",
            "1.png;cat\n2.png;dog\n",
            "id\tbreed\n1.png\tcat\n\n2.png\tdog",
            "what,which\n\"1.png\", cat\n2.png,dog",
        ] {
            assert_eq!(read(text), rows, "{text}");
        }
    }

    #[test]
    fn what_is_no_table_of_classes_is_refused() {
        assert!(read("image,healthy,rust\n1.png,0,1").unwrap_err().contains("[image, healthy, rust]"));
        assert!(read("image,label\n1.png").unwrap_err().contains("line 2 has 1 cells"));
        assert!(read("image,label\n1.png,").unwrap_err().contains("line 2"));
        assert!(read("image,label\n").unwrap_err().contains("no rows"));
        assert!(read("").unwrap_err().contains("no rows"));
        assert!(parse(b"image,label\n\xff,a", |_| false).unwrap_err().contains("no CSV file"));
    }
}
