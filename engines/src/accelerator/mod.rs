//! Accelerators that encode positions by tables and ask a small network (NGPC and its like), beside
//! a GPU on its L2 and DRAM.
//!
//! An [`AcceleratorEngine`] looks the samples of a frame up once ([`AcceleratorEngine::plan`]);
//! the [`Plan`] then prices any number of them: each processor takes its share of a batch, and the
//! slowest of encoding, network and channels decides. The composition follows the neural fields
//! processor of NGPC (Mubarik et al., ISCA 2023); what the paper leaves open is in the catalogue as
//! an estimate. `datapath` computes what the hardware computes, `published` is the paper's own
//! arithmetic. Left out: training, and clock domains apart from each other.

pub mod datapath;
pub mod encode;
mod misses;
pub mod network;
pub mod parts;
pub mod published;
mod relief;
pub mod subgrid;
pub mod tables;

use std::sync::Arc;

use lumacycle_arch::{Accelerator, Gpu};
use lumacycle_workloads::encoding::Grid;
use lumacycle_workloads::ops::FusedMlp;
use lumacycle_workloads::samples::SampleSet;
use serde::Serialize;

use crate::cost::{SharedUse, Traffic};
use crate::memory::dram;
use crate::{EngineError, GpuEngine, Options};

pub use encode::{EncodingUse, LevelUse};
pub use network::NetworkUse;
pub use relief::Relief;
pub use tables::{Home, Placed, Placement};

/// What is asked of an accelerator during a frame.
#[derive(Debug, Clone)]
pub struct Queries {
    /// The tables.
    pub grid: Grid,
    /// Networks, in the order in which a sample passes them.
    pub networks: Vec<FusedMlp>,
    /// Bytes of a sample's record in memory.
    pub record_bytes: f64,
    /// Whether a direction comes with it.
    pub directional: bool,
    /// Bytes of its answer.
    pub answer_bytes: f64,
    /// Launches with the samples that they stand for.
    pub launches: Vec<(Arc<SampleSet>, f64)>,
    /// Short runs from places all over the frame, in the order of time.
    pub places: Vec<Arc<SampleSet>>,
    /// What other design points of the same frame have looked up.
    pub memo: Option<Arc<dyn encode::Memo>>,
}

/// Which of the things that cost time in reality are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Data come and go through channels and the link.
    pub channels: bool,
    /// Accesses to one bank wait for each other.
    pub banks: bool,
    /// Levels that are larger than their memory miss.
    pub tables: bool,
    /// Pipelines fill and drain, batches have a last, smaller part.
    pub tails: bool,
}

impl Counted {
    /// All of them.
    pub const ALL: Self = Self { channels: true, banks: true, tables: true, tails: true };
    /// None of them.
    pub const NONE: Self = Self { channels: false, banks: false, tables: false, tails: false };
}

/// A resource of the accelerator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are those of the parts")]
pub enum Unit {
    #[default]
    Encoding,
    FeatureBuffer,
    Mlp,
    Input,
    Output,
    Tables,
    Exchange,
    Link,
    Dram,
    DramRows,
}

impl Unit {
    /// Name as printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Encoding => "encoding engines",
            Self::FeatureBuffer => "feature buffer",
            Self::Mlp => "MLP engine",
            Self::Input => "input DMA",
            Self::Output => "output DMA",
            Self::Tables => "table DMA",
            Self::Exchange => "exchange",
            Self::Link => "link to L2",
            Self::Dram => "DRAM",
            Self::DramRows => "DRAM rows",
        }
    }
}

/// What a number of samples costs.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryCost {
    /// Time, in nanoseconds, when nothing else runs.
    pub time_ns: f64,
    /// What decides it.
    pub binding: Unit,
    /// Share of the time that each unit is busy.
    pub busy: Vec<(Unit, f64)>,
    /// Shares of what the GPU wants too.
    pub shared: SharedUse,
    /// Bytes moved at L2 and DRAM.
    pub traffic: Traffic,
    /// Energy of events, in picojoules; see [`Plan::idle_w`] for the rest.
    pub energy_pj: f64,
}

