//! The files that figures are drawn from: CSV with a header, or the JSON of a command, whose records
//! become rows.
//!
//! A record takes over the plain values of whatever it lies in (a level that of its frame, a
//! frame that of its GPU), its own first. Cells stay text until a figure asks for a number. Cells that are empty,
//! `NaN` or infinite are left out and counted.

use serde_json::{Map, Value};

use crate::FigureError;

/// Rows under named columns.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// Columns.
    pub header: Vec<String>,
    /// Rows with the line where each begins (or its number, from JSON).
    pub rows: Vec<(usize, Vec<String>)>,
}

/// Depth to which JSON is followed.
const DEEP: usize = 12;

impl Table {
    /// Reads CSV, or JSON of which the arrays called one of `records` are wanted (outermost first).
    ///
    /// # Errors
    /// When it is neither, or holds no row.
    pub fn parse(bytes: &[u8], records: &[&str]) -> Result<Self, FigureError> {
        let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
        let table = match first {
            None => return Err(FigureError::Empty("the file is empty".to_owned())),
            Some(b'{' | b'[') => Self::from_json(bytes, records)?,
            Some(_) => Self::from_csv(bytes)?,
        };
        if table.rows.is_empty() {
            return Err(FigureError::Empty("the file holds a header and no row".to_owned()));
        }
        Ok(table)
    }

    fn from_csv(bytes: &[u8]) -> Result<Self, FigureError> {
        let bad = |error: csv::Error| FigureError::Unreadable(no_csv(&error));
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
        let header = reader.headers().map_err(bad)?.iter().map(ToOwned::to_owned).collect();
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(bad)?;
            let line = record.position().map_or(0, |at| at.line() as usize);
            rows.push((line, record.iter().map(ToOwned::to_owned).collect()));
        }
        Ok(Self { header, rows })
    }

    fn from_json(bytes: &[u8], records: &[&str]) -> Result<Self, FigureError> {
        let value: Value = serde_json::from_slice(bytes)
            .map_err(|error| FigureError::Unreadable(format!("this is no JSON: {error}")))?;
        for wanted in records {
            let mut found: Vec<Vec<(String, String)>> = Vec::new();
            walk(&value, wanted, &[], 0, &mut found);
            if found.is_empty() {
                continue;
            }
            let mut table = Self::default();
            for record in &found {
                for (name, _) in record {
                    if !table.header.contains(name) {
                        table.header.push(name.clone());
                    }
                }
            }
            for (index, record) in found.iter().enumerate() {
                let cell = |name: &String| {
                    let found = record.iter().find(|(known, _)| known == name);
                    found.map_or_else(String::new, |(_, text)| text.clone())
                };
                table.rows.push((index + 1, table.header.iter().map(cell).collect()));
            }
            return Ok(table);
        }
        Err(FigureError::Empty(format!(
            "the JSON holds none of the records that this kind shows ({})",
            records.join(", ")
        )))
    }

    /// Keeps rows whose column says this.
    ///
    /// # Errors
    /// When the column is missing, or no row says so.
    pub fn keep(&mut self, column: &str, value: &str) -> Result<(), FigureError> {
        let at = self.need(&[column])?;
        self.rows.retain(|row| row.1.get(at).is_some_and(|text| text == value));
        if self.rows.is_empty() {
            return Err(FigureError::Empty(format!("no row has \"{value}\" in \"{column}\"")));
        }
        Ok(())
    }

    /// The first of these columns that is there.
    pub fn any(&self, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| self.header.iter().position(|column| column == name))
    }

    /// The same, or an error that lists what is there.
    ///
    /// # Errors
    /// When none is there.
    pub fn need(&self, names: &[&str]) -> Result<usize, FigureError> {
        self.any(names).ok_or_else(|| FigureError::NoColumn {
            wanted: names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" or "),
            found: shortened(&self.header.join(", ")),
        })
    }

    /// Text of a cell; empty where the row is short.
    pub fn text(&self, row: usize, column: usize) -> &str {
        self.rows[row].1.get(column).map_or("", String::as_str)
    }

    /// Number in a cell, where it is a finite one.
    pub fn number(&self, row: usize, column: usize) -> Option<f64> {
        self.text(row, column).parse().ok().filter(|value: &f64| value.is_finite())
    }

    /// Makes sure that a column holds a number somewhere.
    ///
    /// # Errors
    /// With its first line where it does not.
    pub fn has_numbers(&self, column: usize) -> Result<(), FigureError> {
        if (0..self.rows.len()).any(|row| self.number(row, column).is_some()) {
            return Ok(());
        }
        let first =
            (0..self.rows.len()).find(|row| !self.text(*row, column).is_empty()).unwrap_or(0);
        Err(FigureError::NoNumbers {
            column: self.header[column].clone(),
            line: self.rows.get(first).map_or(0, |row| row.0),
            text: shortened(self.text(first, column)),
        })
    }
}

