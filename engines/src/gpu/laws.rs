//! Laws that no model of a machine may break, over random work and all catalogue GPUs.

use lumacycle_arch::{Catalog, Gpu};
use lumacycle_workloads::encoding::{Grid, GridKind, Interpolation};
use lumacycle_workloads::ops::counts::Work;
use lumacycle_workloads::ops::{
    Attention, Embedding, FusedMlp, Gemm, GridEncoding, NormKind, Operation, Part, PerThread,
    Reduction, RowOperation, Rows, Streaming,
};
use lumacycle_workloads::samples::Positions;
use lumacycle_workloads::{DType, KernelClass};
use proptest::prelude::*;

use crate::{Cost, Engine, GpuEngine, L2Start, Options, Resource};

const GPUS: [&str; 8] = [
    "p100-pcie-16gb",
    "gtx1080ti",
    "v100-sxm2-16gb",
    "rtx2080ti",
    "a100-sxm4-80gb",
    "rtx3090",
    "rtx4090",
    "h100-sxm",
];

fn gpu(index: usize) -> Gpu {
    Catalog::embedded().get(GPUS[index % GPUS.len()]).unwrap().gpu
}

fn operations() -> impl Strategy<Value = Operation> {
    let dtype = prop_oneof![Just(DType::Fp32), Just(DType::Fp16), Just(DType::Bf16)];
    prop_oneof![
        (1u64..5000, 1u64..5000, 1u64..5000, 1u64..9, dtype.clone()).prop_map(
            |(m, n, k, batch, dtype)| {
                Operation::Gemm(Gemm { batch, ..Gemm::new(m, n, k, dtype) })
            }
        ),
        (1f64..1e8, 0u32..4).prop_map(|(n, inputs)| Operation::Streaming(Streaming {
            read_bytes: n * 4.0 * f64::from(inputs),
            write_bytes: n * 4.0,
            ..Streaming::new(KernelClass::Elementwise, n)
        })),
        (1u64..40_000, 1u64..20_000, any::<bool>(), any::<bool>(), dtype.clone()).prop_map(
            |(rows, columns, softmax, backward, dtype)| Operation::Rows(Rows {
                operation: if softmax {
                    RowOperation::Softmax
                } else {
                    RowOperation::Norm(NormKind::Layer)
                },
                rows,
                columns,
                dtype,
                written_dtype: None,
                backward,
                vector_bytes: 16.0,
                recorded: None,
            })
        ),
        (1f64..1e8, 1f64..1e4).prop_map(|(inputs, outputs)| Operation::Reduction(Reduction {
            inputs,
            outputs: outputs.min(inputs),
            dtype: DType::Fp32,
            recorded: None,
        })),
        (1u64..16, 1u64..9, 1u64..5, 1u64..4096, 1u64..4096, any::<bool>()).prop_map(
            |(batch, heads_kv, group, seq_q, seq_kv, causal)| Operation::Attention(Attention {
                heads_kv,
                causal,
                ..Attention::new([batch, heads_kv * group, seq_q, seq_kv, 64], DType::Fp16)
            })
        ),
        (1000u64..2_000_000, 1u64..256, 1u64..4000).prop_map(|(table_rows, width, lookups)| {
            Operation::Embedding(Embedding {
                table_rows,
                width,
                lookups,
                dtype: DType::Fp32,
                backward: false,
                recorded: None,
            })
        }),
    ]
}

/// Libraries keep a large tile while a smaller one saves under two per cent, and so does the
/// engine: laws about time hold up to that.
const CHOICE: f64 = 1.021;

fn price(gpu: &Gpu, options: Options, operation: &Operation) -> Cost {
    GpuEngine::new(gpu).with(options).price(operation).unwrap()
}

