//! `lumacycle kernel SHAPE … --gpu …`: one kernel, priced and explained.

use lumacycle_engines::gpu::roofline;
use lumacycle_engines::{Engine, GpuEngine, Options, Resource};
use lumacycle_validate::expected::{self, Setting};
use lumacycle_workloads::ops::{
    Attention, ConvAlgorithm, ConvDirection, Convolution, Gemm, Implementation, Layout, NormKind,
    Operation, Reduction, RowOperation, Rows, Streaming,
};
use lumacycle_workloads::{DType, KernelClass};
use serde_json::json;

use super::catalog::{csv, json_out};
use crate::args::{
    ConvShape, DirectionOf, Format, KernelArgs, KernelCommon, KernelShape, NormOf, ReduceShape,
};
use crate::failure::Failure;
use crate::output::{self, short};

fn dtype(common: &KernelCommon) -> Result<DType, Failure> {
    DType::parse(&common.dtype).ok_or_else(|| {
        Failure::usage(
            format!("--dtype: unknown element type \"{}\"", common.dtype),
            "known: fp64, fp32, tf32, bf16, fp16, fp8, fp4, int8, int4",
        )
    })
}

fn operation(shape: &KernelShape) -> Result<(Operation, &KernelCommon, DType), Failure> {
    Ok(match shape {
        KernelShape::Gemm { m, n, k, batch, layout, common } => {
            let dtype = dtype(common)?;
            positive(&[("M", *m), ("N", *n), ("K", *k), ("--batch", *batch)])?;
            let mut gemm = Gemm::new(*m, *n, *k, dtype);
            gemm.batch = *batch;
            gemm.layout = Layout::of_operands(layout).unwrap_or_default();
            (Operation::Gemm(gemm), common, dtype)
        }
        KernelShape::Attention {
            batch,
            heads,
            seq_q,
            seq_kv,
            head_dim,
            heads_kv,
            causal,
            paged,
            implementation,
            common,
        } => {
            let dtype = dtype(common)?;
            let heads_kv = heads_kv.unwrap_or(*heads);
            positive(&[
                ("BATCH", *batch),
                ("HEADS", *heads),
                ("SEQ_Q", *seq_q),
                ("SEQ_KV", *seq_kv),
                ("--head-dim", *head_dim),
                ("--heads-kv", heads_kv),
            ])?;
            if paged.is_some_and(|keys| keys < *seq_kv || keys > 1 << 40) {
                return Err(Failure::usage(
                    format!("--paged has no room for {seq_kv} keys"),
                    "it counts the keys that a sequence's page table has room for",
                ));
            }
            if !heads.is_multiple_of(heads_kv) {
                return Err(Failure::usage(
                    format!("{heads} query heads cannot share {heads_kv} KV heads evenly"),
                    "the number of query heads must be a multiple of --heads-kv",
                ));
            }
            let attention = Attention {
                batch: *batch,
                heads_q: *heads,
                heads_kv,
                head_dim: *head_dim,
                seq_q: *seq_q,
                seq_kv: *seq_kv,
                causal: *causal,
                dtype,
                backward: false,
                unfused: false,
                paged: paged.is_some(),
                table_keys: *paged,
                tile: None,
                implementation: implementation.as_deref().map(|name| match name {
                    "flash3" => Implementation::Flash3,
                    "flash4" => Implementation::Flash4,
                    _ => Implementation::Flash2,
                }),
                recorded: None,
            };
            (Operation::Attention(attention), common, dtype)
        }
        KernelShape::Elementwise { elements, inputs, common } => {
            let dtype = dtype(common)?;
            (elementwise(*elements, *inputs, dtype)?, common, dtype)
        }
        KernelShape::Softmax { rows, columns, backward, common } => {
            let dtype = dtype(common)?;
            let rows = by_rows(RowOperation::Softmax, (*rows, *columns), dtype, *backward)?;
            (rows, common, dtype)
        }
        KernelShape::Norm { rows, columns, kind, backward, common } => {
            let dtype = dtype(common)?;
            let kind = match kind {
                NormOf::Layer => NormKind::Layer,
                NormOf::Rms => NormKind::Rms,
                NormOf::Batch => NormKind::Batch,
                NormOf::Group => NormKind::Group,
            };
            let rows = by_rows(RowOperation::Norm(kind), (*rows, *columns), dtype, *backward)?;
            (rows, common, dtype)
        }
        KernelShape::Conv { shape, common } => {
            let dtype = dtype(common)?;
            (convolution(shape, dtype)?, common, dtype)
        }
        KernelShape::Reduce { shape, common } => {
            let dtype = dtype(common)?;
            (reduction(shape, dtype)?, common, dtype)
        }
    })
}

