//! Results on disk: a file of records that only grows, each line with its checksum.
//!
//! A record is handed to the operating system before its point counts as done, so that a killed
//! process loses nothing; `fsync` follows at least every second, so that a power cut loses no more.
//! A torn last line is cut off when a run goes on. A lock of the operating system, which ends with
//! the process, keeps two runs apart. Left out: networks whose file systems have no locks.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::space::Setting;

/// Longest time between two calls of `fsync`.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// Hexadecimal digits of a checksum.
const DIGITS: usize = 16;
/// Longest line of a record.
const LONGEST: u64 = 1 << 20;

/// Why results cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refuses.
    #[error("cannot write {}: {reason}", path.display())]
    Write {
        /// File or folder.
        path: PathBuf,
        /// Its words.
        reason: String,
    },
    /// Another run has the folder.
    #[error("{} is in use by another run", .0.display())]
    Busy(PathBuf),
    /// The folder holds something else.
    #[error("{} holds {what}", path.display())]
    Other {
        /// File.
        path: PathBuf,
        /// What it holds.
        what: String,
    },
    /// A line before the last is damaged.
    #[error("{}: line {line} is damaged", path.display())]
    Damaged {
        /// File.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
    },
}

/// What a file of records belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Name of the space.
    pub space: String,
    /// Hash of its contents.
    pub hash: String,
    /// Version of the program.
    pub version: String,
    /// Points of the space.
    pub points: u64,
    /// Which part of them, from 1, of how many.
    pub shard: [u64; 2],
    /// Metrics of a record.
    #[serde(default)]
    pub metrics: usize,
}

/// What became of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It has metrics.
    Ok,
    /// It does not meet a requirement of the space.
    Skipped,
    /// No such system can be built, or it cannot run the application.
    Invalid,
}

impl Status {
    /// Name as written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Invalid => "invalid",
        }
    }
}

/// A point that is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Number of the point.
    pub point: u64,
    /// What became of it.
    pub status: Status,
    /// Its settings.
    pub design: Vec<Setting>,
    /// Its metrics.
    pub metrics: Vec<Option<f64>>,
    /// Why it has none, or what they take for granted.
    pub notes: Vec<String>,
}

/// An open file of records.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    writer: Mutex<Writer>,
    /// Held as long as the store lives.
    _lock: File,
}

#[derive(Debug)]
struct Writer {
    file: File,
    length: u64,
    synced: Instant,
}

fn line(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).unwrap_or_default();
    format!("{} {json}\n", checksum(&json))
}

fn checksum(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..DIGITS].to_owned()
}

/// The JSON of a whole line, if its checksum is right.
fn checked(line: &str) -> Option<&str> {
    let json = line.strip_suffix('\n')?.get(DIGITS + 1..)?;
    (line.get(..DIGITS)? == checksum(json)).then_some(json)
}

/// Reads a file of records: header, bytes that are whole, and each record.
///
/// # Errors
/// When the file cannot be read, is none, or a line before the last is damaged.
pub fn read(
    path: &Path,
    mut each: impl FnMut(Record, u64),
) -> Result<Option<(Header, u64)>, StoreError> {
    let failed = |error: std::io::Error| StoreError::Other {
        path: path.to_owned(),
        what: format!("nothing that can be read: {error}"),
    };
    let mut reader = BufReader::new(File::open(path).map_err(failed)?);
    let mut header: Option<Header> = None;
    let (mut whole, mut number) = (0_u64, 0_u64);
    let mut bytes = Vec::new();
    let mut torn: Option<u64> = None;
    loop {
        bytes.clear();
        let read = (&mut reader).take(LONGEST).read_until(b'\n', &mut bytes).map_err(failed)?;
        if read == 0 {
            break;
        }
        number += 1;
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        let json = checked(text);
        if let (Some(at), true) = (torn, json.is_some()) {
            return Err(StoreError::Damaged { path: path.to_owned(), line: at });
        }
        let Some(json) = json else {
            torn = torn.or(Some(number));
            continue;
        };
        let understood = if header.is_none() {
            header = serde_json::from_str(json).ok();
            header.is_some()
        } else {
            let record = serde_json::from_str(json).ok();
            record.map(|record| each(record, whole)).is_some()
        };
        if !understood {
            let what = "records of another kind or version".to_owned();
            return Err(StoreError::Other { path: path.to_owned(), what });
        }
        whole += bytes.len() as u64;
    }
    match (header, torn) {
        (Some(header), _) => Ok(Some((header, whole))),
        // Killed before the header was whole.
        (None, Some(1)) if number == 1 && !bytes.ends_with(b"\n") => Ok(None),
        (None, None) => Ok(None),
        (None, Some(line)) => Err(StoreError::Damaged { path: path.to_owned(), line }),
    }
}

