//! The sample of lookups against every lookup of whole small frames.

use super::*;
use crate::accelerator::network::NetworkUse;
use lumacycle_arch::Catalog;
use lumacycle_arch::units::Bytes;
use lumacycle_workloads::apps::Application;
use lumacycle_workloads::rays::{RayMarching, Rounds, SphereTracing, View, Walk, walk};
use lumacycle_workloads::scene::Scene;

const WIDTH: u32 = 320;
const HEIGHT: u32 = 180;

/// A frame of which every ray is walked in launch order.
fn whole(app: &str, scene: &str) -> (Application, Walk, u32) {
    let app = Application::shipped(app).unwrap().unwrap();
    let scene = Scene::shipped(scene).unwrap();
    let view = View { camera: scene.path.at(0.5).unwrap(), width: WIDTH, height: HEIGHT };
    // Rounds as small as those of a large image are to its processors; nothing mixes.
    let rounds = Rounds {
        windowed: WIDTH * HEIGHT,
        target: 131_072.0,
        most_steps: 4,
        in_flight: 0.0,
        ..Rounds::default()
    };
    let walked = if app.name == "nerf" {
        walk(&scene, &view, &RayMarching::new(&scene, 0.01), &rounds).unwrap()
    } else {
        walk(&scene, &view, &SphereTracing::new(&scene).unwrap(), &rounds).unwrap()
    };
    (app, walked, scene.aabb_scale)
}

/// Lines that one processor fetches per sample of a level, every sample of the frame walked,
/// after a frame that has filled its memory.
fn exactly(a: &Accelerator, grid: &Grid, placed: &Placed, walked: &Walk) -> f64 {
    let line_bytes = a.policy.line.bytes();
    let mut cache = Cache::new(placed.room_bytes, line_bytes, a.policy.ways, 1);
    let (mut missed, mut samples) = (0.0_f64, 0.0_f64);
    for frame in 0..2 {
        for round in &walked.rounds {
            let launch: Vec<[f32; 3]> =
                round.samples.windows.iter().flat_map(|w| w.positions.clone()).collect();
            for batch in launch.chunks(a.policy.batch as usize) {
                let slice = batch.len().div_ceil(a.accelerator.units as usize);
                for position in batch.iter().take(slice) {
                    let mut lines: Vec<u64> = grid.entries_of(&placed.level, *position)
                        [..grid.corners()]
                        .iter()
                        .map(|entry| (f64::from(*entry) * 4.0 / line_bytes) as u64)
                        .collect();
                    lines.sort_unstable();
                    lines.dedup();
                    for line in lines {
                        let hit = cache.access(line, hash_of(line), 0);
                        missed += f64::from(u8::from(!hit && frame == 1));
                    }
                    samples += f64::from(frame);
                }
            }
        }
    }
    missed / samples.max(1.0)
}

/// The sample of slices and places against every lookup of a frame.
#[test]
fn misses_of_a_sample_are_those_of_the_frame() {
    for (app, scene) in [("nsdf", "statue"), ("nerf", "room")] {
        let (app, walked, scale) = whole(app, scene);
        let grid = app.grid(scale);
        let mut a = Catalog::embedded().accelerator("ngpc-8").unwrap().accelerator;
        a.policy.batch = 16_384;
        a.grid_sram.capacity = Bytes::new(131_072.0);
        let elements = |r: &lumacycle_workloads::rays::Round| r.elements as f64;
        let queries = Queries {
            grid: grid.clone(),
            networks: app.networks(1),
            record_bytes: 12.0,
            directional: false,
            answer_bytes: 2.0,
            launches: walked.rounds.iter().map(|r| (Arc::clone(&r.samples), elements(r))).collect(),
            places: walked.rounds.iter().map(|r| Arc::clone(&r.places)).collect(),
            memo: None,
        };
        assert!(NetworkUse::of(&a, &queries.networks).is_ok());
        let placement = Placement::of(&a, &grid).unwrap();
        let used = EncodingUse::of(&a, &placement, &queries).unwrap();
        let (mut ours, mut exact) = (0.0, 0.0);
        for level in &used.levels {
            if level.placed.home == Home::Resident {
                continue;
            }
            let truth = exactly(&a, &grid, &level.placed, &walked);
            ours += level.missed_lines;
            exact += truth;
        }
        assert!((ours / exact - 1.0).abs() < 0.15, "{}: {ours} {exact}", app.name);
    }
}
