//! Databases as Nsight Systems exports them, made here, and as they should not be.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;
use rusqlite::Connection;

use crate::recording::Recording;
use crate::source::{self, ReadOptions};

/// The three activities of the timelines in the module above, with an extra column as of 2024.
const EXPORT: &str = "
CREATE TABLE StringIds (id INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO StringIds VALUES (1, 'void f<float, 2>(T1, int)'), (2, 'f'), (3, 'step');
CREATE TABLE TARGET_INFO_GPU (vmId INTEGER, id INTEGER NOT NULL, name TEXT, computeMajor INTEGER, computeMinor INTEGER);
INSERT INTO TARGET_INFO_GPU VALUES (1, 0, 'NVIDIA A100-PCIE-40GB', 8, 0);
CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER, end INTEGER, deviceId INTEGER, contextId INTEGER, greenContextId INTEGER,
  streamId INTEGER, correlationId INTEGER, globalPid INTEGER, demangledName INTEGER, shortName INTEGER, registersPerThread INTEGER,
  gridX INTEGER, gridY INTEGER, gridZ INTEGER, blockX INTEGER, blockY INTEGER, blockZ INTEGER, staticSharedMemory INTEGER, dynamicSharedMemory INTEGER);
INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (5000, 14000, 0, 1, 0, 19, 12, 117440512, 1, 2, 26, 9, 2, 1, 256, 1, 1, 0, 49152);
CREATE TABLE CUPTI_ACTIVITY_KIND_MEMCPY (start INTEGER, end INTEGER, deviceId INTEGER, streamId INTEGER, correlationId INTEGER,
  bytes INTEGER, copyKind INTEGER, srcKind INTEGER, dstKind INTEGER);
INSERT INTO CUPTI_ACTIVITY_KIND_MEMCPY VALUES (1000, 3500, 0, 20, 11, 36864, 1, 0, 2);
CREATE TABLE CUPTI_ACTIVITY_KIND_MEMSET (start INTEGER, end INTEGER, deviceId INTEGER, streamId INTEGER, correlationId INTEGER,
  bytes INTEGER, memKind INTEGER);
INSERT INTO CUPTI_ACTIVITY_KIND_MEMSET VALUES (15000, 15800, 0, 19, 13, 8, 2);
";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn database(&self, name: &str, sql: &str) -> PathBuf {
        let path = self.0.path().join(name);
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(sql).unwrap();
        path
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.0.path()).unwrap().count()
    }
}

fn read(path: &Path) -> Result<Recording, String> {
    let help = |error: &crate::TraceError| miette::Diagnostic::help(error).map(|h| h.to_string());
    source::read(path, ReadOptions::default())
        .map(|mut all| all.remove(0))
        .map_err(|error| format!("{error} // {}", help(&error).unwrap_or_default()))
}

#[test]
fn a_database_says_what_the_table_says() {
    let folder = Folder::new();
    // A name that is no plain URI.
    let path = folder.database("a b%?#é.sqlite", EXPORT);
    let found = read(&path).unwrap();
    let csv = folder.0.path().join("t.csv");
    std::fs::write(&csv, super::IN_BYTES).unwrap();
    let table = read(&csv).unwrap();
    assert_eq!(found.signatures, table.signatures);
    assert_eq!(found.events, table.events);
    assert_eq!(found.devices[0].name, table.devices[0].name);
    assert_eq!(found.devices[0].compute_capability, 80);
    assert!(found.skipped.is_empty() && found.notes.is_empty());
    assert_eq!(folder.files(), 2, "something was written beside the database");
}

#[test]
fn ranges_select_by_the_time_of_the_launch() {
    let folder = Folder::new();
    let sql = format!(
        "{EXPORT}
        CREATE TABLE NVTX_EVENTS (start INTEGER, end INTEGER, eventType INTEGER, text TEXT, textId INTEGER);
        INSERT INTO NVTX_EVENTS VALUES (500, 4000, 59, NULL, 3), (4000, 4700, 59, 'other', NULL), (1, NULL, 75, 'cuBLAS', NULL);
        CREATE TABLE CUPTI_ACTIVITY_KIND_RUNTIME (start INTEGER, end INTEGER, globalTid INTEGER, correlationId INTEGER);
        INSERT INTO CUPTI_ACTIVITY_KIND_RUNTIME VALUES (4500, 4600, 117440519, 12), (600, 700, 0, 11);"
    );
    let found = read(&folder.database("t.sqlite", &sql)).unwrap();
    let marks: Vec<(&str, i64)> =
        found.marks.iter().map(|m| (m.name.as_ref(), m.start_ps)).collect();
    assert_eq!(marks, [("step", -500_000), ("other", 3_000_000)]);
    assert_eq!(found.events[1].launched_ps, Some(3_500_000));
}

