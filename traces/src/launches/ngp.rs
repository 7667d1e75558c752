//! What the launches of instant-ngp work on.
//!
//! A launch shows how many samples it handles but not where they lie. Frames and training steps
//! are recognised by their kernels; each lookup then gets the samples of a scene of our own at the
//! same point of its frame (the same share of all steps), scaled to the recorded size. The
//! parameter count, which initialisation or optimizer launches show, tells the scene's cube and
//! with it the tables. Left out: launches that this pattern does not explain.

use std::sync::Arc;

use lumacycle_workloads::apps::{rest, training};
use lumacycle_workloads::encoding::{Grid, GridKind, Interpolation};
use lumacycle_workloads::ops::{FusedMlp, GridEncoding, Operation, PerThread, Recorded};
use lumacycle_workloads::rays::{RayMarching, Round, Rounds, Spread, View, Walk, walk};
use lumacycle_workloads::samples::{Positions, SampleSet};
use lumacycle_workloads::scene::Scene;

use super::Row;

/// Weights of both networks beside the tables.
const NETWORK_WEIGHTS: u64 = 10_240;
/// Stand-in for scenes without bounds, and for single objects.
const UNBOUNDED: &str = "room";
const OBJECT: &str = "digger";
/// Bytes from one position to the next: sample records, and bare positions of cells.
const RECORD_STRIDE: f64 = 28.0;
const CELL_STRIDE: f64 = 12.0;
/// Inputs of both networks and outputs of both, padded.
const INPUTS: u32 = 32;
const OUTPUTS: u32 = 16;

/// What part of a run a launch belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    None,
    /// A rendered frame, by number.
    Frame(usize),
    /// Samples of a batch, before they are compacted.
    Marched,
    /// Samples that gradients are taken of.
    Counted,
    /// Cells of the occupancy grid.
    Cells,
}

/// Role and work of each row; `(None, None)` where nothing is known.
pub(super) fn understand(rows: &[Row]) -> Vec<(Option<String>, Option<Operation>)> {
    if !rows.iter().any(|row| function(&row.kernel) == "kernel_grid") {
        return vec![(None, None); rows.len()];
    }
    let run = Run::new(rows);
    let mut state = State::default();
    rows.iter().enumerate().map(|(index, row)| run.row(index, row, &mut state)).collect()
}

/// A kernel's name without namespaces and arguments.
pub(super) fn function(name: &str) -> &str {
    let head = name.split(['<', '(']).next().unwrap_or_default();
    head.rsplit("::").next().unwrap_or_default().trim_start_matches("void ").trim()
}

/// Whole numbers among the template arguments of a name.
fn numbers(name: &str) -> Vec<u32> {
    let arguments = name.split_once('<').map_or("", |(_, rest)| rest);
    let arguments = arguments.split(">(").next().unwrap_or_default();
    arguments
        .split(',')
        .filter_map(|argument| {
            let argument = argument.trim();
            let bare = argument.rsplit(')').next().unwrap_or_default();
            bare.trim_end_matches(['u', '>']).parse().ok()
        })
        .collect()
}

fn threads(row: &Row) -> u64 {
    row.launch.ctas() * row.launch.threads()
}

#[derive(Debug, Default)]
struct State {
    /// Which network comes next on each stream.
    colour_next: Vec<(u32, bool)>,
    /// Backward networks so far.
    backward: u64,
}

/// A round of a recorded frame.
#[derive(Debug, Clone, Copy, Default)]
struct FrameRound {
    alive: u64,
    steps: f64,
    /// Steps before it, in all.
    before: f64,
}

