//! A network may come from anywhere. The reader answers arbitrary bytes, and archives in which something changed — in their bytes, in the list
//! of their files, in the text of their graph — with a program or a line: no panic, no hang, and no more memory than it says.
//!
//! `PROPTEST_CASES=1000000 cargo test --release -p sph-pt2 --test arbitrary_archives` looks longer.

// A counting allocator cannot be written without implementing `GlobalAlloc`; it forwards everything to the system's.
#![allow(unsafe_code)]

mod common;

use common::{CONSTANTS, Entries, MODEL, WEIGHTS, linear, meta, networks, pack, unpack};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use sph_pt2::{Argument, Program, Size};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::HashSet;
use std::io::Cursor;
use std::time::{Duration, Instant};
use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config};

struct Counting;

thread_local! {
    /// Bytes that this thread holds, and the most it held.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

fn count(change: isize) {
    let (now, most) = HELD.get();
    HELD.set((now + change, most.max(now + change)));
}

// SAFETY: every call is forwarded to the system's allocator with its arguments unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, memory: Layout) -> *mut u8 {
        count(memory.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(memory) }
    }
    unsafe fn alloc_zeroed(&self, memory: Layout) -> *mut u8 {
        count(memory.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(memory) }
    }
    unsafe fn realloc(&self, old: *mut u8, memory: Layout, size: usize) -> *mut u8 {
        // The system may hold both while it copies.
        count(size as isize);
        count(-(memory.size() as isize));
        // SAFETY: the caller's promise.
        unsafe { System.realloc(old, memory, size) }
    }
    unsafe fn dealloc(&self, old: *mut u8, memory: Layout) {
        count(-(memory.size() as isize));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(old, memory) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes of memory for a byte of what an archive unpacks to: of text, while it is read.
const TEXT: usize = 24;
/// Bytes of memory for a byte of an archive: of the list of its files.
const LIST: usize = 400;
/// Buffers of a fixed size: of files, of deflate.
const BUFFERS: usize = 128 << 10;

/// What the documentation says of an archive: what its files may unpack to.
fn limit(archive: &[u8]) -> usize {
    (32 * archive.len()).min(8 * archive.len() + (8 << 20))
}

/// The most that this thread held while it did something, beyond what it held before.
fn most_held<T>(act: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get().0;
    HELD.set((before, before));
    let made = act();
    (made, (HELD.get().1 - before) as usize)
}

/// What the files of an archive say that they unpack to, as far as that is below the limit; and the memory that their list takes.
fn unpacked(archive: &[u8]) -> (usize, usize) {
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    let (zip, list) = most_held(|| ZipArchive::with_config(config, Cursor::new(archive)));
    let Ok(mut zip) = zip else { return (0, list) };
    let sizes = (0..zip.len()).map(|i| zip.by_index_raw(i).map_or(0, |entry| entry.size()));
    let sum = sizes.fold(0u64, u64::saturating_add);
    (usize::try_from(sum).map_or(limit(archive), |n| n.min(limit(archive))), list)
}

/// Reads an archive. Memory stays below what is said, and a program that comes out holds together.
fn check(archive: &[u8]) -> Result<Option<Program>, TestCaseError> {
    let (unpacked, list) = unpacked(archive);
    prop_assert!(list <= LIST * archive.len() + BUFFERS, "{list} bytes of memory for the list");
    let begin = Instant::now();
    let (read, most) = most_held(|| Program::parse(archive));
    let (time, most_allowed) = (begin.elapsed(), TEXT * unpacked + list + BUFFERS);
    prop_assert!(most <= most_allowed, "{most} bytes of memory for {} of the file", archive.len());
    prop_assert!(time < Duration::from_secs(10), "{time:?} for {} bytes", archive.len());
    let program = match read {
        Ok(program) => program,
        Err(error) => {
            let line = error.to_string();
            prop_assert!(!line.contains(|c: char| c.is_control()) && line.len() < 2000, "{line:?}");
            return Ok(None);
        }
    };
    let mut bytes = 0;
    for (name, tensor) in &program.tensors {
        let values = tensor.to_f64();
        prop_assert_eq!(values.len(), tensor.len(), "{}", name);
        bytes += values.len() * tensor.dtype.size().unwrap();
    }
    prop_assert!(bytes <= limit(archive), "{bytes} bytes of tensors in {} of the file", archive.len());
    let mut made: HashSet<&str> = program.inputs.iter().map(|input| input.name.as_str()).collect();
    for node in &program.nodes {
        prop_assert!(node.arguments.iter().flat_map(|(_, a)| names(a)).all(|name| made.contains(name)));
        prop_assert!(node.outputs.iter().flat_map(names).all(|name| made.insert(name)));
    }
    prop_assert!(program.outputs.iter().flat_map(|o| names(&o.value)).all(|name| made.contains(name)));
    Ok(Some(program))
}

fn names(argument: &Argument) -> Vec<&str> {
    fn size(size: &Size) -> Option<&str> {
        match size {
            Size::Named(name) => Some(name),
            Size::Fixed(_) => None,
        }
    }
    match argument {
        Argument::Tensor(name) => vec![name],
        Argument::Tensors(names) => names.iter().flatten().map(String::as_str).collect(),
        Argument::Size(one) => size(one).into_iter().collect(),
        Argument::Sizes(sizes) => sizes.iter().filter_map(size).collect(),
        _ => Vec::new(),
    }
}

/// Archives that are right: the small one, stored and deflated, and the smaller ones of PyTorch.
fn archives() -> Vec<Vec<u8>> {
    let mut all = vec![pack(&linear(), false), pack(&linear(), true)];
    let small = networks().into_iter().map(|path| std::fs::read(path).unwrap());
    all.extend(small.filter(|bytes| bytes.len() < 10_000));
    assert!(all.len() > 4);
    all
}

/// Runs a check on what a strategy makes.
fn run<T: std::fmt::Debug>(
    strategy: impl Strategy<Value = T>,
    check: impl Fn(T) -> Result<(), TestCaseError>,
) {
    let usual = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { usual.cases } else { 2000 };
    let config = ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 2000, ..usual };
    TestRunner::new(config).run(&strategy, check).unwrap();
}

