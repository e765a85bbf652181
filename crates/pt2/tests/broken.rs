//! Every kind of broken archive is refused with one line that says where, what, and what to do.

mod common;

use common::{CONSTANTS, Entries, MODEL, WEIGHTS, linear, meta, pack, unpack};
use serde_json::{Value, json};
use sph_pt2::{Error, Place, Problem, Program};
use std::path::Path;

const EXPORT: &str =
    "export the network with torch.export.save(torch.export.export(model, inputs), \"net.pt2\")";

/// The line about the small archive after a change.
fn line(change: impl FnOnce(&mut Entries)) -> String {
    let mut entries = linear();
    change(&mut entries);
    let error = Program::parse(&pack(&entries, false)).unwrap_err();
    let line = error.to_string();
    assert!(!line.contains('\n'), "{line}");
    line
}

/// The line about it after a change of one of its texts.
fn text_line(name: &str, change: impl FnOnce(&mut Value)) -> String {
    line(|entries| {
        let text = entries.get_mut(name).unwrap();
        let mut value = serde_json::from_slice(text).unwrap();
        change(&mut value);
        *text = value.to_string().into_bytes();
    })
}

/// The line about it after a change of the graph.
fn graph_line(change: impl FnOnce(&mut Value)) -> String {
    text_line(MODEL, |model| change(&mut model["graph_module"]))
}

/// The line about it after a change of what stands of its weights.
fn weight_line(change: impl FnOnce(&mut Value)) -> String {
    text_line(WEIGHTS, |weights| change(&mut weights["config"]["a.weight"]))
}

fn rename(entries: &mut Entries, from: &str, to: &str) {
    let bytes = entries.remove(from).unwrap();
    entries.insert(to.into(), bytes);
}

#[test]
fn the_archive_itself_is_right() {
    for compressed in [false, true] {
        let program = Program::parse(&pack(&linear(), compressed)).unwrap();
        assert_eq!(program.tensors["a.weight"].to_f64(), [0., 1., 2., 3., 4., 5.]);
        assert_eq!(program.tensors["c"].to_f64(), [1., 2.]);
    }
    // Zipped anew without the folder around it.
    let plain =
        linear().into_iter().map(|(name, bytes)| (name.replacen("net/", "", 1), bytes)).collect::<Entries>();
    Program::parse(&pack(&plain, true)).unwrap();
    // Newer minor versions have fields that are not known, and may leave out what nothing here reads.
    let mut newer = linear();
    let mut model: Value = serde_json::from_slice(&newer[MODEL]).unwrap();
    model["schema_version"]["minor"] = json!(99);
    model["graph_module"]["graph"]["nodes"][0]["something"] = json!({"new": [1, 2, {"deep": null}]});
    model["graph_module"]["graph"]["nodes"][0]["inputs"][0]["arg"] = json!({"as_something": 3});
    newer.insert(MODEL.into(), model.to_string().into_bytes());
    let program = Program::parse(&pack(&newer, false)).unwrap();
    assert_eq!(program.schema, (8, 99));
}

#[test]
fn a_file_is_named_where_it_has_a_name() {
    let missing = Program::read(Path::new("no/such.pt2")).unwrap_err();
    assert_eq!(missing.to_string(), "no/such.pt2: cannot be read: No such file or directory (os error 2)");
    let error =
        Error { path: Some("a.pt2".into()), place: Place::Tensor("x\n".into()), problem: Problem::Pickled };
    assert_eq!(
        error.to_string(),
        "a.pt2: tensor `x\\n`: is stored as a pickle, which could run code; export it as a plain dense tensor"
    );
}

