//! Transcendental functions of f32 without branches, so that loops over them become vector code.
//!
//! They are ours, not the platform's: the same bits on every machine. f64 takes `libm`, one number at a time; it is for checks.

/// e^x to about 1 ulp (Cody–Waite reduction, Cephes' polynomial); ∞ above 88.73, 0 below −104.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let x = clamp(x, 110.0, 89.0);
    // 1.5·2²³: adding it rounds to an integer. `floor` would be a call wherever the loop is not vector code.
    const ROUND: f32 = 12_582_912.0;
    let n = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
    let r = x - n * 0.693_359_4;
    let r = r - n * -2.121_944_4e-4;
    let p = horner(r, [1.987_569_2e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5]);
    // 2ⁿ in two factors: one alone would leave the range before the product does.
    let n = n as i32;
    let power = |n: i32| f32::from_bits(((n + 127) << 23) as u32);
    (p * r * r + r + 1.0) * power(n >> 1) * power(n - (n >> 1))
}

/// tanh x (Eigen's rational minimax approximation), to about 3 ulp.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let x = clamp(x, 7.905_311, 7.905_311);
    let s = x * x;
    let p = horner(
        s,
        [
            -2.760_768_5e-16,
            2.000_188e-13,
            -8.604_672e-11,
            5.122_297e-8,
            1.485_722_4e-5,
            6.372_619_3e-4,
            4.893_524_6e-3,
        ],
    );
    x * p / horner(s, [1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_6e-3, 4.893_525e-3])
}

/// The error function (Eigen's rational minimax approximation), to about 3 ulp.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let x = clamp(x, 4.0, 4.0);
    let s = x * x;
    let p = horner(
        s,
        [
            -2.726_142_3e-10,
            2.770_681_4e-8,
            -2.101_024e-6,
            -5.692_506_4e-5,
            -7.349_906_3e-4,
            -2.954_6e-3,
            -1.609_603_3e-2,
        ],
    );
    x * p / horner(s, [-1.456_607_2e-5, -2.133_740_5e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2])
}

/// Natural logarithm to about 1 ulp (Cephes' polynomial); −∞ at 0, NaN below.
#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    // Subnormal numbers are scaled into the normal range.
    const SCALE: f32 = 16_777_216.0;
    let small = x < f32::MIN_POSITIVE;
    let bits = if small { x * SCALE } else { x }.to_bits();
    // x = 2ⁿ·m with m from √½ to √2.
    let shifted = bits.wrapping_sub(std::f32::consts::FRAC_1_SQRT_2.to_bits());
    let n = (shifted as i32 >> 23) as f32 - if small { 24.0 } else { 0.0 };
    let m = f32::from_bits(bits.wrapping_sub(shifted & 0xff80_0000)) - 1.0;
    let s = m * m;
    let p = horner(
        m,
        [
            7.037_683_6e-2,
            -0.115_146_1,
            0.116_769_98,
            -0.124_201_41,
            0.142_493_23,
            -0.166_680_57,
            0.200_007_14,
            -0.249_999_94,
            0.333_333_3,
        ],
    );
    let y = m * s * p + n * -2.121_944_4e-4 - 0.5 * s;
    let y = m + y + n * 0.693_359_4;
    let y = if x < f32::INFINITY { y } else { x };
    let y = if x > 0.0 { y } else { f32::NAN };
    if x == 0.0 { f32::NEG_INFINITY } else { y }
}

/// ln(1 + x) to about 2 ulp, for small x too: ln u, corrected for what u = 1 + x has lost.
#[inline(always)]
pub(crate) fn ln_1p(x: f32) -> f32 {
    let u = 1.0 + x;
    let lost = x - (u - 1.0);
    let y = ln(u) + lost / u;
    if u < f32::INFINITY { y } else { u }
}

/// x within [−below, above]; a NaN stays.
#[inline(always)]
fn clamp(x: f32, below: f32, above: f32) -> f32 {
    let x = if x > above { above } else { x };
    if x < -below { -below } else { x }
}

/// The polynomial with these coefficients, the highest power first.
#[inline(always)]
fn horner<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[0];
    for c in &coefficients[1..] {
        sum = sum * x + c;
    }
    sum
}

#[cfg(test)]
mod tests {
    type Row = (&'static str, fn(f32) -> f32, fn(f64) -> f64, f64);

    #[test]
    fn functions_agree_with_libm() {
        let rows: [Row; 4] = [
            ("exp", super::exp, libm::exp, 87.0),
            ("tanh", super::tanh, libm::tanh, 12.0),
            ("erf", super::erf, libm::erf, 6.0),
            ("ln_1p", |x| super::ln_1p(x.abs()), |x| libm::log1p(x.abs()), 10.0),
        ];
        for (name, ours, exact, range) in rows {
            for i in -20_000..=20_000 {
                let x = (i as f64 / 20_000.0 * range) as f32;
                let (got, want) = (f64::from(ours(x)), exact(f64::from(x)));
                assert!((got - want).abs() <= 6e-7 * want.abs(), "{name}({x}) = {got}, not {want}");
            }
            assert!(ours(f32::NAN).is_nan(), "{name} loses a NaN");
        }
        assert_eq!((super::exp(100.0), super::exp(f32::NEG_INFINITY)), (f32::INFINITY, 0.0));
        assert_eq!(super::tanh(50.0), 1.0);
        for i in -126_000..=126_000 {
            let x = libm::exp2(f64::from(i) / 1000.0) as f32;
            let (got, want) = (f64::from(super::ln(x)), libm::log(f64::from(x)));
            assert!((got - want).abs() <= 3e-7 * want.abs(), "ln({x}) = {got}, not {want}");
        }
        let subnormal = f32::from_bits(77);
        assert!((f64::from(super::ln(subnormal)) - libm::log(f64::from(subnormal))).abs() < 1e-5);
        assert_eq!((super::ln(0.0), super::ln(f32::INFINITY)), (f32::NEG_INFINITY, f32::INFINITY));
        assert!(super::ln(-1.0).is_nan() && super::ln(f32::NAN).is_nan());
        for exponent in [-30, -20, -12, -8, -7, -6, -3, -1] {
            let x = 2f32.powi(exponent) * 1.3;
            for x in [x, if exponent < -1 { -x } else { -0.4 }] {
                let (got, want) = (f64::from(super::ln_1p(x)), libm::log1p(f64::from(x)));
                assert!((got - want).abs() <= 6e-7 * want.abs(), "ln_1p({x}) = {got}, not {want}");
            }
        }
    }
}
