//! Rows of a table in a text: cells by commas, quoted where they hold some, lines that are no rows
//! in between. Memory is bounded by the longest row that is allowed.

use std::io::BufRead;

use csv_core::{ReadRecordResult, Reader};

use super::cells::Odd;
use crate::TraceError;
use crate::lines::Lines;

/// A row longer than this is no row: tables of 1,200 metrics have rows of 100 kB.
pub(super) const LONGEST: u64 = 4 << 20;

/// How often a byte stands in a text.
fn count(text: &[u8], wanted: u8) -> usize {
    text.iter().map(|byte| usize::from(*byte == wanted)).sum()
}

/// A table's rows, one at a time.
pub(super) struct Rows<R> {
    lines: Lines<R>,
    cells: Cells,
}

/// Cells of one row.
pub(super) struct Cells {
    parser: Reader,
    /// The row as it stands in the text; longer than a line where a quoted cell has line ends.
    row: Vec<u8>,
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Cells {
    fn split(&mut self) {
        self.row.push(b'\n');
        // Neither can be more than this.
        self.text.resize(self.row.len() + 1, 0);
        self.ends.resize(count(&self.row, b',') + 2, 0);
        self.parser.reset();
        let (result, _, _, count) =
            self.parser.read_record(&self.row, &mut self.text, &mut self.ends);
        let count = if result == ReadRecordResult::Record { count } else { 0 };
        self.ends.truncate(count);
    }

    /// Number of cells.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// A cell without the spaces around it; empty where there is none.
    pub(super) fn get(&self, index: usize) -> &[u8] {
        let Some(&end) = self.ends.get(index) else { return &[] };
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        self.text[start..end].trim_ascii()
    }

    /// The same as text, if it is some.
    pub(super) fn str(&self, index: usize) -> &str {
        std::str::from_utf8(self.get(index)).unwrap_or_default()
    }

    /// All cells, for a header.
    pub(super) fn names(&self) -> Vec<String> {
        (0..self.len()).map(|i| String::from_utf8_lossy(self.get(i)).into_owned()).collect()
    }

    /// The row as it stands in the text.
    pub(super) fn whole(&self) -> String {
        String::from_utf8_lossy(self.row.trim_ascii()).chars().take(160).collect()
    }
}

impl<R: BufRead> Rows<R> {
    pub(super) fn new(lines: Lines<R>) -> Self {
        let cells =
            Cells { parser: Reader::new(), row: Vec::new(), text: Vec::new(), ends: Vec::new() };
        Self { lines: lines.up_to(LONGEST), cells }
    }

    /// The next line cut into cells, whether it is a row or not; quotes end with the line.
    pub(super) fn next_line(&mut self) -> Result<Option<&Cells>, TraceError> {
        let Some(line) = self.lines.next()? else { return Ok(None) };
        self.cells.row.clear();
        self.cells.row.extend_from_slice(line);
        self.cells.split();
        Ok(Some(&self.cells))
    }

    /// The next row; what a profiler says in between (`==PROF==`, `==1234==`) is passed over.
    pub(super) fn next(&mut self) -> Result<Option<&Cells>, TraceError> {
        loop {
            let Some(line) = self.lines.next()? else { return Ok(None) };
            if !line.starts_with(b"==") {
                break;
            }
        }
        self.cells.row.clear();
        self.cells.row.extend_from_slice(self.lines.text());
        let mut open = count(&self.cells.row, b'"') % 2 == 1;
        while open {
            self.cells.row.push(b'\n');
            let Some(line) = self.lines.next()? else {
                return Err(self.malformed(
                    "a quoted cell does not end before the file does",
                    "the file is cut short, or a quotation mark is missing: export it again",
                ));
            };
            self.cells.row.extend_from_slice(line);
            open ^= count(line, b'"') % 2 == 1;
            if self.cells.row.len() as u64 > LONGEST {
                return Err(self.malformed(
                    "a quoted cell goes on for megabytes",
                    "a quotation mark is missing: export the table again",
                ));
            }
        }
        self.cells.split();
        Ok(Some(&self.cells))
    }

    /// The row at hand.
    pub(super) fn cells(&self) -> &Cells {
        &self.cells
    }

    /// The lines that the rows come from.
    pub(super) fn lines(&self) -> &Lines<R> {
        &self.lines
    }

    /// A diagnostic for the row at hand.
    pub(super) fn malformed(&self, message: &str, help: &str) -> TraceError {
        self.lines.malformed(0, message, help)
    }

    /// The row at hand with its line, as an example of what is not understood.
    pub(super) fn shown(&self) -> String {
        format!("line {}: {}", self.lines.number(), self.cells.whole())
    }

    /// The same where it has too few cells or too many. A file that breaks off in it was not copied whole.
    pub(super) fn no_row(&self) -> Result<String, TraceError> {
        if self.lines.is_whole() || self.cells.len() < 2 {
            return Ok(self.shown());
        }
        Err(self.malformed(
            "the file breaks off in this row",
            "was it copied whole? --keep-going reports what could be read before it",
        ))
    }

    /// A diagnostic for a cell that is no number, where it says something about the whole file.
    pub(super) fn decimal_commas(&self, cell: &str) -> TraceError {
        let shown: String = cell.chars().take(40).collect();
        let column = self
            .lines
            .text()
            .windows(cell.len().max(1))
            .position(|part| part == cell.as_bytes())
            .unwrap_or(0);
        self.lines.malformed(
            column,
            &format!("\"{shown}\" is written with a decimal comma"),
            "the table was exported under a locale that writes numbers so; export it again with LC_ALL=C in the environment",
        )
    }

    /// `Ok(None)` for what is no number, an error for the wrong locale.
    pub(super) fn read<T>(
        &self,
        index: usize,
        parse: impl FnOnce(&str) -> Result<T, Odd>,
    ) -> Result<Option<T>, TraceError> {
        let cell = self.cells.str(index);
        match parse(cell) {
            Ok(value) => Ok(Some(value)),
            Err(Odd::NotANumber) => Ok(None),
            Err(Odd::Locale) => Err(self.decimal_commas(cell)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn rows(text: &str) -> Result<Vec<Vec<String>>, TraceError> {
        let mut rows = Rows::new(Lines::new(text.as_bytes(), Path::new("t.csv"), None));
        let mut out = Vec::new();
        while let Some(cells) = rows.next()? {
            out.push(cells.names());
        }
        Ok(out)
    }

    #[test]
    fn cells_are_unquoted_and_notes_passed_over() {
        let text = "a,\"b, \"\"c\"\"\",\r\n==PROF== it's \"done\r\n\r\n\"x\ny\",2,3\n";
        let found = rows(text).unwrap();
        assert_eq!(found, [vec!["a", "b, \"c\"", ""], vec!["x\ny", "2", "3"]]);
    }

    #[test]
    fn an_open_quote_does_not_swallow_the_file() {
        let told = rows("a,b\n\"x,2\n").unwrap_err().to_string();
        assert!(told.contains("does not end"), "{told}");
        let long = format!("a,b\n\"x,2\n{}", "y,2\n".repeat(2 << 20));
        let told = rows(&long).unwrap_err().to_string();
        assert!(told.contains("goes on for megabytes"), "{told}");
    }
}
