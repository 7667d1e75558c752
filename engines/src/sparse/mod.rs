//! An accelerator that renders decomposed fields from sparsely stored factors, cube after cube
//! (RT-NeRF and its like), with a memory of its own.
//!
//! Work comes in as visits to cubes in the order in which the renderer really makes them, and as the
//! sizes of the streams that the encoder really writes. `patches` says what a visit looks up, `residency`
//! which streams it has to fetch; `renderer` goes through the visits and `pipeline` lets the units work on successive visits side by side
//! with so many visits between two of them. Left out: conflicts between single words of a bank, and
//! points that are under way when their pixel is done (a few visits' worth at most).

mod patches;
mod pipeline;
mod relief;
mod renderer;
mod residency;

use lumacycle_arch::SparseAccelerator;
use lumacycle_arch::sparse_accelerator::{CubeOrder, StorageRule};
use lumacycle_workloads::sparse::{Choice, Format};
use lumacycle_workloads::tensorf::cubes::CubeVisit;
use lumacycle_workloads::tensorf::{
    CubeLoop, CubeTrace, EncodedFactors, Encoding, Factors, LAYERS, Order, SHADING_MACS,
};
use serde::Serialize;

use crate::EngineError;
use crate::accelerator::parts::tiles;
use patches::VisitUse;

pub use pipeline::UnitUse;
pub use relief::SparseRelief;
pub use renderer::Renderer;

/// Units that work side by side, in the order in which a visit passes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SparseUnit {
    /// Projection, intersection, view order.
    Geometry,
    /// Memory outside and DMA.
    Memory,
    /// Search units, trees and the memory of factors, whichever takes longest.
    Decode,
    /// Interpolation lanes, and the memory of pixels.
    Interpolation,
    /// Basis and network.
    Shading,
}

impl SparseUnit {
    /// All, in order.
    pub const ALL: [Self; 5] =
        [Self::Geometry, Self::Memory, Self::Decode, Self::Interpolation, Self::Shading];

    /// Name as printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Geometry => "geometry",
            Self::Memory => "DRAM",
            Self::Decode => "search and decode",
            Self::Interpolation => "interpolation",
            Self::Shading => "MLP",
        }
    }
}

/// Energy of a frame by component, in mJ.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct SparseEnergyUse {
    /// Basis and network.
    pub shading_mj: f64,
    /// Interpolation and reduction.
    pub interpolation_mj: f64,
    /// Search units and trees.
    pub search_mj: f64,
    /// Projection and tests.
    pub geometry_mj: f64,
    /// Large memories on the chip.
    pub sram_mj: f64,
    /// Small memories on the chip.
    pub buffers_mj: f64,
    /// Memory outside, with its interface.
    pub dram_mj: f64,
    /// Leakage and clock.
    pub idle_mj: f64,
}

impl SparseEnergyUse {
    /// Sum, in mJ.
    pub fn total_mj(&self) -> f64 {
        self.shading_mj
            + self.interpolation_mj
            + self.search_mj
            + self.geometry_mj
            + self.sram_mj
            + self.buffers_mj
            + self.dram_mj
            + self.idle_mj
    }
}

/// A frame on the accelerator.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SparseFrame {
    /// Frame time, in ms.
    pub frame_ms: f64,
    /// Clocks of the core that takes longest.
    pub cycles: f64,
    /// How long cores work, of the time that the frame takes, mean of all, in percent.
    pub balance_pct: f64,
    /// The unit that is busy longest.
    pub bound_by: SparseUnit,
    /// What each unit does all the while, mean of all cores.
    pub units: Vec<UnitUse>,
    /// Share of the time that search units work, in percent.
    pub search_busy_pct: f64,
    /// Share of the time that trees work, in percent.
    pub tree_busy_pct: f64,
    /// Share of multiply-accumulate units of the MAC array that do something useful, in percent.
    pub mac_utilisation_pct: f64,
    /// Lookups in bitmaps.
    pub lookups: f64,
    /// Passes of trees that search.
    pub searches: f64,
    /// Components that are interpolated for a point, on average, of the 48 there are.
    pub components_per_point: f64,
    /// Whether all factors stay in the memory of factors.
    pub resident: bool,
    /// Bytes read from outside.
    pub dram_read_bytes: f64,
    /// Bytes written to it.
    pub dram_write_bytes: f64,
    /// Bytes of factors that a change of scene loads.
    pub factor_bytes: f64,
    /// Energy.
    pub energy: SparseEnergyUse,
    /// Mean power, in W.
    pub power_w: f64,
    /// What was taken for granted.
    pub assumptions: Vec<String>,
}

/// Share of zeros in a block of a plane up to which a tree needs more passes for a lookup than a
/// search unit: it compares as many coordinates at once as it has leaves.
pub fn crossover_clocks(accelerator: &SparseAccelerator) -> f64 {
    let cells = f64::from(accelerator.policy.plane_block).powi(2);
    let passes = patches::clocks_per_lookup(accelerator);
    (1.0 - passes * f64::from(accelerator.tree.leaves) / cells).max(0.0)
}