#[test]
fn other_kinds_of_files_are_told_apart() {
    let only = |names: &[&str]| {
        let entries: Entries = names.iter().map(|name| (String::from(*name), b"x".to_vec())).collect();
        Program::parse(&pack(&entries, false)).unwrap_err().to_string()
    };
    for (names, what) in [
        (
            &["x/data.pkl", "x/data/0", "x/version"][..],
            "is a file of torch.save, which has weights but no graph; ",
        ),
        (&["x/data.pkl", "x/constants.pkl", "x/code/__torch__.py"], "is a TorchScript file; "),
        (
            &["x/data/aotinductor/model/a.so", "x/archive_format"],
            "is an AOTInductor package, which has compiled code but no graph; ",
        ),
        (&["x/y/models/model.json", "models.json"], "is a zip archive without a graph in models/; "),
        (&[], "is a zip archive without a graph in models/; "),
    ] {
        assert_eq!(only(names), format!("{what}{EXPORT}"));
    }
    assert_eq!(
        only(&["version", "serialized_exported_program.json", "serialized_state_dict.pt"]),
        format!(
            "is in the format of an older PyTorch (2.7 or before), whose weights are a pickle; {EXPORT}, with PyTorch 2.9 or newer"
        )
    );
    assert_eq!(
        only(&["x/models/a.json", "x/models/b.json"]),
        "holds several graphs (a, b); write a file for each with torch.export.save"
    );
    for bytes in [&b""[..], b"PK", b"\x80\x02}q\x00.", b"{}"] {
        let text = Program::parse(bytes).unwrap_err().to_string();
        assert!(text.starts_with("is no whole zip archive, as a .pt2 file is ("), "{text}");
    }
    let whole = pack(&linear(), false);
    for end in [whole.len() - 1, whole.len() / 2] {
        let text = Program::parse(&whole[..end]).unwrap_err().to_string();
        assert!(text.starts_with("is no whole zip archive, as a .pt2 file is ("), "{text}");
    }
}

#[test]
fn versions_that_are_not_known_say_which_they_are() {
    let schema = |version: Value| text_line(MODEL, |model| model["schema_version"] = version);
    let line = |major: u64| {
        format!(
            "net/models/model.json: has version {major}.2 of the format (PyTorch 2.15.0); versions 8.x can be read; {EXPORT}, with PyTorch 2.9 to 2.15"
        )
    };
    assert_eq!(schema(json!({"major": 7, "minor": 2})), line(7));
    assert_eq!(schema(json!({"major": 9, "minor": 2, "new": 1})), line(9));
    assert_eq!(
        line_of_entry("net/archive_version", b"1"),
        format!(
            "net/archive_version: has the version `1`; archives of version 0 can be read; {EXPORT}, with PyTorch 2.9 to 2.15"
        )
    );
    assert_eq!(
        line_of_entry("net/byteorder", b"big"),
        "net/byteorder: says `big`; only little-endian files can be read: export on such a machine"
    );
    let old = self::line(|entries| {
        rename(entries, WEIGHTS, "net/data/weights/model.pt");
    });
    assert_eq!(
        old,
        format!(
            "is in the format of PyTorch 2.1 to 2.8, whose weights are a pickle; {EXPORT}, with PyTorch 2.9 or newer"
        )
    );
}

fn line_of_entry(name: &str, bytes: &[u8]) -> String {
    line(|entries| drop(entries.insert(name.into(), bytes.to_vec())))
}

#[test]
fn files_that_are_missing_or_damaged_are_named() {
    for name in [WEIGHTS, CONSTANTS, "net/data/weights/weight_0", "net/data/constants/tensor_0"] {
        let text = line(|entries| drop(entries.remove(name)));
        assert_eq!(text, format!("{name}: is not in the archive; {EXPORT}"));
    }
    let mut archive = pack(&linear(), false);
    let weights: Vec<u8> = (0..6u8).flat_map(|i| f32::from(i).to_le_bytes()).collect();
    let at = archive.windows(24).position(|w| w == weights).unwrap();
    archive[at] ^= 1;
    assert_eq!(
        Program::parse(&archive).unwrap_err().to_string(),
        "net/data/weights/weight_0: is damaged (Invalid checksum); fetch or export it anew"
    );
    // Two files of one name: the writer refuses that, so names are changed afterwards.
    let mut entries = linear();
    rename(&mut entries, "net/data/sample_inputs/model.pt", "net/data/weights/weight_1");
    let mut archive = pack(&entries, false);
    for at in 0..archive.len() - 25 {
        if &archive[at..at + 25] == b"net/data/weights/weight_1" {
            archive[at + 24] = b'0';
        }
    }
    assert_eq!(
        Program::parse(&archive).unwrap_err().to_string(),
        format!("has several files of one name in it; {EXPORT}")
    );
}

