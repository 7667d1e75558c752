//! What is known of a design point, by name with its unit.

use crate::study::{MEANINGS, Metrics};

type Read = fn(&Metrics, f64) -> Option<f64>;

const ALL: &[(&str, Read)] = &[
    ("frame_time_ms", |m, _| m.frame_ms),
    ("fps", |m, _| m.frames_per_s),
    ("speedup", |m, _| m.speedup),
    ("energy_mj", |m, _| m.energy_mj),
    ("power_w", |m, _| Some(m.energy_mj? / m.frame_ms?)),
    ("area_mm2", |m, _| m.area_mm2),
    ("gpu_area_mm2", |_, die| Some(die)),
    ("total_area_mm2", |m, die| Some(m.area_mm2? + die)),
    ("fps_per_w", |m, _| m.frames_per_j),
    ("fps_per_mm2", |m, _| m.frames_per_s_mm2),
    ("gpu_alone_ms", |m, _| m.gpu_alone_ms),
    ("as_published_ms", |m, _| m.as_published_ms),
    ("as_published_speedup", |m, _| m.as_published_speedup),
    ("accelerator_ms", |m, _| m.accelerator_ms),
    ("gpu_ms", |m, _| m.gpu_ms),
    ("contention_ms", |m, _| m.contention_ms),
    ("bank_ms", |m, _| m.bank_ms),
    ("table_ms", |m, _| m.table_ms),
    ("hit_pct", |m, _| m.hit_pct),
    ("conflict_cycles", |m, _| m.conflict_cycles),
    ("encoding_busy_pct", |m, _| m.encoding_busy_pct),
    ("mlp_busy_pct", |m, _| m.mlp_busy_pct),
    ("accelerator_dram_gb", |m, _| m.accelerator_dram_gb),
    ("link_gb_per_s", |m, _| m.link_gb_per_s),
    ("scene_switch_ms", |m, _| m.scene_switch_ms),
    ("table_mib", |m, _| m.table_mib),
];

/// Meanings of those that studies do not have, or under another name.
const OWN: &[(&str, &str)] = &[
    ("frame_time_ms", "Frame time, in ms."),
    ("fps", "Frames a second."),
    ("power_w", "Mean power over a frame, in W."),
    ("gpu_area_mm2", "Die of the GPU, in mm²."),
    ("total_area_mm2", "Accelerator and die of the GPU, in mm²."),
    ("fps_per_w", "Frames a second and watt (which is frames per joule)."),
    ("fps_per_mm2", "Frames a second per mm² of GPU and accelerator."),
];

/// What a metric means.
pub fn meaning(name: &str) -> &'static str {
    let known = OWN.iter().chain(MEANINGS).find(|(known, _)| *known == name);
    known.map_or("", |(_, meaning)| meaning.trim_ascii())
}

/// Number of metrics.
pub const COUNT: usize = ALL.len();

/// Names of metrics, in the order of columns: times in ms, energy in mJ of a frame, mean power in
/// W, areas in mm² (`area_mm2` is the accelerator's, from its parts).
pub const NAMES: [&str; COUNT] = {
    let mut names = [""; COUNT];
    let mut index = 0;
    while index < COUNT {
        names[index] = ALL[index].0;
        index += 1;
    }
    names
};

/// Values in that order; not a number where there is none.
pub(super) fn values(metrics: &Metrics, die_mm2: f64) -> Vec<f64> {
    ALL.iter().map(|(_, read)| read(metrics, die_mm2).unwrap_or(f64::NAN)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_a_meaning() {
        for name in NAMES {
            assert!(meaning(name).ends_with('.'), "{name}");
        }
    }
}
