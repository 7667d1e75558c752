//! Nsight Systems' SQLite export: kernels, copies and fills with their names, the GPUs, and NVTX
//! ranges.
//!
//! Tables and columns are looked up, so exports of other years that lack some are read alike. The
//! file is opened as one that nobody changes, which writes nothing beside it; packed databases are
//! unpacked into a temporary file of bounded size, as SQLite has to seek. What the file claims is not
//! trusted: views and virtual tables do not count as tables, and no table yields more rows than a
//! file of its size can hold. Left out: everything about the host but ranges and launch times.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::path::Path;
use std::sync::Arc;

use lumacycle_workloads::Launch;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};

use super::activities::{Activities, Activity, copy_name, fill_name};
use crate::TraceError;
use crate::recording::{EventKind, Mark, Recording};
use crate::source::damaged;

/// Bytes that a packed database may have.
const MOST_BYTES: u64 = 8 << 30;
/// Bytes of one value; kernel names of templates reach tens of kilobytes.
const LONGEST_VALUE: i32 = 4 << 20;
/// No row of a table is shorter.
const SHORTEST_ROW: u64 = 4;
/// First bytes of every database.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Bytes of a database's header.
const HEADER: usize = 100;

const KERNELS: &str = "CUPTI_ACTIVITY_KIND_KERNEL";
const COPIES: &str = "CUPTI_ACTIVITY_KIND_MEMCPY";
const FILLS: &str = "CUPTI_ACTIVITY_KIND_MEMSET";
const CALLS: &str = "CUPTI_ACTIVITY_KIND_RUNTIME";
const RANGES: &str = "NVTX_EVENTS";

/// Directions by number, as CUPTI counts them.
const DIRECTIONS: [&str; 14] = [
    "of unknown direction",
    "HtoD",
    "DtoH",
    "HtoA",
    "AtoH",
    "AtoA",
    "AtoD",
    "DtoA",
    "DtoD",
    "HtoH",
    "PtoP",
    "Unified HtoD",
    "Unified DtoH",
    "Unified DtoD",
];
/// Kinds of memory by number.
const MEMORIES: [&str; 7] =
    ["Pageable", "Pinned", "Device", "Array", "Managed", "Device Static", "Managed Static"];

/// Whether a file starts like a SQLite database.
pub(crate) fn looks_like(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// Reads a database, from its place on disk or from the unpacked `layer`; on an error, what was read
/// so far stays in `recording`.
pub(crate) fn read(
    path: &Path,
    layer: impl BufRead,
    container: Option<&'static str>,
    recording: &mut Recording,
) -> Result<(), TraceError> {
    if container.is_none() && path.is_file() {
        return database(path, path, recording);
    }
    let unpacked = unpack(path, layer, container)?;
    database(path, unpacked.path(), recording)
}

/// Copies a database into a temporary file, which is gone when it is dropped.
fn unpack(
    path: &Path,
    mut layer: impl BufRead,
    container: Option<&'static str>,
) -> Result<tempfile::NamedTempFile, TraceError> {
    let mut header = Vec::with_capacity(HEADER);
    (&mut layer)
        .take(HEADER as u64)
        .read_to_end(&mut header)
        .map_err(|error| damaged(path, container, &error))?;
    let most = declared_bytes(&header).unwrap_or(MOST_BYTES);
    let refused = |reason: String| TraceError::Unpacked { path: path.to_owned(), reason };
    if most > MOST_BYTES {
        return Err(refused(format!("the database in it has {:.1} GB", most as f64 / 1e9)));
    }
    let failed = |error: io::Error| refused(format!("no temporary file can be written: {error}"));
    let mut file = tempfile::NamedTempFile::new().map_err(failed)?;
    file.write_all(&header).map_err(failed)?;
    let mut left = most.saturating_sub(header.len() as u64);
    loop {
        let piece = layer.fill_buf().map_err(|error| damaged(path, container, &error))?;
        if piece.is_empty() {
            break;
        }
        if left == 0 {
            return Err(refused(format!(
                "it goes on behind the {most} bytes that the database in it should have"
            )));
        }
        let n = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.write_all(&piece[..n]).map_err(failed)?;
        layer.consume(n);
        left -= n as u64;
    }
    file.flush().map_err(failed)?;
    Ok(file)
}

/// Size that a database's header states, where it does.
fn declared_bytes(header: &[u8]) -> Option<u64> {
    let word = |at: usize| -> Option<[u8; 4]> { header.get(at..at + 4)?.try_into().ok() };
    // The count of pages holds if it was written with the last change.
    if word(24)? != word(92)? {
        return None;
    }
    let page = match u16::from_be_bytes(header.get(16..18)?.try_into().ok()?) {
        1 => 65_536,
        bytes => u64::from(bytes),
    };
    let pages = u64::from(u32::from_be_bytes(word(28)?));
    (pages > 0 && page >= 512).then_some(page * pages)
}

/// A path as SQLite's URIs write it.
fn uri(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for &byte in path.as_os_str().as_encoded_bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
        if plain {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri + "?immutable=1"
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(uri(path), flags)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST_VALUE)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    Ok(connection)
}

/// Reads the database at `place`; messages name `path`.
fn database(path: &Path, place: &Path, recording: &mut Recording) -> Result<(), TraceError> {
    let length = File::open(place)
        .and_then(|file| file.metadata())
        .map_err(|error| TraceError::unreadable(path, &error))?
        .len();
    let told = |error: &rusqlite::Error| TraceError::Damaged {
        path: path.to_owned(),
        container: "SQLite",
        reason: error.to_string(),
    };
    let connection = open(place).map_err(|error| told(&error))?;
    let reader = Reader { path, connection, most_rows: length / SHORTEST_ROW };
    let mut activities = Activities::new(recording);
    let result = match reader.everything(&mut activities) {
        Ok(found) => found,
        Err(error) => Err(told(&error)),
    };
    activities.finish();
    result
}

struct Reader<'a> {
    path: &'a Path,
    connection: Connection,
    most_rows: u64,
}

