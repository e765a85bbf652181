//! Step times, their median, and the process's memory.

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
#[cfg(unix)]
pub fn cpu_seconds() -> Option<f64> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Some(time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9)
}

/// CPU time of this process so far, all threads together, in seconds; `None` where the system does not say.
#[cfg(not(unix))]
pub fn cpu_seconds() -> Option<f64> {
    None
}

#[test]
#[cfg(unix)]
fn cpu_time_grows_with_work() {
    let (before, start) = (cpu_seconds().unwrap(), std::time::Instant::now());
    let mut sum = 0u64;
    while start.elapsed() < Duration::from_millis(600) {
        sum = std::hint::black_box((0..1_000_000u64).fold(sum, u64::wrapping_add));
    }
    // This thread's, unless others want the core, and that of tests beside it: a unit that is wrong by ten shows.
    let grown = cpu_seconds().unwrap() - before;
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    assert!((0.1..=0.7 * threads + 0.2).contains(&grown), "{grown}");
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
