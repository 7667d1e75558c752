//! Speed of an exploration once what its points share is known: design points of NGPC whose table memories
//! are all of different sizes, and of RT-NeRF, on one core. Every round evaluates points that have not been
//! evaluated before.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on should stop there"
)]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use lumacycle_sim::explore::bench::{Bench, Job};
use lumacycle_sim::explore::methods;
use lumacycle_sim::explore::space::Space;

/// Points of a round.
const ROUND: u64 = 16;

fn evaluate(criterion: &mut Criterion, name: &str, space: &Space) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let mut bench = Bench::new(space);
    let mut next = 0;
    let mut round = || -> Vec<Job> {
        let points = next..next + ROUND;
        next += ROUND;
        points.map(|point| Job { point, design: methods::design(space, point) }).collect()
    };
    let mut run = |jobs: Vec<Job>| {
        let done: Result<(), std::convert::Infallible> =
            pool.install(|| bench.run(jobs, &|_| Ok(())));
        done.unwrap();
    };
    run(round());
    let mut group = criterion.benchmark_group("explore");
    group.throughput(Throughput::Elements(ROUND)).sample_size(20);
    group.bench_function(name, |bencher| {
        bencher.iter_batched(&mut round, &mut run, BatchSize::PerIteration);
    });
    group.finish();
}

fn space(system: &str, parameters: &str) -> Space {
    let text = format!(
        "name = \"bench\"\nquestion = \"?\"\n[system]\n{system}\n[search]\nmethod = \"random\"\npoints = 1000000\n{parameters}"
    );
    Space::parse(&text).unwrap()
}

fn explore(criterion: &mut Criterion) {
    let memory = "[[parameter]]\npath = \"accelerator.grid_sram.capacity\"\nfrom = \"128 KiB\"\nto = \"2 MiB\"\nmultiple_of = \"512 B\"\n\
                  [[parameter]]\npath = \"accelerator.grid_sram.banks\"\nvalues = [4, 8, 16, 32]\n";
    for app in ["nerf", "nsdf"] {
        let system = format!("app = \"{app}\"\ngpu = \"rtx3090\"\naccelerator = \"ngpc-64\"");
        evaluate(
            criterion,
            &format!("NGPC-64, {app}, a memory of its own each"),
            &space(&system, memory),
        );
    }
    let units =
        "[[parameter]]\npath = \"accelerator.accelerator.units\"\nvalues = [8, 16, 32, 64]\n"
            .to_owned()
            + memory;
    let system = "app = \"nerf\"\ngpu = \"rtx3090\"\naccelerator = \"ngpc-8\"";
    evaluate(criterion, "NGPC-8 to 64, nerf, a memory of its own each", &space(system, &units));
    let system = "app = \"tensorf\"\nscene = \"statue\"\naccelerator = \"rt-nerf-edge\"\nresolution = [800, 800]";
    let parts = "[[parameter]]\npath = \"accelerator.shading.arrays\"\nvalues = [8, 16, 26]\n\
                 [[parameter]]\npath = \"accelerator.memory.bandwidth\"\nfrom = \"0.5 GB/s\"\nto = \"17 GB/s\"\n";
    evaluate(criterion, "RT-NeRF edge, statue, 800 x 800", &space(system, parts));
}

criterion_group!(benches, explore);
criterion_main!(benches);
