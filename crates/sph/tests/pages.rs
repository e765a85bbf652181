//! Pages: they ask for nothing, and headless Chromium renders them without a complaint. Without Chromium the second half is left out,
//! and said so; where `CI` is set it fails instead.

mod common;
#[path = "common/well_formed.rs"]
mod well_formed;

use common::sph;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use well_formed::well_formed;

fn done(flags: &str) {
    let out = sph(flags).output().unwrap();
    assert!(out.status.success(), "{flags}: {}", String::from_utf8_lossy(&out.stderr));
}

fn chromium() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).flat_map(|d| names.map(|n| d.join(n))).find(|p| p.is_file())
}

/// The page after it was loaded, as Chromium has it, and what its console says.
fn load(chromium: &Path, page: &Path) -> (String, String) {
    let profile = tempfile::tempdir().unwrap();
    let out = std::process::Command::new(chromium)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            "--v=0",
            "--dump-dom",
        ])
        .arg("--disable-background-networking")
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", page.canonicalize().unwrap().display()))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let console: Vec<String> =
        text(&out.stderr).lines().filter(|l| l.contains("CONSOLE")).map(String::from).collect();
    (text(&out.stdout), console.join("\n"))
}

/// Pages, each with its charts, its pictures and words of it.
const PAGES: [(&str, usize, usize, &str); 4] = [
    // Loss, accuracy, rate, time; three of curvature. 24 pictures.
    ("a/report.html", 7, 24, "Curvature of the second-order blocks"),
    ("<b>&c/report.html", 4, 24, "&lt;b&gt;&amp;c"),
    ("both.html", 8, 0, "&lt;b&gt;&amp;c"),
    ("comparison/report.html", 8, 0, "<pre>sph compare --model=mlp"),
];

/// Makes all of them.
fn made() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().display();
    done(&format!("train --model mlp --epochs 3 --val-split 0.1 --experiment a --runs {out}"));
    done(&format!("train --model mlp --epochs 1 --opt sgd --experiment <b>&c --runs {out}"));
    done(&format!("report {out}/a {out}/<b>&c --output {out}/both.html"));
    done(&format!("compare --model mlp --opt sgd,adam --epochs 2 --seeds 2 --runs {out}/comparison"));
    dir
}

#[test]
fn pages_need_nothing_from_elsewhere() {
    let dir = made();
    // Made again it is the same page.
    let first = std::fs::read(dir.path().join("a/report.html")).unwrap();
    done(&format!("report {}/a", dir.path().display()));
    assert!(first == std::fs::read(dir.path().join("a/report.html")).unwrap());
    for (page, charts, pictures, words) in PAGES {
        let text = std::fs::read_to_string(dir.path().join(page)).unwrap();
        well_formed(&text);
        assert_eq!(
            (text.matches("<svg").count(), text.matches("<img").count()),
            (charts, pictures),
            "{page}"
        );
        assert!(text.contains(words), "{page}: no {words:?}");
        // Browsers are told to refuse whatever is not in the page.
        let policy = "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\"";
        assert!(text.contains(policy), "{page}");
        // Nothing is taken from elsewhere; the name of SVG's language is no address that is asked.
        let text = text.replace("http://www.w3.org/2000/svg", "");
        assert!(
            !text.contains("http:")
                && !text.contains("https:")
                && !text.contains("<script")
                && !text.contains("NaN"),
            "{page}"
        );
    }
}

#[test]
fn pages_render_without_complaints() {
    let Some(chromium) = chromium() else {
        let missing = "Chromium is not installed; pages were not rendered";
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        return eprintln!("skipped: {missing}");
    };
    let dir = made();
    for (page, charts, pictures, words) in PAGES {
        let (dom, console) = load(&chromium, &dir.path().join(page));
        assert_eq!(console, "", "{page}");
        assert_eq!((dom.matches("<svg").count(), dom.matches("<img").count()), (charts, pictures), "{page}");
        assert!(dom.contains(words) && dom.trim_end().ends_with("</html>"), "{page}");
    }
    // A page that asks for something is found out, by the policy that all pages have.
    let bad = dir.path().join("bad.html");
    let text = std::fs::read_to_string(dir.path().join("both.html")).unwrap();
    std::fs::write(&bad, text.replace("</body>", "<img src='http://localhost:9/a.png'/></body>")).unwrap();
    let console = load(&chromium, &bad).1;
    assert!(console.contains("Content Security Policy"), "{console}");
}
