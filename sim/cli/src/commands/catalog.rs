//! `lumacycle catalog list|show|check|keys`.

use std::path::Path;

use lumacycle_arch::{Accelerator, AcceleratorEntry, Catalog, Entry, Gpu, Key, SparseAccelerator};
use serde_json::json;

use super::parts::Parts;
use crate::args::{CatalogAction, CatalogArgs, Format, KeysOf, OutputArgs};
use crate::failure::Failure;
use crate::output::{self, short};

pub fn run(args: CatalogArgs) -> Result<(), Failure> {
    let catalog = Catalog::embedded();
    match args.action {
        CatalogAction::List { accelerators: true, output } => list_accelerators(&catalog, &output),
        CatalogAction::List { accelerators: false, output } => list(&catalog, &output),
        CatalogAction::Show { name, parts, output } => show_any(&catalog, &name, parts, &output),
        CatalogAction::Keys { what, output } => list_keys(&keys(what), &output),
        CatalogAction::Check { file } => {
            let path = file.display().to_string();
            let text = super::description(&file)?;
            let (name, values) = if catalog.is_sparse_accelerator(&text) {
                let entry = catalog.parse_sparse_accelerator("checked", &path, &text)?;
                let accelerator = entry.accelerator;
                (accelerator.accelerator.name.clone(), accelerator.list().len())
            } else if catalog.is_accelerator(&text) {
                let accelerator = catalog.parse_accelerator("checked", &path, &text)?.accelerator;
                (accelerator.accelerator.name.clone(), accelerator.list().len())
            } else {
                let gpu = catalog.parse("checked", &path, &text)?.gpu;
                (gpu.gpu.name.clone(), gpu.list().len())
            };
            let message = format!("{path}: {name} is complete ({values} values)\n");
            output::write(None, message.as_bytes())
        }
    }
}

/// The keys of a kind of description.
pub fn keys(of: KeysOf) -> Vec<Key> {
    match of {
        KeysOf::Gpu => Gpu::keys(),
        KeysOf::Accelerator => Accelerator::keys(),
        KeysOf::SparseAccelerator => SparseAccelerator::keys(),
    }
}

fn list_keys(keys: &[Key], args: &OutputArgs) -> Result<(), Failure> {
    let header = ["key", "written as", "meaning"];
    let rows =
        keys.iter().map(|key| vec![key.path(), key.value.to_owned(), key.meaning.to_owned()]);
    let list: Vec<_> = keys
        .iter()
        .map(|key| json!({"key": key.path(), "written_as": key.value, "meaning": key.meaning}))
        .collect();
    print(args, &header, header.len(), rows, &list)
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
    let list = entries.iter().map(|entry| {
        json!({"name": entry.id, "gpu": entry.gpu.gpu.name, "aliases": entry.gpu.gpu.aliases, "chip": entry.gpu.gpu.chip, "sms": entry.gpu.sm.count})
    });
    print(args, &header, 3, rows.map(|row| row.to_vec()), &list.collect::<Vec<_>>())
}

/// Writes rows for people or spreadsheets, or a list for programs.
fn print(
    args: &OutputArgs,
    header: &[&str],
    right_from: usize,
    rows: impl Iterator<Item = Vec<String>>,
    list: &[serde_json::Value],
) -> Result<(), Failure> {
    match args.format {
        Format::Table => {
            let mut table = output::table(header, right_from);
            rows.for_each(|row| {
                table.add_row(row);
            });
            output::write(args.output.as_deref(), output::render(&table).as_bytes())
        }
        Format::Csv => output::write(args.output.as_deref(), &csv(header, rows)?),
        Format::Json => json_out(args, &json!(list)),
    }
}

