//! GPU activities on their way into a recording: names once, times within a day of the first,
//! copies named alike whichever exporter wrote them.

use std::collections::HashMap;
use std::sync::Arc;

use lumacycle_workloads::Launch;

use crate::launches;
use crate::recording::{Device, Event, EventKind, LATEST_PS, Recording, Signature};

/// Activities, distinct launches, and bytes of distinct names that are kept of one file.
const MOST_EVENTS: usize = 50_000_000;
const MOST_LAUNCHES: usize = 500_000;
const MOST_NAMES: usize = 128 << 20;

/// One activity as a row tells it.
pub(super) struct Activity<'a> {
    pub(super) kind: EventKind,
    pub(super) name: &'a str,
    pub(super) launch: Option<Launch>,
    pub(super) bytes: Option<u64>,
    pub(super) stream: u32,
    pub(super) device: i32,
    pub(super) start_ps: i64,
    pub(super) duration_ps: i64,
    pub(super) launched_ps: Option<i64>,
}

/// Puts activities into a recording.
pub(super) struct Activities<'a> {
    pub(super) recording: &'a mut Recording,
    names: HashMap<String, Arc<str>>,
    /// Bytes of all names.
    named: usize,
    origin_ps: Option<i64>,
}

impl<'a> Activities<'a> {
    pub(super) fn new(recording: &'a mut Recording) -> Self {
        Self { recording, names: HashMap::new(), named: 0, origin_ps: None }
    }

    /// A name, kept once.
    pub(super) fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        let shared: Arc<str> = Arc::from(name);
        self.named += name.len();
        self.names.insert(name.to_owned(), Arc::clone(&shared));
        shared
    }

    /// What there is more of than memory is spent on.
    pub(super) fn full(&self) -> Option<&'static str> {
        if self.recording.events.len() > MOST_EVENTS {
            Some("the file holds more than fifty million activities")
        } else if self.recording.signatures.len() > MOST_LAUNCHES {
            Some("the file holds more than half a million distinct launches")
        } else if self.named > MOST_NAMES {
            Some("the names of the kernels in the file add up to more than 128 MiB")
        } else {
            None
        }
    }

    /// A device by number and name, kept once.
    pub(super) fn device(&mut self, id: i32, name: &str, compute_capability: u32) {
        let id = i64::from(id);
        if !name.is_empty() && self.recording.devices.iter().all(|device| device.id != id) {
            self.recording.devices.push(Device { id, name: name.to_owned(), compute_capability });
        }
    }

    pub(super) fn push(&mut self, activity: &Activity<'_>) {
        let origin = *self.origin_ps.get_or_insert(activity.start_ps);
        let near = |at: i64| at.checked_sub(origin).is_some_and(|d| d.unsigned_abs() <= LATEST_PS);
        if activity.duration_ps < 0 {
            return self.recording.skip("GPU activity with negative duration", activity.name);
        }
        if !near(activity.start_ps) || activity.duration_ps.unsigned_abs() > LATEST_PS {
            return self.recording.skip("GPU activity with time out of range", activity.name);
        }
        let launch = activity.launch.filter(|launch| {
            let possible = launch.is_possible();
            if !possible {
                self.recording.skip("launch shape beyond CUDA's limits", activity.name);
            }
            possible
        });
        let name = self.name(activity.name);
        let signature = self.recording.intern(Signature {
            kind: activity.kind,
            name,
            launch,
            bytes: activity.bytes,
            operator: None,
            collective: None,
            work: None,
        });
        self.recording.events.push(Event {
            signature,
            stream: activity.stream,
            device: activity.device,
            start_ps: activity.start_ps - origin,
            duration_ps: activity.duration_ps,
            launched_ps: activity.launched_ps.filter(|at| near(*at)).map(|at| at - origin),
        });
    }

    /// Time on the recording's axis, for ranges.
    #[cfg(feature = "sqlite")]
    pub(super) fn on_axis(&self, ps: i64) -> Option<i64> {
        let at = ps.checked_sub(self.origin_ps.unwrap_or(ps))?;
        (at.unsigned_abs() <= LATEST_PS).then_some(at)
    }

    /// Puts launches in order, and gives those of runs that are known further their work.
    pub(super) fn finish(self) {
        self.recording.renumber();
        launches::understand(self.recording);
    }
}

/// A copy's direction in four letters, from either spelling (`HtoD`, `Host-to-Device`).
pub(super) fn direction(name: &str) -> Option<&'static str> {
    const SPELLINGS: [(&str, &str, &str); 10] = [
        ("HtoD", "HtoD", "Host-to-Device"),
        ("DtoH", "DtoH", "Device-to-Host"),
        ("DtoD", "DtoD", "Device-to-Device"),
        ("HtoH", "HtoH", "Host-to-Host"),
        ("PtoP", "PtoP", "Peer-to-Peer"),
        ("HtoA", "HtoA", "Host-to-Array"),
        ("AtoH", "AtoH", "Array-to-Host"),
        ("AtoA", "AtoA", "Array-to-Array"),
        ("AtoD", "AtoD", "Array-to-Device"),
        ("DtoA", "DtoA", "Device-to-Array"),
    ];
    SPELLINGS
        .iter()
        .find(|(_, short, long)| name.contains(short) || name.contains(long))
        .map(|(label, ..)| *label)
}

/// A copy as all readers name it: `Memcpy HtoD (Pageable -> Device)`.
pub(super) fn copy_name(direction: &str, from: &str, to: &str) -> String {
    if from.is_empty() || to.is_empty() {
        format!("Memcpy {direction}")
    } else {
        format!("Memcpy {direction} ({from} -> {to})")
    }
}

/// A fill as all readers name it: `Memset (Device)`.
pub(super) fn fill_name(of: &str) -> String {
    if of.is_empty() { "Memset".to_owned() } else { format!("Memset ({of})") }
}
