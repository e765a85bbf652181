//! Comma-separated values: tables that this program wrote, read back by the names of their columns, and fields of tables that
//! it writes.

use crate::error::{Error, Result};
use std::path::Path;

/// A table, whole in memory. Its fields hold no commas.
pub(crate) struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// The table at `path`; `None` when there is no such file.
    ///
    /// # Errors
    /// When it cannot be read, or a row has not as many fields as the header.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::data(path, e.to_string())),
        };
        let mut lines = text.lines().map(|l| l.split(',').map(String::from).collect::<Vec<_>>());
        let header = lines.next().unwrap_or_default();
        let rows: Vec<Vec<String>> = lines.collect();
        if let Some(i) = rows.iter().position(|r| r.len() != header.len()) {
            let (line, found, columns) = (i + 2, rows[i].len(), header.len());
            return Err(Error::data(path, format!("line {line} has {found} fields, not {columns}")));
        }
        Ok(Some(Table { header, rows }))
    }

    /// Every row through `read`, which asks for fields by the names of their columns.
    ///
    /// # Errors
    /// When a column is missing, or a field is not what `read` asked for.
    pub(crate) fn map<R>(&self, path: &Path, read: impl Fn(&Row<'_>) -> Option<R>) -> Result<Vec<R>> {
        let rows = self.rows.iter().enumerate();
        let read = |(i, fields): (usize, &Vec<String>)| {
            let fail = || Error::data(path, format!("line {} is not what `sph train` writes", i + 2));
            read(&Row { header: &self.header, fields }).ok_or_else(fail)
        };
        rows.map(read).collect()
    }
}

/// A row of a [`Table`].
pub(crate) struct Row<'a> {
    header: &'a [String],
    fields: &'a [String],
}

impl Row<'_> {
    /// The field in the column called `name`.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        Some(&self.fields[self.header.iter().position(|h| h == name)?])
    }

    /// It as a number.
    pub(crate) fn number<N: std::str::FromStr>(&self, name: &str) -> Option<N> {
        self.text(name)?.parse().ok()
    }
}

/// A field, in quotes where its text needs them (RFC 4180).
pub(crate) fn field(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.into(),
    }
}
