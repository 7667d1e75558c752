//! A frame on a GPU with an accelerator beside it: the accelerator takes encodings and networks,
//! the GPU the rest, batch after batch on one clock and one memory system.
//!
//! Two readings of the same frame: *as published*, with the assumptions of the accelerator's paper,
//! and *as built*, with what they leave out. The difference is taken apart by adding one cause after
//! the other. Each round of a frame is cut into batches; a batch's next round waits for its answers,
//! other batches run meanwhile. Left out: splitting kernels changes their occupancy, and host work
//! beside launching.

mod result;
mod timeline;

use std::sync::Arc;

use lumacycle_arch::{Accelerator, AcceleratorEntry};
use lumacycle_engines::accelerator::published::{Inputs, emulate};
use lumacycle_engines::accelerator::{
    AcceleratorEngine, AreaUse, Counted, Home, NetworkUse, Plan, Queries, QueryCost, Unit,
};
use lumacycle_engines::{EngineError, Traffic};
use lumacycle_workloads::apps::{Application, Kind, Part};
use lumacycle_workloads::ops::Operation;

use crate::frame::GpuFrame;
use crate::schedule;

pub use result::{AcceleratedFrame, Cause, LevelRow, UnitRow};
use timeline::{Stretch, Timeline};

/// Bytes of an encoded direction: sixteen halves.
const DIRECTION_BYTES: f64 = 32.0;
/// Most batches that a round is cut into.
const MOST_BATCHES: f64 = 256.0;

/// A visit to the accelerator.
#[derive(Debug, Clone, Copy)]
struct Visit {
    samples: f64,
    useful: f64,
}

/// The frame as GPU and accelerator see it: a stretch before each visit, and one at the end.
struct Split {
    before: Vec<(Stretch, Visit)>,
    last: Stretch,
    /// All kernels beside encoding and networks, also those that the accelerator makes needless.
    all_rest_ns: f64,
}