#[test]
fn bytes() {
    /// One change; positions are fractions of the file, counted from its end, where the list of files is, more often than not.
    #[derive(Debug, Clone)]
    enum Change {
        Write(Index, Vec<u8>),
        Cut(Index),
        Remove(Index, Index),
        Repeat(Index, Index),
    }
    let word = prop_oneof![select(vec![0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX]), any::<u32>()];
    let long = prop_oneof![select(vec![0, 1, 1 << 31, 1 << 40, 1 << 63, u64::MAX]), any::<u64>()];
    let change = prop_oneof![
        8 => (any::<Index>(), any::<u8>()).prop_map(|(i, b)| Change::Write(i, vec![b])),
        4 => (any::<Index>(), word).prop_map(|(i, w)| Change::Write(i, w.to_le_bytes().to_vec())),
        2 => (any::<Index>(), long).prop_map(|(i, w)| Change::Write(i, w.to_le_bytes().to_vec())),
        1 => any::<Index>().prop_map(Change::Cut),
        1 => any::<(Index, Index)>().prop_map(|(i, j)| Change::Remove(i, j)),
        1 => any::<(Index, Index)>().prop_map(|(i, j)| Change::Repeat(i, j)),
    ];
    let stretch = |b: &[u8], i: &Index, j: &Index| {
        let (i, j) = (i.index(b.len()), j.index(b.len()));
        i.min(j)..i.max(j)
    };
    // Half of the changes fall on the last 2000 bytes.
    let place = |b: &[u8], i: &Index| {
        let i = i.index(2 * b.len());
        if i < b.len() { i } else { b.len() - 1 - (i - b.len()) % b.len().min(2000) }
    };
    let archives = archives();
    let changed = (select(archives.clone()), vec(change, 1..6)).prop_map(move |(mut b, changes)| {
        for change in changes {
            if b.is_empty() {
                break;
            }
            match change {
                Change::Write(i, bytes) => {
                    let i = place(&b, &i);
                    b[i..].iter_mut().zip(bytes).for_each(|(b, w)| *b = w);
                }
                Change::Cut(i) => b.truncate(i.index(b.len())),
                Change::Remove(i, j) => drop(b.drain(stretch(&b, &i, &j))),
                Change::Repeat(i, j) => {
                    let again = b[stretch(&b, &i, &j)].to_vec();
                    b.extend(again);
                }
            }
        }
        b
    });
    let begun = (select(archives), any::<Index>(), vec(any::<u8>(), 0..200)).prop_map(|(b, i, tail)| {
        let begin = i.index(b.len());
        [&b[..begin], &tail].concat()
    });
    let any = prop_oneof![1 => vec(any::<u8>(), 0..300), 1 => begun, 8 => changed];
    run(any, |archive| check(&archive).map(drop));
}

