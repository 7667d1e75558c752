//! Shared by the tests of the program: running it, and small recordings to run it on.

#![allow(dead_code, reason = "each test file uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

/// The program, without colours and without an inherited thread count.
pub fn lumacycle() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lumacycle"));
    command.env("NO_COLOR", "1").env_remove("RAYON_NUM_THREADS").current_dir(root());
    command
}

/// Root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

pub fn run(args: &[&str]) -> Output {
    lumacycle().args(args).output().unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What was said on stderr, with the terminal's line breaks and frames taken out.
pub fn told(output: &Output) -> String {
    let text = stderr(output).replace('│', " ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

/// Refused with this exit code and all of these words, and nothing on stdout.
#[track_caller]
pub fn refused(args: &[&str], status: i32, words: &[&str]) {
    let output = run(args);
    let said = told(&output);
    assert_eq!(code(&output), status, "{args:?}: {said}");
    assert!(output.stdout.is_empty(), "{args:?}");
    for word in words {
        assert!(said.contains(word), "{args:?} lacks {word:?}: {said}");
    }
}

/// A GPU of one's own.
pub const GPU: &str = "base = \"rtx3090\"\n[sources]\ndefault = \"estimate: what if\"\n[gpu]\nname = \"mine\"\n[l2]\ncapacity = \"48 MiB\"\n";

/// The spellings of one schema generation.
pub struct Schema {
    pub kernel: &'static str,
    pub operator: &'static str,
    pub runtime: &'static str,
    pub dims: &'static str,
    pub external: &'static str,
}

pub const TODAY: Schema = Schema {
    kernel: "kernel",
    operator: "cpu_op",
    runtime: "cuda_runtime",
    dims: "Input Dims",
    external: "External id",
};

pub const OLD: Schema = Schema {
    kernel: "Kernel",
    operator: "Operator",
    runtime: "Runtime",
    dims: "Input dims",
    external: "external id",
};

/// Events of two steps: a product and an elementwise kernel each, on two streams.
pub fn events(schema: &Schema) -> Vec<Value> {
    let mut out = Vec::new();
    for step in 0..2_i64 {
        let at = 1_700_000_000_000_000 + step * 1000;
        out.push(json!({"ph": "X", "cat": "user_annotation", "name": format!("ProfilerStep#{}", step + 5),
            "pid": 1, "tid": 1, "ts": at, "dur": 900}));
        let launches = [
            (
                "aten::addmm",
                json!([[1024], [512, 1024], [1024, 1024], [], []]),
                "ampere_fp16_s16816gemm_fp16_128x64_ldg8_f2f_stages_64x4_tn",
                [8, 8, 1],
                [128, 1, 1],
                98304,
                60,
                7,
            ),
            (
                "aten::add",
                json!([[2048, 4096], [2048, 4096], []]),
                "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>, at::detail::Array<char*, 3> >(int)",
                [16384, 1, 1],
                [128, 1, 1],
                0,
                75,
                9,
            ),
        ];
        for (index, (operator, dims, kernel, grid, block, shared, dur, stream)) in
            launches.into_iter().enumerate()
        {
            let index = index as i64;
            let id = step * 10 + index + 1;
            let launched = at + 10 + index * 50;
            let types = if operator == "aten::add" {
                json!(["float", "float", "Scalar"])
            } else {
                json!(["c10::Half", "c10::Half", "c10::Half", "Scalar", "Scalar"])
            };
            out.push(json!({"ph": "X", "cat": schema.operator, "name": operator, "pid": 1, "tid": 1,
                "ts": launched, "dur": 20, "args": {schema.external: id, schema.dims: dims, "Input type": types}}));
            out.push(json!({"ph": "X", "cat": schema.runtime, "name": "cudaLaunchKernel", "pid": 1, "tid": 1,
                "ts": launched + 5, "dur": 4, "args": {"correlation": id + 100}}));
            out.push(json!({"ph": "X", "cat": schema.kernel, "name": kernel, "pid": 0, "tid": stream,
                "ts": launched + 20, "dur": dur, "args": {"device": 0, "stream": stream, "correlation": id + 100,
                "grid": grid, "block": block, "registers per thread": 90, "shared memory": shared}}));
        }
    }
    out
}

/// A whole trace of that schema, recorded on an A100.
pub fn trace(schema: &Schema) -> Value {
    json!({"schemaVersion": 1, "deviceProperties": [
        {"id": 0, "name": "NVIDIA A100-SXM4-80GB", "computeMajor": 8, "computeMinor": 0}],
        "traceEvents": events(schema)})
}

/// A fresh folder for a test.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

pub fn write(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
