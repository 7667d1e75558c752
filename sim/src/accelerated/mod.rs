//! A frame on a GPU with an accelerator beside it: the accelerator takes encodings and networks,
//! the GPU the rest, batch after batch on one clock and one memory system.
//!
//! Two readings of the same frame: *as published*, with the assumptions of the accelerator's paper,
//! and *as built*, with what they leave out. The difference is taken apart by adding one cause after
//! the other. Each round of a frame is cut into batches; a batch's next round waits for its answers,
//! other batches run meanwhile. Left out: splitting kernels changes their occupancy, and host work
//! beside launching.

mod bounds;
mod result;
mod timeline;

use std::sync::Arc;

use lumacycle_arch::{Accelerator, AcceleratorEntry};
use lumacycle_engines::accelerator::published::{Inputs, emulate};
use lumacycle_engines::accelerator::{
    AcceleratorEngine, AreaUse, Counted, Home, NetworkUse, Plan, Queries, QueryCost, Unit,
};
use lumacycle_engines::{EngineError, Traffic};
use lumacycle_workloads::apps::{Application, Kind, Launch, Part, Rest};
use lumacycle_workloads::ops::Operation;

use crate::bounds::Relieved;
use crate::frame::GpuFrame;
use crate::schedule;

pub use bounds::{AcceleratedBound, Side};
pub use result::{AcceleratedFrame, Cause, LevelRow, UnitRow};
pub use timeline::{AcceleratedSpans, EngineSpans, EngineVisit};
use timeline::{Stretch, Timeline};

