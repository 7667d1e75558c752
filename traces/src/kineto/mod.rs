//! PyTorch profiler (Kineto) traces: the Chrome trace format with PyTorch's categories.
//!
//! All schema generations are read: `kernel`/`Kernel`, `cpu_op`/`Operator`,
//! `cuda_runtime`/`Runtime`/`cuda_driver`, `Input Dims`/`Input dims`, numbers as integers,
//! floats or strings, a root object or a bare list. A kernel is tied to its operator by the
//! correlation with its launch and the innermost operator around that launch on the same
//! thread; the external id is used only where that fails, since some exporters renumber it.

mod json;
mod link;

use std::collections::HashMap;
use std::io::{BufReader, Read};
use std::sync::Arc;

use json::{Args, RawEvent, Shape};
use lumacycle_workloads::Launch;

use crate::located::ParseProblem;
use crate::recording::{
    CollectiveInfo, Device, Event, EventKind, Mark, Operator, Recording, Signature,
};

/// A day; longer recordings would overflow sums of picoseconds.
const LONGEST_US: f64 = 1e11;

/// Reads a whole trace into `recording`; on an error, what was read so far stays there.
pub(crate) fn read(reader: impl Read, recording: &mut Recording) -> Result<(), ParseProblem> {
    let mut collector = Collector::new(recording);
    let reader = BufReader::with_capacity(1 << 16, reader);
    let result = json::read_root(reader, &mut collector).map_err(ParseProblem::from);
    collector.finish();
    result
}

/// An operator call on a host thread.
struct Call {
    thread: u32,
    start_ps: i64,
    end_ps: i64,
    operator: u32,
    external_id: i64,
}

/// A GPU activity before its operator is known.
struct Activity {
    kind: EventKind,
    name: Arc<str>,
    launch: Option<Launch>,
    bytes: Option<u64>,
    collective: Option<CollectiveInfo>,
    stream: u32,
    device: i32,
    start_ps: i64,
    duration_ps: i64,
    correlation: i64,
    external_id: i64,
}

struct Collector<'a> {
    recording: &'a mut Recording,
    threads: HashMap<(String, String), u32>,
    names: HashMap<String, Arc<str>>,
    operators: Vec<Arc<Operator>>,
    operator_index: HashMap<Arc<Operator>, u32>,
    calls: Vec<Call>,
    /// `(correlation, thread, time)` of each launch.
    launches: Vec<(i64, u32, i64)>,
    activities: Vec<Activity>,
    origin_us: Option<f64>,
    saw_events: bool,
}

impl<'a> Collector<'a> {
    fn new(recording: &'a mut Recording) -> Self {
        Self {
            recording,
            threads: HashMap::new(),
            names: HashMap::new(),
            operators: Vec::new(),
            operator_index: HashMap::new(),
            calls: Vec::new(),
            launches: Vec::new(),
            activities: Vec::new(),
            origin_us: None,
            saw_events: false,
        }
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        let shared: Arc<str> = Arc::from(name);
        self.names.insert(name.to_owned(), Arc::clone(&shared));
        shared
    }

    fn thread(&mut self, event: &RawEvent) -> u32 {
        let next = u32::try_from(self.threads.len()).unwrap_or(u32::MAX);
        *self.threads.entry((event.pid.text(), event.tid.text())).or_insert(next)
    }

    /// Picoseconds since the first timestamp seen; microseconds since 1970 would not fit the
    /// mantissa otherwise.
    fn time_ps(&mut self, us: f64) -> i64 {
        let origin = *self.origin_us.get_or_insert(us);
        ((us - origin) * 1e6).round() as i64
    }

    fn device(&mut self, device: Device) {
        self.recording.devices.push(device);
    }

    fn event(&mut self, event: RawEvent) {
        self.saw_events = true;
        if event.phase != "X" {
            // Memory events are instants; device type 1 is CUDA.
            if let (Some(bytes), Some(1.0)) = (event.args.total_allocated, event.args.device_type) {
                let peak = self.recording.peak_memory_bytes.get_or_insert(0.0);
                *peak = peak.max(bytes);
            }
            return;
        }
        match event.category.as_str() {
            "kernel" | "Kernel" => self.activity(EventKind::Kernel, event),
            "gpu_memcpy" | "Memcpy" => self.activity(EventKind::Memcpy, event),
            "gpu_memset" | "Memset" => self.activity(EventKind::Memset, event),
            "cpu_op" | "Operator" => self.call(event),
            "cuda_runtime" | "Runtime" | "cuda_driver" => self.launch(&event),
            "user_annotation" => self.mark(&event),
            _ => {}
        }
    }

