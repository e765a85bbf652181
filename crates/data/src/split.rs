//! How labelled images are divided, class by class.

use crate::error::{Error, Result};
use sph_tensor::Rng;

/// How the training images of a data set are divided.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Division {
    /// Fraction held out; the same images for every run.
    pub val_split: f64,
    /// So many per class of the others are trained on; `None`: all.
    pub labels: Option<usize>,
    /// Seed that these are drawn by.
    pub seed: u64,
}

impl Division {
    /// The numbers of the images trained on, and of those held out, both in ascending order. `labels` are those of all training images.
    ///
    /// # Errors
    /// When a class has fewer images than are asked for.
    pub fn numbers(&self, labels: &[u32], class_names: &[String]) -> Result<(Vec<usize>, Vec<usize>)> {
        let count = (self.val_split * labels.len() as f64).round() as usize;
        let (rest, held_out) = stratified(labels, class_names.len(), count, "val");
        let Some(count) = self.labels else { return Ok((rest, held_out)) };
        let short = |(class, has): (usize, usize)| {
            let name = class_names.get(class).map_or("", String::as_str);
            Error::setting(
                "labels",
                Some(&count.to_string()),
                format!("is more than class '{name}' has, {has} training images"),
            )
        };
        Ok((per_class(labels, &rest, class_names.len(), count, self.seed).map_err(short)?, held_out))
    }
}

/// Splits image numbers into (rest, taken): `taken` has `count` images, shared out over the classes in proportion by
/// largest remainder (the lower class first on a tie), drawn from each class by the stream (0, `purpose`, class). Both
/// parts are in ascending order.
pub(crate) fn stratified(
    labels: &[u32],
    classes: usize,
    count: usize,
    purpose: &str,
) -> (Vec<usize>, Vec<usize>) {
    let mut by_class: Vec<Vec<usize>> = vec![Vec::new(); classes];
    labels.iter().enumerate().for_each(|(i, l)| by_class[*l as usize].push(i));
    let total = labels.len().max(1);
    let count = count.min(labels.len());
    let mut quota: Vec<usize> = by_class.iter().map(|m| m.len() * count / total).collect();
    let mut order: Vec<usize> = (0..classes).collect();
    // A stable sort keeps the lower class first on a tie.
    order.sort_by_key(|&c| std::cmp::Reverse(by_class[c].len() * count % total));
    let missing = count - quota.iter().sum::<usize>();
    order.iter().take(missing).for_each(|&c| quota[c] += 1);
    let (mut rest, mut taken) = (Vec::new(), Vec::new());
    for (class, mut members) in by_class.into_iter().enumerate() {
        Rng::new(0, purpose, class as u64, 0).shuffle(&mut members);
        taken.extend_from_slice(&members[..quota[class]]);
        rest.extend_from_slice(&members[quota[class]..]);
    }
    rest.sort_unstable();
    taken.sort_unstable();
    (rest, taken)
}

/// `count` of the image numbers `among`, or all where there are fewer, shared out over the classes in proportion, the same ones whenever
/// and whatever the run's seed; in ascending order.
pub fn sample(labels: &[u32], among: Vec<usize>, classes: usize, count: Option<usize>) -> Vec<usize> {
    let Some(count) = count else { return among };
    let labels: Vec<u32> = among.iter().map(|&i| labels[i]).collect();
    stratified(&labels, classes, count, "eval").1.into_iter().map(|k| among[k]).collect()
}

/// Splits the image numbers `among` into (rest, taken), class by class: `taken` has the fraction of every class, rounded, but never all
/// of one; the same ones whenever and whatever the run's seed. Both parts are in ascending order.
pub fn part_of_each_class(
    labels: &[u32],
    among: &[usize],
    classes: usize,
    fraction: f64,
) -> (Vec<usize>, Vec<usize>) {
    let (mut rest, mut taken) = (Vec::new(), Vec::new());
    for class in 0..classes {
        let mut members: Vec<usize> =
            among.iter().copied().filter(|&i| labels[i] as usize == class).collect();
        let count = (fraction * members.len() as f64).round() as usize;
        Rng::new(0, "part", class as u64, 0).shuffle(&mut members);
        let (first, others) = members.split_at(count.min(members.len().saturating_sub(1)));
        taken.extend_from_slice(first);
        rest.extend_from_slice(others);
    }
    rest.sort_unstable();
    taken.sort_unstable();
    (rest, taken)
}

