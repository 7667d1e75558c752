//! How fast the simulator is: one kernel, one gather through the cache model, a trace of 10,000
//! kernels read and replayed, an instruction trace read, frames of radiance fields, their encodings, and
//! frames of decomposed fields. Figures are in `BENCHMARKS.md`; none is asserted.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lumacycle_arch::Catalog;
use lumacycle_engines::{Engine, GpuEngine, Options};
use lumacycle_sim::frame::{GpuFrame, price};
use lumacycle_sim::replay::{ReplayOptions, replay};
use lumacycle_sim::tensorf::{Pixels, Prepared, accelerated};
use lumacycle_traces::{ReadOptions, read};
use lumacycle_workloads::DType;
use lumacycle_workloads::apps::{Application, frame};
use lumacycle_workloads::ops::gemm::{Math, Tile};
use lumacycle_workloads::ops::{Embedding, Gemm, Operation};
use lumacycle_workloads::rays::View;
use lumacycle_workloads::scene::Scene;
use lumacycle_workloads::tensorf::Synthetic;

/// A Kineto trace of `kernels` launches with operators and shapes, many of them distinct.
fn synthetic(kernels: usize) -> String {
    let mut text = String::from(
        "{\"schemaVersion\":1,\"deviceProperties\":[{\"id\":0,\"name\":\"NVIDIA A100-SXM4-80GB\",\"computeMajor\":8,\"computeMinor\":0}],\"traceEvents\":[",
    );
    for i in 0..kernels {
        let at = i * 60;
        let m = 128 * (1 + i % 97);
        let (id, grid) = (i + 1, m / 64 * 8);
        if i > 0 {
            text.push(',');
        }
        let _ = write!(
            text,
            "{{\"ph\":\"X\",\"cat\":\"cpu_op\",\"name\":\"aten::addmm\",\"pid\":1,\"tid\":1,\"ts\":{at},\"dur\":20,\"args\":{{\"External id\":{id},\"Input Dims\":[[1024],[{m},1024],[1024,1024],[],[]],\"Input type\":[\"c10::Half\",\"c10::Half\",\"c10::Half\",\"Scalar\",\"Scalar\"]}}}},\
             {{\"ph\":\"X\",\"cat\":\"cuda_runtime\",\"name\":\"cudaLaunchKernel\",\"pid\":1,\"tid\":1,\"ts\":{},\"dur\":5,\"args\":{{\"correlation\":{id}}}}},\
             {{\"ph\":\"X\",\"cat\":\"kernel\",\"name\":\"ampere_fp16_s16816gemm_fp16_128x64_ldg8_f2f_stages_64x4_tn\",\"pid\":0,\"tid\":7,\"ts\":{},\"dur\":40,\"args\":{{\"device\":0,\"context\":1,\"stream\":7,\"correlation\":{id},\"External id\":{id},\"registers per thread\":128,\"shared memory\":98304,\"blocks per SM\":1.2,\"warps per SM\":4.8,\"grid\":[{grid},1,1],\"block\":[128,1,1],\"est. achieved occupancy %\":12}}}}",
            at + 3,
            at + 12,
        );
    }
    text.push_str("]}");
    text
}