impl GpuFrame<'_> {
    /// The same frame with an accelerator beside the GPU. `app` and the width of the scene's cube
    /// say what is asked of it.
    ///
    /// # Errors
    /// When the accelerator cannot take this application.
    pub fn accelerate(
        &self,
        app: &Application,
        scene_scale: u32,
        entry: &AcceleratorEntry,
    ) -> Result<AcceleratedFrame, EngineError> {
        let accelerator = &entry.accelerator;
        let engine = AcceleratorEngine::new(accelerator, &self.entry.gpu, self.options);
        let plan = engine.plan(self.queries(app, scene_scale, accelerator))?;
        let split = self.split(accelerator);
        if split.before.is_empty() {
            return Err(EngineError::Accelerator {
                path: "accelerator",
                what: "this frame asks no network that the accelerator could answer".to_owned(),
                help: "check what the camera sees; whole renderers (rest = \"renderer\") stay on the GPU",
            });
        }
        Ok(self.assemble(entry, &plan, &split))
    }

    /// What the paper's emulator would be told of this frame.
    ///
    /// # Errors
    /// When the networks do not fit the accelerator.
    pub fn emulator_inputs(
        &self,
        app: &Application,
        scene_scale: u32,
        entry: &AcceleratorEntry,
    ) -> Result<Inputs, EngineError> {
        let accelerator = &entry.accelerator;
        let networks = self.queries(app, scene_scale, accelerator).networks;
        let network = NetworkUse::of(accelerator, &networks)?;
        Ok(self.inputs_of(&self.split(accelerator), &network))
    }

    fn inputs_of(&self, split: &Split, network: &NetworkUse) -> Inputs {
        Inputs {
            gpu_ns: self.result().frame_ms * 1e6,
            rest_ns: split.all_rest_ns,
            samples: split.before.iter().map(|(_, visit)| visit.useful).sum(),
            passes: network.passes,
        }
    }

    fn queries(&self, app: &Application, scale: u32, accelerator: &Accelerator) -> Queries {
        let radiance = app.kind == Kind::Nerf;
        let (mut launches, mut spread) = (Vec::new(), Vec::new());
        let mut record_bytes = 0.0;
        for launch in &self.frame.launches {
            if let Operation::GridEncoding(encoding) = &launch.operation {
                record_bytes = encoding.position_stride_bytes;
                let samples = encoding.samples as f64;
                let known = encoding.positions.resolve(encoding.samples);
                let round = self.frame.walk.as_ref().and_then(|w| w.rounds.get(launch.round));
                let round = round.filter(|round| round.elements == encoding.samples);
                let all = round.map_or_else(|| Arc::clone(&known), |r| Arc::clone(&r.spread));
                spread.push((all, samples));
                launches.push((known, samples));
            }
        }
        let outputs = app.colour.as_ref().map_or(app.network.outputs, |colour| colour.outputs + 1);
        let own = accelerator.policy.encodes_directions;
        Queries {
            grid: app.grid(scale),
            networks: app.networks(1),
            record_bytes,
            direction_bytes: if radiance && !own { DIRECTION_BYTES } else { 0.0 },
            answer_bytes: f64::from(outputs) * 2.0,
            launches,
            spread,
        }
    }

    fn split(&self, accelerator: &Accelerator) -> Split {
        let mut before: Vec<(Stretch, Visit)> = Vec::new();
        let mut open = Stretch::default();
        let mut all_rest_ns = 0.0;
        for (launch, priced) in self.frame.launches.iter().zip(&self.launches) {
            let Some(priced) = priced else { continue };
            match launch.part {
                Part::Encoding => {
                    let Operation::GridEncoding(encoding) = &launch.operation else { continue };
                    let samples = encoding.samples as f64;
                    let round = self.frame.walk.as_ref().and_then(|w| w.rounds.get(launch.round));
                    let useful = round
                        .filter(|round| round.elements == encoding.samples)
                        .map_or(samples, |round| round.useful);
                    before.push((std::mem::take(&mut open), Visit { samples, useful }));
                }
                Part::Rest => {
                    all_rest_ns += launch.times * priced.time_ns();
                    match launch.name {
                        // The accelerator hands the density on itself.
                        "extract density" => {}
                        "encode directions" if accelerator.policy.encodes_directions => {}
                        // Directions are wanted together with positions.
                        "encode directions" => match before.last_mut() {
                            Some((stretch, _)) => stretch.add(launch.times, priced),
                            None => open.add(launch.times, priced),
                        },
                        _ => open.add(launch.times, priced),
                    }
                }
                Part::Mlp | Part::Renderer => {}
            }
        }
        Split { before, last: open, all_rest_ns }
    }

    fn assemble(
        &self,
        entry: &AcceleratorEntry,
        plan: &Plan<'_>,
        split: &Split,
    ) -> AcceleratedFrame {
        let accelerator = &entry.accelerator;
        let alone = self.result();
        let samples: f64 = split.before.iter().map(|(_, visit)| visit.samples).sum();
        let useful: f64 = split.before.iter().map(|(_, visit)| visit.useful).sum();
        let inputs = self.inputs_of(split, &plan.network);
        let published = emulate(accelerator, &inputs);
        let rest_ns = split.last.time_ns
            + split.before.iter().map(|(stretch, _)| stretch.time_ns).sum::<f64>();
        let overlapped = |accelerator_ns: f64| {
            if accelerator.policy.overlaps_gpu {
                accelerator_ns.max(rest_ns)
            } else {
                accelerator_ns + rest_ns
            }
        };
        let of = |samples: f64, counted| {
            let own = plan.cost(samples, true, counted).time_ns;
            (overlapped(own), own)
        };
        let banks = Counted { banks: true, ..Counted::NONE };
        let tables = Counted { tables: true, ..banks };
        let undisturbed = self.run(plan, split, false);
        let built = self.run(plan, split, true);
        let steps = [
            (
                "the GPU's other kernels take the time they are modelled with",
                of(useful, Counted::NONE),
            ),
            ("samples behind the end of a ray, and empty slots", of(samples, Counted::NONE)),
            ("banks of grid_sram conflict", of(samples, banks)),
            ("tables exceed grid_sram", of(samples, tables)),
            (
                "batches wait for each other, fill and drain, launch",
                (undisturbed.frame_ns, undisturbed.accelerator_ns),
            ),
            ("GPU and accelerator contend for L2 and DRAM", (built.frame_ns, built.accelerator_ns)),
        ];
        let mut before = published.frame_ns;
        let causes = steps.map(|(cause, (ns, accelerator_ns))| {
            let row = Cause {
                cause,
                frame_ms: ns / 1e6,
                adds_ms: (ns - before) / 1e6,
                accelerator_ms: accelerator_ns / 1e6,
            };
            before = ns;
            row
        });
        let gpu = &self.entry.gpu;
        let idle_ns = (built.frame_ns - built.gpu_ns).max(0.0);
        let moved_pj = built.traffic.l2_bytes * gpu.power.l2_byte.pj()
            + (built.traffic.dram_read_bytes + built.traffic.dram_write_bytes)
                * gpu.dram.energy_per_byte.pj();
        let accelerator_pj = built.energy_pj + moved_pj + plan.idle_w() * built.frame_ns * 1e3;
        let rest_pj = split.last.energy_pj
            + split.before.iter().map(|(stretch, _)| stretch.energy_pj).sum::<f64>();
        let energy_pj = rest_pj + accelerator_pj + gpu.power.idle.watts() * idle_ns * 1e3;
        let area = AreaUse::of(accelerator);
        AcceleratedFrame {
            accelerator: entry.id.clone(),
            accelerator_name: accelerator.accelerator.name.clone(),
            units: accelerator.accelerator.units,
            frame_ms: built.frame_ns / 1e6,
            frames_per_s: 1e9 / built.frame_ns,
            speedup: alone.frame_ms * 1e6 / built.frame_ns,
            gpu_alone_ms: alone.frame_ms,
            as_published_ms: published.frame_ns / 1e6,
            as_published_speedup: published.speedup,
            causes: causes.to_vec(),
            accelerator_ms: built.accelerator_ns / 1e6,
            gpu_ms: built.gpu_ns / 1e6,
            bound_by: built.bound_by,
            busy: built.busy,
            levels: levels(plan),
            samples,
            useful_samples: useful,
            batches: built.batches,
            traffic: built.traffic,
            l2_hit_pct: plan.l2_hit() * 100.0,
            link_gb_per_s: built.traffic.l2_bytes / built.frame_ns,
            energy_mj: energy_pj / 1e9,
            accelerator_mj: accelerator_pj / 1e9,
            gpu_alone_mj: alone.energy_mj,
            area_mm2: area.total_mm2(),
            area,
            published_area_mm2: accelerator.published.unit_area.mm2()
                * f64::from(accelerator.accelerator.units),
            scene_switch_ms: plan.switch_ns() / 1e6,
            assumptions: assumptions(accelerator, plan),
        }
    }

    /// Runs the frame on one clock; with `contention`, GPU and accelerator share L2 and DRAM.
    fn run(&self, plan: &Plan<'_>, split: &Split, contention: bool) -> Built {
        let accelerator = plan.accelerator();
        let mut line = Timeline::new(self, accelerator.policy.overlaps_gpu, contention);
        let batch = f64::from(accelerator.policy.batch);
        let held = self.entry.gpu.l2.capacity.bytes() / 2.0;
        let mut built = Built::default();
        let mut longest = 0.0;
        for (stretch, visit) in &split.before {
            let batches = (visit.samples / batch).ceil().clamp(1.0, MOST_BATCHES);
            let part = visit.samples / batches;
            // One batch is written while another is read.
            let in_l2 = 2.0 * part * plan.batch_bytes_per_sample() <= held;
            let cost = plan.cost(part, in_l2, Counted::ALL);
            built.batches = built.batches.max(batches as u32);
            built.add(&cost, batches);
            if cost.time_ns * batches > longest {
                (longest, built.bound_by) = (cost.time_ns * batches, cost.binding);
            }
            line.visit(stretch, &cost, batches as usize);
        }
        line.finish(&split.last);
        built.gpu_ns = line.gpu_ns;
        let ran = schedule::run(&line.graph);
        built.frame_ns = ran.iter().map(|r| r.end_ps).max().unwrap_or(0) as f64 / 1e3;
        built.finish();
        built
    }
}

