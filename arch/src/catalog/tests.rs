//! The catalogue as it ships, and descriptions that cannot be.

use super::*;

#[test]
fn every_entry_of_the_catalogue_is_complete_and_sourced() {
    let catalog = Catalog::embedded();
    assert!(catalog.names().len() >= 60);
    for name in catalog.names() {
        let entry = catalog.get(name).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        for (path, _) in entry.gpu.list() {
            let kind = entry.source_kind(&path);
            assert!(SOURCE_KINDS.contains(&kind), "{name}: {path} has no source");
        }
    }
}

#[test]
fn every_accelerator_is_complete_and_sourced() {
    let catalog = Catalog::embedded();
    assert!(catalog.accelerators().len() >= 4);
    for name in catalog.accelerators() {
        let entry = catalog.accelerator(name).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        for (path, _) in entry.accelerator.list() {
            let kind = entry.source_kind(&path);
            assert!(SOURCE_KINDS.contains(&kind), "{name}: {path} has no source");
        }
    }
    assert_eq!(catalog.accelerator("NGPC 16").unwrap().accelerator.accelerator.units, 16);
    let error = catalog.accelerator("ngpc-65").unwrap_err();
    assert!(error.to_string().contains("no accelerator"), "{error}");
}

#[test]
fn impossible_accelerators_are_told_where() {
    let catalog = Catalog::embedded();
    let message = |lines: &str| {
        let text = format!("base = \"ngpc-64\"\n{lines}");
        match catalog.parse_accelerator("x", "x.toml", &text).unwrap_err() {
            Error::Invalid { message, span, .. } => {
                format!("{message} | {}", &text[span.offset()..span.offset() + span.len()])
            }
            other => other.to_string(),
        }
    };
    let zero = message("[encoder]\nunits = 0\n");
    assert_eq!(zero, "encoder.units must be greater than zero, is 0 | 0");
    let odd = message("[grid_sram]\ncapacity = \"1000001 B\"\n");
    assert!(odd.contains("no multiple of 8 banks") && odd.contains("1000001 B"), "{odd}");
    let unknown = message("[mpl]\nrows = 64\n");
    assert!(unknown.contains("unknown section \"mpl\""), "{unknown}");
    let policy = message("[policy]\ntables = \"magic\"\n");
    assert!(policy.contains("stream") && policy.contains("pool"), "{policy}");
    let shared = message("[policy]\nshared_by = 7\n");
    assert!(shared.contains("does not divide 64"), "{shared}");
    let none = message("[subgrid]\nper_axis = 0\n");
    assert_eq!(none, "subgrid.per_axis is 0; there are 1 to 64 blocks along an axis | 0");
    let empty = message("[subgrid]\nper_axis = 4\ncapacity = \"16 B\"\n");
    assert!(empty.contains("less than a line") && empty.ends_with("| \"16 B\""), "{empty}");
    assert!(
        catalog.is_accelerator("base = \"ngpc-8\"")
            && !catalog.is_accelerator("base = \"rtx3090\"")
    );
}

#[test]
fn aliases_name_one_entry_each() {
    let catalog = Catalog::embedded();
    let mut seen = BTreeMap::new();
    for name in catalog.names() {
        let gpu = catalog.get(name).unwrap().gpu.gpu;
        let mut own: Vec<String> =
            gpu.aliases.iter().chain([&gpu.name, name]).map(|n| normalise(n)).collect();
        own.sort();
        own.dedup();
        for alias in own {
            if let Some(other) = seen.insert(alias.clone(), name.clone()) {
                panic!("{alias} names both {other} and {name}");
            }
        }
    }
}

#[test]
fn profiler_names_resolve() {
    let catalog = Catalog::embedded();
    for (name, id) in [
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("Tesla V100-SXM2-16GB", "v100-sxm2-16gb"),
        ("NVIDIA GeForce RTX 3090", "rtx3090"),
        ("rtx-3090", "rtx3090"),
        ("Quadro GP100", "gp100"),
        ("NVIDIA A100-SXM4-80GB", "a100-sxm4-80gb"),
    ] {
        assert_eq!(catalog.get(name).unwrap().id, id, "{name}");
    }
    let error = catalog.get("rtx3099").unwrap_err();
    assert!(matches!(&error, Error::Unknown { help, .. } if help.contains("rtx3090")));
}

