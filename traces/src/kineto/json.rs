//! The JSON layer: one event at a time, fields taken leniently (a number may be a string), and
//! everything that is not needed skipped without being stored.

use std::fmt;
use std::io::Read;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::Collector;
use crate::recording::Device;

/// A scalar of any type.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) enum Scalar {
    #[default]
    Missing,
    Number(f64),
    Text(String),
    Other,
}

impl Scalar {
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
            _ => String::new(),
        }
    }
}

/// The shape of an argument: one tensor, or a list of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    Tensor(Vec<i64>),
    List(Vec<Vec<i64>>),
}

impl Shape {
    /// What is said of each tensor.
    pub(super) fn into_members(self) -> Vec<Vec<i64>> {
        match self {
            Self::Tensor(one) => vec![one],
            Self::List(all) => all,
        }
    }
}

/// The fields of `args` that are used.
#[derive(Debug, Default)]
pub(super) struct Args {
    pub(super) grid: Option<[u32; 3]>,
    pub(super) block: Option<[u32; 3]>,
    pub(super) registers: Option<f64>,
    pub(super) shared: Option<f64>,
    pub(super) stream: Option<f64>,
    pub(super) device: Option<f64>,
    pub(super) correlation: Option<f64>,
    pub(super) external_id: Option<f64>,
    pub(super) bytes: Option<f64>,
    pub(super) shapes: Vec<Shape>,
    pub(super) strides: Vec<Shape>,
    pub(super) types: Vec<String>,
    pub(super) scalars: Vec<String>,
    pub(super) collective_name: Option<String>,
    pub(super) collective_elements: Option<f64>,
    pub(super) collective_dtype: Option<String>,
    pub(super) group_size: Option<f64>,
    pub(super) total_allocated: Option<f64>,
    pub(super) device_type: Option<f64>,
}

/// One trace event.
#[derive(Debug, Default)]
pub(super) struct RawEvent {
    pub(super) phase: String,
    pub(super) category: String,
    pub(super) name: String,
    pub(super) pid: Scalar,
    pub(super) tid: Scalar,
    pub(super) start_us: Scalar,
    pub(super) duration_us: Scalar,
    pub(super) args: Args,
}

/// Reads the root: an object with `traceEvents`, or a bare list of events.
pub(super) fn read_root(
    reader: impl Read,
    collector: &mut Collector<'_>,
) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_reader(reader);
    deserializer.deserialize_any(Root(collector))?;
    deserializer.end()
}

struct Root<'c, 'r>(&'c mut Collector<'r>);

impl<'de> Visitor<'de> for Root<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a trace: an object with traceEvents, or a list of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        Events(self.0).visit_seq(seq)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "traceEvents" => map.next_value_seed(Events(self.0))?,
                "deviceProperties" => {
                    if let Value::Array(devices) = map.next_value()? {
                        devices.iter().filter_map(device).for_each(|d| self.0.device(d));
                    }
                }
                "distributedInfo" => {
                    let value: Value = map.next_value()?;
                    self.0.recording.rank = value.get("rank").and_then(Value::as_i64);
                    let ranks = value.get("world_size").and_then(Value::as_u64);
                    self.0.recording.ranks = ranks.and_then(|n| u32::try_from(n).ok());
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

fn device(value: &Value) -> Option<Device> {
    let number = |key: &str| value.get(key).and_then(Value::as_u64);
    let major = number("computeMajor").unwrap_or(0);
    let minor = number("computeMinor").unwrap_or(0);
    Some(Device {
        id: value.get("id").and_then(Value::as_i64).unwrap_or(0),
        name: value.get("name")?.as_str()?.to_owned(),
        compute_capability: u32::try_from(major.min(99) * 10 + minor.min(9)).unwrap_or(0),
    })
}

struct Events<'c, 'r>(&'c mut Collector<'r>);

impl<'de> DeserializeSeed<'de> for Events<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Events<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of trace events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(event) = seq.next_element_seed(EventSeed)? {
            match event {
                Some(event) => self.0.event(event),
                None => self.0.recording.skip("list entry that is no event", "not an object"),
            }
        }
        Ok(())
    }
}

struct EventSeed;

impl<'de> DeserializeSeed<'de> for EventSeed {
    type Value = Option<RawEvent>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// Accepts any JSON value; only objects become events.
macro_rules! anything_else {
    ($value:expr) => {
        fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
            Ok($value)
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok($value)
        }
    };
}

