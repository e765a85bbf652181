//! Every row of the table of ops passes the shared order-2 check, and every op file has a row.

use sph_autodiff::{check_op, ops::OPS};
use std::collections::BTreeSet;

#[test]
fn every_op_passes_the_order_2_check() {
    for row in OPS {
        let cases = (row.cases)();
        assert!(!cases.is_empty(), "{} has no cases", row.name);
        for (i, case) in cases.iter().enumerate() {
            assert_eq!(case.op.name(), row.name);
            if let Err(e) = check_op(&*case.op, &case.inputs, Default::default()) {
                panic!("case {i}: {e}");
            }
        }
    }
}

#[test]
fn every_op_file_has_a_row() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/ops");
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .filter(|name| name != "mod")
        .collect();
    let rows: BTreeSet<String> = OPS.iter().map(|row| row.name.to_string()).collect();
    assert_eq!(files, rows);
}
