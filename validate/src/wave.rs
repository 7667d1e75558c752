//! The plain wave/tile baseline: what one gets by counting waves of tiles, with five constants for
//! each GPU fitted to the very rows that are compared. A baseline to be beaten, never used in a
//! prediction.
//!
//! t = t0 + waves × k-steps × max(tile flops / (c1 × peak), tile bytes / (c2 × L2 bandwidth)) + total
//! bytes / (c3 × DRAM bandwidth), with waves = ⌈tiles / (SMs × c4)⌉; the tile is the recorded one or the
//! best of the generation's list. Peaks are those of one SM and its share of L2. Work without tiles
//! has t0 and total bytes only.

use argmin::core::{CostFunction, Executor, State};
use argmin::solver::neldermead::NelderMead;
use lumacycle_arch::Gpu;
use lumacycle_engines::gpu::roofline;
use lumacycle_workloads::DType;
use lumacycle_workloads::Target;
use lumacycle_workloads::ops::{Gemm, Operation, library};

/// Rows that a fit looks at, at most, evenly spread.
const FITTED_ROWS: usize = 1500;
/// Steps of the fit.
const STEPS: u64 = 160;
/// Rows and columns of attention's tiles.
const ATTENTION_TILE: (f64, f64) = (128.0, 64.0);

/// One way to cut work into tiles.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Tiling {
    tiles: f64,
    k_steps: f64,
    flops: f64,
    bytes: f64,
}

/// A row as the baseline sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct WaveRow {
    tilings: Vec<Tiling>,
    total_bytes: f64,
    /// Peak of one SM, in operations a second.
    peak: f64,
    floor_us: f64,
    measured_us: f64,
}

impl WaveRow {
    /// From the operation that a row was turned into.
    pub fn of(
        gpu: &Gpu,
        target: &Target,
        operation: &Operation,
        dtype: DType,
        floor_us: f64,
        measured_us: f64,
    ) -> Self {
        let tilings = match operation {
            Operation::Gemm(gemm) => gemm_tilings(gemm, target),
            Operation::Attention(a) => {
                let (rows, columns) = ATTENTION_TILE;
                let (heads, width) = ((a.batch * a.heads_q) as f64, a.head_dim as f64);
                let seen = if a.causal && a.seq_q > 1 { 0.5 } else { 1.0 };
                vec![Tiling {
                    tiles: heads * (a.seq_q as f64 / rows).ceil(),
                    k_steps: (a.seq_kv as f64 * seen / columns).ceil(),
                    flops: 4.0 * rows * columns * width,
                    bytes: 2.0 * columns * width * dtype.bytes(),
                }]
            }
            _ => Vec::new(),
        };
        Self {
            tilings,
            total_bytes: operation.compulsory_bytes(),
            peak: roofline::peak_flops(gpu, operation.class(), dtype) / f64::from(gpu.sm.count),
            floor_us,
            measured_us,
        }
    }
}

fn gemm_tilings(gemm: &Gemm, target: &Target) -> Vec<Tiling> {
    let list = gemm.tile.map_or_else(|| library::tiles(gemm.dtype, target), |tile| vec![tile]);
    let one = |tile: lumacycle_workloads::ops::gemm::Tile| {
        let [m, n, k] = [tile.m, tile.n, tile.k.max(1)].map(f64::from);
        let split = f64::from(gemm.split_k.unwrap_or(1).max(1));
        let parts = |all: u64, tile: f64| (all as f64 / tile).ceil();
        Tiling {
            tiles: parts(gemm.m, m) * parts(gemm.n, n) * gemm.batch as f64 * split,
            k_steps: (parts(gemm.k, k) / split).ceil(),
            flops: 2.0 * m * n * k,
            bytes: (m + n) * k * gemm.dtype.bytes(),
        }
    };
    list.into_iter().map(one).collect()
}

/// The constants of a GPU: t0 in us, then c1 to c4.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wave {
    t0_us: f64,
    c: [f64; 4],
    sms: f64,
    /// Share of an SM, in bytes a second.
    l2_bytes_per_s: f64,
    dram_bytes_per_s: f64,
}

