//! Hessian-vector products after a gradient: forward-over-reverse, pruned.

use crate::op::InputSet;
use crate::sweep::jvp::tangent_sweep;
use crate::sweep::{NotKept, accumulate};
use crate::tape::{Node, Tape, Var};
use sph_tensor::{Array, Element};

/// The rows `wrt` of H·v, for v given as tangents [K, leaf…] on some leaves (zero on the others), on a
/// [`Tape::keeping`] recording whose [`Tape::backward`] has run. Each result has shape [K, leaf…]; `None` is zero.
///
/// Tangents may sit on any leaf. Rows are known of the leaves whose gradient (or whose rows) the recording was asked for: of the others
/// neither residuals nor adjoints are kept.
///
/// With one leaf both as tangent and as `wrt` this is the block product of docs/algorithm.md §3: the tangent sweep visits
/// the nodes that depend on the leaf, the adjoint-tangent sweep visits the same nodes backwards and stops there.
/// With all parameters it is the full product. The recording can be asked again.
///
/// # Errors
/// When what the product is made of was not kept. What was not computed is never zero.
///
/// # Panics
/// When a tangent's shape is not [K, leaf…].
pub fn hvp<T: Element>(
    tape: &mut Tape<T>,
    tangents: &[(&Var<T>, Array<T>)],
    wrt: &[&Var<T>],
) -> Result<Vec<Option<Array<T>>>, NotKept> {
    if !tape.keeping {
        return Err(NotKept::Tape);
    }
    if !tape.swept {
        return Err(NotKept::Adjoints);
    }
    if let Some(row) = wrt.iter().position(|leaf| !leaf.wants_bar()) {
        return Err(NotKept::Row(row));
    }
    let mut wanted = vec![false; tape.nodes.len()];
    wrt.iter().for_each(|leaf| wanted[leaf.id] = true);
    let mut last = 0;
    for (id, node) in tape.nodes.iter().enumerate() {
        let Some(node) = node else { continue };
        wanted[id] = node.inputs.iter().any(|&i| wanted[i]);
        if node.is_loss {
            last = id;
        }
    }
    let need =
        |node: &Node<T>| -> InputSet { (0..node.inputs.len()).filter(|&i| wanted[node.inputs[i]]).collect() };
    let (_, mut tangents_kept) =
        tangent_sweep(tape, tangents, last, |_, node| node.op.tangents_read(&need(node)));
    let mut adjoint_tangents: Vec<Option<Array<T>>> = vec![None; tape.nodes.len()];
    for id in (0..=last).rev() {
        let Some(node) = &tape.nodes[id] else { continue };
        let y_bar_dot = adjoint_tangents[id].take();
        let need = need(node);
        let kept = std::mem::take(&mut tangents_kept[id]);
        let x_dot: Vec<_> = kept.iter().map(Option::as_ref).collect();
        let Some(y_bar) = &node.y_bar else { continue };
        if need.any() && (y_bar_dot.is_some() || x_dot.iter().any(Option::is_some)) {
            let terms = node.op.vjp_tangent(&tape.cx, &node.record, &x_dot, y_bar, y_bar_dot.as_ref(), &need);
            for (&input, term) in node.inputs.iter().zip(terms) {
                if let Some(term) = term {
                    accumulate(&mut adjoint_tangents[input], term);
                }
            }
        }
    }
    Ok(wrt.iter().map(|leaf| adjoint_tangents[leaf.id].clone()).collect())
}