impl<'de> Visitor<'de> for EventSeed {
    type Value = Option<RawEvent>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a trace event")
    }

    anything_else!(None);

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut event = RawEvent::default();
        while let Some(key) = map.next_key_seed(KeySeed)? {
            match key {
                Key::Phase => event.phase = map.next_value_seed(ScalarSeed)?.text(),
                Key::Category => event.category = map.next_value_seed(ScalarSeed)?.text(),
                Key::Name => event.name = map.next_value_seed(ScalarSeed)?.text(),
                Key::Pid => event.pid = map.next_value_seed(ScalarSeed)?,
                Key::Tid => event.tid = map.next_value_seed(ScalarSeed)?,
                Key::Start => event.start_us = map.next_value_seed(ScalarSeed)?,
                Key::Duration => event.duration_us = map.next_value_seed(ScalarSeed)?,
                Key::Args => event.args = map.next_value_seed(ArgsSeed)?,
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Some(event))
    }
}

enum Key {
    Phase,
    Category,
    Name,
    Pid,
    Tid,
    Start,
    Duration,
    Args,
    Other,
}

struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Key, E> {
        Ok(match key {
            "ph" => Key::Phase,
            "cat" => Key::Category,
            "name" => Key::Name,
            "pid" => Key::Pid,
            "tid" => Key::Tid,
            "ts" => Key::Start,
            "dur" => Key::Duration,
            "args" => Key::Args,
            _ => Key::Other,
        })
    }
}

struct ScalarSeed;

impl<'de> DeserializeSeed<'de> for ScalarSeed {
    type Value = Scalar;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ScalarSeed {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    anything_else!(Scalar::Other);

    fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar::Number(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
        Ok(Scalar::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Scalar, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}

struct ArgsSeed;

impl<'de> DeserializeSeed<'de> for ArgsSeed {
    type Value = Args;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Args, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ArgsSeed {
    type Value = Args;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the arguments of an event")
    }

    anything_else!(Args::default());

    fn visit_str<E>(self, _: &str) -> Result<Args, E> {
        Ok(Args::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Args, E> {
        Ok(Args::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Args, E> {
        Ok(Args::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Args, E> {
        Ok(Args::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Args, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Args::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Args, A::Error> {
        let mut args = Args::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "grid" => args.grid = dims(&map.next_value()?),
                "block" => args.block = dims(&map.next_value()?),
                "registers per thread" => args.registers = number(&mut map)?,
                "shared memory" => args.shared = number(&mut map)?,
                "stream" => args.stream = number(&mut map)?,
                "device" => args.device = number(&mut map)?,
                "correlation" => args.correlation = number(&mut map)?,
                "External id" | "external id" => args.external_id = number(&mut map)?,
                "bytes" => args.bytes = number(&mut map)?,
                "Input Dims" | "Input dims" => args.shapes = shapes(&map.next_value()?),
                "Input Strides" => args.strides = shapes(&map.next_value()?),
                "Input type" => args.types = texts(&map.next_value()?),
                "Concrete Inputs" => args.scalars = texts(&map.next_value()?),
                "Collective name" => args.collective_name = text(&mut map)?,
                "In msg nelems" => args.collective_elements = number(&mut map)?,
                "Group size" => args.group_size = number(&mut map)?,
                "Total Allocated" => args.total_allocated = number(&mut map)?,
                "Device Type" => args.device_type = number(&mut map)?,
                "dtype" => args.collective_dtype = text(&mut map)?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(args)
    }
}

fn number<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<f64>, A::Error> {
    Ok(map.next_value_seed(ScalarSeed)?.number())
}

fn text<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<String>, A::Error> {
    Ok(Some(map.next_value_seed(ScalarSeed)?.text()).filter(|text| !text.is_empty()))
}

/// Extents of a grid or block; `None` for anything that is not three small numbers.
fn dims(value: &Value) -> Option<[u32; 3]> {
    let list = value.as_array()?;
    let mut out = [1_u32; 3];
    for (out, value) in out.iter_mut().zip(list) {
        *out = u32::try_from(value.as_u64()?).ok()?.max(1);
    }
    Some(out)
}

/// Shapes as `[[2, 3], [], [[4, 5], [6]]]`: a tensor, a scalar, a list of tensors.
fn shapes(value: &Value) -> Vec<Shape> {
    let numbers = |value: &Value| -> Vec<i64> {
        value.as_array().map_or_else(Vec::new, |list| {
            list.iter().filter_map(Value::as_i64).map(|dim| dim.max(0)).collect()
        })
    };
    let Some(list) = value.as_array() else {
        return Vec::new();
    };
    list.iter()
        .map(|argument| {
            let nested = argument.as_array().is_some_and(|a| a.iter().any(Value::is_array));
            if nested {
                let members = argument.as_array().map_or(&[][..], Vec::as_slice);
                Shape::List(members.iter().map(numbers).collect())
            } else {
                Shape::Tensor(numbers(argument))
            }
        })
        .collect()
}

fn texts(value: &Value) -> Vec<String> {
    let Some(list) = value.as_array() else {
        return Vec::new();
    };
    list.iter()
        .map(|value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
        .collect()
}