fn speed(criterion: &mut Criterion) {
    let catalog = Catalog::embedded();
    let Ok(entry) = catalog.get("a100-sxm4-80gb") else { return };
    let engine = GpuEngine::new(&entry.gpu);

    let mut known = Gemm::new(4096, 4096, 4096, DType::Fp16);
    known.tile = Some(Tile { m: 128, n: 128, k: 32, stages: 5, warps: 4, math: Math::Tensor });
    let known = Operation::Gemm(known);
    criterion.bench_function("GEMM 4096^3, tile known", |b| {
        b.iter(|| engine.price(black_box(&known)));
    });
    let chosen = Operation::Gemm(Gemm::new(4096, 4096, 4096, DType::Fp16));
    criterion.bench_function("GEMM 4096^3, library's choice", |b| {
        b.iter(|| engine.price(black_box(&chosen)));
    });
    let gather = Operation::Embedding(Embedding {
        table_rows: 1_000_000,
        width: 64,
        lookups: 1_000_000,
        dtype: DType::Fp16,
        backward: false,
        recorded: None,
    });
    criterion.bench_function("1 M lookups through the cache model", |b| {
        b.iter(|| engine.price(black_box(&gather)));
    });

    let path = std::env::temp_dir().join("lumacycle-bench-10k.json");
    if std::fs::write(&path, synthetic(10_000)).is_err() {
        return;
    }
    criterion.bench_function("10,000-kernel Kineto trace, read", |b| {
        b.iter(|| read(black_box(&path), ReadOptions::default()));
    });
    criterion.bench_function("10,000-kernel Kineto trace, read and replayed", |b| {
        b.iter(|| {
            let recordings = read(&path, ReadOptions::default()).unwrap_or_default();
            let options = ReplayOptions { recorded_on: Some(&entry), ..ReplayOptions::default() };
            recordings.iter().map(|r| replay(r, &entry, options)).collect::<Vec<_>>()
        });
    });
    let _ = std::fs::remove_file(&path);
}

/// Warps of the instruction trace, and instructions of each before the last.
const WARPS: usize = 2048;
const INSTRUCTIONS: usize = 128;

/// An instruction trace of Accel-Sim's format: loads, shared memory, tensor and plain arithmetic in turn.
fn instructions() -> String {
    let blocks = WARPS / 8;
    let mut text = format!(
        "-kernel name = bench\n-kernel id = 1\n-grid dim = ({blocks},1,1)\n-block dim = (256,1,1)\n-shmem = 16384\n-nregs = 64\n\
         -binary version = 86\n-cuda stream id = 0\n-shmem base_addr = 0x00007f0000000000\n-local mem base_addr = 0x00007f1000000000\n\
         -nvbit version = 1.5.5\n-accelsim tracer version = 4\n\n"
    );
    for block in 0..blocks {
        let _ = writeln!(text, "#BEGIN_TB\n\nthread block = {block},0,0\n");
        for warp in 0..8 {
            let _ = writeln!(text, "warp = {warp}\ninsts = {}", INSTRUCTIONS + 1);
            for i in 0..INSTRUCTIONS {
                let (pc, at) = (i * 16, 0x1000 + (block * 8 + warp) * 8192 + i * 128);
                let _ = match i % 4 {
                    0 => writeln!(text, "{pc:04x} ffffffff 1 R2 LDG.E 1 R4 4 1 0x{at:x} 4 0 "),
                    1 => writeln!(
                        text,
                        "{pc:04x} ffffffff 1 R3 LDS.U.128 1 R6 16 1 0x7f0000000000 16 "
                    ),
                    2 => writeln!(text, "{pc:04x} ffffffff 1 R5 HMMA.16816.F32 3 R2 R3 R5 0 0 "),
                    _ => writeln!(text, "{pc:04x} ffffffff 1 R7 FFMA 3 R5 R2 R7 0 0 "),
                };
            }
            let _ = writeln!(text, "{:04x} ffffffff 0 EXIT 0 0 0 \n", INSTRUCTIONS * 16);
        }
        let _ = writeln!(text, "#END_TB\n");
    }
    text
}

/// Instructions of warps a second.
fn instruction_trace(criterion: &mut Criterion) {
    let path = std::env::temp_dir().join("lumacycle-bench-kernel-1.traceg");
    if std::fs::write(&path, instructions()).is_err() {
        return;
    }
    let found = read(&path, ReadOptions::default());
    assert!(found.is_ok_and(|list| list.len() == 1 && list[0].events.len() == 1), "it is no trace");
    let mut group = criterion.benchmark_group("SASS trace");
    group.throughput(Throughput::Elements((WARPS * (INSTRUCTIONS + 1)) as u64)).sample_size(10);
    group.bench_function("264,192 warp instructions, read", |b| {
        b.iter(|| read(black_box(&path), ReadOptions::default()));
    });
    group.finish();
    let _ = std::fs::remove_file(&path);
}

