//! Step times, their median, and the process's memory.

use std::time::Duration;

/// The last few hundred durations, in milliseconds.
#[derive(Debug, Clone, Default)]
pub struct Times(Vec<f64>, usize);

const KEPT: usize = 512;

impl Times {
    /// Takes one more duration in.
    pub fn push(&mut self, time: Duration) {
        let ms = time.as_secs_f64() * 1e3;
        if self.0.len() < KEPT {
            self.0.push(ms);
        } else {
            self.0[self.1 % KEPT] = ms;
        }
        self.1 += 1;
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True before the first.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The median, in milliseconds; `None` before the first.
    pub fn median(&self) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let n = sorted.len();
        (n > 0).then(|| (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0)
    }

    /// The smallest, in milliseconds.
    pub fn min(&self) -> Option<f64> {
        self.0.iter().copied().min_by(f64::total_cmp)
    }
}

/// Measures the first steps of a run: not the very first, which are slower, but some after them.
#[derive(Debug, Clone)]
pub(crate) struct FirstSteps {
    seen: usize,
    wanted: usize,
    seconds: f64,
    over: bool,
}

/// Steps that are not measured: they warm up, and measure other things beside.
const SKIPPED: usize = 10;
/// No estimate takes longer than this to measure, in seconds, unless it is of fewer than three steps.
const LONG: f64 = 20.0;

impl FirstSteps {
    /// `cycle` steps are of all kinds that there are; so many are measured, if they are neither few nor many.
    pub(crate) fn new(cycle: usize) -> Self {
        FirstSteps { seen: 0, wanted: cycle.clamp(10, 50), seconds: 0.0, over: false }
    }

    /// Takes a step in. When the last was measured: the number of the first and the last, from 1, and their mean in seconds.
    pub(crate) fn push(&mut self, time: Duration) -> Option<((usize, usize), f64)> {
        self.seen += 1;
        if self.seen <= SKIPPED || self.over {
            return None;
        }
        self.seconds += time.as_secs_f64();
        let measured = self.seen - SKIPPED;
        self.over = measured == self.wanted || (measured >= 3 && self.seconds > LONG);
        self.over.then(|| ((SKIPPED + 1, self.seen), self.seconds / measured as f64))
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

/// The largest resident memory of this process so far, in MB (10⁶ bytes); `None` where the system does not say.
pub fn peak_rss_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}

/// CPU time of this process so far, all threads together, in seconds; `None` where the system does not say.
pub fn cpu_seconds() -> Option<f64> {
    // proc(5): the name, in parentheses, may hold anything; utime and stime are the 12th and 13th fields behind it, in hundredths of a
    // second (USER_HZ, the same on all usual kinds of Linux).
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields = stat.rsplit_once(')')?.1.split_whitespace();
    let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|f| f.parse().ok()).collect();
    (ticks.len() == 2).then(|| (ticks[0] + ticks[1]) / 100.0)
}

#[test]
#[cfg(target_os = "linux")]
fn cpu_time_grows_with_work() {
    let before = cpu_seconds().unwrap();
    let start = std::time::Instant::now();
    let mut sum = 0u64;
    // Until it shows; the bound is only there to end.
    while cpu_seconds().unwrap() < before + 0.05 && start.elapsed() < Duration::from_secs(60) {
        sum = std::hint::black_box((0..1_000_000u64).fold(sum, u64::wrapping_add));
    }
    let grown = cpu_seconds().unwrap() - before;
    assert!((0.05..1.0).contains(&grown), "{grown}");
}

#[test]
fn the_first_steps_are_measured_once() {
    let mut first = FirstSteps::new(12);
    let told: Vec<_> = (0..60).filter_map(|i| first.push(Duration::from_millis(i))).collect();
    // Steps 11 to 22 of 10 to 21 ms.
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].0, (11, 22));
    assert!((told[0].1 - 0.0155).abs() < 1e-9);
    let mut slow = FirstSteps::new(12);
    let told: Vec<_> = (0..60).filter_map(|_| slow.push(Duration::from_secs(9))).collect();
    assert_eq!(told, [((11, 13), 9.0)]);
    assert_eq!([44.6, 130.0, 12000.0].map(spell), ["45 s", "2 min", "3 h 20 min"]);
}
