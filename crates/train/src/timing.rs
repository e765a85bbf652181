//! Times of steps, their median, and how times are spelled.

use std::time::Duration;

/// The last few hundred durations, in milliseconds.
#[derive(Debug, Clone, Default)]
pub struct Times {
    /// The latest, in the order they came; the next replaces the one at `count` modulo [`KEPT`].
    latest: Vec<f64>,
    /// The same in ascending order: a median is wanted at every step.
    sorted: Vec<f64>,
    count: usize,
}

const KEPT: usize = 512;

impl Times {
    /// Takes one more duration in.
    pub fn push(&mut self, time: Duration) {
        let ms = time.as_secs_f64() * 1e3;
        if self.latest.len() < KEPT {
            self.latest.push(ms);
        } else {
            let oldest = std::mem::replace(&mut self.latest[self.count % KEPT], ms);
            self.sorted.remove(self.sorted.partition_point(|v| *v < oldest));
        }
        self.sorted.insert(self.sorted.partition_point(|v| *v < ms), ms);
        self.count += 1;
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.latest.len()
    }

    /// True before the first.
    pub fn is_empty(&self) -> bool {
        self.latest.is_empty()
    }

    /// The median, in milliseconds; `None` before the first.
    pub fn median(&self) -> Option<f64> {
        let n = self.sorted.len();
        (n > 0).then(|| (self.sorted[(n - 1) / 2] + self.sorted[n / 2]) / 2.0)
    }

    /// The smallest, in milliseconds.
    pub fn min(&self) -> Option<f64> {
        self.sorted.first().copied()
    }
}

/// A length of time for people: `45 s`, `12 min`, `3 h 20 min`.
pub fn spell(seconds: f64) -> String {
    let (s, minutes) = (seconds.round() as u64, (seconds / 60.0).round() as u64);
    match (s, minutes) {
        (0..=99, _) => format!("{s} s"),
        (_, 0..=99) => format!("{minutes} min"),
        (_, m) => format!("{} h {} min", m / 60, m % 60),
    }
}

#[test]
fn the_median_is_that_of_the_latest() {
    let mut times = Times::default();
    assert_eq!((times.median(), times.min()), (None, None));
    let ms = |i: u64| i * 7919 % 1000;
    for i in 0..2000u64 {
        times.push(Duration::from_millis(ms(i)));
        let mut kept: Vec<u64> = ((i + 1).saturating_sub(KEPT as u64)..=i).map(ms).collect();
        kept.sort_unstable();
        let n = kept.len();
        let median = (kept[(n - 1) / 2] + kept[n / 2]) as f64 / 2.0;
        assert!((times.median().unwrap() - median).abs() < 1e-9 && times.len() == n, "{i}");
        assert!((times.min().unwrap() - kept[0] as f64).abs() < 1e-9, "{i}");
    }
}

#[test]
fn lengths_of_time_are_short() {
    assert_eq!([44.6, 130.0, 12000.0].map(spell), ["45 s", "2 min", "3 h 20 min"]);
}