struct Run {
    phases: Vec<Phase>,
    /// Round of each row within its frame.
    round_of: Vec<usize>,
    /// Rounds of each frame.
    frames: Vec<Vec<FrameRound>>,
    grid: Grid,
    cascades: bool,
    walk: Option<Walk>,
    marched: Arc<SampleSet>,
    counted: Arc<SampleSet>,
    /// Samples of the batch that follows each row that makes samples, and rays of it.
    batches: Vec<(u64, u64)>,
    batch_of: Vec<usize>,
    /// What the rays of a stand-in batch look like.
    batch: Option<training::Batch>,
    /// Parameters that get a gradient in a step.
    touched: f64,
}

impl Run {
    fn new(rows: &[Row]) -> Self {
        let (phases, round_of, frames) = frames(rows);
        let first_grid = rows.iter().find(|row| function(&row.kernel) == "kernel_grid");
        let features = first_grid.and_then(|row| numbers(&row.kernel).get(1).copied()).unwrap_or(4);
        let levels = first_grid.map_or(8, |row| row.launch.grid[1].max(1));
        let parameters = parameters(rows);
        let (grid, scale) = tables(levels, features, parameters);
        let name = if scale > 1 { UNBOUNDED } else { OBJECT };
        let mut run = Self {
            phases,
            round_of,
            frames,
            grid,
            cascades: scale > 1,
            walk: None,
            marched: Arc::default(),
            counted: Arc::default(),
            batches: Vec::new(),
            batch_of: vec![0; rows.len()],
            batch: None,
            touched: 0.0,
        };
        let Some(scene) = Scene::shipped(name) else { return run };
        if !run.frames.is_empty() {
            run.walk = stand_in_walk(rows, &scene);
        }
        if run.phases.contains(&Phase::Marched) {
            let batch = training::batch(&scene);
            run.marched = Arc::clone(&batch.marched);
            run.counted = Arc::clone(&batch.counted);
            run.touched = training::touched_parameters(&run.grid, &batch.counted, training::BATCH);
            run.batch = Some(batch);
        }
        run.count_batches(rows);
        run
    }

    fn count_batches(&mut self, rows: &[Row]) {
        for (index, row) in rows.iter().enumerate() {
            match function(&row.kernel) {
                "generate_training_samples_nerf" => self.batches.push((threads(row), 0)),
                "kernel_grid" if self.phases[index] == Phase::Marched => {
                    if let Some(batch) = self.batches.last_mut() {
                        batch.1 = samples_of_grid(row);
                    }
                }
                _ => {}
            }
            self.batch_of[index] = self.batches.len().saturating_sub(1);
        }
    }

    /// The stand-in's round at the same share of all steps.
    fn round(&self, index: usize) -> Option<(usize, &Round, FrameRound)> {
        let Phase::Frame(frame) = self.phases[index] else { return None };
        let walk = self.walk.as_ref()?;
        let rounds = self.frames.get(frame)?;
        let recorded = *rounds.get(self.round_of[index])?;
        let all: f64 = rounds.last().map(|last| last.before + last.steps)?;
        let share = recorded.before / all.max(1.0);
        let total: f64 = walk.rounds.iter().map(|round| f64::from(round.steps)).sum();
        let mut before = 0.0;
        for (number, round) in walk.rounds.iter().enumerate() {
            before += f64::from(round.steps);
            if before > share * total {
                return Some((number, round, recorded));
            }
        }
        walk.rounds.last().map(|round| (walk.rounds.len() - 1, round, recorded))
    }

    /// A round of the recorded size that walks as the stand-in's does.
    fn sized(round: &Round, alive: u64, steps: f64) -> Round {
        let all = alive as f64 * steps / (round.alive * f64::from(round.steps)).max(1.0);
        Round {
            alive: alive as f64,
            steps: steps as u32,
            elements: (alive as f64 * steps) as u64,
            used: round.used * all,
            useful: round.useful * all,
            samples: Arc::default(),
            ..round.clone()
        }
    }