/// Prices queries on an accelerator beside a GPU.
#[derive(Debug, Clone, Copy)]
pub struct AcceleratorEngine<'a> {
    accelerator: &'a Accelerator,
    gpu: &'a Gpu,
    gpu_clock_hz: f64,
    /// The GPU with its memory at the clock that was asked for.
    memory: GpuEngine<'a>,
}

/// A frame's samples on an accelerator, looked up and ready to be priced.
#[derive(Debug, Clone)]
pub struct Plan<'a> {
    engine: AcceleratorEngine<'a>,
    queries: Queries,
    /// Encoding with tables where they fit, cached where they don't.
    pub encoding: EncodingUse,
    /// The network on its array.
    pub network: NetworkUse,
    /// Where tables lie.
    pub placement: Placement,
    /// What there is to be a tenth more of.
    relief: Option<Relief>,
}

impl<'a> AcceleratorEngine<'a> {
    /// An engine for an accelerator beside a GPU that runs with these options.
    pub fn new(accelerator: &'a Accelerator, gpu: &'a Gpu, options: Options) -> Self {
        let gpu_clock_hz = options.clock_hz.unwrap_or_else(|| gpu.clocks.typical.hz());
        Self { accelerator, gpu, gpu_clock_hz, memory: GpuEngine::new(gpu).with(options) }
    }

    /// Looks the samples of a frame up.
    ///
    /// # Errors
    /// When tables or networks do not fit this accelerator.
    pub fn plan(&self, queries: Queries) -> Result<Plan<'a>, EngineError> {
        let accelerator = self.accelerator;
        let network = NetworkUse::of(accelerator, &queries.networks)?;
        let placement = Placement::of(accelerator, &queries.grid)?;
        let encoding = EncodingUse::of(accelerator, &placement, &queries)?;
        Ok(Plan { engine: *self, queries, encoding, network, placement, relief: None })
    }
}