fn elementwise(elements: u64, inputs: u32, dtype: DType) -> Result<Operation, Failure> {
    positive(&[("ELEMENTS", elements)])?;
    let n = elements as f64;
    Ok(Operation::Streaming(Streaming {
        read_bytes: n * dtype.bytes() * f64::from(inputs),
        write_bytes: n * dtype.bytes(),
        ..Streaming::new(KernelClass::Elementwise, n)
    }))
}

fn reduction(shape: &ReduceShape, dtype: DType) -> Result<Operation, Failure> {
    positive(&[("--rows", shape.rows), ("--columns", shape.columns)])?;
    Ok(Operation::Reduction(Reduction {
        inputs: shape.rows as f64 * shape.columns as f64,
        outputs: shape.rows as f64,
        dtype,
        recorded: None,
    }))
}

fn convolution(shape: &ConvShape, dtype: DType) -> Result<Operation, Failure> {
    let ConvShape { n, c, h, k, r, stride, pad, dilation, groups, direction, .. } = *shape;
    let (w, s) = (shape.w.unwrap_or(h), shape.s.unwrap_or(r));
    positive(&[("--n", n), ("--c", c), ("--k", k), ("--groups", groups)])?;
    // Products of two sides stay within 2^40 as well.
    for (name, value, least) in [
        ("--h", h, 1),
        ("--w", w, 1),
        ("--r", r, 1),
        ("--s", s, 1),
        ("--stride", stride, 1),
        ("--dilation", dilation, 1),
        ("--pad", pad, 0),
    ] {
        if !(least..=1 << 20).contains(&value) {
            return Err(Failure::usage(
                format!("{name} is {value}"),
                format!("it lies between {least} and 2^20"),
            ));
        }
    }
    if !(c.is_multiple_of(groups) && k.is_multiple_of(groups)) {
        return Err(Failure::usage(
            format!("{groups} groups do not divide {c} channels and {k} filters"),
            "both --c and --k must be multiples of --groups",
        ));
    }
    let outputs = |pixels: u64, taps: u64| {
        let span = dilation * (taps - 1) + 1;
        (pixels + 2 * pad).checked_sub(span).map(|rest| rest / stride + 1)
    };
    let (Some(p), Some(q)) = (outputs(h, r), outputs(w, s)) else {
        let spread = if dilation == 1 { String::new() } else { format!(" {dilation} apart") };
        return Err(Failure::usage(
            format!(
                "a filter of {r} x {s} taps{spread} is larger than {h} x {w} pixels and {pad} zeros on each side"
            ),
            "choose a smaller --r, --s or --dilation, or a larger --pad",
        ));
    };
    // Only these can be Winograd's; the operation itself knows products of sides alone.
    let winograd = (r, s, stride, dilation, groups) == (3, 3, 1, 1, 1);
    Ok(Operation::Convolution(Convolution {
        batch: n,
        in_channels: c,
        in_pixels: h * w,
        out_channels: k,
        out_pixels: p * q,
        filter: r * s,
        groups,
        dtype,
        direction: match direction {
            DirectionOf::Forward => ConvDirection::Forward,
            DirectionOf::DataGradient => ConvDirection::DataGradient,
            DirectionOf::WeightGradient => ConvDirection::WeightGradient,
        },
        algorithm: if winograd { ConvAlgorithm::Auto } else { ConvAlgorithm::ImplicitGemm },
        tile: None,
        word_by_word: false,
        by_tap: false,
        recorded: None,
    }))
}