impl Wave {
    fn from(gpu: &Gpu, logs: &[f64]) -> Self {
        let of = |i: usize| libm::exp(logs.get(i).copied().unwrap_or(0.0).clamp(-12.0, 12.0));
        let sms = f64::from(gpu.sm.count);
        Self {
            t0_us: of(0),
            c: [of(1), of(2), of(3), of(4)],
            sms,
            l2_bytes_per_s: gpu.l2.bytes_per_clock * gpu.clocks.boost.hz() / sms,
            dram_bytes_per_s: gpu.dram.bandwidth.bytes_per_s(),
        }
    }

    /// Least squares on logarithms of time over rows of one GPU.
    pub fn fit(gpu: &Gpu, rows: &[&WaveRow]) -> Self {
        let every = rows.len().div_ceil(FITTED_ROWS).max(1);
        let fit = Fit { gpu, rows: rows.iter().step_by(every).copied().collect() };
        let start = [3.0, 0.7, 0.7, 0.8, 1.0].map(libm::log).to_vec();
        let mut simplex = vec![start.clone()];
        for axis in 0..start.len() {
            let mut corner = start.clone();
            corner[axis] += 0.5;
            simplex.push(corner);
        }
        let solver = NelderMead::new(simplex);
        let run = Executor::new(fit, solver).configure(|state| state.max_iters(STEPS)).run();
        let best = run.ok().and_then(|run| run.state().get_best_param().cloned());
        Self::from(gpu, &best.unwrap_or(start))
    }

    /// Time of a row, in us.
    pub fn predict_us(&self, row: &WaveRow) -> f64 {
        let [c1, c2, c3, c4] = self.c;
        let tiled = row.tilings.iter().map(|tiling| {
            let waves = (tiling.tiles / (self.sms * c4)).ceil().max(1.0);
            let step =
                (tiling.flops / (c1 * row.peak)).max(tiling.bytes / (c2 * self.l2_bytes_per_s));
            waves * tiling.k_steps * step * 1e6
        });
        let tiled = tiled.fold(f64::INFINITY, f64::min);
        let tiled = if tiled.is_finite() { tiled } else { 0.0 };
        let bytes = row.total_bytes / (c3 * self.dram_bytes_per_s) * 1e6;
        (self.t0_us + tiled + bytes).max(row.floor_us)
    }
}

struct Fit<'a> {
    gpu: &'a Gpu,
    rows: Vec<&'a WaveRow>,
}

impl CostFunction for Fit<'_> {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, logs: &Vec<f64>) -> Result<f64, argmin::core::Error> {
        let wave = Wave::from(self.gpu, logs);
        let squares = self.rows.iter().map(|row| {
            let error = libm::log(wave.predict_us(row) / row.measured_us);
            error * error
        });
        Ok(squares.sum::<f64>() / self.rows.len().max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumacycle_arch::Catalog;
    use lumacycle_engines::GpuEngine;

    /// Rows made with known constants are fitted closely.
    #[test]
    fn its_own_rows_are_fitted() {
        let gpu = Catalog::embedded().get("a100-sxm4-80gb").unwrap().gpu;
        let target = GpuEngine::new(&gpu).target();
        let truth = Wave::from(&gpu, &[5.0, 0.6, 0.9, 0.75, 1.0].map(libm::log));
        let mut rows = Vec::new();
        for shift in 7..13 {
            for wide in [1, 4] {
                let gemm = Gemm::new(1 << shift, wide << shift, 1 << shift, DType::Fp16);
                let operation = Operation::Gemm(gemm);
                let mut row = WaveRow::of(&gpu, &target, &operation, DType::Fp16, 0.0, 1.0);
                row.measured_us = truth.predict_us(&row);
                rows.push(row);
            }
        }
        let all: Vec<&WaveRow> = rows.iter().collect();
        let wave = Wave::fit(&gpu, &all);
        for row in &rows {
            let error = wave.predict_us(row) / row.measured_us - 1.0;
            assert!(error.abs() < 0.15, "{error} {wave:?}");
        }
    }
}
