//! Pieces of a run with their place in time, for timelines: where each was recorded, where the model puts it, and
//! what it keeps busy meanwhile.

use lumacycle_engines::cost::SharedUse;

/// A piece of work on a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// What it is.
    pub name: String,
    /// Device.
    pub device: i32,
    /// Stream on it.
    pub stream: u32,
    /// Start and end as recorded, in picoseconds, where there is a recording.
    pub recorded_ps: Option<(i64, i64)>,
    /// Start and end as simulated, in picoseconds.
    pub simulated_ps: (i64, i64),
    /// Shares of what it kept busy over the simulated time, contention included.
    pub shared: SharedUse,
    /// Resident warps over the most there could be, as a mean over the device.
    pub occupancy: f64,
    /// Mean power, in W.
    pub power_w: f64,
    /// What binds it; none where a recorded duration is kept.
    pub bound_by: Option<&'static str>,
}

impl Span {
    /// The use of a piece that would take `alone_ps` alone and took longer beside others.
    pub(crate) fn stretched(shared: SharedUse, alone_ps: f64, took_ps: i64) -> SharedUse {
        let speed = if took_ps > 0 { (alone_ps / took_ps as f64).min(1.0) } else { 0.0 };
        SharedUse {
            sm: shared.sm * speed,
            l2: shared.l2 * speed,
            dram: shared.dram * speed,
            host_link: shared.host_link * speed,
            peer_link: shared.peer_link * speed,
        }
    }
}
