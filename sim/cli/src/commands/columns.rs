//! `results.parquet`: the rows of `results.csv` by column, with types. Only in builds with the feature
//! `parquet`, whose library takes longer to build than the rest of the program's own code.
//!
//! A column's type follows from the space, not from what happens to be in it, so that files of several
//! runs can be read together. Empty cells are nulls. Left out: nested columns, and other codecs than Snappy.

use std::sync::Arc;

use lumacycle_sim::explore::metrics;
use lumacycle_sim::explore::space::{Domain, Space};
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;

use crate::failure::Failure;

/// Rows that are gathered before they are written.
const GROUP: usize = 16_384;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Whole,
    Number,
    Truth,
    Text,
}

/// Kinds of the columns of `results.csv`, in its order: point and status, settings, metrics, limits and
/// whether they hold, notes and origin.
fn kinds(space: &Space) -> Vec<Kind> {
    let mut kinds = vec![Kind::Whole, Kind::Text];
    kinds.extend(space.parameters.iter().map(|parameter| match &parameter.domain {
        Domain::Range { unit, .. } if unit.is_empty() => Kind::Number,
        Domain::Range { .. } => Kind::Text,
        Domain::Listed(choices) => {
            let labels = || choices.iter().map(|choice| choice.label.as_str());
            if labels().all(|label| label.parse::<i64>().is_ok()) {
                Kind::Whole
            } else if labels().all(|label| label.parse::<f64>().is_ok_and(f64::is_finite)) {
                Kind::Number
            } else {
                Kind::Text
            }
        }
    }));
    let derived = space.derived.iter();
    kinds.extend(derived.map(|d| if d.is_plain() { Kind::Number } else { Kind::Text }));
    kinds.extend([Kind::Number; metrics::COUNT]);
    kinds.extend(space.limits.iter().map(|_| Kind::Truth));
    kinds.extend([Kind::Truth, Kind::Truth, Kind::Text, Kind::Text, Kind::Text, Kind::Text]);
    kinds
}

/// A file in the making.
pub struct Columns {
    kinds: Vec<Kind>,
    gathered: Vec<Vec<String>>,
    writer: SerializedFileWriter<Vec<u8>>,
}

fn failed(error: ParquetError) -> Failure {
    Failure::Internal { what: format!("results.parquet: {error}") }
}

impl Columns {
    /// A file without rows.
    pub fn new(space: &Space, header: &[String]) -> Result<Self, Failure> {
        let kinds = kinds(space);
        let fields = header.iter().zip(&kinds).map(|(name, kind)| {
            let (physical, logical) = match kind {
                Kind::Whole => (Physical::INT64, None),
                Kind::Number => (Physical::DOUBLE, None),
                Kind::Truth => (Physical::BOOLEAN, None),
                Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            };
            let field = Type::primitive_type_builder(name, physical)
                .with_repetition(Repetition::OPTIONAL)
                .with_logical_type(logical)
                .build();
            field.map(Arc::new)
        });
        let fields = fields.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let schema = Type::group_type_builder("results").with_fields(fields).build();
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(format!("lumacycle {}", lumacycle_sim::VERSION))
            .build();
        let writer = SerializedFileWriter::new(
            Vec::new(),
            Arc::new(schema.map_err(failed)?),
            Arc::new(properties),
        );
        Ok(Self { kinds, gathered: Vec::new(), writer: writer.map_err(failed)? })
    }

    /// Adds a row of `results.csv`.
    pub fn add(&mut self, cells: &[String]) -> Result<(), Failure> {
        self.gathered.push(cells.to_vec());
        if self.gathered.len() < GROUP {
            return Ok(());
        }
        self.flush().map_err(failed)
    }