#[test]
fn files_of_an_archive() {
    /// One change; files are chosen by number.
    #[derive(Debug, Clone)]
    enum Change {
        Remove(Index),
        Rename(Index, &'static str),
        Swap(Index, Index),
        Copy(Index, Index),
        Cut(Index, Index),
        Zeros(Index, usize),
        Byte(Index, Index, u8),
    }
    let places = vec![
        MODEL,
        WEIGHTS,
        CONSTANTS,
        "models/model.json",
        "net/models/other.json",
        "net/../models/model.json",
        "net/data/weights/..",
        "net/data/weights/weight_0",
        "net/data/constants/tensor_0",
        "net/data/weights/model.pt",
        "net/data.pkl",
        "net/byteorder",
        "/",
        "",
        "\u{0}",
        "net/data/aotinductor/x",
        "serialized_exported_program.json",
    ];
    let change = prop_oneof![
        any::<Index>().prop_map(Change::Remove),
        (any::<Index>(), select(places)).prop_map(|(i, name)| Change::Rename(i, name)),
        any::<(Index, Index)>().prop_map(|(i, j)| Change::Swap(i, j)),
        any::<(Index, Index)>().prop_map(|(i, j)| Change::Copy(i, j)),
        any::<(Index, Index)>().prop_map(|(i, j)| Change::Cut(i, j)),
        (any::<Index>(), 0usize..400_000).prop_map(|(i, n)| Change::Zeros(i, n)),
        any::<(Index, Index, u8)>().prop_map(|(i, j, b)| Change::Byte(i, j, b)),
    ];
    let all: Vec<Entries> = archives().iter().map(|archive| unpack(archive)).collect();
    let any =
        (select(all), vec(change, 1..4), any::<bool>()).prop_map(|(mut entries, changes, compressed)| {
            for change in changes {
                let keys: Vec<String> = entries.keys().cloned().collect();
                if keys.is_empty() {
                    break;
                }
                let key = |i: &Index| i.get(&keys).clone();
                match change {
                    Change::Remove(i) => drop(entries.remove(&key(&i))),
                    Change::Rename(i, name) => {
                        let bytes = entries.remove(&key(&i)).unwrap();
                        entries.insert(name.into(), bytes);
                    }
                    Change::Swap(i, j) => {
                        let first = entries[&key(&i)].clone();
                        let second = entries.insert(key(&j), first).unwrap();
                        entries.insert(key(&i), second);
                    }
                    Change::Copy(i, j) => drop(entries.insert(key(&i) + "x", entries[&key(&j)].clone())),
                    Change::Cut(i, j) => {
                        let bytes = entries.get_mut(&key(&i)).unwrap();
                        bytes.truncate(j.index(bytes.len() + 1));
                    }
                    Change::Zeros(i, n) => drop(entries.insert(key(&i), vec![0; n])),
                    Change::Byte(i, j, byte) => {
                        let bytes = entries.get_mut(&key(&i)).unwrap();
                        if !bytes.is_empty() {
                            let at = j.index(bytes.len());
                            bytes[at] = byte;
                        }
                    }
                }
            }
            pack(&entries, compressed)
        });
    run(any, |archive| check(&archive).map(drop));
}

/// One change of a tree; values in it are chosen by number.
#[derive(Debug, Clone)]
enum Prune {
    Remove(Index, Index),
    Repeat(Index, usize),
    Swap(Index, Index),
    Copy(Index, Index),
    Put(Index, Value),
    Rename(Index, &'static str),
    Nest(Index, usize),
}

/// The values of a tree, this one included.
fn values(tree: &Value) -> usize {
    1 + match tree {
        Value::Array(items) => items.iter().map(values).sum(),
        Value::Object(fields) => fields.values().map(values).sum::<usize>(),
        _ => 0,
    }
}

/// The value of that number, from 0.
fn value_at(tree: &mut Value, number: usize) -> &mut Value {
    fn find<'a>(mut number: usize, inner: impl Iterator<Item = &'a mut Value>) -> &'a mut Value {
        for value in inner {
            let n = values(value);
            if number < n {
                return value_at(value, number);
            }
            number -= n;
        }
        unreachable!("there are that many")
    }
    match (number, tree) {
        (0, tree) => tree,
        (_, Value::Array(items)) => find(number - 1, items.iter_mut()),
        (_, Value::Object(fields)) => find(number - 1, fields.values_mut()),
        (_, _) => unreachable!("there are that many"),
    }
}

