//! The tangent sweep over a kept recording.

use crate::tape::{Tape, Var};
use sph_tensor::{Array, Element};

/// ẏ = J·v for the value `y` of a [`Tape::keeping`] recording, v given as tangents [K, leaf…] on some leaves.
/// `None` when y does not depend on them.
pub fn jvp<T: Element>(tape: &mut Tape<T>, tangents: &[(&Var<T>, Array<T>)], y: &Var<T>) -> Option<Array<T>> {
    tangent_sweep(tape, tangents, y.id)[y.id].take()
}

/// Tangents of all nodes up to `last`; only what depends on a leaf with a tangent is visited.
pub(crate) fn tangent_sweep<T: Element>(
    tape: &mut Tape<T>,
    tangents: &[(&Var<T>, Array<T>)],
    last: usize,
) -> Vec<Option<Array<T>>> {
    assert!(tape.keeping, "products after a recording need Tape::keeping");
    let mut dots: Vec<Option<Array<T>>> = vec![None; tape.nodes.len()];
    if let Some((_, first)) = tangents.first() {
        tape.cx.probes = first.shape()[0];
    }
    for (leaf, dot) in tangents {
        assert_eq!(dot.shape(), leaf.value().shape().prepend(tape.cx.probes), "shape of a leaf's tangent");
        dots[leaf.id] = Some(dot.clone());
    }
    for id in 0..=last {
        let Some(node) = &tape.nodes[id] else { continue };
        let x_dot: Vec<_> = node.inputs.iter().map(|&i| dots[i].as_ref()).collect();
        if x_dot.iter().any(Option::is_some) {
            dots[id] = Some(node.op.jvp(&tape.cx, &node.record, &x_dot));
        }
    }
    dots
}