    /// Start and duration in picoseconds, or a reason.
    fn interval(&mut self, event: &RawEvent) -> Result<(i64, i64), &'static str> {
        let start = event.start_us.number().ok_or("no readable start time")?;
        let duration = event.duration_us.number().ok_or("no readable duration")?;
        let origin = self.origin_us.unwrap_or(start);
        let near = (start - origin).abs() <= LONGEST_US && duration <= LONGEST_US;
        if !(start.is_finite() && duration.is_finite() && near) {
            return Err("time out of range");
        }
        if duration < 0.0 {
            return Err("negative duration");
        }
        Ok((self.time_ps(start), (duration * 1e6).round() as i64))
    }

    fn activity(&mut self, kind: EventKind, event: RawEvent) {
        let (start_ps, duration_ps) = match self.interval(&event) {
            Ok(interval) => interval,
            Err(reason) => {
                return self.recording.skip(&format!("GPU activity with {reason}"), &event.name);
            }
        };
        let args = event.args;
        let launch = match (kind, args.grid, args.block) {
            (EventKind::Kernel, Some(grid), Some(block)) => Some(Launch {
                grid,
                block,
                registers: args.registers.unwrap_or(0.0).clamp(0.0, 1024.0) as u32,
                shared_bytes: args.shared.unwrap_or(0.0).clamp(0.0, 1e9) as u32,
            }),
            _ => None,
        };
        let launch = launch.filter(|launch| {
            let possible = launch.is_possible();
            if !possible {
                self.recording.skip("launch shape beyond CUDA's limits", &event.name);
            }
            possible
        });
        let collective = args.collective_name.as_ref().map(|name| CollectiveInfo {
            name: name.clone(),
            elements: args.collective_elements.unwrap_or(0.0).max(0.0) as u64,
            ranks: args.group_size.unwrap_or(0.0).max(0.0) as u32,
            dtype: args.collective_dtype.clone().unwrap_or_default(),
        });
        let name = self.name(&event.name);
        self.activities.push(Activity {
            kind,
            name,
            launch,
            bytes: args.bytes.map(|bytes| bytes.max(0.0) as u64),
            collective,
            stream: args.stream.unwrap_or(0.0).max(0.0) as u32,
            device: args.device.unwrap_or(0.0).clamp(-1e6, 1e6) as i32,
            start_ps,
            duration_ps,
            correlation: args.correlation.map_or(-1, |id| id as i64),
            external_id: args.external_id.map_or(-1, |id| id as i64),
        });
    }

    fn call(&mut self, event: RawEvent) {
        let Ok((start_ps, duration_ps)) = self.interval(&event) else {
            return self.recording.skip("operator without a readable time", &event.name);
        };
        let thread = self.thread(&event);
        let name = self.name(&event.name);
        let external_id = event.args.external_id.map_or(-1, |id| id as i64);
        let operator = Arc::new(operator(name, event.args));
        let next = u32::try_from(self.operators.len()).unwrap_or(u32::MAX);
        let operator = if let Some(&known) = self.operator_index.get(&operator) {
            known
        } else {
            self.operators.push(Arc::clone(&operator));
            self.operator_index.insert(operator, next);
            next
        };
        let end_ps = start_ps + duration_ps;
        self.calls.push(Call { thread, start_ps, end_ps, operator, external_id });
    }

    fn launch(&mut self, event: &RawEvent) {
        let (Some(correlation), Some(start)) = (event.args.correlation, event.start_us.number())
        else {
            return;
        };
        let thread = self.thread(event);
        if (start - self.origin_us.unwrap_or(start)).abs() > LONGEST_US {
            return;
        }
        let at = self.time_ps(start);
        self.launches.push((correlation as i64, thread, at));
    }

    fn mark(&mut self, event: &RawEvent) {
        if let Ok((start_ps, duration_ps)) = self.interval(event) {
            let name = self.name(&event.name);
            self.recording.marks.push(Mark { name, start_ps, end_ps: start_ps + duration_ps });
        }
    }

    fn finish(mut self) {
        let links = link::operators_of(&mut self.calls, &mut self.launches, &self.activities);
        for (activity, link) in self.activities.into_iter().zip(links) {
            let operator = link.operator.map(|index| Arc::clone(&self.operators[index as usize]));
            let signature = self.recording.intern(Signature {
                kind: activity.kind,
                name: activity.name,
                launch: activity.launch,
                bytes: activity.bytes,
                operator,
                collective: activity.collective,
                work: None,
            });
            self.recording.events.push(Event {
                signature,
                stream: activity.stream,
                device: activity.device,
                start_ps: activity.start_ps,
                duration_ps: activity.duration_ps,
                launched_ps: link.launched_ps,
            });
        }
        if !self.saw_events {
            self.recording.skip("no trace events in the file", "traceEvents is missing or empty");
        }
    }
}

fn operator(name: Arc<str>, args: Args) -> Operator {
    let mut shapes = Vec::new();
    let mut arguments = Vec::new();
    for (index, shape) in args.shapes.into_iter().enumerate() {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        match shape {
            Shape::Tensor(dims) => {
                shapes.push(dims);
                arguments.push(index);
            }
            Shape::List(list) => {
                for dims in list {
                    shapes.push(dims);
                    arguments.push(index);
                }
            }
        }
    }
    // One for each shape, or they are of no use.
    let strides: Vec<Vec<i64>> = args.strides.into_iter().flat_map(Shape::into_members).collect();
    let strides = if strides.len() == shapes.len() { strides } else { Vec::new() };
    Operator { name, shapes, arguments, strides, types: args.types, scalars: args.scalars }
}
