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

/// The largest resident memory of this process so far, in MB (10⁶ bytes); `None` where the system does not say.
pub fn peak_rss_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}