/// Peaks follow from lanes, SMs and clocks: the datasheet figures must come out.
#[test]
fn peaks_match_datasheets() {
    let catalog = Catalog::embedded();
    for (name, fp32_tflops, tensor_tflops) in [
        ("a100-sxm4-80gb", 19.5, 312.0),
        ("v100-sxm2-16gb", 15.7, 125.0),
        ("rtx3090", 35.6, 71.0),
        ("p100-sxm2-16gb", 10.6, 0.0),
        ("l40", 90.5, 181.0),
    ] {
        let gpu = catalog.get(name).unwrap().gpu;
        let per_clock = 2.0 * f64::from(gpu.sm.count) * gpu.clocks.boost.hz() / 1e12;
        let fp32 = per_clock * gpu.pipes.fp32;
        let tensor = per_clock * gpu.tensor.fp16_fp32;
        assert!((fp32 / fp32_tflops - 1.0).abs() < 0.02, "{name}: {fp32}");
        assert!((tensor - tensor_tflops).abs() <= 0.02 * tensor_tflops, "{name}: {tensor}");
    }
}

#[test]
fn a_user_file_overrides_its_base_and_keeps_sources_apart() {
    let catalog = Catalog::embedded();
    let text = "base = \"rtx3090\"\n[sources]\ndefault = \"estimate: what if\"\n[l2]\ncapacity = \"96 MiB\"\n";
    let entry = catalog.parse("mine", "mine.toml", text).unwrap();
    assert_eq!(entry.gpu.l2.capacity.bytes(), 96.0 * 1_048_576.0);
    assert_eq!(entry.source("l2.capacity"), "estimate: what if");
    assert_ne!(entry.source_kind("sm.count"), "estimate");
}

#[test]
fn files_named_after_a_gpu_are_recognised() {
    let catalog = Catalog::embedded();
    let found = |text: &str| catalog.at_start_of(text).map(|entry| entry.id);
    assert_eq!(found("rtx3070_render_fox.csv").as_deref(), Some("rtx3070"));
    assert_eq!(found("RTX_3080_Ti-render").as_deref(), Some("rtx3080ti"));
    assert_eq!(found("NVIDIA GeForce RTX 3080.csv").as_deref(), Some("rtx3080"));
    assert_eq!(found("render_rtx3070.csv"), None);
}

#[test]
fn bad_files_are_told_where() {
    let catalog = Catalog::embedded();
    let message = |text: &str| match catalog.parse("x", "x.toml", text).unwrap_err() {
        Error::Invalid { message, span, help, .. } => {
            let at = &text[span.offset()..span.offset() + span.len()];
            format!("{message} | {at} | {}", help.unwrap_or_default())
        }
        other => other.to_string(),
    };
    let base = "base = \"rtx3090\"\n";
    assert_eq!(
        message(&format!("{base}[l2]\ncapacty = \"6 MiB\"\n")),
        "unknown key \"capacty\" | capacty | did you mean \"capacity\"?"
    );
    assert!(message(&format!("{base}[l2]\ncapacity = \"6 GHz\"\n")).contains("GHz is a frequency"));
    assert!(message(&format!("{base}[dram]\nefficiency = 1.5\n")).contains("cannot exceed 1"));
    assert!(message("base = \"rtx309\"\n").contains("did you mean \"rtx3090\"?"));
    assert!(message("[l2]\ncapacity = \"6 MiB\"\n").contains("incomplete"));
    assert!(message("[l2\n").contains("unclosed table"), "{}", message("[l2\n"));
}

/// Every word and every example with which `catalog keys` says how a value is written is understood.
#[test]
fn what_keys_say_of_their_values_can_be_read() {
    let catalog = Catalog::embedded();
    let mut tried = 0;
    let mut check = |base: &str, key: &crate::Key, parse: &dyn Fn(&str) -> Option<Error>| {
        assert!(key.meaning.ends_with('.'), "{}: {}", key.path(), key.meaning);
        for word in key.value.split('"').skip(1).step_by(2) {
            let text = format!("base = \"{base}\"\n[{}]\n{} = \"{word}\"\n", key.section, key.name);
            if let Some(error) = parse(&text) {
                assert!(error.is_contradiction(), "{}: {word}: {error}", key.path());
            }
            tried += 1;
        }
    };
    for key in Gpu::keys() {
        check("rtx3090", &key, &|text| catalog.parse("x", "x.toml", text).err());
    }
    for key in Accelerator::keys() {
        check("ngpc-8", &key, &|text| catalog.parse_accelerator("x", "x.toml", text).err());
    }
    for key in crate::SparseAccelerator::keys() {
        check("rt-nerf-edge", &key, &|text| {
            catalog.parse_sparse_accelerator("x", "x.toml", text).err()
        });
    }
    assert!(tried > 80, "{tried}");
}