fn by_rows(
    operation: RowOperation,
    (rows, columns): (u64, u64),
    dtype: DType,
    backward: bool,
) -> Result<Operation, Failure> {
    positive(&[("ROWS", rows), ("COLUMNS", columns)])?;
    Ok(Operation::Rows(Rows {
        operation,
        rows,
        columns,
        dtype,
        written_dtype: None,
        backward,
        vector_bytes: 16.0,
        recorded: None,
    }))
}

/// Sizes beyond 2^40 overflow launch grids long before they fit any memory.
fn positive(sizes: &[(&str, u64)]) -> Result<(), Failure> {
    for (name, value) in sizes {
        if *value == 0 || *value > 1 << 40 {
            return Err(Failure::usage(
                format!("{name} is {value}"),
                "sizes lie between 1 and 2^40",
            ));
        }
    }
    Ok(())
}

/// What a tenth more of each resource that the kernel uses saves, in percent of its time, most first.
fn tenth_more(
    engine: &GpuEngine<'_>,
    operation: &Operation,
    cost: &lumacycle_engines::Cost,
) -> Vec<(Resource, f64)> {
    let mut used: Vec<Resource> = cost
        .kernels
        .iter()
        .flat_map(|kernel| kernel.busy_ns.iter().map(|(resource, _)| *resource))
        .chain([cost.binding])
        .filter(|resource| *resource != Resource::KernelLaunch)
        .collect();
    used.sort_unstable();
    used.dedup();
    let saved = |resource: &Resource| {
        let options = Options { relief: Some((*resource, 1.1)), ..engine.options };
        let relieved = engine.with(options).price(operation);
        relieved.map_or(0.0, |r| (1.0 - r.time_ns / cost.time_ns).max(0.0) * 100.0)
    };
    let mut all: Vec<(Resource, f64)> = used.iter().map(|r| (*r, saved(r))).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    all
}

/// A row of the CSV, with the ends of the interval, what a roofline says and what a tenth more saves.
fn record(
    gpu: &str,
    operation: &Operation,
    cost: &lumacycle_engines::Cost,
    ([low, high], roofline_us, saves_pct): ([String; 2], f64, f64),
) -> Vec<String> {
    let number = |value: f64| format!("{value:.6}");
    let dram = cost.traffic.dram_read_bytes + cost.traffic.dram_write_bytes;
    let longest = cost.kernels.iter().max_by(|a, b| a.time_ns.total_cmp(&b.time_ns));
    let of_longest = |of: &dyn Fn(&lumacycle_engines::KernelCost) -> String| {
        longest.map_or_else(String::new, of)
    };
    vec![
        gpu.to_owned(),
        number(cost.time_ns / 1e3),
        low,
        high,
        number(roofline_us),
        number(operation.flops() / cost.time_ns / 1e3),
        number(dram / cost.time_ns),
        cost.binding.to_string(),
        number(saves_pct),
        of_longest(&|k| number(k.waves)),
        of_longest(&|k| number(k.occupancy.share * 100.0)),
        number(cost.traffic.l2_hit_rate() * 100.0),
        number(cost.energy.total_pj() / cost.time_ns * 1e-3),
        number(cost.energy.total_pj() / 1e9),
        of_longest(&|k| k.variant.clone()),
    ]
}

/// Columns of the CSV.
const COLUMNS: [&str; 15] = [
    "gpu",
    "time_us",
    "low_us",
    "high_us",
    "roofline_us",
    "tflops",
    "dram_gb_per_s",
    "bound_by",
    "tenth_more_saves_pct",
    "waves",
    "occupancy_pct",
    "l2_hit_pct",
    "mean_power_w",
    "energy_mj",
    "variant",
];