#[test]
fn texts_say_where_they_are_wrong() {
    let model = |end: &str| format!("net/models/model.json: {end}");
    assert_eq!(
        line_of_entry(MODEL, b"{\"schema_version\": 8}"),
        model("schema_version: invalid type: integer `8`, expected struct SchemaVersion at line 1 column 20")
    );
    assert_eq!(line_of_entry(MODEL, b"\xff"), model("expected value at line 1 column 1"));
    assert_eq!(line_of_entry(MODEL, b""), model("EOF while parsing a value at line 1 column 0"));
    let cases: [(&str, Value, &str); 9] = [
        ("/graph/nodes/0/target", json!(3), "invalid type: integer `3`, expected a string"),
        ("/graph/nodes/0/inputs/1/arg", json!({}), "an empty argument"),
        (
            "/graph/nodes/0/inputs/1/arg",
            json!([1]),
            "invalid type: sequence, expected an argument: an object with one field",
        ),
        ("/graph/nodes/0/inputs/1/arg", json!({"as_int": 1, "as_bool": true}), "an argument of two kinds"),
        (
            "/graph/nodes/0/inputs/1/arg",
            json!({"as_int": 1e30}),
            "invalid type: floating point `1e+30`, expected i64",
        ),
        (
            "/graph/nodes/0/inputs/1/arg",
            json!({"as_float": "big"}),
            "invalid value: string \"big\", expected a number, ",
        ),
        ("/graph/nodes/0/outputs", json!(null), "invalid type: null, expected a sequence"),
        (
            "/signature/input_specs/0",
            json!({"spell": {}}),
            "unknown variant `spell`, expected one of `parameter`, ",
        ),
        (
            "/graph/tensor_values/x/sizes/1",
            json!({"as_name": "s"}),
            "unknown variant `as_name`, expected `as_int` or `as_expr`",
        ),
    ];
    for (pointer, value, what) in cases {
        let text = graph_line(|graph| *graph.pointer_mut(pointer).unwrap() = value);
        assert!(text.starts_with("net/models/model.json: graph_module.") && text.contains(what), "{text}");
    }
    // The same name twice, where Python takes the last.
    let twice = line(|entries| {
        let text = String::from_utf8(entries[WEIGHTS].clone()).unwrap();
        let row = text.strip_prefix("{\"config\":{").unwrap().strip_suffix("}}").unwrap();
        entries.insert(WEIGHTS.into(), format!("{{\"config\":{{{row},{row}}}}}").into_bytes());
    });
    assert!(twice.contains("config: `a.weight` stands there twice"), "{twice}");
    // Nested deeper than anything reads, where it is read and where it is skipped.
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let in_place = |field: &str| {
        let text = format!("{{\"schema_version\": {{\"major\": 8, \"minor\": 0}}, \"{field}\": {deep}}}");
        line_of_entry(MODEL, text.as_bytes())
    };
    assert!(in_place("new").starts_with("net/models/model.json: missing field `graph_module`"));
    assert!(in_place("graph_module").contains("graph_module"));
    assert_eq!(
        graph_line(|graph| graph["graph"]["nodes"][0]["metadata"]["nn_module_stack"] = json!("a,b;c,d,e")),
        "node 0 of the graph, `aten.linear.default`: its modules `a,b;c,d,e` are not of the form `key,path,class;…`"
    );
}

#[test]
fn graphs_read_only_what_was_made() {
    let tensor = |name: &str| json!({"as_tensor": {"name": name}});
    let node = "node 0 of the graph, `aten.linear.default`: ";
    for argument in [
        tensor("z"),
        json!({"as_tensors": [{"name": "x"}, {"name": "z"}]}),
        json!({"as_optional_tensors": [{"as_none": true}, tensor("z")]}),
        json!({"as_optional_tensor": tensor("z")}),
        json!({"as_sym_int": {"as_name": "z"}}),
        json!({"as_sym_ints": [{"as_int": 1}, {"as_name": "z"}]}),
    ] {
        assert_eq!(
            graph_line(|graph| graph["graph"]["nodes"][0]["inputs"][0]["arg"] = argument),
            format!("{node}reads `z`, which nothing has made before")
        );
    }
    // A circle: it reads what it makes itself.
    assert_eq!(
        graph_line(|graph| graph["graph"]["nodes"][0]["inputs"][0]["arg"] = tensor("y")),
        format!("{node}reads `y`, which nothing has made before")
    );
    assert_eq!(
        graph_line(|graph| graph["graph"]["nodes"][0]["outputs"][0] = tensor("p_w")),
        format!("{node}makes `p_w`, which there is already")
    );
    let repeated = graph_line(|graph| {
        let nodes = graph["graph"]["nodes"].as_array_mut().unwrap();
        nodes.push(nodes[0].clone());
    });
    assert_eq!(repeated, "node 1 of the graph, `aten.linear.default`: makes `y`, which there is already");
    assert_eq!(
        graph_line(|graph| graph["signature"]["output_specs"][0]["user_output"]["arg"] = tensor("z")),
        "output 0 of the graph: reads `z`, which nothing has made before"
    );
}

