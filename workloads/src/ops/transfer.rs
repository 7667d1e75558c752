//! Copies, fills and collectives: work that links and copy engines do.

use serde::{Deserialize, Serialize};

/// Direction of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyKind {
    /// Host to device, pinned memory.
    HostToDevice,
    /// Device to host, pinned memory.
    DeviceToHost,
    /// Either direction through the driver's staging of pageable memory: the host sets the pace.
    Pageable,
    /// Inside the device.
    DeviceToDevice,
    /// To another GPU.
    PeerToPeer,
    /// Fill.
    Set,
}

/// A copy or fill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// Direction.
    pub kind: CopyKind,
    /// Bytes.
    pub bytes: f64,
}

impl Transfer {
    /// Bytes that cross the interface of the copy: a copy inside the device reads and writes.
    pub fn crossing_bytes(&self) -> f64 {
        if self.kind == CopyKind::DeviceToDevice { 2.0 * self.bytes } else { self.bytes }
    }
}

/// Which collective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum CollectiveKind {
    AllReduce,
    AllGather,
    ReduceScatter,
    Broadcast,
    AllToAll,
    SendRecv,
}

/// A collective over several GPUs, seen from one of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Collective {
    /// Which.
    pub kind: CollectiveKind,
    /// Bytes of this rank's buffer; 0 = not recorded.
    pub bytes: f64,
    /// GPUs taking part; 0 = not recorded.
    pub ranks: u32,
}

impl Collective {
    /// Bytes that cross this GPU's link in one direction, for a ring algorithm.
    pub fn link_bytes(&self) -> f64 {
        let ranks = f64::from(self.ranks.max(2));
        let share = (ranks - 1.0) / ranks;
        match self.kind {
            CollectiveKind::AllReduce => 2.0 * share * self.bytes,
            // The buffer is this rank's shard; every other rank's has to arrive.
            CollectiveKind::AllGather => (ranks - 1.0) * self.bytes,
            CollectiveKind::ReduceScatter | CollectiveKind::AllToAll => share * self.bytes,
            CollectiveKind::Broadcast | CollectiveKind::SendRecv => self.bytes,
        }
    }

    /// Dependent hops of a ring.
    pub fn hops(&self) -> f64 {
        let ranks = f64::from(self.ranks.max(2));
        match self.kind {
            CollectiveKind::AllReduce => 2.0 * (ranks - 1.0),
            CollectiveKind::SendRecv | CollectiveKind::AllToAll => 1.0,
            _ => ranks - 1.0,
        }
    }
}
