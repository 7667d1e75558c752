//! Methods that know all their points beforehand: full grid, random draws, a Sobol sequence, and one
//! parameter at a time. Point `i` follows from the space and `i` alone, so that any machine can
//! work on any part of them. Left out: Latin hypercubes.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::space::{Method, Setting, Space};

/// Dimensions that the Sobol sequence is known for.
const SOBOL_DIMENSIONS: usize = 256;

/// The design of a point.
pub fn design(space: &Space, point: u64) -> Vec<Setting> {
    let domains = || space.parameters.iter().map(|parameter| &parameter.domain);
    match space.method {
        Method::Grid => {
            // The last parameter changes fastest.
            let mut left = point;
            let mut design: Vec<Setting> = Vec::with_capacity(space.parameters.len());
            for domain in domains().rev() {
                design.push(domain.step(left % domain.len()));
                left /= domain.len();
            }
            design.reverse();
            design
        }
        Method::Oat => {
            let mut design = space.base();
            let mut left = point;
            if left == 0 {
                return design;
            }
            left -= 1;
            for (number, domain) in domains().enumerate() {
                if left < domain.len() {
                    design[number] = domain.step(left);
                    break;
                }
                left -= domain.len();
            }
            design
        }
        Method::Sobol => domains()
            .enumerate()
            .map(|(number, domain)| {
                let set = (number / SOBOL_DIMENSIONS) as u32;
                let seed = space.seed.wrapping_add(set.wrapping_mul(0x9e37_79b9));
                let dimension = (number % SOBOL_DIMENSIONS) as u32;
                domain.at(f64::from(sobol_burley::sample(point as u32, dimension, seed)))
            })
            .collect(),
        Method::Random | Method::Nsga2 | Method::Ask => {
            let mut random = ChaCha8Rng::seed_from_u64(u64::from(space.seed));
            random.set_stream(point);
            domains().map(|domain| domain.at(unit(&mut random))).collect()
        }
    }
}

/// A number in [0, 1) of 53 random bits.
pub(super) fn unit(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn space(search: &str) -> Space {
        let text = format!(
            r#"
name = "test"
question = "?"
[system]
accelerator = "ngpc-8"
[search]
{search}
[[parameter]]
path = "accelerator.accelerator.units"
values = [8, 16, 32]
[[parameter]]
path = "accelerator.grid_sram.capacity"
from = "64 KiB"
to = "4 MiB"
scale = "log"
steps = 7
multiple_of = "4 KiB"
"#
        );
        Space::parse(&text).unwrap()
    }

    fn all(space: &Space) -> Vec<String> {
        let label = |design: Vec<Setting>| {
            let labels = space.parameters.iter().zip(design).map(|(p, s)| p.label(s));
            labels.collect::<Vec<_>>().join(" ")
        };
        (0..space.points).map(|point| label(design(space, point))).collect()
    }

    #[test]
    fn a_grid_has_every_combination_once() {
        let points = all(&space("method = \"grid\""));
        assert_eq!(points.len(), 21);
        assert_eq!(points.iter().collect::<BTreeSet<_>>().len(), 21);
        assert_eq!(
            (&*points[0], &*points[1], &*points[20]),
            ("8 64 KiB", "8 128 KiB", "32 4096 KiB")
        );
    }

    #[test]
    fn one_at_a_time_leaves_the_others_at_their_base() {
        let points = all(&space("method = \"oat\""));
        assert_eq!(points.len(), 11);
        assert_eq!(points[0], "16 512 KiB");
        assert!(points[1..4].iter().all(|point| point.ends_with("512 KiB")));
        assert!(points[4..].iter().all(|point| point.starts_with("16 ")));
    }

    /// Random draws scatter, the sequence fills evenly; both change with the seed only.
    #[test]
    fn draws_are_even_and_depend_on_the_seed() {
        for method in ["random", "sobol"] {
            let of = |seed: u32| {
                all(&space(&format!("method = \"{method}\"\npoints = 600\nseed = {seed}")))
            };
            let points = of(1);
            assert_eq!(points, of(1));
            assert_ne!(points, of(2));
            for units in ["8 ", "16 ", "32 "] {
                let count = points.iter().filter(|point| point.starts_with(units)).count();
                let slack = if method == "sobol" { 4 } else { 60 };
                assert!(count.abs_diff(200) <= slack, "{method} {units} {count}");
            }
        }
    }
}
