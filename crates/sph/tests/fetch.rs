//! `sph data fetch` against a server on this machine: checked, resumed, unpacked.

mod common;

use common::sph;
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// How the server answers the next request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Answer {
    /// As asked for.
    Whole,
    /// Closes the connection after this many bytes.
    Cut(usize),
    /// As if it knew no ranges.
    NoRanges,
    /// 500.
    Error,
}

/// A server of one file; it takes its answers from a list, and notes the ranges it was asked for.
struct Server {
    url: String,
    answers: Arc<Mutex<Vec<Answer>>>,
    asked: Arc<Mutex<Vec<Option<usize>>>>,
}

fn serve(file: Vec<u8>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (answers, asked) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let (a, b) = (answers.clone(), asked.clone());
    // It ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let answer =
                { if a.lock().unwrap().is_empty() { Answer::Whole } else { a.lock().unwrap().remove(0) } };
            // A client that goes away is its own affair.
            let _ = respond(&mut stream.unwrap(), &file, answer, &b);
        }
    });
    Server { url, answers, asked }
}

fn respond(
    stream: &mut TcpStream,
    file: &[u8],
    answer: Answer,
    asked: &Mutex<Vec<Option<usize>>>,
) -> std::io::Result<()> {
    let mut range = None;
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?.to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(from) = line.strip_prefix("range: bytes=") {
            range = from.trim_end_matches('-').parse().ok();
        }
    }
    asked.lock().unwrap().push(range);
    let from = if answer == Answer::NoRanges { 0 } else { range.unwrap_or(0) };
    let n = file.len();
    let head = match answer {
        Answer::Error => "HTTP/1.1 500 Broken\r\n".to_string(),
        _ if from >= n && from > 0 => format!("HTTP/1.1 416 Range\r\nContent-Range: bytes */{n}\r\n"),
        _ if from > 0 => format!("HTTP/1.1 206 Part\r\nContent-Range: bytes {from}-{}/{n}\r\n", n - 1),
        _ => "HTTP/1.1 200 OK\r\n".into(),
    };
    let body = if head.starts_with("HTTP/1.1 5") || head.starts_with("HTTP/1.1 4") {
        &[][..]
    } else {
        &file[from..]
    };
    write!(stream, "{head}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    let sent = if let Answer::Cut(n) = answer { n.min(body.len()) } else { body.len() };
    stream.write_all(&body[..sent])
}

fn fetch(cache: &Path, flags: &str) -> (bool, String) {
    let mut fetch = sph(&format!("data fetch {flags}"));
    let out = fetch.env("XDG_CACHE_HOME", cache).env("NO_PROXY", "127.0.0.1").output().unwrap();
    let text = [out.stdout, out.stderr].concat();
    (out.status.success(), String::from_utf8(text).unwrap())
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn a_download_goes_on_where_it_was_broken_off() {
    let dir = tempfile::tempdir().unwrap();
    let file: Vec<u8> = (0..300_000u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
    let server = serve(file.clone());
    let flags = format!("mine --url {}d/data.npz?token=1 --sha256 {}", server.url, hex(&file));
    let at = dir.path().join("sph/mine/data.npz");
    // Broken off more often than is tried: what came is kept.
    *server.answers.lock().unwrap() = vec![Answer::Cut(100_000), Answer::Cut(50_000), Answer::Cut(10_000)];
    let (ok, said) = fetch(dir.path(), &flags);
    assert!(
        !ok && said.contains("broken off")
            && said.contains("is kept")
            && said.trim_end().lines().count() == 1,
        "{said}"
    );
    assert!(!at.exists());
    assert_eq!(
        fetch(dir.path(), &flags),
        (true, format!("fetched into {}\n", at.parent().unwrap().display()))
    );
    assert_eq!(std::fs::read(&at).unwrap(), file);
    assert_eq!(*server.asked.lock().unwrap(), [None, Some(100_000), Some(150_000), Some(160_000)]);
    let (_, said) = fetch(dir.path(), &flags);
    assert!(said.contains("is there already"), "{said}");
    assert_eq!(server.asked.lock().unwrap().len(), 4, "nothing is asked for what is there");
    // A part that was whole already, and a server without ranges.
    for answer in [Answer::Whole, Answer::NoRanges] {
        std::fs::rename(&at, at.with_extension("npz.part")).unwrap();
        *server.answers.lock().unwrap() = vec![answer];
        assert!(fetch(dir.path(), &flags).0, "{answer:?}");
        assert_eq!(std::fs::read(&at).unwrap(), file);
    }
}

#[test]
fn what_is_wrong_is_thrown_away() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(b"<html>not here</html>".to_vec());
    let folder = dir.path().join("sph/cifar10");
    let (ok, said) = fetch(dir.path(), &format!("cifar10 --url {}", server.url));
    assert!(!ok && said.contains("c32a1d4ab5d03f1284b67883e8d87530 was expected"), "{said}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    *server.answers.lock().unwrap() = vec![Answer::Error; 3];
    let (ok, said) = fetch(dir.path(), &format!("cifar10 --url {}", server.url));
    assert!(!ok && said.contains("answered 500"), "{said}");
    let (ok, said) = fetch(dir.path(), "photos");
    assert!(!ok && said.contains("cifar100") && said.contains("--sha256"), "{said}");
    let (ok, said) = fetch(dir.path(), "../photos");
    assert!(!ok && said.contains("letters, digits"), "{said}");
}

#[test]
fn archives_are_unpacked_by_plain_names() {
    use sph_data::fetch::{Download, Fetched, Remote, Sum, fetch};
    let mut tar =
        tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default()));
    let record = [&[3][..], &[9; 3072]].concat();
    let mut add = |path: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        // As an attacker would: the checked way refuses such a path.
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append(&header, bytes).unwrap();
    };
    for i in 1..=5 {
        add(&format!("cifar-10-batches-bin/data_batch_{i}.bin"), &record);
    }
    add("cifar-10-batches-bin/test_batch.bin", &record);
    add("cifar-10-batches-bin/../../outside.bin", b"x");
    add("elsewhere/test_batch.bin", b"x");
    // A link is no file, wherever it leads.
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    link.set_mode(0o777);
    tar.append_link(&mut link, "cifar-10-batches-bin/link.bin", "/etc/hostname").unwrap();
    let archive = tar.into_inner().unwrap().finish().unwrap();
    let server = serve(archive.clone());
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("sph/cifar10");
    let remote = Remote { url: server.url, name: "a.tar.gz".into(), sum: Sum::Sha256(hex(&archive)) };
    let what = Download { files: vec![remote], unpacks_to: Some("cifar-10-batches-bin") };
    let mut told = Vec::new();
    let fetched = fetch(&what, &folder, &mut |p| told.push((p.file.to_string(), p.bytes, p.of)));
    assert_eq!(fetched.unwrap(), Fetched::Now);
    let whole = archive.len() as u64;
    assert_eq!(told.last(), Some(&("a.tar.gz".to_string(), whole, Some(whole))));
    assert_eq!(fetch(&what, &folder, &mut |_| panic!("it is there")).unwrap(), Fetched::Already);
    let names = |p: &Path| {
        let mut n: Vec<_> =
            std::fs::read_dir(p).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        n.sort();
        n
    };
    assert_eq!(
        (names(dir.path()), names(&folder)),
        (vec!["sph".to_string()], vec!["cifar-10-batches-bin".into()])
    );
    assert_eq!(names(&folder.join("cifar-10-batches-bin")).len(), 6);
    // Where the data set is found without --data-dir.
    sph("data stats cifar10").env("XDG_CACHE_HOME", dir.path()).assert().success();
}