    fn row(
        &self,
        index: usize,
        row: &Row,
        state: &mut State,
    ) -> (Option<String>, Option<Operation>) {
        let name = function(&row.kernel);
        let recorded = Some(Recorded { launch: row.launch, compute_capability: 0 });
        let items = threads(row);
        let per_thread = |mut work: PerThread| {
            work.recorded = recorded;
            Operation::PerThread(work)
        };
        let colour = state.colour_next.iter_mut().find(|(stream, _)| *stream == row.stream);
        match (name, colour) {
            ("kernel_grid", Some((_, next))) => *next = false,
            ("kernel_sh", Some((_, next))) => *next = true,
            ("kernel_grid" | "kernel_sh", None) => {
                state.colour_next.push((row.stream, name == "kernel_sh"));
            }
            _ => {}
        }
        let found = match name {
            "kernel_grid" | "kernel_grid_backward" => self.lookup(index, row, recorded),
            "kernel_mlp_fused_backward" => {
                // Backwards the colour network comes first.
                state.backward += 1;
                Some(self.network(index, row, state.backward % 2 == 1, recorded))
            }
            "kernel_mlp_fused" => {
                let is_colour = state.colour_next.iter().any(|&(s, next)| s == row.stream && next);
                Some(self.network(index, row, is_colour, recorded))
            }
            "kernel_sh" => {
                Some(("directions".to_owned(), per_thread(rest::directions(items as f64))))
            }
            "extract_density" | "add_density_gradient" => {
                let frame = matches!(self.phases[index], Phase::Frame(_));
                let work = if frame { rest::extract } else { rest::extract_from_rows };
                let role = if frame { "density" } else { "density of rows" };
                Some((role.to_owned(), per_thread(work(items as f64))))
            }
            "init_rays_with_payload_kernel_nerf" => {
                Some(("rays".to_owned(), per_thread(rest::init_rays(items as f64))))
            }
            "tonemap_kernel" | "accumulate_kernel" => {
                Some(("pixels".to_owned(), per_thread(rest::tonemap(items as f64))))
            }
            "shade_kernel_nerf" => {
                Some(("pixels".to_owned(), per_thread(rest::shade(items as f64))))
            }
            "advance_pos_nerf_kernel" => self.walk.as_ref().map(|walk| {
                let walk = Walk { rays: items as f64, ..walk.clone() };
                ("first cells".to_owned(), per_thread(rest::advance(&walk, self.cascades)))
            }),
            "compact_kernel_nerf" => {
                let after = self.round(index).map_or(items, |(_, _, recorded)| recorded.alive);
                let work = rest::compact(items as f64, after.min(items) as f64);
                Some(("rays".to_owned(), per_thread(work)))
            }
            "generate_next_nerf_network_inputs" => {
                self.round(index).map(|(number, round, recorded)| {
                    let sized = Self::sized(round, items, recorded.steps);
                    (format!("round {number}"), per_thread(rest::generate(&sized, self.cascades)))
                })
            }
            "composite_kernel_nerf" => self.round(index).map(|(number, round, recorded)| {
                let sized = Self::sized(round, items, recorded.steps);
                (format!("round {number}"), per_thread(rest::composite(&sized)))
            }),
            "generate_training_samples_nerf" | "compute_loss_kernel_train_nerf" => {
                self.batch(index).map(|batch| {
                    let (role, work) = if name.starts_with("generate") {
                        ("samples", training::make_samples(&batch, self.cascades))
                    } else {
                        ("loss", training::loss(&batch))
                    };
                    (format!("{role} {:.0}", batch.marched_per_ray.mean), per_thread(work))
                })
            }
            "ema_step_half_precision" => {
                Some(("average".to_owned(), per_thread(training::average(items as f64))))
            }
            "adam_step" => {
                let work = training::adam(items as f64, self.touched + NETWORK_WEIGHTS as f64);
                Some(("optimizer".to_owned(), per_thread(work)))
            }
            _ => None,
        };
        match found {
            Some((role, work)) if work.validate().is_ok() => (Some(role), Some(work)),
            _ => (None, None),
        }
    }