/// Sums of a run.
#[derive(Default)]
struct Built {
    frame_ns: f64,
    gpu_ns: f64,
    accelerator_ns: f64,
    batches: u32,
    bound_by: Unit,
    busy: Vec<UnitRow>,
    traffic: Traffic,
    energy_pj: f64,
}

impl Built {
    fn add(&mut self, cost: &QueryCost, batches: f64) {
        self.accelerator_ns += cost.time_ns * batches;
        self.traffic += cost.traffic.times(batches);
        self.energy_pj += cost.energy_pj * batches;
        for &(unit, share) in &cost.busy {
            let ns = share * cost.time_ns * batches;
            match self.busy.iter_mut().find(|row| row.unit == unit) {
                Some(row) => row.busy_pct += ns,
                None => self.busy.push(UnitRow { unit, busy_pct: ns }),
            }
        }
    }

    /// Turns busy times into shares of the frame.
    fn finish(&mut self) {
        for row in &mut self.busy {
            row.busy_pct *= 100.0 / self.frame_ns.max(f64::MIN_POSITIVE);
        }
    }
}

fn levels(plan: &Plan<'_>) -> Vec<LevelRow> {
    let rows = plan.encoding.levels.iter().enumerate();
    rows.map(|(number, level)| LevelRow {
        level: number,
        resolution: level.placed.level.resolution,
        table_mib: level.placed.bytes / 1_048_576.0,
        home: level.placed.home,
        hit_pct: level.hit * 100.0,
        cycles: level.cycles,
        conflict_cycles: level.conflict_cycles,
        missed_lines: level.missed_lines,
    })
    .collect()
}

fn assumptions(accelerator: &Accelerator, plan: &Plan<'_>) -> Vec<String> {
    let policy = &accelerator.policy;
    let cached = plan.placement.levels.iter().filter(|l| l.home != Home::Resident).count();
    let mut list = vec![format!(
        "{} processors at {}, tables of {} bits, batches of {} samples",
        accelerator.accelerator.units,
        accelerator.accelerator.clock,
        policy.feature_bits,
        policy.batch
    )];
    if cached > 0 {
        list.push(
            format!("{cached} levels exceed their memory (policy {:?})", policy.tables)
                .to_lowercase(),
        );
    }
    if plan.queries().direction_bytes > 0.0 {
        list.push("the GPU encodes directions".to_owned());
    }
    list.push("tables stay loaded from frame to frame".to_owned());
    list
}
