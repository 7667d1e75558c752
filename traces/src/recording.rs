//! What a reader returns: devices, distinct launches, and the events that refer to them.

use std::collections::HashMap;
use std::sync::Arc;

use lumacycle_workloads::Launch;
use lumacycle_workloads::ops::Operation;
use serde::{Deserialize, Serialize};

/// A day and some hours; times beyond would overflow sums of picoseconds.
pub(crate) const LATEST_PS: u64 = 100_000_000_000_000_000;

/// A GPU as the recording names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Number within the recording.
    pub id: i64,
    /// Name as the driver prints it.
    pub name: String,
    /// Compute capability × 10; 0 = not recorded.
    #[serde(default)]
    pub compute_capability: u32,
}

/// The framework operator that launched a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
pub struct Operator {
    /// Name, e.g. `aten::addmm`.
    pub name: Arc<str>,
    /// Shape of each argument; empty for scalars. A list of tensors contributes each member.
    pub shapes: Vec<Vec<i64>>,
    /// Which argument each shape belongs to.
    pub arguments: Vec<u32>,
    /// Steps between neighbours along each dimension of each shape, in elements, where recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub strides: Vec<Vec<i64>>,
    /// Type of each argument, as written.
    pub types: Vec<String>,
    /// Values of scalar arguments, as written.
    pub scalars: Vec<String>,
}

impl Operator {
    /// Shapes of one argument: one for a tensor, several for a list, none for a scalar.
    pub fn shapes_of(&self, argument: u32) -> impl Iterator<Item = &Vec<i64>> {
        let pairs = self.arguments.iter().zip(&self.shapes);
        pairs.filter(move |(of, _)| **of == argument).map(|(_, shape)| shape)
    }

    /// Shape of an argument that is one tensor.
    pub fn shape(&self, argument: u32) -> Option<&[i64]> {
        self.shapes_of(argument).next().map(Vec::as_slice).filter(|shape| !shape.is_empty())
    }
}

/// What a collective's launch says of its payload.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
pub struct CollectiveInfo {
    /// Name of the collective, as written.
    pub name: String,
    /// Elements of this rank's input.
    pub elements: u64,
    /// GPUs taking part.
    pub ranks: u32,
    /// Element type, as written.
    pub dtype: String,
}

/// What kind of activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum EventKind {
    Kernel,
    Memcpy,
    Memset,
}

/// A distinct launch: everything that decides what work it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signature {
    /// Kind of activity.
    pub kind: EventKind,
    /// Kernel name or copy direction, as recorded.
    pub name: Arc<str>,
    /// Launch shape, where recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch: Option<Launch>,
    /// Bytes of a copy or fill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The operator that launched it, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<Arc<Operator>>,
    /// Payload of a collective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collective: Option<CollectiveInfo>,
    /// The work itself, where the writer of the trace knew it; nothing is inferred then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Operation>,
}

/// One GPU activity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Index into [`Recording::signatures`].
    pub signature: u32,
    /// Stream.
    pub stream: u32,
    /// Device number.
    pub device: i32,
    /// Start on the GPU, in picoseconds since the first event of the recording.
    pub start_ps: i64,
    /// Duration, in picoseconds.
    pub duration_ps: i64,
    /// When the host launched it, where known.
    pub launched_ps: Option<i64>,
}

impl Event {
    /// End on the GPU, in picoseconds.
    pub const fn end_ps(&self) -> i64 {
        self.start_ps + self.duration_ps
    }
}

/// A named span of host time (profiler step, NVTX range).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Name as written, e.g. `ProfilerStep#5`.
    pub name: Arc<str>,
    /// Start, in picoseconds since the first event.
    pub start_ps: i64,
    /// End.
    pub end_ps: i64,
}

/// Something that was not understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Why.
    pub reason: String,
    /// How often.
    pub count: u64,
    /// The first case.
    pub example: String,
}

/// How a profiler that runs kernels one at a time for their counters changed what it timed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profiled {
    /// SM clock during the measurement, in Hz, where recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_hz: Option<f64>,
}