impl Store {
    /// Opens a file of records in a folder, and hands over each one that is there with its place.
    /// `restart` throws them away.
    ///
    /// # Errors
    /// When another run has the folder, it holds another space, or cannot be written.
    pub fn open(
        folder: &Path,
        file: &str,
        header: &Header,
        restart: bool,
        each: impl FnMut(Record, u64),
    ) -> Result<Self, StoreError> {
        let refused = |path: &Path| {
            let path = path.to_owned();
            move |error: std::io::Error| StoreError::Write { path, reason: error.to_string() }
        };
        std::fs::create_dir_all(folder).map_err(refused(folder))?;
        let path = folder.join(file);
        let lock_path = folder.join(format!("{file}.lock"));
        let mut options = OpenOptions::new();
        options.create(true).append(true).read(true);
        let lock = options.open(&lock_path).map_err(refused(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Busy(folder.to_owned())),
            Err(TryLockError::Error(error)) => return Err(refused(&lock_path)(error)),
        }
        let mut output = options.open(&path).map_err(refused(&path))?;
        // Devices may be read for ever and keep nothing.
        if !output.metadata().map_err(refused(&path))?.is_file() {
            return Err(StoreError::Write { path, reason: "it is no ordinary file".to_owned() });
        }
        if restart {
            output.set_len(0).map_err(refused(&path))?;
        }
        let mut length = 0;
        if let Some((known, whole)) = read(&path, each)? {
            if let Some(what) = known.differs(header) {
                return Err(StoreError::Other { path, what });
            }
            length = whole;
            output.set_len(whole).map_err(refused(&path))?;
        } else {
            output.set_len(0).map_err(refused(&path))?;
            let first = line(header);
            output.write_all(first.as_bytes()).map_err(refused(&path))?;
            output.sync_all().map_err(refused(&path))?;
            // The name in the folder has to last as well.
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
            length += first.len() as u64;
        }
        let writer = Mutex::new(Writer { file: output, length, synced: Instant::now() });
        Ok(Self { path, writer, _lock: lock })
    }

    /// Appends a record and says where it lies.
    ///
    /// # Errors
    /// When the disk is full or goes away; what was there stays whole.
    pub fn append(&self, record: &Record) -> Result<u64, StoreError> {
        let text = line(record);
        let failed = |error: &std::io::Error| StoreError::Write {
            path: self.path.clone(),
            reason: error.to_string(),
        };
        let mut writer = self.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let at = writer.length;
        if let Err(error) = writer.file.write_all(text.as_bytes()) {
            // What was written in part must not stay in the way of what comes later.
            let _ = writer.file.set_len(at);
            return Err(failed(&error));
        }
        writer.length += text.len() as u64;
        if writer.synced.elapsed() >= SYNC_EVERY {
            writer.file.sync_data().map_err(|error| failed(&error))?;
            writer.synced = Instant::now();
        }
        Ok(at)
    }

    /// Makes sure that all records last.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> Result<(), StoreError> {
        let writer = self.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let synced = writer.file.sync_all();
        synced.map_err(|e| StoreError::Write { path: self.path.clone(), reason: e.to_string() })
    }

    /// Where the records are.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Reads single records of a file again.
#[derive(Debug)]
pub struct Lookup {
    path: PathBuf,
    reader: BufReader<File>,
}