/// What is wrong with a table, by its line.
fn no_csv(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { pos: Some(pos), expected_len, len } => format!(
            "this is no CSV: line {} has {len} cells, the lines above have {expected_len}",
            pos.line()
        ),
        _ => format!("this is no CSV: {error}"),
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= 400 {
        return text.to_owned();
    }
    text.chars().take(400).chain(['…']).collect()
}

fn walk(
    value: &Value,
    wanted: &str,
    outer: &[(String, String)],
    depth: usize,
    found: &mut Vec<Vec<(String, String)>>,
) {
    if depth > DEEP {
        return;
    }
    match value {
        Value::Array(list) => {
            for item in list {
                walk(item, wanted, outer, depth + 1, found);
            }
        }
        Value::Object(map) => {
            let mut context = Vec::new();
            plain(map, false, &mut context);
            context.extend(outer.iter().filter(|(name, _)| !map.contains_key(name)).cloned());
            for (name, inner) in map {
                match inner {
                    Value::Array(list) if name == wanted => {
                        for record in list.iter().filter_map(Value::as_object) {
                            let mut row = Vec::new();
                            plain(record, true, &mut row);
                            for pair in &context {
                                if !row.iter().any(|(known, _)| *known == pair.0) {
                                    row.push(pair.clone());
                                }
                            }
                            found.push(row);
                        }
                    }
                    Value::Array(_) | Value::Object(_) => {
                        walk(inner, wanted, &context, depth + 1, found);
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// Plain values of an object, those of objects inside it behind its own.
fn plain(map: &Map<String, Value>, inside: bool, into: &mut Vec<(String, String)>) {
    for (name, value) in map {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            _ => continue,
        };
        if !into.iter().any(|(known, _)| known == name) {
            into.push((name.clone(), text));
        }
    }
    if inside {
        for inner in map.values().filter_map(Value::as_object) {
            plain(inner, true, into);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_know_what_they_lie_in() {
        let text =
            br#"{"run": "x", "results": [{"gpu": "a", "frames": [{"at": 0.5, "frame": {"gpu": "a",
            "frame_ms": 3.5, "rounds": []}}]}]}"#;
        let table = Table::parse(text, &["frames"]).unwrap();
        let at = |name: &str| table.text(0, table.need(&[name]).unwrap()).to_owned();
        assert_eq!((at("gpu"), at("at"), at("frame_ms")), ("a".into(), "0.5".into(), "3.5".into()));
        assert!(Table::parse(text, &["levels"]).is_err());
    }

    #[test]
    fn empty_files_and_columns_without_numbers_are_told() {
        for empty in [&b""[..], b"  \n", b"a,b\n", b"[]", b"{\"frames\": []}"] {
            assert!(matches!(Table::parse(empty, &["frames"]), Err(FigureError::Empty(_))));
        }
        let table = Table::parse(b"a,b\n1,NaN\n2,inf\n", &[]).unwrap();
        assert!(table.has_numbers(0).is_ok());
        let error = table.has_numbers(1).unwrap_err().to_string();
        assert_eq!(error, "column \"b\" holds no finite number (line 2 says \"NaN\")");
        assert!(table.need(&["c", "d"]).unwrap_err().to_string().contains("the file has: a, b"));
        assert!(Table::parse(b"a,b\n1\n", &[]).is_err());
    }
}