/// When the host made each call, by its correlation number and process.
type Launches = HashMap<(i64, i64), i64>;

impl Reader<'_> {
    /// Both kinds of errors: what SQLite says, and what a database lacks.
    fn everything(
        &self,
        activities: &mut Activities<'_>,
    ) -> rusqlite::Result<Result<(), TraceError>> {
        let mut found = false;
        for table in [KERNELS, COPIES, FILLS] {
            found |= !self.columns(table)?.is_empty();
        }
        if !found {
            return Ok(Err(TraceError::NotATrace {
                path: self.path.to_owned(),
                reason: format!("the database has no table {KERNELS}"),
                help: "either it is no export of Nsight Systems, or nothing ran on a GPU while it recorded: record with --trace=cuda, export with nsys export --type sqlite".to_owned(),
            }));
        }
        self.devices(activities)?;
        let launches = self.launches()?;
        let names = Names::of(self)?;
        self.kernels(activities, &launches, names)?;
        self.transfers(activities, &launches)?;
        self.ranges(activities)?;
        Ok(Ok(()))
    }

    /// Columns of a table; none where there is no such table.
    fn columns(&self, table: &str) -> rusqlite::Result<Vec<String>> {
        let mut real = self.connection.prepare(
            "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1 AND rootpage > 0",
        )?;
        if !real.exists([table])? {
            return Ok(Vec::new());
        }
        let mut columns = self.connection.prepare("SELECT name FROM pragma_table_info(?1)")?;
        let names = columns.query_map([table], |row| row.get::<_, String>(0))?;
        names.collect()
    }

    /// Calls `each` with the wanted columns of every row; those that the table lacks are null.
    fn each_row(
        &self,
        table: &str,
        wanted: &[&str],
        mut each: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let known = self.columns(table)?;
        if known.is_empty() {
            return Ok(());
        }
        let list: Vec<String> = wanted
            .iter()
            .map(|name| {
                let there = known.iter().any(|known| known == name);
                if there { format!("\"{name}\"") } else { "NULL".to_owned() }
            })
            .collect();
        let text = format!("SELECT {} FROM \"{table}\"", list.join(", "));
        let mut statement = self.connection.prepare(&text)?;
        let mut rows = statement.query([])?;
        let mut left = self.most_rows;
        while let Some(row) = rows.next()? {
            if left == 0 {
                return Err(unusable("a table has more rows than a file of this size can hold"));
            }
            left -= 1;
            each(row)?;
        }
        Ok(())
    }

    fn devices(&self, activities: &mut Activities<'_>) -> rusqlite::Result<()> {
        // Programs count the GPUs that they see; where the export tells, these are mapped.
        let mut seen: Vec<(i64, i64)> = Vec::new();
        self.each_row("TARGET_INFO_CUDA_DEVICE", &["gpuId", "cudaId"], |row| {
            if let (Some(gpu), Some(cuda)) = (integer(row, 0)?, integer(row, 1)?) {
                seen.push((gpu, cuda));
            }
            Ok(())
        })?;
        let wanted = ["id", "name", "computeMajor", "computeMinor"];
        self.each_row("TARGET_INFO_GPU", &wanted, |row| {
            let Some(id) = integer(row, 0)? else { return Ok(()) };
            let name = text(row, 1)?.unwrap_or_default();
            let version = |index| integer(row, index).map(|v| v.filter(|v| (0..100).contains(v)));
            let capability = match (version(2)?, version(3)?) {
                (Some(major), Some(minor)) => 10 * major + minor,
                _ => 0,
            };
            let capability = u32::try_from(capability).unwrap_or(0);
            let as_seen = seen.iter().filter(|(gpu, _)| *gpu == id).map(|(_, cuda)| *cuda);
            let mut numbers: Vec<i64> = as_seen.collect();
            if seen.is_empty() {
                numbers.push(id);
            }
            for number in numbers {
                if let Ok(number) = i32::try_from(number) {
                    activities.device(number, &name, capability);
                }
            }
            Ok(())
        })
    }

    /// Host times of launches, which only ranges need.
    fn launches(&self) -> rusqlite::Result<Launches> {
        let mut ranges = false;
        self.each_row(RANGES, &["end"], |row| {
            ranges |= integer(row, 0)?.is_some();
            Ok(())
        })?;
        let mut launches = HashMap::new();
        if !ranges {
            return Ok(launches);
        }
        self.each_row(CALLS, &["correlationId", "globalTid", "start"], |row| {
            if let (Some(correlation), Some(start)) = (integer(row, 0)?, integer(row, 2)?) {
                let process = process_of(integer(row, 1)?);
                launches.insert((correlation, process), start);
            }
            Ok(())
        })?;
        Ok(launches)
    }

    fn kernels(
        &self,
        activities: &mut Activities<'_>,
        launches: &Launches,
        mut names: Names<'_>,
    ) -> rusqlite::Result<()> {
        let wanted = [
            "start",
            "end",
            "deviceId",
            "streamId",
            "correlationId",
            "globalPid",
            "demangledName",
            "shortName",
            "gridX",
            "gridY",
            "gridZ",
            "blockX",
            "blockY",
            "blockZ",
            "registersPerThread",
            "staticSharedMemory",
            "dynamicSharedMemory",
        ];
        self.each_row(KERNELS, &wanted, |row| {
            let name = match names.get(row, 6)? {
                Some(name) => name,
                None => names.get(row, 7)?.unwrap_or_else(|| "kernel without a name".into()),
            };
            let size =
                |index| integer(row, index).map(|size| size.and_then(|s| u32::try_from(s).ok()));
            let three = |first: usize| -> rusqlite::Result<Option<[u32; 3]>> {
                let sizes = (size(first)?, size(first + 1)?, size(first + 2)?);
                Ok(if let (Some(x), Some(y), Some(z)) = sizes { Some([x, y, z]) } else { None })
            };
            let (grid, block) = (three(8)?, three(11)?);
            let shared = size(15)?.unwrap_or(0).saturating_add(size(16)?.unwrap_or(0));
            let registers = size(14)?.unwrap_or(0);
            let launch = grid.zip(block).map(|(grid, block)| Launch {
                grid,
                block,
                registers,
                shared_bytes: shared,
            });
            push(activities, launches, row, EventKind::Kernel, &name, launch, None)
        })
    }

    fn transfers(
        &self,
        activities: &mut Activities<'_>,
        launches: &Launches,
    ) -> rusqlite::Result<()> {
        let common =
            ["start", "end", "deviceId", "streamId", "correlationId", "globalPid", "bytes"];
        let bytes = |row: &Row<'_>| integer(row, 6).map(|b| b.and_then(|b| u64::try_from(b).ok()));
        let memory = |row: &Row<'_>, index: usize| -> rusqlite::Result<&str> {
            let kind = integer(row, index)?.and_then(|kind| usize::try_from(kind).ok());
            Ok(kind.and_then(|kind| MEMORIES.get(kind)).copied().unwrap_or_default())
        };
        let wanted = [&common[..], &["copyKind", "srcKind", "dstKind"]].concat();
        self.each_row(COPIES, &wanted, |row| {
            let kind = integer(row, 7)?.and_then(|kind| usize::try_from(kind).ok());
            let direction = kind.and_then(|kind| DIRECTIONS.get(kind)).unwrap_or(&DIRECTIONS[0]);
            let name = copy_name(direction, memory(row, 8)?, memory(row, 9)?);
            push(activities, launches, row, EventKind::Memcpy, &name, None, bytes(row)?)
        })?;
        let wanted = [&common[..], &["memKind"]].concat();
        self.each_row(FILLS, &wanted, |row| {
            let name = fill_name(memory(row, 7)?);
            push(activities, launches, row, EventKind::Memset, &name, None, bytes(row)?)
        })
    }

    fn ranges(&self, activities: &mut Activities<'_>) -> rusqlite::Result<()> {
        let mut names = Names::of(self)?;
        self.each_row(RANGES, &["start", "end", "text", "textId"], |row| {
            let (Some(start), Some(end)) = (integer(row, 0)?, integer(row, 1)?) else {
                return Ok(());
            };
            let name = match text(row, 2)? {
                Some(text) => text.into(),
                None => match names.get(row, 3)? {
                    Some(name) => name,
                    None => return Ok(()),
                },
            };
            let on_axis = |ns: i64| activities.on_axis(ns.checked_mul(1000)?);
            if let (Some(start_ps), Some(end_ps)) = (on_axis(start), on_axis(end)) {
                activities.recording.marks.push(Mark { name, start_ps, end_ps });
            }
            Ok(())
        })
    }
}