/// One rank's recording.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    /// Name: file, or member of an archive.
    pub name: String,
    /// Rank, where recorded.
    pub rank: Option<i64>,
    /// Ranks of the job that it belongs to, where recorded.
    pub ranks: Option<u32>,
    /// Devices that the recording describes.
    pub devices: Vec<Device>,
    /// Distinct launches.
    pub signatures: Vec<Signature>,
    /// Activities, by start time.
    pub events: Vec<Event>,
    /// Host ranges.
    pub marks: Vec<Mark>,
    /// Most device memory that was allocated at once, in bytes, where the profiler kept track.
    pub peak_memory_bytes: Option<f64>,
    /// Set where durations are those of a profiler's counter runs, at a clock of its own and with
    /// empty caches, and so no plain timings.
    pub profiled: Option<Profiled>,
    /// What was left out, by reason.
    pub skipped: Vec<Skipped>,
    /// What the reader took for granted.
    pub notes: Vec<String>,
    /// Whether reading stopped early at damage (`--keep-going`).
    pub cut: Option<String>,
    index: HashMap<SignatureKey, u32>,
}

/// What makes two launches the same.
type SignatureKey = (
    EventKind,
    Arc<str>,
    Option<Launch>,
    Option<u64>,
    Option<Arc<Operator>>,
    Option<CollectiveInfo>,
);

impl Recording {
    /// Number of the launch that equals `signature`, added if it is new.
    pub(crate) fn intern(&mut self, signature: Signature) -> u32 {
        let key = (
            signature.kind,
            Arc::clone(&signature.name),
            signature.launch,
            signature.bytes,
            signature.operator.clone(),
            signature.collective.clone(),
        );
        let next = u32::try_from(self.signatures.len()).unwrap_or(u32::MAX);
        *self.index.entry(key).or_insert_with(|| {
            self.signatures.push(signature);
            next
        })
    }

    /// Takes all distinct launches out, to put them in anew.
    pub(crate) fn take_signatures(&mut self) -> Vec<Signature> {
        self.index = HashMap::new();
        std::mem::take(&mut self.signatures)
    }

    /// Numbers distinct launches in the order in which they first run, so that one run gives one
    /// recording whatever the order of its rows.
    pub(crate) fn renumber(&mut self) {
        self.events.sort_by_key(|event| (event.start_ps, event.device, event.stream));
        let mut old: Vec<Option<Signature>> =
            self.take_signatures().into_iter().map(Some).collect();
        let mut numbers = vec![0; old.len()];
        for event in &mut self.events {
            let index = event.signature as usize;
            if let Some(signature) = old[index].take() {
                numbers[index] = u32::try_from(self.signatures.len()).unwrap_or(u32::MAX);
                self.signatures.push(signature);
            }
            event.signature = numbers[index];
        }
    }

    /// Counts something that was left out.
    pub fn skip(&mut self, reason: &str, example: &str) {
        self.skip_many(reason, example, 1);
    }

    /// Counts several cases of something that was left out.
    pub(crate) fn skip_many(&mut self, reason: &str, example: &str, count: u64) {
        if let Some(known) = self.skipped.iter_mut().find(|s| s.reason == reason) {
            known.count += count;
        } else {
            let example: String = example.chars().take(160).collect();
            self.skipped.push(Skipped { reason: reason.to_owned(), count, example });
        }
    }

    /// Frees what only a reader needs and puts events in order of start.
    pub(crate) fn finish(&mut self) {
        self.index = HashMap::new();
        self.events.sort_by_key(|event| (event.start_ps, event.stream, event.signature));
        let first = self.events.first().map_or(0, |event| event.start_ps);
        for event in &mut self.events {
            event.start_ps -= first;
            event.launched_ps = event.launched_ps.map(|at| at - first);
        }
        for mark in &mut self.marks {
            mark.start_ps -= first;
            mark.end_ps -= first;
        }
        self.marks.sort_by(|a, b| (a.start_ps, &a.name).cmp(&(b.start_ps, &b.name)));
    }

    /// The signature of an event.
    pub fn signature(&self, event: &Event) -> &Signature {
        &self.signatures[event.signature as usize]
    }

    /// The device that recorded most of the activity, where the recording describes it.
    pub fn main_device(&self) -> Option<&Device> {
        let mut counts: HashMap<i32, usize> = HashMap::new();
        for event in &self.events {
            *counts.entry(event.device).or_default() += 1;
        }
        let busiest = counts.into_iter().max_by_key(|&(id, n)| (n, -id)).map(|(id, _)| id)?;
        self.devices
            .iter()
            .find(|device| device.id == i64::from(busiest))
            .or_else(|| self.devices.first())
    }
}