/// `count` of the image numbers `among`, from each class that has images, drawn by the stream (`seed`, "labels", class); in ascending order.
///
/// # Errors
/// The first class that has fewer, and how many it has.
fn per_class(
    labels: &[u32],
    among: &[usize],
    classes: usize,
    count: usize,
    seed: u64,
) -> std::result::Result<Vec<usize>, (usize, usize)> {
    let mut taken = Vec::with_capacity(classes * count);
    for class in 0..classes {
        // A class that the data has no image of has none to draw from.
        if !labels.iter().any(|label| *label as usize == class) {
            continue;
        }
        let mut members: Vec<usize> =
            among.iter().copied().filter(|&i| labels[i] as usize == class).collect();
        if members.len() < count {
            return Err((class, members.len()));
        }
        Rng::new(seed, "labels", class as u64, 0).shuffle(&mut members);
        taken.extend_from_slice(&members[..count]);
    }
    taken.sort_unstable();
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_disjoint_complete_and_proportional() {
        let labels: Vec<u32> = (0..103).map(|i| i % 3).collect();
        let (rest, taken) = stratified(&labels, 3, 20, "test");
        assert_eq!(taken.len(), 20);
        let mut all = [rest, taken.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..103).collect::<Vec<_>>());
        for class in 0..3 {
            let n = taken.iter().filter(|&&i| labels[i] == class).count();
            assert!((6..=7).contains(&n));
        }
        // They are drawn, by the purpose.
        let first: Vec<usize> = (0..103).filter(|i| i / 3 < 7).collect();
        assert!(taken.iter().any(|i| !first.contains(i)));
        assert_ne!(stratified(&labels, 3, 20, "eval").1, taken);
    }

    #[test]
    fn what_is_trained_on_is_not_held_out() {
        let data = crate::load("digits", &crate::DataOptions::default()).unwrap();
        let parts = |labels, seed| {
            let division = Division { val_split: 0.2, labels, seed };
            division.numbers(&data.train.labels, &data.class_names).unwrap()
        };
        let (few, held_out) = parts(Some(100), 1);
        assert_eq!((few.len(), held_out.len()), (1000, 287));
        assert!(few.iter().all(|i| !held_out.contains(i)));
        // What is held out depends on nothing else.
        assert!(parts(None, 1).1 == held_out && parts(Some(100), 2).1 == held_out);
        assert!(parts(Some(100), 2).0 != few);
    }

    #[test]
    fn a_part_of_each_class_leaves_some_of_it() {
        // 20 images of class 0, 3 of class 1, 1 of class 2, none of class 3.
        let labels: Vec<u32> = [vec![0; 20], vec![1; 3], vec![2]].concat();
        let among: Vec<usize> = (0..24).collect();
        let of = |part: &[usize], class: u32| part.iter().filter(|&&i| labels[i] == class).count();
        for (fraction, counts) in [(0.2, [4, 1, 0]), (0.9, [18, 2, 0]), (0.02, [0, 0, 0])] {
            let (rest, taken) = part_of_each_class(&labels, &among, 4, fraction);
            assert_eq!([0, 1, 2].map(|class| of(&taken, class)), counts, "{fraction}");
            let mut all = [rest, taken].concat();
            all.sort_unstable();
            assert_eq!(all, among);
        }
    }

    #[test]
    fn labels_are_drawn_class_by_class() {
        let labels: Vec<u32> = (0..60).map(|i| i % 3).collect();
        let among: Vec<usize> = (10..60).collect();
        let taken = per_class(&labels, &among, 3, 5, 1).unwrap();
        assert!(taken.len() == 15 && taken.is_sorted() && taken.iter().all(|i| among.contains(i)));
        assert!((0..3).all(|c| taken.iter().filter(|&&i| labels[i] == c).count() == 5));
        assert_ne!(per_class(&labels, &among, 3, 5, 2).unwrap(), taken);
        assert_eq!(per_class(&labels, &among, 3, 17, 1), Err((0, 16)));
        assert_eq!(per_class(&labels, &among, 4, 5, 1).unwrap(), taken, "a fourth class has no image at all");
    }
}