/// An error of our own among those of SQLite.
fn unusable(what: &'static str) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(what.into())
}

/// Puts an activity in: the first six columns are alike in all tables.
fn push(
    activities: &mut Activities<'_>,
    launches: &Launches,
    row: &Row<'_>,
    kind: EventKind,
    name: &str,
    launch: Option<Launch>,
    bytes: Option<u64>,
) -> rusqlite::Result<()> {
    let ps = |ns: i64| ns.checked_mul(1000);
    let times = integer(row, 0)?.and_then(ps).zip(integer(row, 1)?.and_then(ps));
    let Some((start_ps, duration_ps)) =
        times.and_then(|(start, end)| Some((start, end.checked_sub(start)?)))
    else {
        activities.recording.skip("GPU activity without a readable start and end", name);
        return Ok(());
    };
    let process = process_of(integer(row, 5)?);
    let launched = integer(row, 4)?.and_then(|number| launches.get(&(number, process)));
    activities.push(&Activity {
        kind,
        name,
        launch,
        bytes,
        stream: integer(row, 3)?.and_then(|stream| u32::try_from(stream).ok()).unwrap_or(0),
        device: integer(row, 2)?.and_then(|device| i32::try_from(device).ok()).unwrap_or(0),
        start_ps,
        duration_ps,
        launched_ps: launched.and_then(|ns| ps(*ns)),
    });
    activities.full().map_or(Ok(()), |what| Err(unusable(what)))
}

