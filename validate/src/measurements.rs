//! Reading measurement tables: CSV, plain or gzip, columns by name.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use lumacycle_traces::bounded::Bounded;

use crate::ValidateError;

/// Longest line of a table, in bytes.
const LONGEST_LINE: u64 = 1 << 20;
/// Column of the least time that a source shows, in microseconds.
const FLOOR: &str = "host_floor_us";
/// Rows that have to come down to it, and how near.
const AT_FLOOR: usize = 3;
const NEAR_FLOOR: f64 = 1.1;
/// Most rows of a table.
const MOST_ROWS: usize = 1 << 21;

/// One row, cells by column name.
#[derive(Debug, Clone)]
pub struct Row {
    columns: std::sync::Arc<HashMap<String, usize>>,
    record: csv::StringRecord,
    /// Whether the table has rows that show this row's floor.
    floor_shown: bool,
}

impl Row {
    /// A row of these cells, for tests.
    #[cfg(test)]
    pub(crate) fn of(cells: &[(&str, &str)]) -> Self {
        let columns = cells.iter().enumerate().map(|(i, (name, _))| ((*name).to_owned(), i));
        Self {
            columns: std::sync::Arc::new(columns.collect()),
            record: cells.iter().map(|(_, value)| *value).collect(),
            floor_shown: true,
        }
    }

    /// A cell's text; empty where there is none.
    pub fn text(&self, column: &str) -> &str {
        self.columns.get(column).and_then(|&i| self.record.get(i)).unwrap_or_default().trim()
    }

    /// Least time between two events, in microseconds, where rows of the same source and GPU come
    /// down to it: the least of a few long rows is none.
    pub(crate) fn shown_floor_us(&self) -> Option<f64> {
        self.number(FLOOR).filter(|_| self.floor_shown)
    }

    /// A cell's number.
    pub fn number(&self, column: &str) -> Option<f64> {
        self.text(column).parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// A positive whole number.
    pub fn count(&self, column: &str) -> Option<u64> {
        self.number(column).filter(|n| *n >= 1.0 && *n < 1e15).map(|n| n as u64)
    }
}

/// The file of a suite: the path itself, or `SUITE.csv(.gz)` in a folder. Peaks are also looked for
/// among microbenchmarks, as `achieved_peaks.csv`.
pub fn locate(data: &Path, suite: &str) -> Option<PathBuf> {
    if data.is_file() {
        return Some(data.to_owned());
    }
    let name = if suite == crate::peaks::SUITE { "achieved_peaks" } else { suite };
    ["", "measurements", "microbench"]
        .iter()
        .flat_map(|folder| [suite, name].map(|name| data.join(folder).join(name)))
        .flat_map(|path| ["csv.gz", "csv"].map(|end| path.with_extension(end)))
        .find(|path| path.is_file())
}

/// Reads all rows.
///
/// # Errors
/// When the file cannot be read, is no CSV, or lacks the columns.
pub fn read(path: &Path, needed: &[&str]) -> Result<Vec<Row>, ValidateError> {
    let unreadable = |reason: String| ValidateError::Unreadable { path: path.to_owned(), reason };
    let mut file = File::open(path).map_err(|e| unreadable(e.to_string()))?;
    let mut magic = [0_u8; 2];
    let n = file.read(&mut magic).map_err(|e| unreadable(e.to_string()))?;
    let file = File::open(path).map_err(|e| unreadable(e.to_string()))?;
    let source: Box<dyn Read> = if n == 2 && magic == [0x1f, 0x8b] {
        Box::new(MultiGzDecoder::new(BufReader::new(file)))
    } else {
        Box::new(BufReader::new(file))
    };
    parse(Bounded::lines(source, LONGEST_LINE), path, needed)
}

/// Reads all rows of a table that ships with the program.
///
/// # Errors
/// When it is no CSV or lacks the columns.
pub fn shipped(table: &'static str, needed: &[&str]) -> Result<Vec<Row>, ValidateError> {
    parse(table.as_bytes(), Path::new("the table that ships with the program"), needed)
}

fn parse(source: impl Read, path: &Path, needed: &[&str]) -> Result<Vec<Row>, ValidateError> {
    let unreadable = |reason: String| ValidateError::Unreadable { path: path.to_owned(), reason };
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(source);
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(error) if matches!(error.kind(), csv::ErrorKind::Utf8 { .. }) => {
            return Err(malformed(path, &error));
        }
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let columns: HashMap<String, usize> = header
        .iter()
        .enumerate()
        .map(|(i, name)| (name.trim_start_matches('\u{feff}').to_owned(), i))
        .collect();
    for column in needed {
        if !columns.contains_key(*column) {
            return Err(ValidateError::Malformed {
                path: path.to_owned(),
                line: 1,
                reason: format!("the header has no column \"{column}\""),
                help: format!("this suite needs the columns {}", needed.join(", ")),
            });
        }
    }
    let columns = std::sync::Arc::new(columns);
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| malformed(path, &error))?;
        if rows.len() == MOST_ROWS {
            return Err(unreadable(format!("it has more than {MOST_ROWS} rows")));
        }
        rows.push(Row { columns: std::sync::Arc::clone(&columns), record, floor_shown: false });
    }
    look_for_floors(&mut rows);
    Ok(rows)
}

/// A line that is no row.
fn malformed(path: &Path, error: &csv::Error) -> ValidateError {
    let (reason, help) = match error.kind() {
        csv::ErrorKind::Utf8 { .. } => {
            ("it is not UTF-8 text".to_owned(), "save the table as UTF-8")
        }
        _ => (error.to_string(), "mend or remove this line"),
    };
    let line = error.position().map_or(1, csv::Position::line);
    ValidateError::Malformed { path: path.to_owned(), line, reason, help: help.to_owned() }
}

/// Marks rows whose floor enough rows come down to.
fn look_for_floors(rows: &mut [Row]) {
    let key = |row: &Row| ["source", "gpu", FLOOR].map(|column| row.text(column).to_owned());
    let mut at_floor: HashMap<[String; 3], usize> = HashMap::new();
    for row in rows.iter() {
        let (Some(floor), Some(time)) = (row.number(FLOOR), row.number("runtime_us")) else {
            continue;
        };
        if time <= NEAR_FLOOR * floor {
            *at_floor.entry(key(row)).or_default() += 1;
        }
    }
    at_floor.retain(|_, count| *count >= AT_FLOOR);
    for row in rows {
        row.floor_shown = !at_floor.is_empty() && at_floor.contains_key(&key(row));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_is_one_where_rows_come_down_to_it() {
        let row = |source, time, floor| {
            Row::of(&[("source", source), ("gpu", "g"), ("runtime_us", time), (FLOOR, floor)])
        };
        let mut rows = vec![
            row("many", "30.0", "30"),
            row("many", "31.5", "30"),
            row("many", "32.9", "30"),
            row("many", "500.0", "30"),
            row("few", "90.0", "90"),
            row("few", "400.0", "90"),
        ];
        look_for_floors(&mut rows);
        assert_eq!(rows[3].shown_floor_us(), Some(30.0));
        assert_eq!(rows[5].shown_floor_us(), None);
    }
}
