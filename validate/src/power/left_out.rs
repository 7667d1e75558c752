//! Power of a GPU that no fit has seen: its constants are what the other GPUs have in common.
//!
//! Fitted on the others, all together, are six: the energy of issuing a warp instruction, the same on all;
//! that of an SM's clock by fp32 lane and that of arithmetic (and with it of bytes on the chip), both as
//! multiples of the published energy of a multiply-add at the node; that of a byte of DRAM, moved and at
//! rest, as multiples of what is published for the technology; and the share of energy that constant
//! operands take. What six boards cannot tell as well, the voltage curve, the board's constant and shares,
//! stands as the catalogue has it for generations without measured power: fitted too, these followed single
//! boards, and the error grew from 15 to 20 %. Of the
//! board left out nothing but its spec sheet is used. Beside it stands what a spec sheet gives without a
//! model: the share of the limit that the other boards draw on average. Left out: the constants by which
//! times follow from counters, which all boards have seen.

use std::collections::BTreeMap;
use std::path::Path;

use lumacycle_arch::gpu::DramTechnology;
use lumacycle_arch::units::{Energy, Power};
use lumacycle_arch::{Catalog, Gpu};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::case::{Basis, Case};
use super::{Cases, SUITE, cases};
use crate::ValidateError;
use crate::search::{self, Range};
use crate::stats::Figures;

/// Rows of each GPU and benchmark that a fit sees at most, evenly thinned.
const ROWS: usize = 24;

/// What is fitted.
const SHARED: [(&str, Range); 6] = [
    ("clock of an SM by fp32 lane, multiply-adds", Range { low: 0.2, high: 15.0, start: 3.0 }),
    ("issue of a warp instruction, pJ", Range { low: 50.0, high: 3000.0, start: 350.0 }),
    ("arithmetic, of the published energies", Range { low: 0.1, high: 10.0, start: 1.0 }),
    ("DRAM by byte moved, of the published energy", Range { low: 0.05, high: 5.0, start: 1.0 }),
    ("DRAM by byte at rest, of the published energy", Range { low: 0.05, high: 5.0, start: 0.7 }),
    ("power.constant_operand_share", Range { low: 0.1, high: 0.95, start: 0.6 }),
];

/// A GPU whose voltage curve, board constant and shares are the catalogue's estimates for generations without
/// measured power, as those of the board left out have to be. Each has its source there.
const UNMEASURED: &str = "h100-sxm";