/// Most batches that a round is cut into.
const MOST_BATCHES: f64 = 4096.0;
/// What one exposure of a wafer can hold, in mm².
const RETICLE_MM2: f64 = 858.0;

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
    /// say what is asked of it; with `relieved` ([`GpuFrame::relieved`]), also what binds it.
    ///
    /// # Errors
    /// When the accelerator cannot take this application.
    pub fn accelerate(
        &self,
        app: &Application,
        scene_scale: u32,
        entry: &AcceleratorEntry,
        relieved: Option<&Relieved>,
    ) -> Result<AcceleratedFrame, EngineError> {
        let accelerator = &entry.accelerator;
        let engine = AcceleratorEngine::new(accelerator, &self.entry.gpu, self.options);
        let plan = engine.plan(self.queries(app, scene_scale))?;
        let split = self.split(accelerator);
        if split.before.is_empty() {
            return Err(EngineError::Accelerator {
                path: "accelerator",
                what: "this frame asks no network that the accelerator could answer".to_owned(),
                help: "check what the camera sees; whole renderers (rest = \"renderer\") stay on the GPU",
            });
        }
        let batch = f64::from(accelerator.policy.batch);
        let largest = split.before.iter().map(|(_, visit)| visit.samples).fold(0.0, f64::max);
        if largest > MOST_BATCHES * batch {
            return Err(EngineError::Accelerator {
                path: "policy.batch",
                what: format!(
                    "a round of {largest:.0} samples would be cut into {:.0} batches of {batch}",
                    (largest / batch).ceil()
                ),
                help: "up to 4096 batches a round are simulated; choose a larger batch",
            });
        }
        let inputs = self.inputs_of(app, &split, &plan.network);
        Ok(self.assemble(entry, &plan, &split, &inputs, relieved))
    }

    /// The pieces of the same frame in time, for a timeline.
    ///
    /// # Errors
    /// When the accelerator cannot take this application.
    pub fn accelerated_spans(
        &self,
        app: &Application,
        scene_scale: u32,
        entry: &AcceleratorEntry,
    ) -> Result<AcceleratedSpans, EngineError> {
        let engine = AcceleratorEngine::new(&entry.accelerator, &self.entry.gpu, self.options);
        let plan = engine.plan(self.queries(app, scene_scale))?;
        let overlaps = entry.accelerator.policy.overlaps_gpu;
        let line = Timeline::new(self, overlaps, true).watched();
        let (_, line) = self.laid(&plan, &self.split(&entry.accelerator), line);
        let ran = schedule::run(&line.graph);
        let spans = line.seen().map(|seen| seen.spans(&line.graph, &ran));
        Ok(spans.unwrap_or(AcceleratedSpans { kernels: Vec::new(), engines: Vec::new() }))
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
        let networks = self.queries(app, scene_scale).networks;
        let network = NetworkUse::of(accelerator, &networks)?;
        Ok(self.inputs_of(app, &self.split(accelerator), &network))
    }

    fn inputs_of(&self, app: &Application, split: &Split, network: &NetworkUse) -> Inputs {
        Inputs {
            // Kernels only: the emulator knows no gaps between them.
            gpu_ns: self.result().kernels_ms * 1e6,
            rest_ns: split.all_rest_ns,
            rest_is_fused: app.rendering.rest == Rest::Fused,
            samples: split.before.iter().map(|(_, visit)| visit.useful).sum(),
            passes: network.passes,
        }
    }

    fn queries(&self, app: &Application, scale: u32) -> Queries {
        let radiance = app.kind == Kind::Nerf;
        let (mut launches, mut places) = (Vec::new(), Vec::new());
        let mut record_bytes = 0.0;
        for launch in &self.frame.launches {
            if let Operation::GridEncoding(encoding) = &launch.operation {
                record_bytes = encoding.position_stride_bytes;
                let known = encoding.positions.resolve(encoding.samples);
                let round = self.frame.walk.as_ref().and_then(|w| w.rounds.get(launch.round));
                let round = round.filter(|round| round.elements == encoding.samples);
                places.push(round.map_or_else(|| Arc::clone(&known), |r| Arc::clone(&r.places)));
                launches.push((known, encoding.samples as f64));
            }
        }
        let outputs = app.colour.as_ref().map_or(app.network.outputs, |colour| colour.outputs + 1);
        Queries {
            grid: app.grid(scale),
            networks: app.networks(1),
            record_bytes,
            directional: radiance,
            answer_bytes: f64::from(outputs) * 2.0,
            launches,
            places,
            memo: self.memo.clone(),
        }
    }

    fn split(&self, accelerator: &Accelerator) -> Split {
        let mut before: Vec<(Stretch, Visit)> = Vec::new();
        let mut open = Stretch::default();
        let mut all_rest_ns = 0.0;
        for (launch, priced) in self.frame.launches.iter().zip(self.launches.iter()) {
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
                        _ if !stays(launch, accelerator) => {}
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
        inputs: &Inputs,
        relieved: Option<&Relieved>,
    ) -> AcceleratedFrame {
        let accelerator = &entry.accelerator;
        let alone = self.result();
        let samples: f64 = split.before.iter().map(|(_, visit)| visit.samples).sum();
        let useful: f64 = split.before.iter().map(|(_, visit)| visit.useful).sum();
        let published = emulate(accelerator, inputs);
        let rest_ns = split.last.time_ns
            + split.before.iter().map(|(stretch, _)| stretch.time_ns).sum::<f64>();
        let overlapped = |accelerator_ns: f64| {
            if accelerator.policy.overlaps_gpu {
                accelerator_ns.max(rest_ns)
            } else {
                accelerator_ns + rest_ns
            }
        };
        let undisturbed = self.run(plan, split, false);
        let built = self.run(plan, split, true);
        let of = |samples: f64, counted| {
            let own = plan.cost(samples, built.all_in_l2, counted).time_ns;
            (overlapped(own), own)
        };
        let banks = Counted { banks: true, ..Counted::NONE };
        let tables = Counted { tables: true, ..banks };
        let channels = Counted { channels: true, ..tables };
        let steps = [
            (
                "the GPU's other kernels take the time they are modelled with",
                of(useful, Counted::NONE),
            ),
            ("samples behind the end of a ray, and empty slots", of(samples, Counted::NONE)),
            ("banks of grid_sram", of(samples, banks)),
            ("tables exceed grid_sram", of(samples, tables)),
            ("positions and answers pass DMA, link and L2", of(samples, channels)),
            (
                "limits of buffers, fill and drain; batches and rounds wait for each other and the host",
                (undisturbed.frame_ns, undisturbed.accelerator_ns),
            ),
            ("GPU and accelerator contend for L2 and DRAM", (built.frame_ns, built.stretched_ns)),
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
        // Gaps between kernels are idle as well; no kernel's energy covers them.
        let idle_ns = (built.frame_ns - rest_ns).max(0.0);
        let moved_pj = built.traffic.l2_bytes * gpu.power.l2_byte.pj()
            + (built.traffic.dram_read_bytes + built.traffic.dram_write_bytes)
                * gpu.dram.energy_per_byte.pj();
        let accelerator_pj = built.energy_pj + moved_pj + plan.idle_w() * built.frame_ns * 1e3;
        let rest_pj = split.last.energy_pj
            + split.before.iter().map(|(stretch, _)| stretch.energy_pj).sum::<f64>();
        let energy_pj = rest_pj + accelerator_pj + gpu.power.idle.watts() * idle_ns * 1e3;
        let area = AreaUse::of(accelerator);
        AcceleratedFrame {
            bounds: relieved.map(|more| self.bounds_beside(plan, split, &built, more)),
            accelerator: entry.id.clone(),
            accelerator_name: accelerator.accelerator.name.clone(),
            units: accelerator.accelerator.units,
            frame_ms: built.frame_ns / 1e6,
            frames_per_s: 1e9 / built.frame_ns,
            speedup: alone.frame_ms * 1e6 / built.frame_ns,
            gpu_alone_ms: alone.frame_ms,
            as_published_ms: published.frame_ns / 1e6,
            as_published_speedup: alone.frame_ms * 1e6 / published.frame_ns,
            causes: causes.to_vec(),
            accelerator_ms: built.accelerator_ns / 1e6,
            gpu_ms: built.gpu_ns / 1e6,
            accelerator_bound_by: built.bound_by,
            busy: built.busy,
            levels: levels(plan),
            samples,
            useful_samples: useful,
            batches: built.batches,
            traffic: built.traffic,
            l2_hit_pct: plan.l2_hit().map(|hit| hit * 100.0),
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
        let overlaps = plan.accelerator().policy.overlaps_gpu;
        let line = Timeline::new(self, overlaps, contention);
        let (mut built, line) = self.laid(plan, split, line);
        built.gpu_ns = line.gpu_ns;
        let ran = schedule::run(&line.graph);
        built.frame_ns = ran.iter().map(|r| r.end_ps).max().unwrap_or(0) as f64 / 1e3;
        let took = line.visits.iter().map(|node| ran[node.index()]);
        built.stretched_ns = took.map(|r| (r.end_ps - r.start_ps) as f64 / 1e3).sum();
        built.finish();
        built
    }

    /// Puts the pieces of a frame down, visit after visit, and sums up what they cost alone.
    fn laid(&self, plan: &Plan<'_>, split: &Split, mut line: Timeline) -> (Built, Timeline) {
        let accelerator = plan.accelerator();
        let batch = f64::from(accelerator.policy.batch);
        let held = self.entry.gpu.l2.capacity.bytes() * (1.0 - accelerator.policy.l2_tables);
        let mut built = Built { all_in_l2: true, ..Built::default() };
        let mut longest = 0.0;
        for (stretch, visit) in &split.before {
            let batches = (visit.samples / batch).ceil().clamp(1.0, MOST_BATCHES);
            let part = visit.samples / batches;
            // One batch is written while another is read.
            let in_l2 = 2.0 * part * plan.bytes_per_sample() <= held;
            built.all_in_l2 &= in_l2;
            let cost = plan.cost(part, in_l2, Counted::ALL);
            built.batches = built.batches.max(batches as u32);
            built.add(&cost, batches);
            if cost.time_ns * batches > longest {
                (longest, built.bound_by) = (cost.time_ns * batches, cost.binding);
            }
            line.visit(stretch, &cost, batches as usize);
        }
        line.finish(&split.last);
        (built, line)
    }
}

/// Sums of a run.
#[derive(Default)]
struct Built {
    frame_ns: f64,
    gpu_ns: f64,
    accelerator_ns: f64,
    /// The same with waits for L2 and DRAM.
    stretched_ns: f64,
    all_in_l2: bool,
    batches: u32,
    bound_by: Unit,
    busy: Vec<UnitRow>,
    traffic: Traffic,
    energy_pj: f64,
    /// Time of batches by the unit that binds them, in ns.
    bound: Vec<(Unit, f64)>,
}

impl Built {
    fn add(&mut self, cost: &QueryCost, batches: f64) {
        self.accelerator_ns += cost.time_ns * batches;
        match self.bound.iter_mut().find(|(unit, _)| *unit == cost.binding) {
            Some((_, ns)) => *ns += cost.time_ns * batches,
            None => self.bound.push((cost.binding, cost.time_ns * batches)),
        }
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

/// Whether a launch stays on the GPU: the accelerator hands the density on itself, and may encode directions.
fn stays(launch: &Launch, accelerator: &Accelerator) -> bool {
    launch.part == Part::Rest
        && launch.name != "extract density"
        && !(launch.name == "encode directions" && accelerator.policy.encodes_directions)
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
    let cached = plan
        .placement
        .levels
        .iter()
        .filter(|l| matches!(l.home, Home::Cached | Home::Subset))
        .count();
    let units = accelerator.accelerator.units;
    let mut list = vec![format!(
        "{units} processor{} at {}, tables of {} bits, batches of up to {} samples",
        if units == 1 { "" } else { "s" },
        accelerator.accelerator.clock,
        policy.feature_bits,
        policy.batch
    )];
    if cached > 0 {
        list.push(format!("{cached} levels exceed their memory (policy {})", policy.tables.name()));
    }
    if plan.encoding.subgrid.is_some() {
        let (first, along) = (accelerator.subgrid.first_level, accelerator.subgrid.per_axis);
        list.push(format!(
            "levels from {first} on are hashed by {along} blocks of space along each axis, which is another \
             function than the software's; what it does to images is not modelled"
        ));
    }
    if plan.placement.levels.iter().any(|level| level.remote > 0.0) {
        list.push(
            "lookups in other memories queue without loss; the paths to them take no area"
                .to_owned(),
        );
    }
    if plan.queries().directional && !policy.encodes_directions {
        list.push("the GPU encodes directions".to_owned());
    }
    let area = AreaUse::of(accelerator).total_mm2();
    if area > RETICLE_MM2 {
        list.push(format!("{area:.0} mm2 are more than one exposure holds ({RETICLE_MM2} mm2)"));
    }
    list.push("tables stay loaded from frame to frame".to_owned());
    list
}
