//! Max-min fair sharing: how fast concurrent pieces of work progress when they contend.
//!
//! Each piece uses a share of several resources when it runs alone; the largest is its dominant
//! one. Progressive filling gives all pieces equal shares of their dominant resources (Ghodsi et
//! al., NSDI 2011): a piece stops when it runs as fast as alone, or when a resource that it uses is
//! full. Two pieces that want the same bandwidth get half of it each however much they could use;
//! what one leaves, the other takes. Nobody runs faster than alone, and no resource is used beyond
//! its capacity.

/// Speeds in (0, 1] relative to running alone, for pieces with the given uses of `R` resources.
pub fn speeds<const R: usize>(uses: &[[f64; R]]) -> Vec<f64> {
    let dominant = |i: usize| uses[i].iter().copied().fold(0.0, f64::max);
    let mut speed = vec![0.0_f64; uses.len()];
    let mut rising: Vec<bool> = vec![true; uses.len()];
    // Share of the dominant resource that rising pieces have.
    let mut level = 0.0_f64;
    for i in 0..uses.len() {
        if dominant(i) <= 1e-12 {
            // Nothing that others could take.
            (speed[i], rising[i]) = (1.0, false);
        }
    }
    // Each round stops at least one piece.
    for _ in 0..=uses.len() {
        if !rising.iter().any(|r| *r) {
            break;
        }
        // The lowest level at which a piece reaches full speed, or some resource fills up.
        let mut next = f64::INFINITY;
        for i in (0..uses.len()).filter(|&i| rising[i]) {
            next = next.min(dominant(i));
        }
        for r in 0..R {
            let fixed: f64 = sum(uses, &rising, false, |i| speed[i] * uses[i][r]);
            let slope: f64 = sum(uses, &rising, true, |i| uses[i][r] / dominant(i));
            if slope > 0.0 {
                next = next.min(((1.0 - fixed) / slope).max(level));
            }
        }
        level = next;
        for i in 0..uses.len() {
            if rising[i] {
                speed[i] = (level / dominant(i)).min(1.0);
                rising[i] = level < dominant(i) * (1.0 - 1e-12);
            }
        }
        // Stop whoever uses a resource that is now full.
        for r in 0..R {
            let used: f64 = (0..uses.len()).map(|i| speed[i] * uses[i][r]).sum();
            if used >= 1.0 - 1e-9 {
                for i in 0..uses.len() {
                    if uses[i][r] > 1e-12 {
                        rising[i] = false;
                    }
                }
            }
        }
    }
    for s in &mut speed {
        // A piece must always advance, or the clock above it would stand still.
        *s = s.clamp(1e-6, 1.0);
    }
    speed
}

fn sum<const R: usize>(
    uses: &[[f64; R]],
    rising: &[bool],
    which: bool,
    value: impl Fn(usize) -> f64,
) -> f64 {
    (0..uses.len()).filter(|&i| rising[i] == which).map(value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn two_bandwidth_bound_kernels_halve() {
        assert_eq!(speeds(&[[0.1, 1.0], [0.1, 1.0]]), vec![0.5, 0.5]);
    }

    #[test]
    fn disjoint_work_does_not_disturb() {
        assert_eq!(speeds(&[[1.0, 0.0], [0.0, 1.0]]), vec![1.0, 1.0]);
    }

    #[test]
    fn a_light_user_of_a_full_resource_keeps_its_half() {
        let s = speeds(&[[1.0, 0.0], [0.5, 0.0], [0.0, 1.0]]);
        assert_eq!(s, vec![0.5, 1.0, 1.0]);
        // What a light one leaves, the heavy one takes.
        assert_eq!(speeds(&[[1.0, 0.0], [0.25, 0.0]]), vec![0.75, 1.0]);
    }

    /// A piece that could use more of a resource does not take more from the others.
    #[test]
    fn wanting_more_takes_nothing_from_others() {
        let other = |want: f64| speeds(&[[want, 0.0], [0.65, 0.3]])[1];
        assert_eq!(other(0.62), other(1.0));
    }

    proptest! {
        #[test]
        fn contention_speeds_nobody_up_and_nothing_overflows(
            uses in prop::collection::vec(prop::array::uniform3(0.0f64..1.0), 1..8)
        ) {
            let s = speeds(&uses);
            for r in 0..3 {
                let used: f64 = s.iter().zip(&uses).map(|(s, u)| s * u[r]).sum();
                prop_assert!(used <= 1.0 + 1e-5);
            }
            prop_assert!(s.iter().all(|s| *s > 0.0 && *s <= 1.0));
            // Someone is always limited by a full resource, or all run at full speed.
            let full = (0..3).any(|r| s.iter().zip(&uses).map(|(s, u)| s * u[r]).sum::<f64>() > 0.999);
            prop_assert!(full || s.iter().all(|s| *s >= 1.0 - 1e-9));
        }
    }
}
