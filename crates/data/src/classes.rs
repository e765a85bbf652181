//! What classes are called: the same names in a network and in data, and classes that nothing can be learnt about.

use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::files;
use crate::image_set::ImageSet;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use unicode_normalization::UnicodeNormalization;

/// Classes that have numbers for names.
pub(crate) fn numbered(classes: usize) -> Vec<String> {
    (0..classes).map(|i| i.to_string()).collect()
}

/// Numbers in their order: names that tell no more than the order does.
pub fn only_numbered(names: &[String]) -> bool {
    names.iter().enumerate().all(|(i, name)| *name == i.to_string())
}

/// A name with its accents as one character each. macOS writes the names of folders with letter and accent apart.
pub(crate) fn composed(name: &str) -> String {
    name.nfc().collect()
}

/// The numbers that the classes `names` have among `others`; `None` when these are other classes.
pub fn numbers_among(names: &[String], others: &[String]) -> Option<Vec<usize>> {
    let others: Vec<String> = others.iter().map(|name| composed(name)).collect();
    let number = |name: &String| others.iter().position(|other| *other == composed(name));
    if names.len() == others.len() { names.iter().map(number).collect() } else { None }
}

/// What a class is called goes into files and tables as it is, and tells it from the others.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_control)
}

/// The names of classes in a file, a line each, in the order of their numbers.
///
/// # Errors
/// When it cannot be read, or a line is no name, or there twice.
pub(crate) fn read_names(path: &Path) -> Result<Vec<String>> {
    let text = String::from_utf8(files::read(path)?)
        .map_err(|_| Error::file(path, "is not UTF-8 text; a class's name is expected in each line"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let names: Vec<String> =
        text.lines().map(|line| composed(line.trim())).filter(|name| !name.is_empty()).collect();
    check_names(&names).map_err(|reason| Error::file(path, reason))?;
    Ok(names)
}

/// Refuses names that are none, or there twice.
pub(crate) fn check_names(names: &[String]) -> std::result::Result<(), String> {
    if names.is_empty() {
        return Err("no names of classes in it".into());
    }
    if let Some(i) = names.iter().position(|name| !is_name(name)) {
        return Err(format!("the name of class {i} is empty or holds a control character"));
    }
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("the class '{}' is there twice", pair[0])),
        None => Ok(()),
    }
}

