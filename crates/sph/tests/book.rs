//! The book in docs/ and the documents beside it: every chapter is listed and says what it is for, every link and every named file is there, every
//! command is one, every figure of the results has its source, and every Rust block is compiled.

use std::collections::{BTreeMap, BTreeSet};
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

/// The Markdown files of a folder.
fn pages(folder: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(root().join(folder)).unwrap().map(|e| e.unwrap().path());
    files.filter(|p| p.extension().is_some_and(|e| e == "md")).collect()
}

/// The book and the documents beside it.
fn documents() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = chapters().into_values().collect();
    files.extend(
        ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "bench/README.md", "studies/README.md"]
            .map(|f| root().join(f)),
    );
    files.extend(pages("studies/results"));
    let crates =
        std::fs::read_dir(root().join("crates")).unwrap().map(|e| e.unwrap().path().join("README.md"));
    files.extend(crates);
    files
}

/// What stands before a chapter's first heading of the second level.
fn beginning(text: &str) -> &str {
    text.split("\n## ").next().unwrap()
}

#[test]
fn every_chapter_begins_with_what_its_reader_can_do() {
    for (name, path) in chapters() {
        let text = read(&path);
        let first = beginning(&text).lines().nth(2).unwrap_or_default();
        assert!(name == "SUMMARY.md" || first.starts_with("After this"), "{name} begins with: {first}");
    }
}

#[test]
fn what_people_meet_first_is_short() {
    for (name, most) in [("README.md", 150), ("docs/results.md", 250)] {
        let lines = read(&root().join(name)).lines().count();
        assert!(lines <= most, "{name} has {lines} lines");
    }
}

#[test]
fn every_file_that_documents_name_is_there() {
    let mut found = 0;
    for file in documents() {
        // What changed may name what is gone.
        if file.ends_with("CHANGELOG.md") {
            continue;
        }
        let text = prose(&read(&file));
        for name in text.split('`').skip(1).step_by(2) {
            let folders = ["bench/", "crates/", "docs/", "studies/", "tools/"];
            let path = name.split(['#', ' ']).next().unwrap();
            // Patterns stand for many files.
            if folders.iter().any(|f| path.starts_with(f))
                && !path.contains(['*', '<', '{'])
                && !["NN", "NAME"].iter().any(|p| path.contains(p))
            {
                assert!(root().join(path).exists(), "{}: there is no {path}", file.display());
                found += 1;
            }
        }
    }
    assert!(found > 30, "{found}");
}

#[test]
fn every_command_in_the_documents_is_one() {
    let mut tried = 0;
    for file in documents() {
        let text = read(&file);
        // What a shell is to run; `text` has commands, too, and what they print.
        let blocks = text.split("\n```").skip(1).step_by(2);
        for block in blocks.filter(|b| b.starts_with("sh\n") || b.starts_with("text\n")) {
            for line in block.replace("\\\n", " ").lines().skip(1) {
                let starts = ["sph ", "target/release/sph ", "cargo run --release -p sph -- "];
                let Some(rest) = starts.iter().find_map(|s| line.strip_prefix(s)) else { continue };
                let words = shlex::split(rest).unwrap_or_else(|| panic!("{}: {line}", file.display()));
                // "…" stands for more flags.
                let words = words.into_iter().filter(|w| w != "…");
                let matches =
                    sph::cli::command().try_get_matches_from(std::iter::once("sph".to_string()).chain(words));
                if let Err(e) = matches {
                    assert!(
                        e.kind() == clap::error::ErrorKind::DisplayHelp,
                        "{}: {line}\n{e}",
                        file.display()
                    );
                }
                tried += 1;
            }
        }
    }
    assert!(tried > 40, "{tried}");
}

/// The figures of a text that have a standard deviation, as "98.67 ± 0.12".
fn figures(text: &str) -> BTreeSet<String> {
    let part = |word: Option<&str>| {
        let word = word?.trim_matches(|c: char| !c.is_ascii_digit());
        word.contains('.').then(|| word.to_string())
    };
    let mut found = BTreeSet::new();
    let parts: Vec<&str> = text.split(" ± ").collect();
    for pair in parts.windows(2) {
        let mean = part(pair[0].split(|c: char| c.is_whitespace() || c == '|').next_back());
        let deviation = part(pair[1].split(|c: char| c.is_whitespace() || c == '|').next());
        found.extend(mean.zip(deviation).map(|(m, d)| format!("{m} ± {d}")));
    }
    found
}

#[test]
fn every_figure_of_the_results_is_in_a_table_of_the_studies() {
    let tables: BTreeSet<String> = pages("studies/results").iter().flat_map(|p| figures(&read(p))).collect();
    let told = figures(&read(&root().join("docs/results.md")));
    assert!(told.len() > 20 && tables.len() > 200, "{} {}", told.len(), tables.len());
    let without: Vec<&String> = told.difference(&tables).collect();
    assert!(
        without.is_empty(),
        "docs/results.md has figures that no page of studies/results has: {without:?}"
    );
}

#[test]
fn the_main_tables_are_made_of_the_studies_pages() {
    let script = root().join("studies/summary.py");
    let checked = std::process::Command::new("python3").arg(script).arg("--check").output();
    // Without Python the figures are compared above alone.
    let Ok(checked) = checked else { return };
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn every_page_of_results_belongs_to_a_study() {
    for page in pages("studies/results") {
        let name = page.file_stem().unwrap().to_str().unwrap();
        let study = root().join(format!("studies/{name}.toml"));
        // These are of several studies, or of none.
        assert!(study.exists() || ["README", "defaults", "adapt-one-network"].contains(&name), "{name}");
    }
}

#[test]
fn every_link_leads_somewhere() {
    let book = root().join("docs");
    let mut links = 0;
    for file in documents() {
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