fn list_accelerators(catalog: &Catalog, args: &OutputArgs) -> Result<(), Failure> {
    let entries: Result<Vec<AcceleratorEntry>, _> =
        catalog.accelerators().iter().map(|id| catalog.accelerator(id)).collect();
    let entries = entries?;
    let header =
        ["name", "accelerator", "processors", "clock", "engines", "table SRAM", "MACs", "paper"];
    let rows = entries.iter().map(|entry| {
        let a = &entry.accelerator;
        [
            entry.id.clone(),
            a.accelerator.name.clone(),
            a.accelerator.units.to_string(),
            a.accelerator.clock.to_string(),
            a.encoder.units.to_string(),
            a.grid_sram.capacity.to_string(),
            format!("{} x {}", a.mlp.rows, a.mlp.columns),
            a.accelerator.paper.clone(),
        ]
    });
    let list = entries.iter().map(|entry| {
        let a = &entry.accelerator.accelerator;
        json!({"name": entry.id, "accelerator": a.name, "aliases": a.aliases, "units": a.units})
    });
    let sparse: Result<Vec<_>, _> =
        catalog.sparse_accelerators().iter().map(|id| catalog.sparse_accelerator(id)).collect();
    let sparse = sparse?;
    let more = sparse.iter().map(|entry| {
        let a = &entry.accelerator;
        [
            entry.id.clone(),
            a.accelerator.name.clone(),
            a.accelerator.units.to_string(),
            a.accelerator.clock.to_string(),
            "–".to_owned(),
            a.factor_sram.capacity.to_string(),
            format!("{} of {} x {}", a.shading.arrays, a.shading.rows, a.shading.columns),
            a.accelerator.paper.clone(),
        ]
    });
    let more_list = sparse.iter().map(|entry| {
        let a = &entry.accelerator.accelerator;
        json!({"name": entry.id, "accelerator": a.name, "aliases": a.aliases, "units": a.units})
    });
    let rows = rows.chain(more).map(|row| row.to_vec());
    print(args, &header, 2, rows, &list.chain(more_list).collect::<Vec<_>>())
}

/// A GPU or, where there is none of that name, an accelerator.
fn show_any(catalog: &Catalog, name: &str, only: bool, args: &OutputArgs) -> Result<(), Failure> {
    let path = Path::new(name);
    let is_file = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("toml"));
    let accelerator = if is_file {
        catalog.is_accelerator(&super::description(path)?)
    } else {
        let start = name.get(..4).map(str::to_lowercase);
        let alike = |id: &String| start.as_deref().is_some_and(|start| id.starts_with(start));
        catalog.get(name).is_err()
            && (catalog.accelerator(name).is_ok() || catalog.accelerators().iter().any(alike))
    };
    let sparse = if is_file {
        catalog.is_sparse_accelerator(&super::description(path)?)
    } else {
        catalog.sparse_accelerator(name).is_ok()
    };
    if sparse {
        let entry = super::tensorf::accelerator(catalog, name)?;
        let parts = Parts::of_sparse(&entry.accelerator);
        let values = entry.accelerator.list();
        return show(&entry.id, &values, |path| entry.source(path).to_owned(), &parts, only, args);
    }
    if accelerator {
        let entry = super::accelerated::accelerator(catalog, name)?;
        let parts = Parts::of_accelerator(&entry.accelerator);
        let values = entry.accelerator.list();
        return show(&entry.id, &values, |path| entry.source(path).to_owned(), &parts, only, args);
    }
    let entry = super::gpu(catalog, name)?;
    let parts = Parts::of_gpu(&entry.gpu);
    show(&entry.id, &entry.gpu.list(), |path| entry.source(path).to_owned(), &parts, only, args)
}

fn show(
    id: &str,
    values: &[(String, String)],
    source: impl Fn(&str) -> String,
    parts: &Parts,
    only: bool,
    args: &OutputArgs,
) -> Result<(), Failure> {
    let header = ["value", "", "source"];
    let rows = values.iter().map(|(path, value)| vec![path.clone(), value.clone(), source(path)]);
    match args.format {
        Format::Table => {
            let mut text = String::new();
            if !only {
                let mut table = output::table(&header, 9);
                rows.for_each(|row| {
                    table.add_row(row);
                });
                text = output::render(&table);
                text.push('\n');
            }
            text.push_str(&parts.text());
            output::write(args.output.as_deref(), text.as_bytes())
        }
        Format::Csv if only => output::write(args.output.as_deref(), &parts.csv(id)?),
        Format::Csv => {
            let bytes = csv(&["path", "value", "source"], rows)?;
            output::write(args.output.as_deref(), &bytes)
        }
        Format::Json => {
            let mut whole = json!({"name": id, "parts": parts.json()});
            if !only {
                let values = values.iter().map(|(path, value)| {
                    (path.clone(), json!({"value": value, "source": source(path)}))
                });
                whole["values"] = values.collect::<serde_json::Map<_, _>>().into();
            }
            json_out(args, &whole)
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
