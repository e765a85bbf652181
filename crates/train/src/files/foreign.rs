//! State files as other programs leave them: their tensors under a network's own names.

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use sph_nn::{BufferKind, Real, Store};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Buffers that profilers (thop) leave in every module.
const COUNTERS: [&str; 2] = ["total_ops", "total_params"];

/// Parts of names that wrappers of modules put in, wherever they stand: `torch.compile`, FSDP, activation checkpointing.
const WRAPPERS: [&str; 3] = ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/// Tensors by the names that a network has for them, and what was done to a file for it.
pub(super) struct Tidied<'a> {
    pub(super) tensors: BTreeMap<String, TensorView<'a>>,
    /// In a few words each; nothing for files of this program.
    pub(super) done: Vec<String>,
}

/// Leaves out counters of profilers, parts of names that wrappers put in, and a prefix that all names have and the network's do not; what
/// counts batches may be missing, of another type, or in a shape of one entry.
pub(super) fn tidy<'a, T: Real>(found: BTreeMap<String, TensorView<'a>>, store: &Store<T>) -> Tidied<'a> {
    let (own, counts) = names(store);
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_string();
    let (counters, found): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|(name, _)| COUNTERS.contains(&&*last(name)) && !own.contains(&**name));
    let mut done = Vec::new();
    if !counters.is_empty() {
        done.push(format!(
            "{} of a profiler ({}) left out",
            counted(counters.len(), "counter"),
            COUNTERS.join(", ")
        ));
    }
    let mut tensors: BTreeMap<String, TensorView<'a>> = found.into_iter().collect();
    for wrapper in WRAPPERS {
        let without =
            |name: &str| name.split('.').filter(|part| *part != wrapper).collect::<Vec<_>>().join(".");
        if let Some(renamed) = renamed(&tensors, without) {
            tensors = renamed;
            done.push(format!("'{wrapper}.' left out of names"));
        }
    }
    let mut prefix = String::new();
    while let Some(first) = shared_part(&tensors, &own)
        && let Some(renamed) = renamed(&tensors, |name| name[first.len()..].to_string())
    {
        tensors = renamed;
        prefix += &first;
    }
    if !prefix.is_empty() {
        done.push(format!("prefix '{prefix}' left out of names"));
    }
    let mut types: BTreeSet<String> = BTreeSet::new();
    let (mut missing, mut recast) = (0, 0);
    for (name, view) in &mut tensors {
        if counts.contains(&**name) {
            let right = view.dtype() == Dtype::I64 && view.shape().is_empty();
            recast += usize::from(!right);
            if view.shape() == [1]
                && let Ok(one) = TensorView::new(view.dtype(), vec![], view.data())
            {
                *view = one;
            }
        } else if matches!(view.dtype(), Dtype::F16 | Dtype::BF16) {
            types.insert(format!("{:?}", view.dtype()));
        }
    }
    for name in counts {
        if let std::collections::btree_map::Entry::Vacant(entry) = tensors.entry(name.to_string())
            && let Ok(zero) = TensorView::new(Dtype::I64, vec![], &[0; 8])
        {
            entry.insert(zero);
            missing += 1;
        }
    }
    if !types.is_empty() {
        done.push(format!("values of {} widened", types.into_iter().collect::<Vec<_>>().join(" and ")));
    }
    for (n, what) in [(recast, "converted"), (missing, "missing and taken as 0")] {
        if n > 0 {
            done.push(format!("{} of batches (num_batches_tracked) {what}", counted(n, "count")));
        }
    }
    Tidied { tensors, done }
}

fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// The names of a network's tensors, those of plain weights for decoupled layers too; and of what counts batches.
fn names<T: Real>(store: &Store<T>) -> (BTreeSet<Cow<'_, str>>, BTreeSet<&str>) {
    let plain =
        |name: &str| name.strip_suffix("_g").or(name.strip_suffix("_v")).map(|n| n.to_string().into());
    let params = store.specs().iter().flat_map(|s| s.aliases.iter().chain([&s.name]));
    let params = params.flat_map(|name| [Some(Cow::from(&**name)), plain(name)]);
    let buffers = store.buffer_specs().iter().map(|s| Some(Cow::from(&*s.name)));
    let counts = store.buffer_specs().iter().filter(|s| s.kind == BufferKind::Whole && !s.fixed);
    (params.chain(buffers).flatten().collect(), counts.map(|s| &*s.name).collect())
}