/// Kernels of neural graphics: encodings with simulated lookups, fused perceptrons, rays that
/// differ in length.
fn neural() -> impl Strategy<Value = Operation> {
    prop_oneof![
        (1u64..60_000, 1u32..9, 0u32..4, 8u32..20, 1.2f64..3.0, any::<bool>()).prop_map(
            |(samples, levels, features, log2_entries, growth, backward)| {
                Operation::GridEncoding(GridEncoding {
                    grid: Grid {
                        dims: 3,
                        kind: GridKind::Hash,
                        levels,
                        features: 1 << features,
                        log2_entries,
                        base_resolution: 16,
                        growth,
                        interpolation: Interpolation::Linear,
                    },
                    samples,
                    positions: Positions::Scattered,
                    position_stride_bytes: 28.0,
                    backward,
                    recorded: None,
                })
            }
        ),
        (4u32..8, 1u32..6, 1u32..9, 1u64..3_000_000, 1u32..4, 0u32..8).prop_map(
            |(width, hidden_layers, inputs, samples, iterations, flags)| {
                Operation::FusedMlp(FusedMlp {
                    width: 1 << width,
                    hidden_layers,
                    inputs: 16 * inputs,
                    outputs: 16,
                    samples,
                    rows_per_cta: 16 << iterations,
                    inputs_by_row: flags & 1 > 0,
                    training: flags & 2 > 0,
                    backward: flags & 4 > 0,
                    recorded: None,
                })
            }
        ),
        (1f64..4e6, 0.1f64..200.0, 1f64..8.0, 1f64..30.0, 0f64..64.0).prop_map(
            |(rays, times, divergence, longest, bytes)| {
                let part = Part {
                    times,
                    divergence,
                    longest: longest * divergence,
                    work: Work {
                        fp32: 30.0,
                        int32: 40.0,
                        memory: 3.0,
                        chain: 24.0,
                        ..Work::default()
                    },
                    read_bytes: bytes,
                    round_trips: 1.0,
                    ..Part::default()
                };
                Operation::PerThread(PerThread::new(KernelClass::RayMarching, rays, vec![part]))
            }
        ),
    ]
}

fn no_resource_is_beaten(gpu: &Gpu, operation: &Operation) -> Result<(), TestCaseError> {
    let cost = price(gpu, Options::default(), operation);
    for kernel in &cost.kernels {
        prop_assert!(kernel.time_ns.is_finite() && kernel.time_ns > 0.0);
        for (resource, ns) in &kernel.busy_ns {
            // Per-SM bounds are averages over waves; a ragged tail only adds.
            prop_assert!(*ns <= kernel.time_ns * 1.0001, "{resource}: {ns} > {}", kernel.time_ns);
        }
    }
    Ok(())
}

fn more_never_slows(gpu: &Gpu, operation: &Operation) -> Result<(), TestCaseError> {
    let base = price(gpu, Options::default(), operation).time_ns;
    for resource in [
        Resource::Fp32,
        Resource::Tensor,
        Resource::SharedMemory,
        Resource::L2,
        Resource::Dram,
        Resource::Latency,
        Resource::CtaLaunch,
        Resource::RegisterFile,
    ] {
        let options = Options { relief: Some((resource, 1.5)), ..Options::default() };
        let relieved = price(gpu, options, operation).time_ns;
        prop_assert!(relieved <= base * CHOICE, "{resource}: {relieved} > {base}");
    }
    let faster = Options { clock_hz: Some(gpu.clocks.typical.hz() * 1.2), ..Options::default() };
    prop_assert!(price(gpu, faster, operation).time_ns <= base * CHOICE);
    Ok(())
}

fn warmth_never_slows(gpu: &Gpu, operation: &Operation) -> Result<(), TestCaseError> {
    let warm = price(gpu, Options::default(), operation).time_ns;
    let cold = price(gpu, Options { l2: L2Start::Cold, ..Options::default() }, operation);
    prop_assert!(warm <= cold.time_ns * CHOICE);
    // Results of others have to leave L2; an empty one has room for results.
    let sequence = price(gpu, Options { l2: L2Start::InSequence, ..Options::default() }, operation);
    prop_assert!(warm <= sequence.time_ns * CHOICE);
    Ok(())
}

