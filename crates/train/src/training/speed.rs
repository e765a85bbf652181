//! How fast a training's steps are, and what their curvature costs.

use crate::timing::Times;
use std::time::Duration;

/// Times of a run's steps, and of gradients with curvature and without.
pub(super) struct Speed {
    steps: Times,
    evaluations: Times,
    gradients: Times,
    first: FirstSteps,
}

/// Steps before the first measurement of the curvature's overhead, and measurements before it is shown.
const WARM: u64 = 5;
const PAIRS: u64 = 5;

impl Speed {
    /// Nothing is measured yet; `cycle` steps in a row are of all kinds that there are.
    pub(super) fn new(cycle: usize) -> Self {
        Speed {
            steps: Times::default(),
            evaluations: Times::default(),
            gradients: Times::default(),
            first: FirstSteps::new(cycle),
        }
    }

    /// A step took `time`.
    pub(super) fn step(&mut self, time: Duration) {
        self.steps.push(time);
    }

    /// A gradient with curvature took `time`.
    pub(super) fn evaluation(&mut self, time: Duration) {
        self.evaluations.push(time);
    }

    /// The same gradient without curvature took `time`.
    pub(super) fn gradient(&mut self, time: Duration) {
        self.gradients.push(time);
    }

    /// Whether the gradient of step number `step` is to be timed without curvature, too: once warm, for a few steps and then now and then.
    pub(super) fn wants_gradient(step: u64) -> bool {
        (WARM..WARM + PAIRS).contains(&step) || step.is_multiple_of(100)
    }

    /// A step with all that belongs to it took `time`. When the last of the first steps was measured: the numbers of the first and the last
    /// of them, from 1, and their mean in seconds.
    pub(super) fn whole_step(&mut self, time: Duration) -> Option<((usize, usize), f64)> {
        self.first.push(time)
    }

    /// Median time of a step in milliseconds.
    pub(super) fn step_ms(&self) -> Option<f64> {
        self.steps.median()
    }

    /// Time of a gradient with curvature over one without, minus 1.
    pub(super) fn overhead(&self) -> Option<f64> {
        if self.gradients.len() < PAIRS as usize {
            return None;
        }
        Some(self.evaluations.median()? / self.gradients.median()? - 1.0)
    }
}

/// Measures the first steps of a run: not the very first, which are slower, but some after them.
#[derive(Debug, Clone)]
struct FirstSteps {
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
    fn new(cycle: usize) -> Self {
        FirstSteps { seen: 0, wanted: cycle.clamp(10, 50), seconds: 0.0, over: false }
    }

    /// Takes a step in. When the last was measured: the number of the first and the last, from 1, and their mean in seconds.
    fn push(&mut self, time: Duration) -> Option<((usize, usize), f64)> {
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
}