/// Published energies of memory.
const PUBLISHED: &str = include_str!("../../tables/memory_energies.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MemoryEnergies {
    memory: Vec<MemoryEnergy>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MemoryEnergy {
    technology: DramTechnology,
    pj_per_byte: f64,
    /// Where it is published.
    #[serde(rename = "source")]
    _source: String,
}

/// Published energy of a byte in pJ, device and interface, by technology.
pub(crate) fn published_pj_per_byte() -> Result<BTreeMap<DramTechnology, f64>, ValidateError> {
    let table: MemoryEnergies =
        toml::from_str(PUBLISHED).map_err(|error| ValidateError::Unreadable {
            path: "tables/memory_energies.toml".into(),
            reason: error.to_string(),
        })?;
    Ok(table.memory.into_iter().map(|one| (one.technology, one.pj_per_byte)).collect())
}

/// What stands for a board without its own fit.
struct Known {
    memories: BTreeMap<DramTechnology, f64>,
    unmeasured: Gpu,
}

impl Known {
    fn new() -> Result<Self, ValidateError> {
        let unmeasured = Catalog::embedded().get(UNMEASURED).map_err(|error| {
            ValidateError::Unreadable { path: UNMEASURED.into(), reason: error.to_string() }
        })?;
        Ok(Self { memories: published_pj_per_byte()?, unmeasured: unmeasured.gpu })
    }
}

/// A GPU that was left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LeftOut {
    /// Catalogue entry.
    pub gpu: String,
    /// Errors with the constants of the others.
    #[serde(flatten)]
    pub figures: Figures,
    /// Errors with the catalogue's constants, which have seen its rows.
    pub calibrated: Figures,
    /// Errors when every row draws the share of the limit that the rows of the others draw.
    pub mean_share: Figures,
    /// The constants, with their names.
    pub constants: BTreeMap<String, f64>,
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LeftOutReport {
    /// Suite name.
    pub suite: String,
    /// By GPU.
    pub gpus: Vec<LeftOut>,
    /// Over all rows, each predicted without its own GPU.
    pub overall: Figures,
    /// The mean over GPUs of their errors, in percent: each counts once.
    pub mean_of_gpus_pct: f64,
}

/// Leaves each GPU with measured power out in turn.
///
/// # Errors
/// When the data cannot be read or has fewer than three GPUs.
pub fn leave_one_out(data: &Path, unclean: bool) -> Result<LeftOutReport, ValidateError> {
    let Cases { used, entries, .. } = cases(data, &[], unclean)?;
    let gpus: BTreeMap<&str, &Gpu> =
        entries.iter().map(|(id, entry)| (id.as_str(), &entry.gpu)).collect();
    let ids: BTreeMap<&str, &str> =
        used.iter().map(|case| (case.board.as_str(), case.gpu.as_str())).collect();
    if ids.len() < 3 {
        return Err(ValidateError::Unreadable {
            path: data.to_owned(),
            reason: format!("its {SUITE} table has rows of fewer than three GPUs"),
        });
    }
    let thinned = thinned(&used);
    let known = Known::new()?;
    let (mut left_out, mut pairs) = (Vec::new(), Vec::new());
    for (id, name) in ids {
        let others: Vec<&Case> = thinned.iter().copied().filter(|case| case.gpu != name).collect();
        let values = fitted(&others, &gpus, &known);
        let Some(own) = gpus.get(id) else { continue };
        let unseen = with_shared(own, &values, &known);
        let rows: Vec<&Case> = used.iter().filter(|case| case.board == id).collect();
        let figures = |gpu: &Gpu| {
            let priced = rows
                .par_iter()
                .filter_map(|case| Some((case.predict(gpu).ok()?.watts, case.measured_w)));
            priced.collect::<Vec<(f64, f64)>>()
        };
        let predicted = figures(&unseen);
        let share = mean_share(&others, &gpus) * own.power.limit.watts();
        let constants = SHARED.iter().zip(&values);
        left_out.push(LeftOut {
            gpu: name.to_owned(),
            figures: Figures::of(predicted.iter().copied()),
            calibrated: Figures::of(figures(own).into_iter()),
            mean_share: Figures::of(rows.iter().map(|case| (share, case.measured_w))),
            constants: constants.map(|((name, _), value)| ((*name).to_owned(), *value)).collect(),
        });
        pairs.extend(predicted);
    }
    let mean = left_out.iter().map(|one| one.figures.mape_pct).sum::<f64>();
    Ok(LeftOutReport {
        suite: SUITE.to_owned(),
        mean_of_gpus_pct: mean / left_out.len().max(1) as f64,
        gpus: left_out,
        overall: Figures::of(pairs.into_iter()),
    })
}

/// At most so many rows of each GPU and benchmark, none that start from another GPU's counters.
fn thinned(cases: &[Case]) -> Vec<&Case> {
    let mut groups: BTreeMap<(&str, &str), Vec<&Case>> = BTreeMap::new();
    for case in cases.iter().filter(|case| case.basis != Basis::OtherCounters) {
        groups.entry((&case.gpu, &case.benchmark)).or_default().push(case);
    }
    let mut thinned = Vec::new();
    for rows in groups.into_values() {
        // An odd step, so that sweeps over an even number of clocks are not met at half of them only.
        let every = rows.len().div_ceil(ROWS) | 1;
        thinned.extend(rows.into_iter().step_by(every));
    }
    thinned
}

/// The constants that fit these rows best; GPUs and benchmarks count alike.
fn fitted(cases: &[&Case], gpus: &BTreeMap<&str, &Gpu>, known: &Known) -> Vec<f64> {
    let mut counts: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    for case in cases {
        *counts.entry((&case.gpu, &case.benchmark)).or_insert(0.0) += 1.0;
    }
    let ranges = SHARED.map(|(_, range)| range);
    search::least(&ranges, |values| {
        let changed: BTreeMap<&str, Gpu> =
            gpus.iter().map(|(id, gpu)| (*id, with_shared(gpu, values, known))).collect();
        let rows: Vec<Option<(f64, f64, f64)>> = cases
            .par_iter()
            .map(|case| {
                let watts = case.predict(changed.get(case.board.as_str())?).ok()?.watts;
                let weight = 1.0 / counts[&(case.gpu.as_str(), case.benchmark.as_str())];
                Some((watts, case.measured_w, weight))
            })
            .collect();
        search::mean_log_error(rows.into_iter().flatten())
    })
}

/// The share of their limits that rows draw; GPUs and benchmarks count alike.
fn mean_share(cases: &[&Case], gpus: &BTreeMap<&str, &Gpu>) -> f64 {
    let mut groups: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for case in cases {
        if let Some(gpu) = gpus.get(case.board.as_str()) {
            let share = case.measured_w / gpu.power.limit.watts();
            groups.entry((&case.gpu, &case.benchmark)).or_default().push(share);
        }
    }
    let mean = |shares: &Vec<f64>| shares.iter().sum::<f64>() / shares.len() as f64;
    groups.values().map(mean).sum::<f64>() / groups.len().max(1) as f64
}

/// A GPU with these constants in place of its own. Memory without a published energy keeps its own.
fn with_shared(gpu: &Gpu, values: &[f64], known: &Known) -> Gpu {
    let mut gpu = gpu.clone();
    let &[clocks, issue, arithmetic, moved, at_rest, operands] = values else { return gpu };
    let usual = &known.unmeasured.power;
    // As published, before any fit.
    let l1_of_shared = usual.l1_byte.pj() / usual.shared_byte.pj();
    let power = &mut gpu.power;
    let fma = power.fp32_fma.pj();
    // Tensor cores keep their proportion to the other pipes of the generation, caches to shared memory.
    let tensor = power.tensor_fp16_mac.pj() / power.event_scale;
    let board = usual.constant.watts() / usual.limit.watts();
    power.constant = Power::new(board * power.limit.watts());
    power.sm_clock = Energy::new(clocks * fma * gpu.pipes.fp32);
    power.issue = Energy::new(issue);
    power.event_scale = arithmetic;
    power.tensor_fp16_mac = Energy::new(tensor * arithmetic);
    power.l1_byte = Energy::new(l1_of_shared * power.shared_byte.pj());
    power.idle_sm_share = usual.idle_sm_share;
    // As far as a spec sheet tells, boards run at like voltages when they boost.
    power.nominal_clock = gpu.clocks.boost;
    power.voltage_slope = usual.voltage_slope;
    power.voltage_floor = usual.voltage_floor;
    power.voltage_floor_light = usual.voltage_floor_light;
    power.constant_operand_share = operands;
    power.constant_data_share = usual.constant_data_share;
    if let Some(published) = known.memories.get(&gpu.dram.technology) {
        gpu.dram.energy_per_byte = Energy::new(moved * published);
        gpu.dram.idle_energy_per_byte = Energy::new(at_rest * published);
    }
    gpu
}

#[cfg(test)]
mod tests {
    use lumacycle_arch::Catalog;
    use lumacycle_engines::{GpuEngine, gpu::breakdown};

    use super::*;

    /// A technology without an energy would keep a constant that has seen the board's own rows.
    #[test]
    fn every_memory_of_the_catalogue_has_a_published_energy() {
        let (memories, catalog) = (published_pj_per_byte().unwrap(), Catalog::embedded());
        for id in catalog.names() {
            let technology = catalog.get(id).unwrap().gpu.dram.technology;
            assert!(memories.get(&technology).is_some_and(|pj| *pj > 0.0), "{id}: {technology:?}");
        }
    }

    /// Constants found on some boards say what another draws by its spec sheet.
    #[test]
    fn what_boards_share_reaches_every_part() {
        let values = SHARED.map(|(_, range)| range.start);
        let known = Known::new().unwrap();
        for id in ["gtx980", "v100-pcie-16gb", "rtx4090"] {
            let own = Catalog::embedded().get(id).unwrap().gpu;
            let whole = |values: &[f64]| {
                let gpu = with_shared(&own, values, &known);
                breakdown::by_part(&GpuEngine::new(&gpu)).iter().map(|p| p.watts).sum::<f64>()
            };
            let before = whole(&values);
            for (index, (name, _)) in SHARED.iter().enumerate().take(5) {
                let mut more = values;
                more[index] *= 1.5;
                assert!(whole(&more) > before * 1.0005, "{id}: {name}");
            }
            let board = with_shared(&own, &values, &known).power.constant.watts();
            assert!((board / own.power.limit.watts() - 0.06).abs() < 1e-9, "{id}");
        }
    }
}