fn shares_are_shares(gpu: &Gpu, operation: &Operation) -> Result<(), TestCaseError> {
    let cost = price(gpu, Options::default(), operation);
    let constant_pj = gpu.power.constant.watts() * cost.time_ns * 1e3;
    prop_assert!(cost.energy.total_pj() >= constant_pj * 0.9999);
    prop_assert!((0.0..=1.0).contains(&cost.traffic.l1_hit_rate()));
    prop_assert!((0.0..=1.0).contains(&cost.traffic.l2_hit_rate()));
    for share in cost.shared_use.as_array() {
        prop_assert!((0.0..=1.0).contains(&share));
    }
    for kernel in &cost.kernels {
        prop_assert!(kernel.occupancy.share > 0.0 && kernel.occupancy.share <= 1.0);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn kernels_of_neural_graphics_keep_the_laws(index in 0usize..8, operation in neural()) {
        let gpu = gpu(index);
        prop_assert_eq!(operation.validate(), Ok(()));
        no_resource_is_beaten(&gpu, &operation)?;
        more_never_slows(&gpu, &operation)?;
        warmth_never_slows(&gpu, &operation)?;
        shares_are_shares(&gpu, &operation)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn no_kernel_beats_a_single_resource(index in 0usize..8, operation in operations()) {
        no_resource_is_beaten(&gpu(index), &operation)?;
    }

    #[test]
    fn more_of_a_resource_is_never_slower(index in 0usize..8, operation in operations()) {
        more_never_slows(&gpu(index), &operation)?;
    }

    #[test]
    fn a_warm_cache_is_never_slower(index in 0usize..8, operation in operations()) {
        warmth_never_slows(&gpu(index), &operation)?;
    }

    #[test]
    fn energy_covers_constant_power_and_rates_are_shares(index in 0usize..8, operation in operations()) {
        shares_are_shares(&gpu(index), &operation)?;
    }

    #[test]
    fn a_batch_twice_as_large_takes_at_most_twice_as_long(
        index in 0usize..8, m in 1u64..3000, n in 1u64..3000, k in 1u64..3000
    ) {
        let gpu = gpu(index);
        // The exception: what one problem leaves behind in L2, two have to write to DRAM.
        let bytes = Gemm::new(m, n, k, DType::Fp16).compulsory_bytes();
        let capacity = gpu.l2.capacity.bytes();
        prop_assume!(bytes > capacity * gpu.l2.fade || 4.0 * bytes < capacity * gpu.l2.reach);
        let of = |batch| {
            let gemm = Gemm { batch, ..Gemm::new(m, n, k, DType::Fp16) };
            price(&gpu, Options { l2: L2Start::Cold, ..Options::default() }, &Operation::Gemm(gemm)).time_ns
        };
        // A single problem may have a split-K that just fills the device, which two don't need.
        prop_assert!(of(2) <= 2.0 * of(1) * 1.10, "{} {}", of(2), of(1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Stages that nothing covers are paid for one by one, down to a layer's.
    #[test]
    fn a_layer_of_a_perceptron_costs_no_less_than_its_busiest_pipe(
        index in 2usize..8, samples in 1u64..1 << 21, rows in prop_oneof![Just(32u32), Just(64), Just(128)]
    ) {
        let gpu = gpu(index);
        let engine = GpuEngine::new(&gpu).with(Options::default().unlimited());
        let of = |hidden_layers| {
            let mlp = FusedMlp {
                width: 64,
                hidden_layers,
                inputs: 32,
                outputs: 16,
                samples,
                rows_per_cta: rows,
                inputs_by_row: false,
                training: false,
                backward: false,
                recorded: None,
            };
            engine.price(&Operation::FusedMlp(mlp)).unwrap()
        };
        let (less, more) = (of(2), of(3));
        let busy = |cost: &Cost, wanted: Resource| {
            cost.kernels[0].busy_ns.iter().find(|(of, _)| *of == wanted).map_or(0.0, |(_, ns)| *ns)
        };
        // Fewer waves are full than begun, so the law holds for the tensor cores of whole ones.
        let products = busy(&more, Resource::Tensor) - busy(&less, Resource::Tensor);
        prop_assert!(more.time_ns - less.time_ns >= 0.8 * products, "{} {}", more.time_ns - less.time_ns, products);
    }
}

/// Results that all CTAs write at once lengthen a short product, most where a CTA has its SM to itself, and a long
/// one hardly.
#[test]
fn what_all_write_at_once_is_covered_by_other_ctas_only() {
    let gpu = gpu(4);
    let engine = GpuEngine::new(&gpu);
    let lengthened = |m: u64, n: u64, k: u64| {
        let operation = Operation::Gemm(Gemm::new(m, n, k, DType::Fp16));
        let mut by_residency: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
        for candidate in operation.lower(&engine.target()) {
            let with = super::kernel::price(&engine, &candidate.kernels[0]).unwrap();
            let mut kernel = candidate.kernels[0].clone();
            kernel.stages.iter_mut().for_each(|stage| stage.in_step = false);
            let without = super::kernel::price(&engine, &kernel).unwrap();
            assert!(with.time_ns >= without.time_ns, "{}", with.variant);
            let several = usize::from(with.occupancy.ctas_per_sm > 1);
            by_residency[several].push(with.time_ns / without.time_ns - 1.0);
        }
        by_residency.map(|shares| shares.iter().sum::<f64>() / shares.len().max(1) as f64)
    };
    let [alone, several] = lengthened(8192, 8192, 512);
    assert!(alone > 0.03 && alone < 0.3, "{alone}");
    assert!(several < 0.7 * alone, "{several} {alone}");
    let [long, _] = lengthened(8192, 8192, 16_384);
    assert!(long < 0.02, "{long}");
}