/// Some names for people: all of a few, else the first ones and how many more there are.
fn listed<'n>(names: impl ExactSizeIterator<Item = &'n str>) -> String {
    const SHOWN: usize = 5;
    let more = names.len().saturating_sub(SHOWN);
    let shown: Vec<String> = names.take(SHOWN).map(|name| format!("'{name}'")).collect();
    let shown = shown.join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

/// Images per class.
fn counts(set: &ImageSet, classes: usize) -> Vec<usize> {
    let mut counts = vec![0; classes];
    set.labels.iter().for_each(|label| counts[*label as usize] += 1);
    counts
}

impl Dataset {
    /// Gives the images the class numbers of a network whose classes are `names`, by name; `class_names` are the network's then. Where
    /// one side has mere numbers that the other does not have, the order is taken. Returns what is assumed or missing, a line each.
    ///
    /// # Errors
    /// Naming a class with images that the network does not know.
    pub fn take_classes(&mut self, names: &[String]) -> Result<Vec<String>> {
        if !self.has_labels() {
            // Numbers of tokens are the network's own.
            if self.classes() > names.len() {
                return Err(Error::TooManyClasses { found: self.classes(), known: names.len() });
            }
            self.class_names = names.to_vec();
            return Ok(Vec::new());
        }
        let theirs: Vec<String> = names.iter().map(|name| composed(name)).collect();
        let own: Vec<String> = self.class_names.iter().map(|name| composed(name)).collect();
        let number_of: HashMap<&str, u32> = theirs.iter().map(|name| &**name).zip(0..).collect();
        let by_name: Vec<Option<u32>> = own.iter().map(|name| number_of.get(&**name).copied()).collect();
        let has = |part: &ImageSet| counts(part, own.len());
        let has: Vec<usize> = has(&self.train).iter().zip(has(&self.test)).map(|(a, b)| a + b).collect();
        let unknown = (0..own.len()).find(|&class| has[class] > 0 && by_name[class].is_none());
        let (own_numbers, their_numbers) = (only_numbered(&own), only_numbered(&theirs));
        let mut notes = Vec::new();
        let numbers: Vec<u32> = match unknown {
            // A class that has no images has no label that this could change.
            None => by_name.iter().map(|number| number.unwrap_or(0)).collect(),
            Some(_) if own_numbers || their_numbers => {
                let used = has.iter().rposition(|&n| n > 0).map_or(0, |class| class + 1);
                if used > names.len() {
                    return Err(Error::TooManyClasses { found: used, known: names.len() });
                }
                let (without, with) = if own_numbers { ("data", &theirs) } else { ("network", &own) };
                let pairs = with.iter().zip(0..).take(3).map(|(name, i)| format!("{i} is '{name}'"));
                let pairs = pairs.collect::<Vec<_>>().join(", ");
                let more = if with.len() > 3 { ", …" } else { "" };
                notes.push(format!(
                    "the classes of the {without} have numbers for names: the order is taken to be the same ({pairs}{more})"
                ));
                (0..own.len() as u32).collect()
            }
            Some(class) => {
                let known = listed(names.iter().map(String::as_str));
                return Err(Error::UnknownClass { class: self.class_names[class].clone(), known });
            }
        };
        let mut missing = vec![true; names.len()];
        (0..own.len())
            .filter(|&class| has[class] > 0)
            .for_each(|class| missing[numbers[class] as usize] = false);
        let missing: Vec<&str> =
            names.iter().zip(missing).filter(|(_, missing)| *missing).map(|(name, _)| &**name).collect();
        if !missing.is_empty() {
            notes.push(format!("the data has no images of {}", listed(missing.into_iter())));
        }
        if numbers.iter().zip(0..).any(|(number, own)| *number != own) {
            let whole = self.is_whole();
            for part in [&mut self.train, &mut self.test] {
                for label in &mut Arc::make_mut(part).labels {
                    *label = numbers[*label as usize];
                }
            }
            if whole {
                self.train = self.test.clone();
            }
        }
        self.class_names = names.to_vec();
        Ok(notes)
    }

    /// What nothing can be learnt about, a line each: classes without training images, and all images in one class.
    pub fn doubts(&self) -> Vec<String> {
        if !self.has_labels() {
            return Vec::new();
        }
        let counts = counts(&self.train, self.classes());
        let named = |wanted: &dyn Fn(usize) -> bool| -> Vec<&str> {
            let names = self.class_names.iter().zip(&counts);
            names.filter(|(_, n)| wanted(**n)).map(|(name, _)| &**name).collect()
        };
        let (with, without) = (named(&|n| n > 0), named(&|n| n == 0));
        if let [only] = with[..] {
            let line = format!("all training images are of one class, '{only}': the accuracy says nothing");
            return vec![line];
        }
        if without.is_empty() {
            return Vec::new();
        }
        let many = without.len() > 1;
        let (classes, have) = if many { ("classes", "have") } else { ("class", "has") };
        let from_one = match without[..] {
            ["0"] if only_numbered(&self.class_names) => {
                "; if labels are counted from 1, subtract 1 from them"
            }
            _ => "",
        };
        vec![format!(
            "{classes} {} {have} no training images, and an output of the network all the same{from_one}",
            listed(without.into_iter())
        )]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_set::Pixels;

    /// One image per label, which its value tells.
    fn data(names: &[&str], labels: &[u32]) -> Dataset {
        let images = Pixels::Bytes(labels.iter().map(|l| *l as u8).collect());
        let set = ImageSet::new((1, 1, 1), images, labels.to_vec());
        Dataset::new(set.clone(), set, strings(names)).unwrap()
    }

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn classes_are_matched_by_name() {
        let mut found = data(&["1", "10", "2"], &[0, 1, 2, 1]);
        assert!(found.take_classes(&strings(&["1", "2", "10"])).unwrap().is_empty());
        assert_eq!(found.train.labels, [0, 2, 1, 2]);
        assert_eq!(found.train.images, Pixels::Bytes(vec![0, 1, 2, 1]));
        assert_eq!(
            (&found.test.labels, found.class_names),
            (&found.train.labels, strings(&["1", "2", "10"]))
        );
        // One character or two for the same letter.
        let mut apart = data(&["cafe\u{301}", "bar"], &[0, 1]);
        assert!(apart.take_classes(&strings(&["bar", "caf\u{e9}"])).unwrap().is_empty());
        assert_eq!(apart.train.labels, [1, 0]);
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        let mut fewer = data(&["top"], &[0, 0]);
        let notes = fewer.take_classes(&strings(&["left", "top"])).unwrap();
        assert_eq!(
            (notes, &fewer.train.labels[..]),
            (strings(&["the data has no images of 'left'"]), &[1, 1][..])
        );
        let e =
            data(&["cat", "emu"], &[0, 1]).take_classes(&strings(&["cat", "dog"])).unwrap_err().to_string();
        assert!(e.contains("'emu'") && e.contains("'cat', 'dog'"), "{e}");
        // A class that no image has is nobody's trouble.
        assert!(data(&["cat", "emu"], &[0, 0]).take_classes(&strings(&["cat"])).unwrap().is_empty());
    }

    #[test]
    fn mere_numbers_are_taken_in_order_and_that_is_said() {
        let mut numbers = data(&["0", "1"], &[1, 0]);
        let notes = numbers.take_classes(&strings(&["b", "a"])).unwrap();
        assert!(
            notes.len() == 1 && notes[0].contains("of the data") && notes[0].contains("0 is 'b', 1 is 'a'"),
            "{notes:?}"
        );
        assert_eq!(numbers.train.labels, [1, 0]);
        let mut named = data(&["b", "a"], &[1, 0]);
        let notes = named.take_classes(&strings(&["0", "1"])).unwrap();
        assert!(notes[0].contains("of the network") && notes[0].contains("0 is 'b'"), "{notes:?}");
        let e = data(&["a", "b", "c"], &[0, 1, 2]).take_classes(&strings(&["0", "1"])).unwrap_err();
        assert!(e.to_string().contains("3 classes") && e.to_string().contains('2'), "{e}");
        // A folder of digits against arrays of digits, by name.
        let mut digits = data(&["0", "1", "10", "2"], &[0, 1, 3]);
        let eleven: Vec<String> = numbered(11);
        assert_eq!(digits.take_classes(&eleven).unwrap().len(), 1);
        assert_eq!(digits.train.labels, [0, 1, 2]);
    }

    #[test]
    fn what_cannot_be_learnt_is_said() {
        assert!(data(&["a", "b"], &[0, 1]).doubts().is_empty());
        let one = data(&["0", "1", "2"], &[1, 2]).doubts();
        assert!(
            one.len() == 1 && one[0].starts_with("class '0' has no") && one[0].contains("from 1"),
            "{one:?}"
        );
        let many = data(&["a", "b", "c", "d", "e", "f", "g", "h"], &[1, 7]).doubts();
        assert!(many[0].starts_with("classes 'a', 'c', 'd', 'e', 'f' and 1 more have"), "{many:?}");
        let single = data(&["a", "b"], &[1, 1]).doubts();
        assert!(single.len() == 1 && single[0].contains("one class, 'b'"), "{single:?}");
    }

    #[test]
    fn files_of_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("names.txt");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_names(&path).map_err(|e| e.to_string())
        };
        assert_eq!(read("\u{feff}cat \r\ndog\n\n").unwrap(), strings(&["cat", "dog"]));
        assert!(read("cat\ndog\ncat").unwrap_err().contains("'cat' is there twice"));
        assert!(read("\n").unwrap_err().contains("no names"));
        assert!(read("a\u{1}b").unwrap_err().contains("control character"));
    }
}