#[test]
fn inputs_are_what_the_graph_says_they_are() {
    assert_eq!(
        graph_line(|graph| drop(graph["graph"]["inputs"].as_array_mut().unwrap().pop())),
        "the graph has 2 inputs, its signature 3"
    );
    let named = |name: &str| json!({"name": name});
    let first = |spec: Value| graph_line(|graph| graph["signature"]["input_specs"][0] = spec);
    assert_eq!(
        first(json!({"parameter": {"arg": named("q"), "parameter_name": "a.weight"}})),
        "input `q` of the graph: reads `p_w`, which nothing has made before"
    );
    assert_eq!(
        first(json!({"user_input": {"arg": {"as_tensor": named("x")}}})),
        "input `x` of the graph: reads `p_w`, which nothing has made before"
    );
    assert_eq!(
        first(json!({"buffer": {"arg": named("p_w"), "buffer_name": "b", "persistent": true}})),
        format!("input `p_w` of the graph: there are no values for `b`; {EXPORT}")
    );
    assert_eq!(
        first(json!({"custom_obj": {"arg": named("p_w"), "custom_obj_name": "o"}})),
        "input `p_w` of the graph: is an object of a custom class, which only Python can make; export the network without it"
    );
    assert_eq!(
        first(json!({"token": {"arg": named("p_w")}})),
        "input `p_w` of the graph: is a token that orders effects, which only Python can make; export the network without it"
    );
    let twice = graph_line(|graph| {
        graph["signature"]["input_specs"][2]["user_input"]["arg"]["as_tensor"]["name"] = json!("c_c");
        graph["graph"]["inputs"][2]["as_tensor"]["name"] = json!("c_c");
    });
    assert_eq!(twice, "input `c_c` of the graph: makes `c_c`, which there is already");
    let mut symbolic = meta(&[2, 3], &[3, 1], 0);
    symbolic["sizes"][0] =
        json!({"as_expr": {"expr_str": "Symbol('s0', positive=True)", "hint": {"as_int": 2}}});
    for (meta, graph) in [
        (symbolic, "float32 [s0, 3]"),
        (meta(&[3, 2], &[2, 1], 0), "float32 [3, 2]"),
        (json!({"dtype": 8, "sizes": [], "strides": []}), "float64 []"),
    ] {
        assert_eq!(
            graph_line(|g| g["graph"]["tensor_values"]["p_w"] = meta),
            format!("input `p_w` of the graph: is {graph} in the graph and float32 [2, 3] among the weights")
        );
    }
}

#[test]
fn tensors_lie_within_their_bytes() {
    let view = |shape: &[i64], strides: &[i64], offset: i64| {
        let line = weight_line(|weight| weight["tensor_meta"] = meta(shape, strides, offset));
        line.strip_prefix("tensor `a.weight`: ").expect(&line).to_owned()
    };
    let outside = |end: &str| {
        format!("reaches to element {end} of data/weights/weight_0, which has 24 bytes (6 elements)")
    };
    assert_eq!(view(&[2, 4], &[4, 1], 0), outside("8"));
    assert_eq!(view(&[2, 3], &[3, 1], 1), outside("7"));
    assert_eq!(view(&[], &[], 6), outside("7"));
    assert_eq!(view(&[2, 2], &[i64::MAX, i64::MAX], i64::MAX), outside("27670116110564327422"));
    let number = |what: &str, value: i64| format!("its {what} {value} cannot be; export it anew");
    assert_eq!(view(&[2, -3], &[3, 1], 0), number("extent", -3));
    assert_eq!(view(&[2, 3], &[3, -1], 2), number("stride", -1));
    assert_eq!(view(&[2, 3], &[3, 1], -1), number("storage offset", -1));
    assert_eq!(view(&[2, 3], &[3], 0), "has 2 extents but 1 strides");
    let symbol = json!({"as_expr": {"expr_str": "Symbol('s0', positive=True)"}});
    assert_eq!(
        weight_line(|weight| weight["tensor_meta"]["sizes"][0] = symbol),
        "tensor `a.weight`: its extent s0 cannot be; export it anew"
    );
    let meta_line = |field: &str, value: Value| weight_line(|weight| weight["tensor_meta"][field] = value);
    assert_eq!(
        meta_line("dtype", json!(10)),
        "tensor `a.weight`: has elements of type complex64; convert it before exporting, for example with .float()"
    );
    assert_eq!(
        meta_line("dtype", json!(-7)),
        "tensor `a.weight`: has elements of type number -7; convert it before exporting, for example with .float()"
    );
    assert_eq!(
        meta_line("layout", json!(2)),
        "tensor `a.weight`: is not dense (layout 2); convert it before exporting with .to_dense()"
    );
    assert_eq!(
        weight_line(|weight| weight["tensor_meta"] = Value::Null),
        "tensor `a.weight`: the file does not say its extents and elements"
    );
    assert_eq!(
        weight_line(|weight| weight["use_pickle"] = json!(true)),
        "tensor `a.weight`: is stored as a pickle, which could run code; export it as a plain dense tensor"
    );
    for name in ["../weight_0", "..", "", "a\\b", "/etc/passwd"] {
        assert_eq!(
            weight_line(|weight| weight["path_name"] = json!(name)),
            format!(
                "tensor `a.weight`: its bytes are in `{name}`, which is no name of a file in the archive"
            )
        );
    }
    assert_eq!(
        line_of_entry("net/data/weights/weight_0", &[0; 23]),
        "tensor `a.weight`: data/weights/weight_0 has 23 bytes, no multiple of 4, the size of an element"
    );
    let both = text_line(CONSTANTS, |constants| {
        constants["config"]["a.weight"] = constants["config"]["c"].clone();
    });
    assert_eq!(
        both,
        "net/data/constants/model_constants_config.json: makes `a.weight`, which there is already"
    );
}

