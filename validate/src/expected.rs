//! How far a prediction may be off, told from how far others were.
//!
//! For each class of kernels and size, the table holds the 5 % and 95 % points of measured over
//! predicted time in the suites: over all GPUs, over those of one generation, and of these with
//! kernels that are known or chosen. The closest that has enough rows is taken. A source's rows of
//! a GPU count by the square root of their number, so that the spread between boards is in the
//! interval and no sweep decides alone; a generation is listed where its interval holds for boards
//! that it is made without. Coverage says how often measured times fall inside intervals made without their own
//! source and GPU. The table is written by `lumacycle validate all --data … --expected FILE` and
//! compiled in. Left out: element types.

use std::collections::BTreeMap;

use lumacycle_arch::Gpu;
use lumacycle_workloads::KernelClass;
use serde::{Deserialize, Serialize};

use crate::stats::bucket;
use crate::suite::SuiteReport;

const TABLE: &str = include_str!("../tables/expected.toml");
const FRAMES: &str = include_str!("../tables/frames.toml");

/// Fewer rows say nothing.
const FEWEST_ROWS: usize = 10;
/// Rows that an interval of a generation is made from, at least.
const LEAST_ROWS: usize = 100;

/// Share of rows, in percent, that an interval of a generation has to hold of boards that it is made
/// without; where it does not, boards of the generation differ more than its rows show.
const LEAST_COVERAGE_PCT: f64 = 80.0;

/// What errors depend on besides class and size, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Setting {
    /// Compute capability × 10 of the GPU, which tells generations apart.
    pub compute_capability: Option<u32>,
    /// Whether the kernel or its tile is known, rather than chosen as a library would.
    pub kernel_known: Option<bool>,
}

impl Setting {
    /// A kernel on a GPU.
    pub fn of(gpu: &Gpu, kernel_known: bool) -> Self {
        Self {
            compute_capability: Some(gpu.gpu.compute_capability),
            kernel_known: Some(kernel_known),
        }
    }

    /// From the closest to the widest.
    fn widening(self) -> [Self; 3] {
        [self, Self { kernel_known: None, ..self }, Self::default()]
    }
}

/// What the table says of one class and size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Suite whose rows it comes from.
    pub suite: String,
    /// Size by time.
    pub bucket: String,
    /// Generation, where it is of one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute_capability: Option<u32>,
    /// Whether kernels are known, where it is of such only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_known: Option<bool>,
    /// 5 % point of measured over predicted.
    pub low: f64,
    /// 95 % point.
    pub high: f64,
    /// Rows behind it.
    pub rows: usize,
    /// Sources behind it, by GPU.
    pub boards: usize,
    /// Share of rows inside the interval that is made without their source and GPU, in percent,
    /// weighted in the same way; absent with a single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage_pct: Option<f64>,
}

/// The table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// How it was made.
    pub method: String,
    /// Its rows.
    pub spread: Vec<Spread>,
}

impl Spread {
    fn setting(&self) -> Setting {
        Setting { compute_capability: self.compute_capability, kernel_known: self.kernel_known }
    }
}

impl Table {
    /// As the file that is compiled in.
    pub fn to_toml(&self) -> String {
        // Text and finite numbers always have a form in TOML.
        toml::to_string(self).unwrap_or_default()
    }
}

/// An interval around one prediction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// One measured time in twenty is expected below this, in microseconds.
    pub low_us: f64,
    /// And one in twenty above this.
    pub high_us: f64,
}

/// The compiled-in table; empty should it not parse, which a test rules out.
pub fn table() -> Vec<Spread> {
    toml::from_str::<Table>(TABLE).map(|table| table.spread).unwrap_or_default()
}

/// What to expect of a prediction; `None` for classes that no suite measures.
pub fn interval(
    table: &[Spread],
    class: KernelClass,
    setting: Setting,
    predicted_us: f64,
) -> Option<Interval> {
    interval_in(table, suite_of(class)?, setting, predicted_us)
}