impl Plan<'_> {
    /// The hardware.
    pub const fn accelerator(&self) -> &Accelerator {
        self.engine.accelerator
    }

    /// The same with a tenth more of a resource.
    #[must_use]
    pub fn relieved(&self, relief: Relief) -> Self {
        Self { relief: Some(relief), ..self.clone() }
    }

    /// How much faster a resource is than described.
    fn faster(&self, resource: Relief) -> f64 {
        if self.relief == Some(resource) { relief::MORE } else { 1.0 }
    }

    /// What is asked.
    pub const fn queries(&self) -> &Queries {
        &self.queries
    }

    /// Bytes of a sample that come in: its record, and its direction where the GPU encodes it.
    fn in_bytes(&self) -> f64 {
        let sent = self.queries.directional && !self.accelerator().policy.encodes_directions;
        self.queries.record_bytes + if sent { DIRECTION_BYTES } else { 0.0 }
    }

    /// Bytes of a sample between GPU and accelerator, both ways.
    pub fn bytes_per_sample(&self) -> f64 {
        self.in_bytes() + self.queries.answer_bytes
    }

    /// Share of the lines that miss the accelerator which L2 holds, if any miss: levels have room
    /// in it as they miss, and touch their lines evenly there, since the most used ones are kept
    /// nearer; what streams by takes the rest of L2.
    pub fn l2_hit(&self) -> Option<f64> {
        let gpu = self.engine.gpu;
        let held = gpu.l2.capacity.bytes() * f64::midpoint(gpu.l2.reach, gpu.l2.fade).min(1.0);
        let all = self.encoding.missed_lines;
        let hit = |level: &LevelUse| {
            let room = held * self.accelerator().policy.l2_tables * level.missed_lines / all;
            level.missed_lines / all * (room / level.touched_bytes.max(1.0)).min(1.0)
        };
        (all > 0.0).then(|| self.encoding.levels.iter().map(hit).sum::<f64>())
    }

    /// Leakage and clocks of all processors, in watts.
    pub fn idle_w(&self) -> f64 {
        self.accelerator().idle_w()
    }

    /// What `samples` cost that come in one batch. `in_l2` says whether their records and answers
    /// stay in L2 between GPU and accelerator.
    pub fn cost(&self, samples: f64, in_l2: bool, counted: Counted) -> QueryCost {
        let accelerator = self.accelerator();
        let gpu = self.engine.gpu;
        let units = f64::from(accelerator.accelerator.units);
        let clock = accelerator.accelerator.clock.hz() * self.faster(Relief::Clock);
        let own = if counted.tails { libm::ceil(samples / units) } else { samples / units };
        let line = accelerator.policy.line.bytes();
        let lines = if counted.tables { self.encoding.missed_lines } else { 0.0 };
        // Parts of tables come in long bursts, whose waits are the encoding engines'.
        let loaded = if counted.tables { self.encoding.loaded_lines } else { 0.0 };
        let gathered = lines - loaded;
        let exchanged = if counted.tables { self.encoding.exchanged_bytes } else { 0.0 };
        let moved = |bytes: f64| if counted.channels { bytes } else { 0.0 };
        let (in_bytes, out_bytes) = (moved(self.in_bytes()), moved(self.queries.answer_bytes));

        // Clocks of one processor for its samples, part by part.
        let l2_hit = self.l2_hit().unwrap_or(1.0);
        let to_clocks = clock / 1e9;
        let link_latency = accelerator.link.latency_cycles;
        let l2_ns = gpu.l2.latency_cycles / self.engine.gpu_clock_hz * 1e9;
        let l2_latency = l2_ns * to_clocks + link_latency;
        let dram_latency = self.engine.memory.dram_latency_ns() * to_clocks + link_latency;
        let latency = l2_hit * l2_latency + (1.0 - l2_hit) * dram_latency;
        let request = parts::request_cycles(&accelerator.table_dma, line, latency);
        let stream_latency = if in_l2 { l2_latency } else { dram_latency };
        let stream =
            |channel| parts::request_cycles(channel, SECTOR_BYTES, stream_latency) / SECTOR_BYTES;
        let mlp = self.network.cycles(accelerator, own, !counted.tails) / self.faster(Relief::Mlp);
        let dma = self.faster(Relief::Tables);
        let gathers = own * gathered * request / dma;
        let tables = gathers + own * loaded * line / accelerator.table_dma.bytes_per_clock / dma;
        let input = own * in_bytes * stream(&accelerator.input) / self.faster(Relief::Input);
        let output = own * out_bytes * stream(&accelerator.output) / self.faster(Relief::Output);
        let exchange =
            own * exchanged / accelerator.exchange.bytes_per_clock / self.faster(Relief::Exchange);
        // Features are written once and read once.
        let features = moved(2.0 * f64::from(self.queries.grid.outputs()) * HALF_BYTES);
        let buffer = own * features
            / parts::bytes_per_clock(&accelerator.feature_buffer)
            / self.faster(Relief::FeatureBuffer);
        let other = mlp.max(gathers).max(input).max(output).max(exchange).max(buffer);
        let encoding = own * self.encoding_cycles(other / own.max(1.0), counted)
            + own * self.waiting_cycles(counted);

        // What all processors share.
        let link_bytes = samples * (in_bytes + out_bytes + lines * line);
        let link = link_bytes / accelerator.link.bytes_per_clock / self.faster(Relief::Link);
        let table_dram = samples * lines * line * (1.0 - l2_hit);
        let streamed = if in_l2 { 0.0 } else { samples * (in_bytes + out_bytes) };
        let scattered_dram = samples * gathered * line * (1.0 - l2_hit);
        let traffic = Traffic {
            l2_bytes: link_bytes,
            dram_read_bytes: table_dram + if in_l2 { 0.0 } else { samples * in_bytes },
            dram_write_bytes: if in_l2 { 0.0 } else { samples * out_bytes },
            extra_activations: scattered_dram / line
                * dram::activations_per_request(gpu, self.scattered_rows()),
            ..Traffic::default()
        };
        let (bus_ns, rows_ns) = if streamed + table_dram > 0.0 {
            let bus = dram::bus_ns(gpu, &traffic) / self.engine.memory.memory_scale();
            let rows = dram::rows_ns(gpu, &traffic) / self.faster(Relief::DramRows);
            (bus / self.faster(Relief::Dram), rows)
        } else {
            (0.0, 0.0)
        };
        let l2_ns = link_bytes / gpu.l2.bytes_per_clock / self.engine.gpu_clock_hz * 1e9
            / self.faster(Relief::L2);
        let to_ns = 1e9 / clock;
        let fill = if counted.tails { self.fill_cycles(l2_latency) } else { 0.0 };

        let times = [
            (Unit::Encoding, encoding * to_ns),
            (Unit::FeatureBuffer, buffer * to_ns),
            (Unit::Mlp, mlp * to_ns),
            (Unit::Input, input * to_ns),
            (Unit::Output, output * to_ns),
            (Unit::Tables, tables * to_ns),
            (Unit::Exchange, exchange * to_ns),
            (Unit::Link, (link * to_ns).max(l2_ns)),
            (Unit::Dram, bus_ns),
            (Unit::DramRows, rows_ns),
        ];
        let time_ns = times.iter().map(|(_, ns)| *ns).fold(0.0, f64::max) + fill * to_ns;
        let share = |ns: f64| if time_ns > 0.0 { (ns / time_ns).min(1.0) } else { 0.0 };
        let own_encoding = own * self.encoding_cycles(0.0, counted);
        let busy = times
            .iter()
            .map(|&(unit, ns)| {
                (unit, share(if unit == Unit::Encoding { own_encoding * to_ns } else { ns }))
            })
            .collect();
        QueryCost {
            time_ns,
            binding: binding_of(&times),
            busy,
            shared: SharedUse {
                l2: share(l2_ns),
                dram: share(bus_ns.max(rows_ns)),
                ..SharedUse::default()
            },
            traffic,
            energy_pj: samples * self.sample_pj(lines * line, exchanged, in_bytes + out_bytes),
        }
    }

    /// Clocks of a sample in the encoding engines, where everything behind them takes `other`.
    fn encoding_cycles(&self, other: f64, counted: Counted) -> f64 {
        if !counted.banks {
            return self.encoding.ideal_cycles / self.faster(Relief::Encoding);
        }
        let blocks = match self.relief {
            Some(Relief::Encoding) => &self.encoding.relieved.0,
            Some(Relief::Banks) => &self.encoding.relieved.1,
            _ => &self.encoding.blocks,
        };
        self.encoding.cycles_with(blocks, other)
    }

    /// Clocks of a sample that these wait for parts of tables.
    fn waiting_cycles(&self, counted: Counted) -> f64 {
        let accelerator = self.accelerator();
        let clocks_per_byte =
            1.0 / (accelerator.table_dma.bytes_per_clock * self.faster(Relief::Tables));
        let used = self.encoding.subgrid.as_ref().filter(|_| counted.tables);
        used.map_or(0.0, |used| used.waiting_cycles(clocks_per_byte, accelerator.subgrid.copies))
    }

    /// DRAM rows over which misses are scattered.
    fn scattered_rows(&self) -> f64 {
        let scattered =
            |level: &&LevelUse| level.missed_lines > 0.0 && level.placed.home != Home::Subgrid;
        let missing = self.encoding.levels.iter().filter(scattered);
        missing.map(|level| level.touched_bytes).sum::<f64>() / self.engine.gpu.dram.row.bytes()
    }

    /// Clocks from the first position to the first answer.
    fn fill_cycles(&self, l2_latency: f64) -> f64 {
        let a = self.accelerator();
        // The last samples leave the array after the passes have been counted.
        let array = f64::from(a.mlp.rows) + f64::from(a.mlp.columns);
        2.0 * l2_latency
            + if self.encoding.exchanged_bytes > 0.0 {
                2.0 * a.exchange.latency_cycles
            } else {
                0.0
            }
            + a.encoder.latency_cycles
            + a.grid_sram.latency_cycles
            + a.interpolation.latency_cycles
            + a.feature_buffer.latency_cycles
            + a.activation_sram.latency_cycles
            + a.weight_sram.latency_cycles
            + array
    }

    /// Energy of one sample's events, in picojoules.
    fn sample_pj(&self, missed_bytes: f64, exchanged_bytes: f64, streamed_bytes: f64) -> f64 {
        let a = self.accelerator();
        let silicon = a.silicon();
        let mac_pj = silicon.mac_pj(&a.mlp);
        let features = f64::from(self.queries.grid.outputs()) * HALF_BYTES;
        let each = f64::from(self.queries.grid.features);
        let own_directions = self.queries.directional && a.policy.encodes_directions;
        let directions = if own_directions { DIRECTION_BYTES / HALF_BYTES } else { 0.0 };
        (self.encoding.addresses + directions) * silicon.logic_pj(a.energy.address)
            + self.encoding.addresses * each * mac_pj
            // Entries in subgrid buffers count as in table memories.
            + (self.encoding.entry_bytes + missed_bytes) * silicon.sram_pj_per_byte(&a.grid_sram)
            + 2.0 * features * silicon.sram_pj_per_byte(&a.feature_buffer)
            + self.network.buffer_bytes * silicon.sram_pj_per_byte(&a.activation_sram)
            + self.network.macs * mac_pj
            + (missed_bytes + exchanged_bytes + streamed_bytes) * a.energy.link_byte.pj()
    }

    /// Bytes that the memories of a processor hold of a scene: of resident levels all, of cached
    /// ones as much as a frame touches and there is room for.
    pub fn held_bytes(&self) -> f64 {
        let held = |level: &LevelUse| {
            let wanted = match level.placed.home {
                Home::Cached => level.touched_bytes,
                // Buffers are filled batch by batch, whatever scene they held.
                Home::Subgrid => 0.0,
                Home::Resident | Home::Subset => level.placed.bytes,
            };
            wanted.min(level.placed.room_bytes)
        };
        let all: f64 = self.encoding.levels.iter().map(held).sum();
        all * self.placement.copies / f64::from(self.accelerator().policy.shared_by)
    }

    /// Time to bring the tables of another scene in, in nanoseconds: each processor (or each group
    /// that shares tables) loads what it holds through the link, DRAM is read once.
    pub fn switch_ns(&self) -> f64 {
        let a = self.accelerator();
        let gpu = self.engine.gpu;
        let own = self.held_bytes();
        let all = own * f64::from(a.accelerator.units);
        let clock = a.accelerator.clock.hz();
        // Whole tables come in long bursts.
        let dma = own / a.table_dma.bytes_per_clock / clock;
        let link = all / a.link.bytes_per_clock / clock;
        let l2 = all / gpu.l2.bytes_per_clock / self.engine.gpu_clock_hz;
        let tables: f64 = self.placement.levels.iter().map(|level| level.bytes).sum();
        let dram =
            tables.min(all) / gpu.stream_bytes_per_s(0.0) / self.engine.memory.memory_scale();
        dma.max(link).max(l2).max(dram) * 1e9
    }
}