    fn flush(&mut self) -> Result<(), ParquetError> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for (number, kind) in self.kinds.iter().enumerate() {
            let Some(mut column) = group.next_column()? else { break };
            let cells = || self.gathered.iter().map(move |row| row[number].as_str());
            let there: Vec<i16> = cells().map(|cell| i16::from(!cell.is_empty())).collect();
            let full = cells().filter(|cell| !cell.is_empty());
            write(&mut column, *kind, full, &there)?;
            column.close()?;
        }
        group.close()?;
        self.gathered.clear();
        Ok(())
    }

    /// The file.
    pub fn finish(mut self) -> Result<Vec<u8>, Failure> {
        self.flush().map_err(failed)?;
        self.writer.into_inner().map_err(failed)
    }
}

/// Writes the cells that are not empty, and where there are any.
fn write<'a>(
    column: &mut SerializedColumnWriter<'_>,
    kind: Kind,
    cells: impl Iterator<Item = &'a str>,
    there: &[i16],
) -> Result<(), ParquetError> {
    let wrong = |cell: &str| ParquetError::General(format!("\"{cell}\" in a column of {kind:?}"));
    match kind {
        Kind::Whole => {
            let values: Result<Vec<i64>, _> =
                cells.map(|cell| cell.parse().map_err(|_| wrong(cell))).collect();
            column.typed::<Int64Type>().write_batch(&values?, Some(there), None)?;
        }
        Kind::Number => {
            let values: Result<Vec<f64>, _> =
                cells.map(|cell| cell.parse().map_err(|_| wrong(cell))).collect();
            column.typed::<DoubleType>().write_batch(&values?, Some(there), None)?;
        }
        Kind::Truth => {
            let values: Result<Vec<bool>, _> =
                cells.map(|cell| cell.parse().map_err(|_| wrong(cell))).collect();
            column.typed::<BoolType>().write_batch(&values?, Some(there), None)?;
        }
        Kind::Text => {
            let values: Vec<ByteArray> = cells.map(ByteArray::from).collect();
            column.typed::<ByteArrayType>().write_batch(&values, Some(there), None)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;

    /// What was written is what is read, nulls included, over more than one group.
    #[test]
    fn rows_come_back_with_their_types() {
        let text = r#"
name = "t"
question = "?"
[system]
accelerator = "ngpc-8"
[search]
method = "grid"
[[parameter]]
path = "accelerator.accelerator.units"
values = [8, 16]
[[parameter]]
path = "accelerator.grid_sram.capacity"
values = ["64 KiB"]
"#;
        let space = Space::parse(text).unwrap();
        let count = kinds(&space).len();
        let header: Vec<String> = (0..count).map(|number| format!("a.{number}")).collect();
        let mut columns = Columns::new(&space, &header).unwrap();
        let row = |point: usize| {
            let mut cells = vec![String::new(); count];
            let truths = [("true", count - 6), ("false", count - 5)];
            cells[0] = point.to_string();
            cells[1] = "ok".to_owned();
            cells[2] = "16".to_owned();
            cells[3] = "64 KiB".to_owned();
            cells[5] = format!("{}", point as f64 / 3.0);
            truths.iter().for_each(|(text, at)| cells[*at] = (*text).to_owned());
            cells
        };
        for point in 0..GROUP + 5 {
            columns.add(&row(point)).unwrap();
        }
        let bytes = columns.finish().unwrap();
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
        assert_eq!(reader.num_row_groups(), 2);
        let mut point = 0;
        for read in reader.get_row_iter(None).unwrap() {
            let read = read.unwrap();
            let fields: Vec<&Field> = read.get_column_iter().map(|(_, field)| field).collect();
            assert_eq!(*fields[0], Field::Long(point as i64));
            assert_eq!(*fields[2], Field::Long(16));
            assert_eq!(*fields[3], Field::Str("64 KiB".to_owned()));
            assert_eq!(*fields[4], Field::Null);
            assert_eq!(*fields[5], Field::Double(point as f64 / 3.0));
            assert_eq!(*fields[count - 6], Field::Bool(true));
            point += 1;
        }
        assert_eq!(point, GROUP + 5);
    }
}