/// The same for a row of a suite; `None` for suites that the table does not know. Rows that the table was
/// made from lie in their own interval by construction nine times in ten, so that this shows what the program states,
/// not how well it does.
pub fn interval_in(
    table: &[Spread],
    suite: &str,
    setting: Setting,
    predicted_us: f64,
) -> Option<Interval> {
    let size = bucket(predicted_us);
    let of_suite = || table.iter().filter(|spread| spread.suite == suite);
    let closest = setting.widening().into_iter().find_map(|setting| {
        of_suite().find(|spread| spread.bucket == size && spread.setting() == setting)
    });
    // Sizes that no row has are no better known than the next larger.
    let spread = closest.or_else(|| of_suite().find(|s| s.setting() == Setting::default()))?;
    Some(Interval { low_us: predicted_us * spread.low, high_us: predicted_us * spread.high })
}

/// Published over predicted time of the frames that have been published: how many, the least and the most.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Frames {
    /// How the table was made.
    pub method: String,
    /// Frames.
    pub rows: usize,
    /// The least ratio.
    pub low: f64,
    /// The largest.
    pub high: f64,
}

/// What is known of frames; `None` should the table not parse, which a test rules out.
pub fn frames() -> Option<Frames> {
    toml::from_str(FRAMES).ok()
}

/// What to expect of a sum over classes of kernels, given as class, launches and predicted time in
/// microseconds. Kernels of one class err alike, classes independently of each other. With it the
/// share of the time for which an interval is known; the rest is taken as it is.
pub fn interval_of_sum(
    table: &[Spread],
    compute_capability: Option<u32>,
    classes: impl Iterator<Item = (KernelClass, u64, f64)>,
) -> (Interval, f64) {
    let setting = Setting { compute_capability, kernel_known: None };
    let (mut sum, mut known, mut below, mut above) = (0.0, 0.0, 0.0, 0.0);
    for (class, launches, predicted_us) in classes {
        sum += predicted_us;
        let one = predicted_us / launches.max(1) as f64;
        let Some(interval) = interval(table, class, setting, one).filter(|_| one > 0.0) else {
            continue;
        };
        known += predicted_us;
        let times = predicted_us / one;
        below += ((one - interval.low_us) * times).max(0.0).powi(2);
        above += ((interval.high_us - one) * times).max(0.0).powi(2);
    }
    let interval = Interval { low_us: sum - below.sqrt(), high_us: sum + above.sqrt() };
    (interval, if sum > 0.0 { known / sum } else { 0.0 })
}

/// The suite whose rows are most like a class.
fn suite_of(class: KernelClass) -> Option<&'static str> {
    Some(match class {
        KernelClass::Gemm | KernelClass::Convolution => "gemm",
        KernelClass::Attention => "attention",
        KernelClass::Elementwise
        | KernelClass::Copy
        | KernelClass::Reduction
        | KernelClass::Softmax
        | KernelClass::Norm
        | KernelClass::Pooling
        | KernelClass::Optimizer => "elementwise_norm_softmax",
        KernelClass::Counters => crate::counters::SUITE,
        _ => return None,
    })
}

/// Rows of one interval: ratios of measured to predicted time by GPU and source.
type Boards<'a> = BTreeMap<(&'a str, &'a str), Vec<f64>>;

/// Makes the table from compared rows.
pub fn from_reports(reports: &[SuiteReport]) -> Table {
    let mut spread = Vec::new();
    for report in reports {
        let mut groups: BTreeMap<(Setting, &str), Boards<'_>> = BTreeMap::new();
        for row in &report.rows {
            // References of counters do not start with a source.
            let of_source = report.suite != crate::counters::SUITE;
            let source = row.reference.split(' ').next().filter(|_| of_source).unwrap_or_default();
            for setting in row.setting.widening() {
                let boards = groups.entry((setting, bucket(row.predicted_us))).or_default();
                let ratios = boards.entry((&row.gpu, source)).or_default();
                ratios.push(row.measured_us / row.predicted_us);
            }
        }
        for ((setting, size), boards) in groups {
            let all: Vec<&Vec<f64>> = boards.values().collect();
            let rows = all.iter().map(|ratios| ratios.len()).sum();
            let coverage_pct = coverage(&all);
            let holds = coverage_pct.is_some_and(|share| share >= LEAST_COVERAGE_PCT);
            if rows < FEWEST_ROWS
                || (setting != Setting::default() && (rows < LEAST_ROWS || !holds))
            {
                continue;
            }
            let (low, high) = points(&all);
            spread.push(Spread {
                suite: report.suite.clone(),
                bucket: size.to_owned(),
                compute_capability: setting.compute_capability,
                kernel_known: setting.kernel_known,
                low,
                high,
                rows,
                boards: all.len(),
                coverage_pct,
            });
        }
    }
    Table { method: "lumacycle validate all --data … --expected FILE".to_owned(), spread }
}

