//! Tables in files of comma-separated values (RFC 4180).

use crate::error::{Error, Result};
use csv::{ErrorKind, ReaderBuilder, StringRecord, WriterBuilder};
use std::path::Path;

/// A table, whole in memory: rows of fields, which a header names.
#[derive(Debug)]
pub struct Table {
    header: StringRecord,
    rows: Vec<StringRecord>,
}

impl Table {
    /// A table without rows.
    pub fn new<F: AsRef<str>>(header: impl IntoIterator<Item = F>) -> Self {
        Table { header: header.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row, with a field for each column.
    pub fn push<F: AsRef<str>>(&mut self, fields: impl IntoIterator<Item = F>) {
        let row: StringRecord = fields.into_iter().collect();
        debug_assert_eq!(row.len(), self.header.len(), "{row:?}");
        self.rows.push(row);
    }

    /// The file that it is written to. A field stands in quotes where its text needs them.
    pub fn text(&self) -> String {
        let mut out = WriterBuilder::new().flexible(true).from_writer(Vec::new());
        for row in std::iter::once(&self.header).chain(&self.rows) {
            out.write_record(row).expect("memory takes any record");
        }
        String::from_utf8(out.into_inner().expect("memory takes any record")).expect("the fields are text")
    }

    /// The table at `path`; `None` when there is no such file.
    ///
    /// # Errors
    /// When it cannot be read, or a row has not as many fields as the header.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::file(path, e.to_string())),
        };
        let mut reader = ReaderBuilder::new().from_reader(&*bytes);
        let fail = |e: csv::Error| {
            let reason = match e.kind() {
                ErrorKind::UnequalLengths { pos, expected_len, len } => {
                    let line = pos.as_ref().map_or(0, csv::Position::line);
                    format!("line {line} has {len} fields, not {expected_len}")
                }
                _ => e.to_string(),
            };
            Error::file(path, reason)
        };
        let header = reader.headers().map_err(fail)?.clone();
        let rows = reader.records().collect::<csv::Result<_>>().map_err(fail)?;
        Ok(Some(Table { header, rows }))
    }

    /// Every row through `read`, which asks for fields by the names of their columns.
    ///
    /// # Errors
    /// When a column is missing, or a field is not what `read` asked for.
    pub fn map<R>(&self, path: &Path, read: impl Fn(&Row<'_>) -> Option<R>) -> Result<Vec<R>> {
        let read = |fields: &StringRecord| {
            let line = fields.position().map_or(0, csv::Position::line);
            let fail = || Error::file(path, format!("line {line} is not what `sph train` writes"));
            read(&Row { header: &self.header, fields }).ok_or_else(fail)
        };
        self.rows.iter().map(read).collect()
    }

    /// These are its columns, in this order.
    pub fn has_columns(&self, names: &[&str]) -> bool {
        self.header == *names
    }

    /// Keeps the rows that `wanted` says.
    pub fn retain(&mut self, wanted: impl Fn(&Row<'_>) -> bool) {
        let Table { header, rows } = self;
        rows.retain(|fields| wanted(&Row { header, fields }));
    }
}

/// A row of a [`Table`].
pub struct Row<'a> {
    header: &'a StringRecord,
    fields: &'a StringRecord,
}

impl Row<'_> {
    /// The field in the column called `name`.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(self.header.iter().position(|h| h == name)?)
    }

    /// The field in the column called `name`, as a number.
    pub fn number<N: std::str::FromStr>(&self, name: &str) -> Option<N> {
        self.text(name)?.parse().ok()
    }
}

#[test]
fn any_text_comes_back() {
    let path = tempfile::tempdir().unwrap();
    let path = path.path().join("table.csv");
    assert!(Table::read(&path).unwrap().is_none());
    let mut table = Table::new(["name", "a, b"]);
    let texts = ["plain", "", "with, comma", "with \"quotes\"", "two\nlines", " é "];
    texts.iter().for_each(|t| table.push([*t, "1.5"]));
    assert!(
        table.text().starts_with(
            "name,\"a, b\"\nplain,1.5\n,1.5\n\"with, comma\",1.5\n\"with \"\"quotes\"\"\",1.5\n"
        )
    );
    std::fs::write(&path, table.text()).unwrap();
    let read = Table::read(&path).unwrap().unwrap();
    assert_eq!(read.text(), table.text());
    let names = |r: &Row<'_>| r.text("name").map(String::from).filter(|_| r.number("a, b") == Some(1.5));
    assert_eq!(read.map(&path, names).unwrap(), texts);
    // Faults are told by their line.
    let e = read.map(&path, |r| r.text("name").filter(|t| *t != "two\nlines").map(drop)).unwrap_err();
    assert!(e.to_string().ends_with("table.csv: line 6 is not what `sph train` writes"), "{e}");
    std::fs::write(&path, "a,b\n1,2\n\"x\ny\",2\n1,2,3\n").unwrap();
    let e = Table::read(&path).unwrap_err().to_string();
    assert!(e.ends_with("table.csv: line 5 has 3 fields, not 2"), "{e}");
}