pub fn run(args: &KernelArgs) -> Result<(), Failure> {
    let (operation, common, dtype) = operation(&args.shape)?;
    operation.validate().map_err(|reason| {
        Failure::usage(format!("impossible shape: {reason}"), "choose smaller sizes")
    })?;
    let (gpus, mut options) = super::engines(&common.gpu)?;
    options.repeats = common.repeats.map(f64::from);
    if let Some(steps) = common.sweep_clock {
        return super::sweep::run(&operation, (&gpus, options), steps, &common.output);
    }
    let header = [
        "GPU",
        "time us",
        "9 of 10 within",
        "roofline us",
        "TFLOP/s",
        "DRAM GB/s",
        "bound by",
        "10 % more saves",
        "waves",
        "occupancy",
        "L2 hits",
        "power W",
        "energy mJ",
        "kernel",
    ];
    let spread = expected::table();
    let mut rows = Vec::new();
    let mut records = Vec::new();
    let mut data = Vec::new();
    for entry in &gpus {
        lumacycle_sim::replay::fits("this kernel", operation.resident_bytes(), entry)?;
        let engine = GpuEngine::new(&entry.gpu).with(options);
        let cost = engine
            .price(&operation)
            .map_err(|error| Failure::usage(error.to_string(), "choose another GPU or type"))?;
        let relieved = engine
            .with(Options { relief: Some((cost.binding, 1.1)), ..options })
            .price(&operation)
            .map_or(0.0, |r| (1.0 - r.time_ns / cost.time_ns).max(0.0) * 100.0);
        let roofline_us = roofline::time_ns(&entry.gpu, &operation, dtype) / 1e3;
        let class = operation.class();
        let expected =
            expected::interval(&spread, class, Setting::of(&entry.gpu, false), cost.time_ns / 1e3);
        let dram = cost.traffic.dram_read_bytes + cost.traffic.dram_write_bytes;
        let longest = cost.kernels.iter().max_by(|a, b| a.time_ns.total_cmp(&b.time_ns));
        rows.push(vec![
            entry.gpu.gpu.name.clone(),
            short(cost.time_ns / 1e3),
            expected.map_or_else(
                || "not known".to_owned(),
                |e| format!("{} to {}", short(e.low_us), short(e.high_us)),
            ),
            short(roofline_us),
            short(operation.flops() / cost.time_ns / 1e3),
            short(dram / cost.time_ns),
            cost.binding.to_string(),
            format!("{relieved:.1} %"),
            longest.map_or_else(String::new, |k| short(k.waves)),
            longest.map_or_else(String::new, |k| format!("{:.0} %", k.occupancy.share * 100.0)),
            format!("{:.0} %", cost.traffic.l2_hit_rate() * 100.0),
            short(cost.energy.total_pj() / cost.time_ns * 1e-3),
            short(cost.energy.total_pj() / 1e9),
            longest.map_or_else(String::new, |k| k.variant.clone()),
        ]);
        let told = (output::ends(expected), roofline_us, relieved);
        records.push(record(&entry.id, &operation, &cost, told));
        data.push(json!({
            "gpu": entry.id, "tenth_more": tenth_more(&engine, &operation, &cost), "roofline_us": roofline_us, "tenth_more_saves_pct": relieved,
            "flops": operation.flops(), "cost": cost, "expected": expected,
        }));
    }
    match common.output.format {
        Format::Json => json_out(
            &common.output,
            &json!({"version": lumacycle_sim::VERSION, "operation": operation, "results": data}),
        ),
        Format::Csv => {
            let bytes = csv(&COLUMNS, records.into_iter())?;
            output::write(common.output.output.as_deref(), &bytes)
        }
        Format::Table => {
            let mut table = output::table(&header, 1);
            for row in rows {
                table.add_row(row);
            }
            output::write(common.output.output.as_deref(), output::render(&table).as_bytes())
        }
    }
}