/// Share of rows inside, of each board by the interval of the others.
fn coverage(gpus: &[&Vec<f64>]) -> Option<f64> {
    if gpus.len() < 2 {
        return None;
    }
    let (mut covered, mut weights) = (0.0, 0.0);
    for index in 0..gpus.len() {
        let others: Vec<&Vec<f64>> =
            gpus.iter().enumerate().filter(|(i, _)| *i != index).map(|(_, g)| *g).collect();
        let (low, high) = points(&others);
        let own = gpus[index];
        let inside = own.iter().filter(|ratio| (low..=high).contains(*ratio)).count();
        let rows = own.len() as f64;
        covered += inside as f64 / rows * rows.sqrt();
        weights += rows.sqrt();
    }
    Some((covered / weights * 1000.0).round() / 10.0)
}

/// 5 % and 95 % points with every board counting by the square root of its rows.
fn points(gpus: &[&Vec<f64>]) -> (f64, f64) {
    let mut weighted: Vec<(f64, f64)> = gpus
        .iter()
        .flat_map(|ratios| ratios.iter().map(|ratio| (*ratio, 1.0 / (ratios.len() as f64).sqrt())))
        .collect();
    weighted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = weighted.iter().map(|(_, weight)| weight).sum();
    let at = |share: f64| {
        let mut sum = 0.0;
        for (ratio, weight) in &weighted {
            sum += weight;
            if sum >= share * total {
                return (ratio * 1e4).round() / 1e4;
            }
        }
        1.0
    };
    (at(0.05), at(0.95))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiled_table_parses_and_holds_the_main_classes() {
        let table = table();
        for class in [KernelClass::Gemm, KernelClass::Attention, KernelClass::Elementwise] {
            let interval = interval(&table, class, Setting::default(), 500.0).unwrap();
            assert!(interval.low_us < 500.0 * 1.05 && interval.high_us > 500.0 * 0.95);
            assert!(interval.low_us < interval.high_us);
        }
        assert_eq!(interval(&table, KernelClass::Collective, Setting::default(), 500.0), None);
        let frames = frames().unwrap();
        assert!(frames.low < 1.0 && frames.high > 1.0 && frames.rows > 3);
    }

    #[test]
    fn the_closest_that_has_rows_is_taken() {
        let table = table();
        let of = |compute_capability, kernel_known| {
            let setting = Setting { compute_capability, kernel_known };
            interval_in(&table, "gemm", setting, 500.0).unwrap()
        };
        let own = of(Some(80), None);
        assert_ne!(own, of(None, None));
        assert_ne!(own, of(Some(80), Some(true)));
        // A generation without rows is no better known than all.
        assert_eq!(of(Some(999), Some(true)), of(None, None));
    }

    #[test]
    fn sums_are_surer_than_their_parts() {
        let table = table();
        let parts = [KernelClass::Gemm, KernelClass::Elementwise];
        let classes = parts.map(|class| (class, 1, 500.0));
        let (sum, known) = interval_of_sum(&table, None, classes.into_iter());
        let alone = parts.map(|class| interval(&table, class, Setting::default(), 500.0).unwrap());
        let widths: f64 = alone.iter().map(|i| i.high_us - 500.0).sum();
        assert!(sum.high_us - 1000.0 < widths && sum.high_us > 1000.0);
        assert!((known - 1.0).abs() < 1e-9);
        let (_, half) = interval_of_sum(
            &table,
            None,
            [(KernelClass::Gemm, 1, 5.0), (KernelClass::Memcpy, 1, 5.0)].into_iter(),
        );
        assert!((half - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_gpu_with_many_rows_does_not_decide_alone() {
        let many = vec![1.0; 1000];
        let few = vec![2.0; 20];
        let (low, high) = points(&[&many, &few]);
        assert!((low - 1.0).abs() < 1e-9 && (high - 2.0).abs() < 1e-9);
    }
}
