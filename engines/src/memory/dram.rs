//! DRAM service time: the data bus, and the row activations that irregular accesses cost.
//!
//! Streaming traffic opens each row once and is bound by the bus at the achieved share of its
//! peak. Scattered sectors each open a row of their own; the banks of all channels can do one
//! activation per row cycle time. Pieces of far rows that CTAs ask for in step keep fewer of them
//! busy (`dram.banks_in_step`). Left out: refresh and read/write turn-around as such (the
//! achieved share contains them).

use lumacycle_arch::Gpu;

use crate::cost::Traffic;

/// Time on the data bus at the catalogue's memory clock, in nanoseconds.
pub fn bus_ns(gpu: &Gpu, traffic: &Traffic) -> f64 {
    let bytes = traffic.dram_read_bytes + traffic.dram_write_bytes;
    let write_share = if bytes > 0.0 { traffic.dram_write_bytes / bytes } else { 0.0 };
    bytes / gpu.stream_bytes_per_s(write_share) * 1e9
}

/// Time for row activations, in nanoseconds.
pub fn rows_ns(gpu: &Gpu, traffic: &Traffic) -> f64 {
    let banks = f64::from(gpu.dram.banks).max(1.0);
    // Requests that wait in a channel's queue fall on banks at random; those that want the same
    // bank wait for each other.
    let busy = banks * (1.0 - libm::pow(1.0 - 1.0 / banks, gpu.dram.queue));
    let in_step = gpu.dram.banks_in_step.clamp(1.0, banks);
    let bank_ns = gpu.dram.row_cycle.ns() / f64::from(gpu.dram.channels);
    bank_ns * (traffic.extra_activations / busy.max(1.0) + traffic.step_activations / in_step)
}

/// Row activations that one scattered request costs: a controller reorders what waits in its
/// queues, so requests to the same of `rows` rows that wait together share an activation.
pub fn activations_per_request(gpu: &Gpu, rows: f64) -> f64 {
    let waiting = f64::from(gpu.dram.channels) * gpu.dram.queue;
    let rows = rows.max(1.0);
    (rows * (1.0 - libm::exp(-waiting / rows)) / waiting.max(1.0)).clamp(0.0, 1.0)
}

/// Row activations that one piece of a tile costs, of `at_once` pieces that lie so far apart and
/// are asked for in one step. Those of a step that share a row of DRAM share its activation; the
/// next step finds the row open if no other piece has wanted its bank in between.
pub fn activations_per_run(gpu: &Gpu, pitch_bytes: f64, at_once: f64) -> f64 {
    let of_a_row = (pitch_bytes / gpu.dram.row.bytes()).clamp(0.0, 1.0);
    let banks = f64::from(gpu.dram.channels) * f64::from(gpu.dram.banks);
    of_a_row * (1.0 - libm::exp(-at_once * of_a_row / banks.max(1.0)))
}