    fn batch(&self, index: usize) -> Option<training::Batch> {
        let &(rays, samples) = self.batches.get(self.batch_of[index])?;
        let rays = rays.max(1) as f64;
        let like = self.batch.clone()?;
        Some(training::Batch {
            rays,
            marched_per_ray: Spread { mean: samples as f64 / rays, ..like.marched_per_ray },
            counted_per_ray: Spread {
                mean: (training::BATCH as f64 / rays).min(samples as f64 / rays),
                ..like.counted_per_ray
            },
            marched: Arc::default(),
            counted: Arc::default(),
            ..like
        })
    }

    fn lookup(
        &self,
        index: usize,
        row: &Row,
        recorded: Option<Recorded>,
    ) -> Option<(String, Operation)> {
        let backward = function(&row.kernel) == "kernel_grid_backward";
        let samples = if backward {
            u64::from(row.launch.grid[0]) * u64::from(row.launch.block[0])
                / u64::from(self.grid.features.div_ceil(2))
        } else {
            samples_of_grid(row)
        };
        let (role, positions, stride) = match self.phases[index] {
            Phase::Frame(_) => {
                let (number, round, _) = self.round(index)?;
                let samples = Positions::Known(Arc::clone(&round.samples));
                (format!("round {number}"), samples, RECORD_STRIDE)
            }
            Phase::Marched => {
                ("marched".to_owned(), Positions::Known(Arc::clone(&self.marched)), RECORD_STRIDE)
            }
            Phase::Counted => {
                ("counted".to_owned(), Positions::Known(Arc::clone(&self.counted)), RECORD_STRIDE)
            }
            Phase::Cells => ("cells".to_owned(), Positions::Scattered, CELL_STRIDE),
            Phase::None => return None,
        };
        let work = GridEncoding {
            grid: self.grid.clone(),
            samples,
            positions,
            position_stride_bytes: stride,
            backward,
            recorded,
        };
        Some((role, Operation::GridEncoding(work)))
    }

    fn network(
        &self,
        index: usize,
        row: &Row,
        colour: bool,
        recorded: Option<Recorded>,
    ) -> (String, Operation) {
        let numbers = numbers(&row.kernel);
        let width = numbers.first().copied().unwrap_or(64);
        let rows_per_cta = 16 * numbers.get(1).copied().unwrap_or(8);
        let backward = function(&row.kernel) == "kernel_mlp_fused_backward";
        let training = self.phases[index] == Phase::Counted && !backward;
        let mlp = FusedMlp {
            width,
            hidden_layers: if colour { 2 } else { 1 },
            inputs: INPUTS,
            outputs: OUTPUTS,
            samples: u64::from(row.launch.grid[0]) * u64::from(rows_per_cta),
            rows_per_cta,
            inputs_by_row: false,
            training,
            backward,
            recorded,
        };
        let role = if colour { "colour network" } else { "density network" };
        let role = if training { format!("{role}, training") } else { role.to_owned() };
        (role, Operation::FusedMlp(mlp))
    }
}

fn samples_of_grid(row: &Row) -> u64 {
    u64::from(row.launch.grid[0]) * u64::from(row.launch.block[0])
}