/// How factors are encoded for an accelerator.
pub fn encoding(accelerator: &SparseAccelerator) -> Encoding {
    let policy = &accelerator.policy;
    let choice = match policy.storage {
        StorageRule::Dense => Choice::Fixed(Format::Dense),
        StorageRule::Bitmap => Choice::Fixed(Format::Bitmap),
        StorageRule::Coordinates => Choice::Fixed(Format::Coordinates),
        StorageRule::Threshold => Choice::Threshold(policy.threshold),
        StorageRule::Smaller => Choice::Smaller,
    };
    Encoding {
        choice,
        bits: policy.value_bits,
        plane_block: policy.plane_block,
        line_block: policy.line_block,
    }
}

/// Tiles that each core should have at least, so that none waits long for the last: objects fill some of them and
/// leave others empty. More of them meet more cubes twice.
const TILES_PER_CORE: f64 = 16.0;

/// Pixels up to which an image is counted in full.
const EXACT_PIXELS: f64 = 65_536.0;
/// Of larger ones, one pixel of so many along rows and columns: a sixteenth. Frame times differ from
/// those of full counts of the scenes that ship by 0.3 % at most (docs/rtnerf.md).
const EVERY: u32 = 4;

/// How cubes are gone through for an image of that size.
pub fn cube_loop(accelerator: &SparseAccelerator, width: u32, height: u32) -> CubeLoop {
    let policy = &accelerator.policy;
    let pixels = accelerator.pixel_sram.capacity.bytes() * 8.0 / f64::from(policy.pixel_bits);
    let side = libm::floor(libm::sqrt(pixels));
    let cores = f64::from(accelerator.accelerator.units);
    let image = f64::from(width) * f64::from(height);
    let fair = if cores > 1.0 { libm::sqrt(image / (TILES_PER_CORE * cores)) } else { side };
    CubeLoop {
        order: match policy.order {
            CubeOrder::Memory => Order::Memory,
            CubeOrder::Coarse => Order::Coarse,
            CubeOrder::Exact => Order::Exact,
        },
        regions: policy.regions_per_axis,
        least_transmittance: policy.least_transmittance as f32,
        tile: side.min(fair).max(16.0) as u32,
        every: if image > EXACT_PIXELS { EVERY } else { 1 },
    }
}

/// A frame's work.
#[derive(Debug, Clone, Copy)]
pub struct SparseWork<'a> {
    /// The field.
    pub factors: &'a Factors,
    /// Its streams.
    pub encoded: &'a EncodedFactors,
    /// Visits to cubes.
    pub trace: &'a CubeTrace,
    /// Steps inside of the field's box over all rays: what uniform sampling tests.
    pub uniform_steps: f64,
}

/// Bytes of an activation.
const HALF: f64 = 2.0;

/// Renders a frame.
///
/// # Errors
/// When the network does not fit the MAC array or its memories.
pub fn render(
    accelerator: &SparseAccelerator,
    work: &SparseWork<'_>,
) -> Result<SparseFrame, EngineError> {
    Ok(Renderer::new(accelerator, *work)?.frame(None))
}

/// Totals of events.
#[derive(Debug, Clone, Copy, Default)]
struct Events {
    tests: f64,
    lookups: f64,
    searches: f64,
    reductions: f64,
    interpolation_macs: f64,
    shaded: f64,
    points: f64,
    sram_bytes: f64,
    pixel_bytes: f64,
    patch_bytes: f64,
    read_bytes: f64,
    search_cycles: f64,
    tree_cycles: f64,
    active: f64,
}

impl Events {
    fn add(&mut self, visit: &CubeVisit, used: &VisitUse, accelerator: &SparseAccelerator) {
        let points = f64::from(visit.points);
        self.tests += f64::from(visit.pixels) + f64::from(visit.tested);
        self.lookups += used.lookups;
        self.searches += used.searches;
        self.reductions += used.reductions;
        self.interpolation_macs += used.macs;
        self.shaded += f64::from(visit.shaded);
        self.points += points;
        let pixel_bytes = f64::from(accelerator.policy.pixel_bits) / 8.0;
        self.sram_bytes += used.sram_bytes;
        self.pixel_bytes += 2.0 * points * pixel_bytes;
        self.patch_bytes += used.patch_bytes;
        self.active += points * used.density_components;
    }
}

/// Passes of the MAC array for a shaded point.
fn passes(accelerator: &SparseAccelerator) -> Result<f64, EngineError> {
    let array = &accelerator.shading;
    let wrong = |path, what, help| Err(EngineError::Accelerator { path, what, help });
    let (mut passes, mut widest) = (0, 0);
    for (inputs, outputs) in LAYERS {
        passes += tiles(array, inputs as u32, outputs as u32).len();
        widest = widest.max(inputs.max(outputs) as u32);
    }
    if widest > array.widest {
        return wrong(
            "shading.widest",
            format!("a layer of {widest} neurons is wider than the array takes ({})", array.widest),
            "raise shading.widest",
        );
    }
    let weights = SHADING_MACS as f64 * f64::from(array.weight_bits) / 8.0;
    if weights > accelerator.weight_sram.capacity.bytes() {
        return wrong(
            "weight_sram.capacity",
            format!(
                "the weights need {weights:.0} bytes, weight_sram holds {}",
                accelerator.weight_sram.capacity
            ),
            "enlarge weight_sram",
        );
    }
    if accelerator.activation_sram.capacity.bytes() < group_bytes(accelerator) {
        return wrong(
            "activation_sram.capacity",
            format!(
                "points under way need {} bytes, activation_sram holds {}",
                group_bytes(accelerator),
                accelerator.activation_sram.capacity
            ),
            "enlarge activation_sram, or take smaller arrays",
        );
    }
    Ok(passes as f64)
}