/// The first part of all names, with its dot, where all have the same one and none of the network's does.
fn shared_part(tensors: &BTreeMap<String, TensorView<'_>>, own: &BTreeSet<Cow<'_, str>>) -> Option<String> {
    let first = tensors.keys().next()?.split_once('.')?.0.to_string() + ".";
    let shared = tensors.keys().all(|name| name.starts_with(&first));
    (shared && !own.iter().any(|name| name.starts_with(&first))).then_some(first)
}

/// The tensors under other names, where these are others and no two are alike.
fn renamed<'a>(
    tensors: &BTreeMap<String, TensorView<'a>>,
    name: impl Fn(&str) -> String,
) -> Option<BTreeMap<String, TensorView<'a>>> {
    let renamed: BTreeMap<_, _> = tensors.iter().map(|(n, view)| (name(n), view.clone())).collect();
    (renamed.len() == tensors.len() && !renamed.keys().eq(tensors.keys())).then_some(renamed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sph_nn::models::{self, ModelConfig};

    /// What `tidy` makes of the tensors of an `mlp` under other names, and what it says; `None` leaves a tensor out.
    fn of(
        rename: impl Fn(&str) -> Option<String>,
        more: &[&str],
    ) -> (BTreeSet<String>, BTreeSet<String>, Vec<String>) {
        let network = models::build("mlp", &ModelConfig::new(1, (2, 2), 2)).unwrap();
        let store = Store::<f32>::init(&network, &sph_tensor::Pool::new(), 0);
        let own = super::super::state_tensors(&store);
        let view =
            |t: &'static super::super::Tensor| TensorView::new(t.dtype, t.shape.clone(), &t.data).unwrap();
        let own: &'static BTreeMap<_, _> = Box::leak(Box::new(own));
        let mut found: BTreeMap<_, _> =
            own.iter().filter_map(|(name, t)| Some((rename(name)?, view(t)))).collect();
        let zero = TensorView::new(Dtype::F64, vec![1], &[0; 8]).unwrap();
        found.extend(more.iter().map(|name| (name.to_string(), zero.clone())));
        let Tidied { tensors, done } = tidy(found, &store);
        (tensors.into_keys().collect(), own.keys().cloned().collect(), done)
    }

    #[test]
    fn what_wrappers_and_profilers_leave_is_taken_away() {
        type Rename = dyn Fn(&str) -> Option<String>;
        let rows: [(&Rename, &[&str], &[&str]); 6] = [
            (&|n| Some(n.into()), &[], &[]),
            (&|n| Some(format!("state_dict.module.{n}")), &[], &["prefix 'state_dict.module.'"]),
            (&|n| Some(format!("module._orig_mod.{n}")), &[], &["'_orig_mod.'", "prefix 'module.'"]),
            (&|n| Some(n.replace("bn1.", "bn1._orig_mod.")), &[], &["'_orig_mod.'"]),
            (&|n| Some(n.into()), &["total_ops", "fc1.total_params"], &["2 counters of a profiler"]),
            (&|n| (!n.ends_with("_tracked")).then(|| n.into()), &[], &["(num_batches_tracked) missing"]),
        ];
        for (rename, more, said) in rows {
            let (found, own, done) = of(rename, more);
            assert_eq!(found, own, "{done:?}");
            assert_eq!(done.len(), said.len(), "{done:?}");
            assert!(done.iter().zip(said).all(|(d, s)| d.contains(s)), "{done:?}");
        }
        // A tensor that has not the prefix keeps all names as they are.
        let (found, own, done) = of(|n| Some(format!("module.{n}")), &["other"]);
        assert!(found.contains("other") && found.contains("module.fc.bias") && done.len() == 1, "{done:?}");
        assert!(own.contains("fc.bias"));
    }
}