#[test]
fn small_files_stay_small() {
    // A thousand million elements of one.
    let constant = |shape: &[i64], strides: &[i64]| {
        text_line(CONSTANTS, |constants| constants["config"]["c"]["tensor_meta"] = meta(shape, strides, 0))
    };
    let expanded = constant(&[1_000_000_000], &[0]);
    let many = "its extents [1000000000] over 12 bytes make too large a tensor: those of a file of this size may have ";
    assert!(expanded.starts_with(&format!("tensor `c`: {many}")), "{expanded}");
    let overlapping = constant(&[2, 2, 1 << 40, i64::MAX], &[1, 0, 0, 0]);
    assert!(
        overlapping.starts_with("tensor `c`: its extents [2, 2, 1099511627776, 9223372036854775807]"),
        "{overlapping}"
    );
    let empty = constant(&[1 << 40, 1 << 40, 0], &[0, 0, 0]);
    assert!(empty.starts_with("tensor `c`: its extents [1099511627776, 1099511627776, 0]"), "{empty}");
    // Deflated zeros, once as weights and once as text.
    for (name, bytes) in [("net/data/weights/weight_0", vec![0; 1 << 24]), (MODEL, vec![b' '; 1 << 24])] {
        let mut entries = linear();
        entries.insert(name.into(), bytes);
        let text = Program::parse(&pack(&entries, true)).unwrap_err().to_string();
        assert!(text.starts_with(&format!("{name}: unpacks to 16777216 bytes, where ")), "{text}");
    }
    // Many small ones that are too much together.
    let mut entries = linear();
    let mut constants: Value = serde_json::from_slice(&entries[CONSTANTS]).unwrap();
    let rows = constants["config"].as_object_mut().unwrap();
    for i in 0..100 {
        let mut row = rows["c"].clone();
        row["path_name"] = json!(format!("zeros_{i}"));
        rows.insert(format!("zeros_{i:02}"), row);
        entries.insert(format!("net/data/constants/zeros_{i}"), vec![0; 20_000]);
    }
    entries.insert(CONSTANTS.into(), constants.to_string().into_bytes());
    let text = Program::parse(&pack(&entries, true)).unwrap_err().to_string();
    assert!(
        text.starts_with("net/data/constants/zeros_") && text.contains(": unpacks to 20000 bytes, where "),
        "{text}"
    );
    // A declared size that is a lie, and files that are read in spite of the same bytes.
    let mut archive = pack(&linear(), false);
    let weights: Vec<u8> = (0..6u8).flat_map(|i| f32::from(i).to_le_bytes()).collect();
    let directory = archive.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    let entry =
        directory + archive[directory..].windows(25).position(|w| w == b"net/data/weights/weight_0").unwrap();
    assert_eq!(archive[entry - 22..entry - 18], (weights.len() as u32).to_le_bytes());
    for (size, what) in
        [(23u32, "larger than its declared"), (25, "failed to fill whole buffer"), (u32::MAX - 1, "")]
    {
        archive[entry - 22..entry - 18].copy_from_slice(&size.to_le_bytes());
        let text = Program::parse(&archive).unwrap_err().to_string();
        assert!(text.starts_with("net/data/weights/weight_0: ") && text.contains(what), "{size}: {text}");
    }
}

#[test]
fn the_small_archive_unpacks_to_itself() {
    assert_eq!(unpack(&pack(&linear(), true)), linear());
}