/// The process of a thread's or process's global number, whose last three bytes are the thread.
fn process_of(global: Option<i64>) -> i64 {
    global.unwrap_or(0) >> 24
}

fn integer(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<i64>> {
    Ok(match row.get_ref(index)? {
        ValueRef::Integer(value) => Some(value),
        _ => None,
    })
}

fn text(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<String>> {
    Ok(match row.get_ref(index)? {
        ValueRef::Text(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    })
}

/// Strings by number, looked up as they are needed.
struct Names<'a> {
    lookup: Option<rusqlite::Statement<'a>>,
    known: HashMap<i64, Arc<str>>,
}

impl<'a> Names<'a> {
    fn of(reader: &'a Reader<'_>) -> rusqlite::Result<Self> {
        let columns = reader.columns("StringIds")?;
        let whole = ["id", "value"].iter().all(|name| columns.iter().any(|known| known == name));
        let query = "SELECT \"value\" FROM \"StringIds\" WHERE \"id\" = ?1";
        let lookup = if whole { Some(reader.connection.prepare(query)?) } else { None };
        Ok(Self { lookup, known: HashMap::new() })
    }

    /// The string of a column that holds a number, or the text itself.
    fn get(&mut self, row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Arc<str>>> {
        let id = match row.get_ref(index)? {
            ValueRef::Integer(id) => id,
            ValueRef::Text(bytes) => return Ok(Some(String::from_utf8_lossy(bytes).into())),
            _ => return Ok(None),
        };
        if let Some(known) = self.known.get(&id) {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(lookup) = &mut self.lookup else { return Ok(None) };
        let mut rows = lookup.query([id])?;
        let Some(found) = rows.next()? else { return Ok(None) };
        let Some(name) = text(found, 0)? else { return Ok(None) };
        let name: Arc<str> = name.into();
        self.known.insert(id, Arc::clone(&name));
        Ok(Some(name))
    }
}
