//! What this process takes: memory and CPU time.

/// The largest resident memory of this process so far, in MB (10⁶ bytes); `None` where the system does not say.
///
/// `getrusage` would count what the program that started this one held, too.
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
    while start.elapsed() < std::time::Duration::from_millis(600) {
        sum = std::hint::black_box((0..1_000_000u64).fold(sum, u64::wrapping_add));
    }
    // This thread's, unless others want the core, and that of tests beside it: a unit that is wrong by ten shows.
    let grown = cpu_seconds().unwrap() - before;
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    assert!((0.1..=0.7 * threads + 0.2).contains(&grown), "{grown}");
}
