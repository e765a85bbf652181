//! Means over seeds, with their uncertainty.

use distrs::StudentsT;

/// A figure over seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Statistic {
    /// Mean of those that have it.
    pub mean: f64,
    /// Standard deviation (of a sample, n − 1); `None` for one value.
    pub std: Option<f64>,
    /// How many have it.
    pub count: usize,
}

impl Statistic {
    /// Of values; `None` when there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>();
        let std = (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt());
        (!values.is_empty()).then_some(Statistic { mean, std, count: values.len() })
    }

    /// Half the width of the mean's 95 % interval by Student's t. `None` for fewer than [`Statistic::LEAST`] values, whose own spread says
    /// next to nothing about it, and for values that are all equal, which is a matter of how coarse they are.
    pub fn half_width(&self) -> Option<f64> {
        let (n, std) = (self.count as f64, self.std?);
        let spread = std > 1e-9 * self.mean.abs();
        (self.count >= Self::LEAST && spread).then(|| StudentsT::ppf(0.975, n - 1.0) * std / n.sqrt())
    }

    /// The fewest values that an interval is given for.
    pub const LEAST: usize = 3;
}

#[test]
fn statistics_are_of_a_sample() {
    let s = Statistic::of([1.0, 2.0, 6.0]).unwrap();
    assert!((s.mean - 3.0).abs() < 1e-15 && (s.std.unwrap() - 7f64.sqrt()).abs() < 1e-15 && s.count == 3);
    // 0.975 quantiles of Student's t with 2 and 4 degrees of freedom (NIST/SEMATECH e-Handbook, 1.3.6.7.2: 4.303 and 2.776).
    assert!((s.half_width().unwrap() - 4.302653 * (7f64 / 3.0).sqrt()).abs() < 1e-5);
    let five = Statistic::of([1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
    assert!((five.half_width().unwrap() - 2.776445 * 0.5f64.sqrt()).abs() < 1e-5);
    let one = Statistic::of([2.0]).unwrap();
    assert_eq!((one.std, one.half_width()), (None, None));
    // Two values that happen to be equal have no interval of no width; nor have two others one, or many that are equal.
    for few in [&[-0.28, -0.28][..], &[0.1, 0.3], &[-0.28; 5]] {
        let s = Statistic::of(few.iter().copied()).unwrap();
        assert!(s.std.is_some() && s.half_width().is_none(), "{few:?}");
    }
    assert!(Statistic::of([0.1, 0.1, 0.2]).unwrap().half_width().is_some());
    assert_eq!(Statistic::of([]), None);
}
