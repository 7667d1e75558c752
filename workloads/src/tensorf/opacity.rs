//! Opacity of a step from its density feature, for one step or for many. For many, `libm`'s exponential and logarithm
//! are written without branches, so that compilers put several steps into a vector; bits are the same.

use super::{DENSITY_SHIFT, THICKNESS};

/// Features this far below the shift are empty whatever the step.
const EMPTY: f32 = -16.0;
/// Beyond this one and softplus of one are the same.
const LINEAR: f32 = 15.0;

/// Opacity of a step with a density feature.
#[inline]
pub(super) fn opacity(feature: f32, step: f32) -> f32 {
    let x = feature + DENSITY_SHIFT;
    if x < EMPTY {
        return 0.0;
    }
    let density = if x > LINEAR { x } else { libm::log1pf(libm::expf(x)) };
    1.0 - libm::expf(-density * THICKNESS * step)
}

/// The feature from which on a step is more opaque than this, as far as numbers tell them apart.
pub(super) fn feature_of(opacity_above: f32, step: f32) -> f32 {
    let (mut low, mut high) = (-100.0_f32, 100.0_f32);
    for _ in 0..40 {
        let middle = f32::midpoint(low, high);
        if opacity(middle, step) > opacity_above { high = middle } else { low = middle }
    }
    high
}

/// Steps that are worked on together.
const LANES: usize = 8;

/// Puts the opacity of steps in the place of their features.
pub(super) fn opacities(features: &mut [f32], step: f32) {
    // The thickest step here is within what `exponential` takes.
    let plain = step * THICKNESS * (LINEAR + 1.0) < LARGEST;
    let (groups, rest) = features.as_chunks_mut::<LANES>();
    for group in groups {
        if plain && group.iter().all(|feature| feature + DENSITY_SHIFT <= LINEAR) {
            for feature in group {
                let x = *feature + DENSITY_SHIFT;
                let density = softplus(if x < EMPTY { EMPTY } else { x });
                let opacity = 1.0 - exponential(-density * THICKNESS * step);
                *feature = if x < EMPTY { 0.0 } else { opacity };
            }
        } else {
            for feature in group {
                *feature = opacity(*feature, step);
            }
        }
    }
    for feature in rest {
        *feature = opacity(*feature, step);
    }
}

/// Largest size of what `exponential` takes: powers of two up to there are no subnormal numbers.
const LARGEST: f32 = 80.0;

/// `libm::expf` up to `LARGEST` on both sides of zero.
// Loops over it become vectors only where it is inlined.
#[inline(always)]
fn exponential(x: f32) -> f32 {
    const LN2_HIGH: f32 = f32::from_bits(0x3f31_7200);
    const LN2_LOW: f32 = f32::from_bits(0x35bf_be8e);
    const INVERSE_LN2: f32 = f32::from_bits(0x3fb8_aa3b);
    const P1: f32 = 1.666_662_5e-1;
    const P2: f32 = -2.766_733_3e-3;
    // Half of ln 2, one and a half, and what is one more than itself.
    const HALF: f32 = f32::from_bits(0x3eb1_7218);
    const MORE: f32 = f32::from_bits(0x3f85_1592);
    const TINY: f32 = f32::from_bits(0x3900_0000);
    // Adding and taking away makes numbers whole.
    const WHOLE: f32 = 8_388_608.0;
    let size = x.abs();
    let scaled = (INVERSE_LN2 * x + 0.5_f32.copysign(x)).abs();
    let nearest = (scaled + WHOLE) - WHOLE;
    let cut = if nearest > scaled { nearest - 1.0 } else { nearest };
    let power = if size > MORE { cut } else { 1.0 };
    let power = if size > HALF { power } else { 0.0 };
    let power = power.copysign(x);
    let (high, low) = (x - power * LN2_HIGH, power * LN2_LOW);
    let r = high - low;
    let square = r * r;
    let c = r - square * (P1 + square * P2);
    let y = 1.0 + (r * c / (2.0 - c) - low + high);
    let scale = f32::from_bits((power + (127.0 + WHOLE)).to_bits() << 23);
    if size > TINY { y * scale } else { 1.0 + x }
}

/// `libm::log1pf` of `exponential`, between `EMPTY` and `LINEAR`.
// Loops over it become vectors only where it is inlined.
#[inline(always)]
fn softplus(x: f32) -> f32 {
    // Cut elsewhere than in the exponential.
    const LN2_HIGH: f32 = f32::from_bits(0x3f31_7180);
    const LN2_LOW: f32 = f32::from_bits(0x3717_f7d1);
    const LG1: f32 = 0.666_666_6;
    const LG2: f32 = 0.400_009_72;
    const LG3: f32 = 0.284_987_87;
    const LG4: f32 = 0.242_790_79;
    /// Below the root of two, less one, no power of two is taken off.
    const ROOT: f32 = f32::from_bits(0x3ed4_13d0);
    let x = exponential(x);
    let one_more = 1.0 + x;
    let bits = one_more.to_bits() + (0x3f80_0000 - 0x3f35_04f3);
    let power = (bits >> 23) as i32 - 0x7f;
    // What adding one rounded off.
    let off = if power >= 2 { 1.0 - (one_more - x) } else { x - (one_more - 1.0) };
    let reduced = f32::from_bits((bits & 0x007f_ffff) + 0x3f35_04f3) - 1.0;
    let small = x < ROOT;
    let f = if small { x } else { reduced };
    let off = if small { 0.0 } else { off / one_more };
    let power = if small { 0.0 } else { power as f32 };
    let s = f / (2.0 + f);
    let (z, half) = (s * s, 0.5 * f * f);
    let w = z * z;
    let r = z * (LG1 + w * LG3) + w * (LG2 + w * LG4);
    s * (half + r) + (power * LN2_LOW + off) - half + f + power * LN2_HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Many together are what each is alone, bit by bit, whatever the feature and the step.
    #[test]
    fn opacities_together_are_those_alone() {
        let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 25.0, -6.0, 25.000_002, 10.0, -0.0];
        for step in [1.0 / 700.0, 0.001, 0.03, 0.07, 3.0] {
            // Every so many of all sizes, at both ends of what is not empty.
            let (from, to) = (1e-6_f32.to_bits(), 40.0_f32.to_bits());
            let sizes = (from..to).step_by(997).map(f32::from_bits);
            let mut features: Vec<f32> = sizes.flat_map(|v| [v, DENSITY_SHIFT.abs() - v]).collect();
            features.extend(odd);
            let alone: Vec<f32> = features.iter().map(|f| opacity(*f, step)).collect();
            let asked = features.clone();
            opacities(&mut features, step);
            for ((asked, alone), together) in asked.iter().zip(&alone).zip(&features) {
                assert_eq!(alone.to_bits(), together.to_bits(), "{asked} {step}");
            }
        }
    }
}