#[test]
fn exports_that_lack_something() {
    let folder = Folder::new();
    let told = read(&folder.database("none.sqlite", "CREATE TABLE t (x)")).unwrap_err();
    assert!(told.contains("no table CUPTI_ACTIVITY_KIND_KERNEL"), "{told}");
    assert!(told.contains("--trace=cuda"), "{told}");
    let bare = "CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER, end INTEGER, shortName TEXT);
        INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (10, 30, 'f'), (50, 40, 'g'), (NULL, 7, 'h'), ('x', 'y', x'00ff');";
    let found = read(&folder.database("bare.sqlite", bare)).unwrap();
    assert_eq!((found.events.len(), found.signatures[0].launch), (1, None));
    assert_eq!(found.signatures[0].name.as_ref(), "f");
    assert_eq!(found.skipped.iter().map(|s| s.count).sum::<u64>(), 3);
    // A view that counts for ever is no table.
    let view = "CREATE VIEW CUPTI_ACTIVITY_KIND_KERNEL AS WITH RECURSIVE c(start) AS (SELECT 1 UNION ALL SELECT start + 1 FROM c) SELECT start, start + 1 AS end FROM c;";
    let told = read(&folder.database("view.sqlite", view)).unwrap_err();
    assert!(told.contains("no table"), "{told}");
}

#[test]
fn damaged_and_packed_databases() {
    let folder = Folder::new();
    let whole = std::fs::read(folder.database("t.sqlite", EXPORT)).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let garbage = [b"SQLite format 3\0".to_vec(), vec![0xa5; 5000]].concat();
    let told = read(&write("garbage.sqlite", &garbage)).unwrap_err();
    assert!(told.contains("SQLite data is damaged"), "{told}");
    assert!(read(&write("cut.sqlite", &whole[..whole.len() / 3])).is_err());
    let packed = super::gzip;
    let plain = read(&folder.0.path().join("t.sqlite")).unwrap();
    let unpacked = read(&write("t.sqlite.gz", &packed(&whole))).unwrap();
    assert_eq!((plain.events, plain.signatures), (unpacked.events, unpacked.signatures));
    let cut = packed(&whole);
    let told = read(&write("cut.sqlite.gz", &cut[..cut.len() / 2])).unwrap_err();
    assert!(told.contains("gzip data is damaged"), "{told}");
    // More than it declares: a bomb does not fill the disk.
    let bomb = [whole.clone(), vec![0; 32 << 20]].concat();
    let told = read(&write("bomb.sqlite.gz", &packed(&bomb))).unwrap_err();
    assert!(told.contains("goes on behind"), "{told}");
    let mut huge = whole;
    huge[28..32].copy_from_slice(&u32::MAX.to_be_bytes());
    let told = read(&write("huge.sqlite.gz", &packed(&huge))).unwrap_err();
    assert!(told.contains("cannot be unpacked"), "{told}");
}

proptest! {
    /// Whatever a database holds, reading ends with a result or a message.
    #[test]
    fn changed_databases_do_no_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..24),
        at_start in any::<bool>(),
        packed in any::<bool>(),
    ) {
        static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
            std::fs::read(Folder::new().database("t.sqlite", EXPORT)).unwrap_or_default()
        });
        let mut bytes = WHOLE.clone();
        // Headers and the schema decide most.
        let most = if at_start { 4096 } else { bytes.len() };
        for (at, byte) in changes {
            let at = if at_start { 16 + at.index(most - 16) } else { at.index(most) };
            bytes[at] = byte;
        }
        if packed {
            bytes = super::gzip(&bytes);
        }
        let folder = Folder::new();
        let path = folder.0.path().join("t.sqlite");
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(recording) = read(&path) {
            prop_assert!(recording.events.iter().all(|event| event.duration_ps >= 0));
        }
        prop_assert_eq!(folder.files(), 1);
    }
}
