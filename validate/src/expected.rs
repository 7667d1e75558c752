//! How far a prediction may be off, told from how far others were.
//!
//! For each class of kernels and size, the table holds the 5 % and 95 % points of measured over
//! predicted time in the suites. A GPU counts by the square root of its rows, so that the spread
//! between GPUs is in the interval and no sweep decides alone. Coverage says how often measured times fall inside on
//! GPUs that were left out in turn. The table is written by
//! `lumacycle validate all --data … --expected FILE` and compiled in. Left out: whether the tile
//! was known, and generations: too few GPUs have rows.

use std::collections::BTreeMap;

use lumacycle_workloads::KernelClass;
use serde::{Deserialize, Serialize};

use crate::stats::bucket;
use crate::suite::SuiteReport;

const TABLE: &str = include_str!("../tables/expected.toml");
const FRAMES: &str = include_str!("../tables/frames.toml");

/// What the table says of one class and size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Suite whose rows it comes from.
    pub suite: String,
    /// Size by time.
    pub bucket: String,
    /// 5 % point of measured over predicted.
    pub low: f64,
    /// 95 % point.
    pub high: f64,
    /// Rows behind it.
    pub rows: usize,
    /// GPUs behind it.
    pub gpus: usize,
    /// Share of rows inside the interval on GPUs that it was made without, in percent, weighted
    /// in the same way; absent with a single GPU.
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
pub fn interval(table: &[Spread], class: KernelClass, predicted_us: f64) -> Option<Interval> {
    interval_in(table, suite_of(class)?, predicted_us)
}

/// The same for a row of a suite; `None` for suites that the table does not know. Rows that the table was
/// made from lie in their own interval by construction nine times in ten, so that this shows what the program states,
/// not how well it does.
pub fn interval_in(table: &[Spread], suite: &str, predicted_us: f64) -> Option<Interval> {
    let size = bucket(predicted_us);
    let of_suite = || table.iter().filter(|spread| spread.suite == suite);
    // Sizes that no row has are no better known than the next larger.
    let spread = of_suite().find(|s| s.bucket == size).or_else(|| of_suite().next())?;
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
    classes: impl Iterator<Item = (KernelClass, u64, f64)>,
) -> (Interval, f64) {
    let (mut sum, mut known, mut below, mut above) = (0.0, 0.0, 0.0, 0.0);
    for (class, launches, predicted_us) in classes {
        sum += predicted_us;
        let one = predicted_us / launches.max(1) as f64;
        let Some(interval) = interval(table, class, one).filter(|_| one > 0.0) else { continue };
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

/// Makes the table from compared rows.
pub fn from_reports(reports: &[SuiteReport]) -> Table {
    let mut spread = Vec::new();
    for report in reports {
        let mut sizes: BTreeMap<&str, BTreeMap<&str, Vec<f64>>> = BTreeMap::new();
        for row in &report.rows {
            let gpus = sizes.entry(bucket(row.predicted_us)).or_default();
            gpus.entry(&row.gpu).or_default().push(row.measured_us / row.predicted_us);
        }
        for (size, gpus) in sizes {
            let all: Vec<&Vec<f64>> = gpus.values().collect();
            let (low, high) = points(&all);
            spread.push(Spread {
                suite: report.suite.clone(),
                bucket: size.to_owned(),
                low,
                high,
                rows: all.iter().map(|ratios| ratios.len()).sum(),
                gpus: all.len(),
                coverage_pct: coverage(&all),
            });
        }
    }
    Table { method: "lumacycle validate all --data … --expected FILE".to_owned(), spread }
}

/// Share of rows inside, on each GPU by the interval of the others.
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

/// 5 % and 95 % points with every GPU counting by the square root of its rows.
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
            let interval = interval(&table, class, 500.0).unwrap();
            assert!(interval.low_us < 500.0 * 1.05 && interval.high_us > 500.0 * 0.95);
            assert!(interval.low_us < interval.high_us);
        }
        assert_eq!(interval(&table, KernelClass::Collective, 500.0), None);
        let frames = frames().unwrap();
        assert!(frames.low < 1.0 && frames.high > 1.0 && frames.rows > 3);
    }

    #[test]
    fn sums_are_surer_than_their_parts() {
        let table = table();
        let parts = [KernelClass::Gemm, KernelClass::Elementwise];
        let classes = parts.map(|class| (class, 1, 500.0));
        let (sum, known) = interval_of_sum(&table, classes.into_iter());
        let alone = parts.map(|class| interval(&table, class, 500.0).unwrap());
        let widths: f64 = alone.iter().map(|i| i.high_us - 500.0).sum();
        assert!(sum.high_us - 1000.0 < widths && sum.high_us > 1000.0);
        assert!((known - 1.0).abs() < 1e-9);
        let (_, half) = interval_of_sum(
            &table,
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
