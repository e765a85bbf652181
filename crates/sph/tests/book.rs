//! The book in docs/ and the documents beside it: every chapter is listed, every link leads somewhere, and every Rust block is compiled.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The book's files, by name.
fn chapters() -> BTreeMap<String, PathBuf> {
    let files = std::fs::read_dir(root().join("docs")).unwrap().map(|e| e.unwrap().path());
    let name = |p: &Path| p.file_name().unwrap().to_str().unwrap().to_string();
    files.filter(|p| p.extension().is_some_and(|e| e == "md")).map(|p| (name(&p), p)).collect()
}

/// The text outside blocks of code.
fn prose(text: &str) -> String {
    let mut inside = false;
    let outside = |line: &&str| {
        let fence = line.trim_start().starts_with("```");
        inside ^= fence;
        !inside && !fence
    };
    text.lines().filter(outside).collect::<Vec<_>>().join("\n")
}

/// The name that GitHub and mdBook give a heading.
fn anchor(heading: &str) -> String {
    let kept = |c: char| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c.to_ascii_lowercase()),
        _ => None,
    };
    heading.trim_start_matches('#').trim().chars().filter_map(kept).collect()
}

#[test]
fn every_chapter_is_listed_and_its_rust_is_compiled() {
    let mut chapters = chapters();
    let summary = read(&chapters.remove("SUMMARY.md").unwrap());
    let library = read(&root().join("crates/sph/src/lib.rs"));
    assert!(chapters.len() > 10);
    assert!(read(&root().join("README.md")).contains("\n```rust") && library.contains("../../../README.md"));
    for (name, path) in chapters {
        assert!(summary.contains(&format!("]({name})")), "docs/SUMMARY.md does not list {name}");
        let included = library.contains(&format!("docs/{name}"));
        assert_eq!(read(&path).contains("\n```rust"), included, "{name}, in crates/sph/src/lib.rs");
    }
}

#[test]
fn every_link_leads_somewhere() {
    let book = root().join("docs");
    let others = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "bench/README.md", "studies/README.md"]
        .map(|f| root().join(f));
    let mut links = 0;
    for file in chapters().into_values().chain(others) {
        let text = prose(&read(&file));
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if link.contains("://") {
                continue;
            }
            let (path, place) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { file.clone() } else { file.parent().unwrap().join(path) };
            let target = target.canonicalize().unwrap_or_else(|e| panic!("{}: {link}: {e}", file.display()));
            // A page of the book cannot lead to a file outside of it.
            assert!(!file.starts_with(&book) || target.starts_with(&book), "{}: {link}", file.display());
            if !place.is_empty() {
                let found = prose(&read(&target)).lines().any(|l| l.starts_with('#') && anchor(l) == place);
                assert!(found, "{}: no heading for {link}", file.display());
            }
            links += 1;
        }
    }
    assert!(links > 20, "{links}");
}

/// The optimizers of the table, as docs/training.md has them.
fn optimizers() -> String {
    let mut text =
        String::from("| `--opt` | what it is | its settings, with their usual values |\n|---|---|---|\n");
    for row in sph_optim::presets::all() {
        let setting = |s: &sph_optim::settings::Setting| match s.default {
            Some(default) => format!("`{}` {}", s.name, default()),
            None => format!("`{}`", s.name),
        };
        let settings: Vec<String> = row.settings.iter().map(setting).collect();
        let about = row.about.replace("`first-order`", "`--first-order`");
        text += &format!("| `{}` | {about} | {} |\n", row.name, settings.join(", "));
    }
    text
}

#[test]
fn the_books_table_of_optimizers_is_the_programs() {
    let book = read(&root().join("docs/training.md"));
    let (_, rest) = book.split_once("<!-- optimizers -->\n").unwrap();
    let (table, _) = rest.split_once("<!-- end of optimizers -->").unwrap();
    assert_eq!(
        table,
        optimizers(),
        "docs/training.md has another table; the program's is:\n{}",
        optimizers()
    );
}