/// Activations of the points that hide the loading of a tile's weights, twice.
fn group_bytes(accelerator: &SparseAccelerator) -> f64 {
    let array = &accelerator.shading;
    let widest = LAYERS.iter().map(|(inputs, outputs)| *inputs.max(outputs)).max().unwrap_or(1);
    f64::from(array.rows * array.arrays) * 2.0 * widest as f64 * HALF
}

#[expect(clippy::too_many_arguments, reason = "they are the parts of one result")]
fn summed(
    accelerator: &SparseAccelerator,
    work: &SparseWork<'_>,
    events: &Events,
    (cycles, hz): (f64, f64),
    units: Vec<UnitUse>,
    passes: f64,
    resident: bool,
    written: f64,
) -> SparseFrame {
    let seconds = cycles / hz;
    let cores = f64::from(accelerator.accelerator.units);
    let array = &accelerator.shading;
    let e = &accelerator.energy;
    let silicon = accelerator.silicon();
    let mj = |count: f64, pj: f64| count * pj / 1e9;
    let logic = |count: f64, energy| mj(count, silicon.logic_pj(energy));
    let memory = |bytes: f64, sram| mj(bytes, silicon.sram_pj_per_byte(sram));
    let mac_pj = silicon.mac_pj(array);
    // Each pass reads a row of activations and adds to a column of sums.
    let activation_bytes = events.shaded * passes * f64::from(array.rows + array.columns) * HALF;
    let leaves = f64::from(accelerator.tree.leaves);
    let energy = SparseEnergyUse {
        shading_mj: mj(events.shaded * SHADING_MACS as f64, mac_pj),
        interpolation_mj: mj(events.interpolation_macs, mac_pj)
            + mj(events.active, silicon.fp16_add_pj()),
        search_mj: logic(events.lookups, e.lookup) + logic(events.searches * leaves, e.comparison),
        geometry_mj: logic(events.tests, e.test),
        sram_mj: memory(events.sram_bytes, &accelerator.factor_sram)
            + memory(events.pixel_bytes, &accelerator.pixel_sram),
        buffers_mj: memory(events.patch_bytes, &accelerator.patch_sram)
            + memory(activation_bytes, &accelerator.activation_sram),
        dram_mj: mj(events.read_bytes + written, accelerator.memory.energy_per_byte.pj()),
        idle_mj: accelerator.idle_w() * seconds * 1e3,
    };
    // Where nothing is to be seen, white pixels are written and that is all.
    let busiest = units.iter().max_by(|a, b| a.busy_pct.total_cmp(&b.busy_pct));
    let bound_by =
        busiest.filter(|unit| unit.busy_pct > 0.0).map_or(SparseUnit::Memory, |unit| unit.unit);
    let all_cycles = cycles * cores;
    let macs = accelerator.shading_macs() * all_cycles;
    SparseFrame {
        frame_ms: seconds * 1e3,
        cycles,
        balance_pct: 100.0,
        bound_by,
        units,
        search_busy_pct: 100.0 * events.search_cycles / all_cycles,
        tree_busy_pct: 100.0 * events.tree_cycles / all_cycles,
        mac_utilisation_pct: 100.0 * events.shaded * SHADING_MACS as f64 / macs,
        lookups: events.lookups,
        searches: events.searches,
        components_per_point: events.active / events.points.max(1.0),
        resident,
        dram_read_bytes: events.read_bytes,
        dram_write_bytes: written,
        factor_bytes: work.encoded.bytes(),
        power_w: energy.total_mj() / 1e3 / seconds.max(1e-12),
        energy,
        assumptions: assumptions(accelerator, resident),
    }
}

fn assumptions(accelerator: &SparseAccelerator, resident: bool) -> Vec<String> {
    let mut list = vec![
        "sizes marked as free in the catalogue are ours, chosen by area and power".to_owned(),
        "energy includes the memory outside with its interface".to_owned(),
    ];
    list.push(if resident {
        "factors stay on the chip from frame to frame; the first frame loads them".to_owned()
    } else {
        "factors do not fit on the chip and are fetched as cubes need them, from an empty memory"
            .to_owned()
    });
    if accelerator.accelerator.units > 1 {
        list.push(
            "each tile goes to the core that is free first; each has its share of the memory's bandwidth"
                .to_owned(),
        );
    }
    if !accelerator.policy.from_cubes {
        list.push(
            "uniform sampling: every step inside of the box is tested, each ray decodes for itself"
                .to_owned(),
        );
    }
    list
}