fn prune(tree: &mut Value, change: &Prune) {
    let count = values(tree);
    let at = |i: &Index| i.index(count);
    match change {
        Prune::Remove(i, j) => match value_at(tree, at(i)) {
            Value::Array(items) if !items.is_empty() => drop(items.remove(j.index(items.len()))),
            Value::Object(fields) if !fields.is_empty() => {
                let key = fields.keys().nth(j.index(fields.len())).cloned().unwrap();
                fields.remove(&key);
            }
            place => *place = Value::Null,
        },
        Prune::Repeat(i, times) => {
            if let Some(items) = value_at(tree, at(i)).as_array_mut() {
                let again = items.clone();
                // The whole stays small enough to look at many.
                (0..*times).take_while(|n| n * again.len() < 2000).for_each(|_| items.extend(again.clone()));
            }
        }
        Prune::Swap(i, j) => {
            let first = value_at(tree, at(i)).clone();
            let second = std::mem::replace(value_at(tree, at(j)), first);
            let now = values(tree);
            *value_at(tree, i.index(now)) = second;
        }
        Prune::Copy(i, j) => *value_at(tree, at(i)) = value_at(tree, at(j)).clone(),
        Prune::Put(i, value) => *value_at(tree, at(i)) = value.clone(),
        Prune::Rename(i, name) => {
            if let Some(fields) = value_at(tree, at(i)).as_object_mut()
                && let Some(key) = fields.keys().next().cloned()
            {
                let value = fields.remove(&key).unwrap();
                fields.insert((*name).into(), value);
            }
        }
        Prune::Nest(i, depth) => {
            let place = value_at(tree, at(i));
            *place = (0..*depth).fold(place.take(), |value, _| Value::Array(vec![value]));
        }
    }
}

#[test]
fn texts_of_an_archive() {
    let numbers = [0, 1, -1, 2, 7, 1 << 31, 1_000_000_000, i64::MAX, i64::MIN];
    let mut leaves: Vec<Value> = numbers.iter().map(|n| json!(n)).collect();
    leaves.extend(numbers.iter().map(|n| json!({ "as_int": n })));
    let wild = json!([
        null, true, "", "x", "y", "p_w", "..", "\n", "a,b,c;d,e,f", [], {}, [[]], [0, 0, 0, 0], u64::MAX, 1e308, 0.5, "Infinity",
        {"as_none": true}, {"as_tensor": {"name": "x"}}, {"as_tensors": [{"name": "y"}, {"name": "p_w"}]}, {"as_graph": {}},
        {"as_expr": {"expr_str": "Mul(Integer(9), Symbol('s0", "hint": null}}, {"as_sym_ints": [{"as_name": "y"}, {"as_int": 3}]},
        {"as_optional_tensors": [{"as_none": true}, {"as_tensor": {"name": "x"}}]}, {"as_float": "NaN"}, {"as_int": 1, "as_bool": true}
    ]);
    leaves.extend(wild.as_array().unwrap().iter().cloned());
    leaves.extend([meta(&[1 << 20, 1 << 20], &[0, 0], 0), meta(&[3, 2], &[1, 3], 0), meta(&[], &[], 0)]);
    let names = vec![
        "as_tensor",
        "as_int",
        "as_ints",
        "as_none",
        "as_sym_int",
        "as_sym_ints",
        "as_expr",
        "name",
        "dtype",
        "path_name",
        "parameter",
        "buffer",
        "user_input",
        "constant_input",
        "token",
        "a.weight",
        "user_output",
        "buffer_mutation",
        "new",
    ];
    let change = prop_oneof![
        2 => any::<(Index, Index)>().prop_map(|(i, j)| Prune::Remove(i, j)),
        1 => (any::<Index>(), 1usize..400).prop_map(|(i, n)| Prune::Repeat(i, n)),
        2 => any::<(Index, Index)>().prop_map(|(i, j)| Prune::Swap(i, j)),
        2 => any::<(Index, Index)>().prop_map(|(i, j)| Prune::Copy(i, j)),
        6 => (any::<Index>(), select(leaves)).prop_map(|(i, value)| Prune::Put(i, value)),
        1 => (any::<Index>(), select(names)).prop_map(|(i, name)| Prune::Rename(i, name)),
        1 => (any::<Index>(), 1usize..300).prop_map(|(i, depth)| Prune::Nest(i, depth)),
    ];
    let texts = vec!["model.json", "weights_config.json", "constants_config.json"];
    let archives: Vec<Entries> = archives().iter().map(|archive| unpack(archive)).collect();
    let which = prop_oneof![Just(0usize), 0..archives.len()];
    let accepted = Cell::new(0);
    let any = (which, select(texts), vec(change, 1..4), any::<bool>());
    run(any, |(which, text, changes, compressed)| {
        let mut entries = archives[which].clone();
        let text = entries.iter_mut().find(|(name, _)| name.ends_with(text)).unwrap().1;
        let mut tree = serde_json::from_slice(text).unwrap();
        changes.iter().for_each(|change| prune(&mut tree, change));
        *text = tree.to_string().into_bytes();
        accepted.set(accepted.get() + usize::from(check(&pack(&entries, compressed))?.is_some()));
        Ok(())
    });
    // Changes are small enough that much is read to its end.
    assert!(accepted.get() > 10, "{} were read", accepted.get());
}