impl Lookup {
    /// Opens a file of records.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(|error| StoreError::Other {
            path: path.to_owned(),
            what: format!("nothing that can be read: {error}"),
        })?;
        Ok(Self { path: path.to_owned(), reader: BufReader::new(file) })
    }

    /// The record at a place.
    ///
    /// # Errors
    /// When there is none.
    pub fn at(&mut self, place: u64) -> Result<Record, StoreError> {
        let mut text = String::new();
        let read = self.reader.seek(SeekFrom::Start(place)).is_ok()
            && self.reader.read_line(&mut text).is_ok();
        let record = checked(&text).and_then(|json| serde_json::from_str(json).ok());
        record.filter(|_| read).ok_or_else(|| StoreError::Other {
            path: self.path.clone(),
            what: format!("no whole record at byte {place} any more"),
        })
    }
}

impl Header {
    /// What keeps records of this header from being carried on under another.
    fn differs(&self, wanted: &Self) -> Option<String> {
        if self.hash != wanted.hash {
            return Some(format!(
                "results of another space (\"{}\", {}; this is \"{}\", {})",
                self.space, self.hash, wanted.space, wanted.hash
            ));
        }
        if self.version != wanted.version {
            let (theirs, ours) = (&self.version, &wanted.version);
            return Some(format!("results of version {theirs}; this is {ours}"));
        }
        if self.metrics != wanted.metrics {
            let (theirs, ours) = (self.metrics, wanted.metrics);
            return Some(format!("results with {theirs} metrics a point; this program has {ours}"));
        }
        let [part, of] = self.shard;
        (self != wanted).then(|| format!("results of shard {part}/{of}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> Header {
        Header {
            space: "s".to_owned(),
            hash: "h".to_owned(),
            version: "1".to_owned(),
            points: 9,
            shard: [1, 1],
            metrics: 2,
        }
    }

    fn record(point: u64) -> Record {
        Record {
            point,
            status: Status::Ok,
            design: vec![Setting::Choice(1), Setting::Number(0.1)],
            metrics: vec![Some(1.0 / 3.0), None],
            notes: vec!["a \"note\"\n".to_owned()],
        }
    }

    fn open(folder: &Path) -> Result<(Store, Vec<Record>), StoreError> {
        let mut known = Vec::new();
        let store = Store::open(folder, "r", &header(), false, |record, _| known.push(record))?;
        Ok((store, known))
    }

    proptest! {
        /// Wherever the file is cut, whole records stay, and new ones can follow.
        #[test]
        fn torn_tails_are_cut_off(cut in 0usize..900) {
            let folder = tempfile::tempdir().unwrap();
            let (store, _) = open(folder.path()).unwrap();
            let places: Vec<u64> = (0..3).map(|p| store.append(&record(p)).unwrap()).collect();
            drop(store);
            let path = folder.path().join("r");
            let bytes = std::fs::read(&path).unwrap();
            let cut = cut.min(bytes.len());
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let ends = places[1..].iter().copied().chain([bytes.len() as u64]);
            let whole = ends.filter(|end| *end <= cut as u64).count();
            let (store, known) = open(folder.path()).unwrap();
            prop_assert_eq!(known.len(), whole);
            store.append(&record(7)).unwrap();
            drop(store);
            let (_, known) = open(folder.path()).unwrap();
            prop_assert_eq!(known.last(), Some(&record(7)));
        }
    }

    #[test]
    fn two_runs_other_spaces_and_damage_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = open(folder.path()).unwrap();
        assert!(matches!(open(folder.path()), Err(StoreError::Busy(_))));
        let place = store.append(&record(1)).unwrap();
        store.append(&record(2)).unwrap();
        assert_eq!(Lookup::open(store.path()).unwrap().at(place).unwrap(), record(1));
        drop(store);
        let other = Header { hash: "i".to_owned(), ..header() };
        let error = Store::open(folder.path(), "r", &other, false, |_, _| ()).unwrap_err();
        assert!(error.to_string().contains("another space"), "{error}");
        let other = Header { metrics: 3, ..header() };
        let error = Store::open(folder.path(), "r", &other, false, |_, _| ()).unwrap_err();
        assert!(error.to_string().contains("2 metrics a point"), "{error}");
        let path = folder.path().join("r");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[place as usize + 30] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(matches!(open(folder.path()), Err(StoreError::Damaged { line: 2, .. })));
    }
}