/// Phase and round of each row, and the rounds of each frame.
fn frames(rows: &[Row]) -> (Vec<Phase>, Vec<usize>, Vec<Vec<FrameRound>>) {
    let mut phase = Phase::None;
    let (mut phases, mut rounds) = (Vec::new(), Vec::new());
    let mut frames: Vec<Vec<FrameRound>> = Vec::new();
    let mut round = 0;
    for row in rows {
        match function(&row.kernel) {
            "init_rays_with_payload_kernel_nerf" => {
                frames.push(Vec::new());
                phase = Phase::Frame(frames.len() - 1);
                round = 0;
            }
            "generate_training_samples_nerf" => phase = Phase::Marched,
            "compute_loss_kernel_train_nerf" => phase = Phase::Counted,
            "generate_grid_samples_nerf_nonuniform" => phase = Phase::Cells,
            "generate_next_nerf_network_inputs" => {
                if let (Phase::Frame(frame), alive) = (phase, threads(row)) {
                    round = frames[frame].len();
                    frames[frame].push(FrameRound { alive, ..FrameRound::default() });
                }
            }
            "kernel_grid" => {
                if let Phase::Frame(frame) = phase
                    && let Some(last) = frames[frame].last_mut()
                {
                    last.steps += samples_of_grid(row) as f64 / last.alive.max(1) as f64;
                }
            }
            _ => {}
        }
        phases.push(phase);
        rounds.push(round);
    }
    for frame in &mut frames {
        let mut before = 0.0;
        for round in frame {
            round.steps = round.steps.round().max(1.0);
            round.before = before;
            before += round.steps;
        }
    }
    (phases, rounds, frames)
}

/// Parameters of the whole model, from a launch with a thread for each.
fn parameters(rows: &[Row]) -> Option<u64> {
    let of = |word: &str| rows.iter().filter(|row| row.kernel.contains(word)).map(threads).max();
    of("adam_step").or_else(|| of("tcnn::Trainer<"))
}

/// Tables of that many parameters: the scene's cube is the one that explains them.
fn tables(levels: u32, features: u32, parameters: Option<u64>) -> (Grid, u32) {
    let grid = |scale: u32| {
        let ratio = 2048.0 * f64::from(scale) / 16.0;
        let growth = ratio.powf(1.0 / f64::from(levels.saturating_sub(1).max(1)));
        Grid {
            dims: 3,
            kind: GridKind::Hash,
            levels,
            features,
            log2_entries: 19,
            base_resolution: 16,
            growth,
            interpolation: Interpolation::Linear,
        }
    };
    let scales = (0..8).map(|power| 1_u32 << power);
    let explained = scales.into_iter().find(|&scale| {
        parameters.is_some_and(|all| {
            let ours = grid(scale).parameters() + NETWORK_WEIGHTS;
            all.abs_diff(ours) < 1024
        })
    });
    let scale = explained.unwrap_or(1);
    (grid(scale), scale)
}

/// Walks the stand-in scene at the recorded image size.
fn stand_in_walk(rows: &[Row], scene: &Scene) -> Option<Walk> {
    let rays =
        rows.iter().find(|row| function(&row.kernel) == "init_rays_with_payload_kernel_nerf")?;
    let compact = rows.iter().find(|row| function(&row.kernel) == "compact_kernel_nerf")?;
    let height = rays.launch.grid[1] * rays.launch.block[1];
    let width = u32::try_from(threads(compact)).ok()? / height.max(1);
    let view = View { camera: scene.path.at(0.5)?, width: width.max(1), height: height.max(1) };
    walk(scene, &view, &RayMarching::new(scene, 0.01), &Rounds::default()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let grid = "tcnn::kernel_grid<__half, (unsigned int)3, (unsigned int)4, (tcnn::HashType)1>(unsigned int";
        assert_eq!((function(grid), numbers(grid)[..2].to_vec()), ("kernel_grid", vec![3, 4]));
        let mlp =
            "tcnn::kernel_mlp_fused<64, 8, __half, (tcnn::Activation)0, true>(tcnn::Activation";
        assert_eq!((function(mlp), numbers(mlp)[..2].to_vec()), ("kernel_mlp_fused", vec![64, 8]));
    }

    /// Parameter counts of a recorded training (object) and a recorded rendering (unbounded).
    #[test]
    fn the_cube_follows_from_the_parameters() {
        assert_eq!(tables(8, 4, Some(91_344 * 128)).1, 1);
        assert_eq!(tables(8, 4, Some(100_512 * 128)).1, 4);
        assert_eq!(tables(8, 4, None).1, 1);
    }
}