#[test]
fn no_text_takes_more_memory_than_is_said() {
    let many = |piece: &str| vec![piece; 100_000 / piece.len()].join(",");
    let model = String::from_utf8(linear()[MODEL].clone()).unwrap();
    let argument = |value: String| model.replacen(r#"{"as_tensor":{"name":"x"}}"#, &value, 1);
    let row = |i: usize| format!(r#""{i:x}":{{"dtype":7,"sizes":[],"strides":[]}}"#);
    let rows: Vec<String> = (0..2000).map(row).collect();
    let node = r#"{"target":"","inputs":[],"outputs":[],"metadata":{}}"#;
    let stack = "L__self__,,net.Net;L__self__a,a,torch.nn.Linear";
    for text in [
        argument(format!(r#"{{"as_ints":[{}]}}"#, many("0"))),
        argument(format!(r#"{{"as_floats":[{}]}}"#, many("0"))),
        argument(format!(r#"{{"as_bools":[{}]}}"#, many("true"))),
        argument(format!(r#"{{"as_strings":[{}]}}"#, many("\"\""))),
        argument(format!(r#"{{"as_tensors":[{}]}}"#, many(r#"{"name":""}"#))),
        argument(format!(r#"{{"as_optional_tensors":[{}]}}"#, many(r#"{"as_none":0}"#))),
        argument(format!(r#"{{"as_sym_ints":[{}]}}"#, many(r#"{"as_int":0}"#))),
        argument(format!(r#"{{"as_string":"{}"}}"#, "x".repeat(100_000))),
        argument(format!(r#"{{"as_new":[{}]}}"#, many("[]"))),
        model.replacen(r#"{"as_int":3}"#, &many(r#"{"as_int":0}"#), 1),
        model.replacen(r#""tensor_values":{"#, &format!(r#""tensor_values":{{{},"#, rows.join(",")), 1),
        model.replacen(r#""nodes":["#, &format!(r#""nodes":[{},"#, many(node)), 1),
        model.replacen(
            r#""inputs":[{"arg""#,
            &format!(r#""inputs":[{},{{"arg""#, many(r#"{"name":"","arg":{"as_none":0}}"#)),
            1,
        ),
        model.replacen(r#""outputs":["#, &format!(r#""outputs":[{},"#, many(r#"{"as_none":0}"#)), 1),
        model.replacen(
            r#""input_specs":["#,
            &format!(r#""input_specs":[{},"#, many(r#"{"token":{"arg":{"name":""}}}"#)),
            1,
        ),
        model.replacen(
            r#""output_specs":["#,
            &format!(r#""output_specs":[{},"#, many(r#"{"user_output":{"arg":{"as_none":0}}}"#)),
            1,
        ),
        model.replacen(stack, &",,;".repeat(33_000), 1),
    ] {
        assert_ne!(text, model);
        let mut entries = linear();
        entries.insert(MODEL.into(), text.into_bytes());
        for compressed in [false, true] {
            check(&pack(&entries, compressed)).unwrap();
        }
    }
}

#[test]
fn a_network_takes_the_memory_of_its_tensors() {
    // A million weights, read from their file's bytes and from a disk.
    let mut entries = linear();
    let mut weights: Value = serde_json::from_slice(&entries[WEIGHTS]).unwrap();
    let mut model: Value = serde_json::from_slice(&entries[MODEL]).unwrap();
    let shape = meta(&[1000, 1000], &[1000, 1], 0);
    model["graph_module"]["graph"]["tensor_values"]["p_w"] = shape.clone();
    weights["config"]["a.weight"]["tensor_meta"] = shape;
    entries.insert(WEIGHTS.into(), weights.to_string().into_bytes());
    entries.insert(MODEL.into(), model.to_string().into_bytes());
    entries.insert("net/data/weights/weight_0".into(), vec![0; 4_000_000]);
    let archive = pack(&entries, false);
    let (program, most) = most_held(|| Program::parse(&archive).unwrap());
    assert_eq!(program.tensors["a.weight"].len(), 1_000_000);
    assert!((4_000_000..4_500_000).contains(&most), "{most} bytes for 4,000,000 of weights");
}