/// Frames and encodings on one core.
fn neural_graphics(criterion: &mut Criterion) {
    let catalog = Catalog::embedded();
    let Ok(entry) = catalog.get("rtx3090") else { return };
    let Some(Ok(app)) = Application::shipped("nerf") else { return };
    let one_core = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let Ok(one_core) = one_core else { return };
    let mut group = criterion.benchmark_group("neural graphics");
    group.sample_size(10);
    for name in ["room", "statue"] {
        let Some(scene) = Scene::shipped(name) else { continue };
        let Some(camera) = scene.path.at(0.5) else { continue };
        let view = View { camera, width: 1920, height: 1080 };
        group.bench_function(format!("NeRF frame at 1920x1080, {name}"), |b| {
            b.iter(|| {
                one_core.install(|| {
                    let frame = frame(&app, &scene, &view, None).ok()?;
                    price(&frame, &entry, Options::default()).ok()
                })
            });
        });
        let Ok(frame) = frame(&app, &scene, &view, None) else { continue };
        let encodings = frame.launches.iter().filter_map(|launch| match &launch.operation {
            Operation::GridEncoding(encoding) => Some(encoding.clone()),
            _ => None,
        });
        if let Some(mut encoding) = encodings.max_by_key(|encoding| encoding.samples) {
            encoding.samples = 1 << 21;
            let engine = GpuEngine::new(&entry.gpu);
            let encoding = Operation::GridEncoding(encoding);
            group.bench_function(format!("encoding of 2^21 samples, {name}"), |b| {
                b.iter(|| one_core.install(|| engine.price(black_box(&encoding))));
            });
        }
    }
    group.finish();
}

/// Frames of decomposed fields on one core, fields made from their scenes.
fn decomposed_fields(criterion: &mut Criterion) {
    let catalog = Catalog::embedded();
    let Ok(entry) = catalog.sparse_accelerator("rt-nerf-edge") else { return };
    let one_core = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let Ok(one_core) = one_core else { return };
    let mut group = criterion.benchmark_group("decomposed fields");
    group.sample_size(10);
    for name in ["digger", "lattice", "cloud"] {
        let Some(scene) = Scene::shipped(name) else { continue };
        let Some(camera) = scene.path.at(0.5) else { continue };
        let view = View { camera, width: 800, height: 800 };
        group.bench_function(format!("TensoRF frame at 800x800 on RT-NeRF-Edge, {name}"), |b| {
            b.iter(|| {
                one_core.install(|| {
                    let prepared = Prepared::new(Synthetic::default().factors(&scene), &entry);
                    accelerated(&entry, &scene, &view, &prepared, Pixels::Sampled).ok()
                })
            });
        });
    }
    group.finish();
}

/// Design points of an accelerator on one core, once the frame's samples are known.
fn accelerators(criterion: &mut Criterion) {
    let catalog = Catalog::embedded();
    let Ok(entry) = catalog.get("rtx3090") else { return };
    let Ok(ngpc) = catalog.accelerator("ngpc-64") else { return };
    let one_core = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let Ok(one_core) = one_core else { return };
    let mut group = criterion.benchmark_group("NGPC-64 design point at 1920x1080");
    group.sample_size(20);
    for name in ["nerf", "nsdf", "nvr", "gia"] {
        let Some(Ok(app)) = Application::shipped(name) else { continue };
        let Some(scene) = Scene::shipped(app.usual_scene()) else { continue };
        let Some(camera) = scene.path.at(0.5) else { continue };
        let view = View { camera, width: 1920, height: 1080 };
        let Ok(frame) = frame(&app, &scene, &view, None) else { continue };
        let Ok(priced) = GpuFrame::new(&frame, &entry, Options::default()) else { continue };
        group.bench_function(name, |b| {
            b.iter(|| one_core.install(|| priced.accelerate(&app, scene.aabb_scale, &ngpc, None)));
        });
    }
    group.finish();
}

criterion_group!(
    benches,
    speed,
    instruction_trace,
    neural_graphics,
    decomposed_fields,
    accelerators
);
criterion_main!(benches);
