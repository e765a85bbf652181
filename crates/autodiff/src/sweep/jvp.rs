//! The tangent sweep over a kept recording.

use crate::op::{InputSet, PerInput};
use crate::tape::{Node, Tape, Var};
use sph_tensor::{Array, Element};

/// ẏ = J·v for the value `y` of a [`Tape::keeping`] recording, v given as tangents [K, leaf…] on some leaves.
/// `None` when y does not depend on them.
///
/// # Panics
/// When the recording does not keep, or a tangent's shape is not [K, leaf…].
pub fn jvp<T: Element>(tape: &mut Tape<T>, tangents: &[(&Var<T>, Array<T>)], y: &Var<T>) -> Option<Array<T>> {
    tangent_sweep(tape, tangents, y.id, |_, _| InputSet::NONE).0
}

/// The tangent of node `last`, and for every node up to it the tangents of its inputs that `read` names: only what depends
/// on a leaf with a tangent is visited, and a tangent is freed after its last reader.
pub(crate) fn tangent_sweep<T: Element>(
    tape: &mut Tape<T>,
    tangents: &[(&Var<T>, Array<T>)],
    last: usize,
    read: impl Fn(usize, &Node<T>) -> InputSet,
) -> (Option<Array<T>>, Vec<PerInput<T>>) {
    assert!(tape.keeping, "products after a recording need Tape::keeping");
    let mut node_tangents: Vec<Option<Array<T>>> = vec![None; tape.nodes.len()];
    if let Some((_, first)) = tangents.first() {
        tape.cx.probes = first.shape()[0];
    }
    for (leaf, dot) in tangents {
        assert_eq!(dot.shape(), leaf.value().shape().prepend(tape.cx.probes), "shape of a leaf's tangent");
        node_tangents[leaf.id] = Some(dot.clone());
    }
    let mut readers = vec![0usize; tape.nodes.len()];
    tape.nodes[..=last].iter().flatten().flat_map(|n| &n.inputs).for_each(|&i| readers[i] += 1);
    let mut kept: Vec<PerInput<T>> = Vec::with_capacity(last + 1);
    for id in 0..=last {
        let Some(node) = &tape.nodes[id] else {
            kept.push(Vec::new());
            continue;
        };
        let x_dot: Vec<_> = node.inputs.iter().map(|&i| node_tangents[i].as_ref()).collect();
        let y_dot = x_dot.iter().any(Option::is_some).then(|| node.op.jvp(&tape.cx, &node.record, &x_dot));
        let wanted = read(id, node);
        kept.push(x_dot.iter().enumerate().map(|(i, d)| d.filter(|_| wanted.has(i)).cloned()).collect());
        for &i in &node.inputs {
            readers[i] -= 1;
            if readers[i] == 0 && i != last {
                node_tangents[i] = None;
            }
        }
        node_tangents[id] = y_dot;
    }
    (node_tangents[last].take(), kept)
}
