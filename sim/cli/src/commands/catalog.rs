//! `lumacycle catalog list|show|check`.

use lumacycle_arch::{Catalog, Entry};
use serde_json::json;

use crate::args::{CatalogAction, CatalogArgs, Format, OutputArgs};
use crate::failure::Failure;
use crate::output::{self, short};

pub fn run(args: CatalogArgs) -> Result<(), Failure> {
    let catalog = Catalog::embedded();
    match args.action {
        CatalogAction::List { output } => list(&catalog, &output),
        CatalogAction::Show { name, output } => show(&super::gpu(&catalog, &name)?, &output),
        CatalogAction::Check { file } => {
            let path = file.display().to_string();
            let text = super::description(&file)?;
            let entry = catalog.parse("checked", &path, &text)?;
            let values = entry.gpu.list().len();
            let message = format!("{path}: {} is complete ({values} values)\n", entry.gpu.gpu.name);
            output::write(None, message.as_bytes())
        }
    }
}

fn list(catalog: &Catalog, args: &OutputArgs) -> Result<(), Failure> {
    let entries: Result<Vec<Entry>, _> = catalog.names().iter().map(|id| catalog.get(id)).collect();
    let entries = entries?;
    let row = |entry: &Entry| {
        let gpu = &entry.gpu;
        let tensor = 2.0 * gpu.tensor.fp16_fp32 * f64::from(gpu.sm.count) * gpu.clocks.boost.hz();
        (
            entry.id.clone(),
            gpu.gpu.name.clone(),
            gpu.gpu.chip.clone(),
            gpu.sm.count,
            gpu.clocks.boost.hz() / 1e6,
            2.0 * gpu.pipes.fp32 * f64::from(gpu.sm.count) * gpu.clocks.boost.hz() / 1e12,
            tensor / 1e12,
            gpu.l2.capacity.bytes() / 1_048_576.0,
            gpu.dram.bandwidth.bytes_per_s() / 1e9,
            gpu.dram.capacity.bytes() / 1_073_741_824.0,
            gpu.power.limit.watts(),
        )
    };
    let header = [
        "name",
        "GPU",
        "chip",
        "SMs",
        "boost MHz",
        "fp32 TFLOP/s",
        "fp16 tensor TFLOP/s",
        "L2 MiB",
        "DRAM GB/s",
        "DRAM GiB",
        "limit W",
    ];
    let rows = entries.iter().map(row).map(|r| {
        [
            r.0,
            r.1,
            r.2,
            r.3.to_string(),
            short(r.4),
            short(r.5),
            short(r.6),
            short(r.7),
            short(r.8),
            short(r.9),
            short(r.10),
        ]
    });
    match args.format {
        Format::Table => {
            let mut table = output::table(&header, 3);
            rows.for_each(|row| {
                table.add_row(row);
            });
            output::write(args.output.as_deref(), output::render(&table).as_bytes())
        }
        Format::Csv => {
            let bytes = csv(&header, rows.map(|row| row.to_vec()))?;
            output::write(args.output.as_deref(), &bytes)
        }
        Format::Json => {
            let list: Vec<_> = entries
                .iter()
                .map(|entry| json!({"name": entry.id, "gpu": entry.gpu.gpu.name, "aliases": entry.gpu.gpu.aliases, "chip": entry.gpu.gpu.chip, "sms": entry.gpu.sm.count}))
                .collect();
            json_out(args, &json!(list))
        }
    }
}

fn show(entry: &Entry, args: &OutputArgs) -> Result<(), Failure> {
    let values = entry.gpu.list();
    let header = ["value", "", "source"];
    let rows = values
        .iter()
        .map(|(path, value)| vec![path.clone(), value.clone(), entry.source(path).to_owned()]);
    match args.format {
        Format::Table => {
            let mut table = output::table(&header, 9);
            rows.for_each(|row| {
                table.add_row(row);
            });
            output::write(args.output.as_deref(), output::render(&table).as_bytes())
        }
        Format::Csv => {
            let bytes = csv(&["path", "value", "source"], rows)?;
            output::write(args.output.as_deref(), &bytes)
        }
        Format::Json => {
            let map: serde_json::Map<String, serde_json::Value> = values
                .iter()
                .map(|(path, value)| {
                    (path.clone(), json!({"value": value, "source": entry.source(path)}))
                })
                .collect();
            json_out(args, &json!({"name": entry.id, "values": map}))
        }
    }
}

pub fn json_out(args: &OutputArgs, value: &serde_json::Value) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::Internal { what: error.to_string() })?;
    text.push('\n');
    output::write(args.output.as_deref(), text.as_bytes())
}

pub fn csv(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Result<Vec<u8>, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let internal = |error: csv::Error| Failure::Internal { what: error.to_string() };
    writer.write_record(header).map_err(internal)?;
    for row in rows {
        writer.write_record(row).map_err(internal)?;
    }
    writer.into_inner().map_err(|error| Failure::Internal { what: error.to_string() })
}