/// The unit that takes longest.
fn binding_of(times: &[(Unit, f64)]) -> Unit {
    let (mut binding, mut longest) = (Unit::Mlp, 0.0);
    for &(unit, time) in times {
        // With a limited buffer the encoding's time contains its waits for the network.
        let margin = if unit == Unit::Encoding { 1.0 } else { 1.02 };
        if time * margin > longest {
            (binding, longest) = (unit, time * margin);
        }
    }
    binding
}

/// Bytes of an encoded direction: sixteen halves.
const DIRECTION_BYTES: f64 = 32.0;
/// Bytes of a half.
const HALF_BYTES: f64 = 2.0;
/// Bytes of a request for records.
const SECTOR_BYTES: f64 = 32.0;
/// Area of an accelerator from its parts, in mm².
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AreaUse {
    /// Table memories.
    pub tables_mm2: f64,
    /// Other memories.
    pub buffers_mm2: f64,
    /// MAC arrays.
    pub macs_mm2: f64,
    /// Encoding engines and control.
    pub logic_mm2: f64,
}

impl AreaUse {
    /// Adds the parts of all processors up.
    pub fn of(a: &Accelerator) -> Self {
        let mut sums = Self { tables_mm2: 0.0, buffers_mm2: 0.0, macs_mm2: 0.0, logic_mm2: 0.0 };
        for part in a.budget().parts {
            *match part.part {
                "table memories" => &mut sums.tables_mm2,
                "MAC array" => &mut sums.macs_mm2,
                "encoding engines" | "control, DMA and link" => &mut sums.logic_mm2,
                _ => &mut sums.buffers_mm2,
            } += part.area_mm2;
        }
        sums
    }

    /// All of it.
    pub fn total_mm2(&self) -> f64 {
        self.tables_mm2 + self.buffers_mm2 + self.macs_mm2 + self.logic_mm2
    }
}
