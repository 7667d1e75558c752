//! What a vendor's kernel name says: tile, stages, split, operand types, direction.
//!
//! Names follow a few families: `volta_sgemm_128x64_nn`, `ampere_fp16_s16816gemm_fp16_128x64_
//! ldg8_f2f_stages_64x4_tn`, `sm80_xmma_gemm_…_tilesize128x128x32_stage3_…`,
//! `cutlass_80_tensorop_s1688gemm_128x128_32x3_nn_align4`, `volta_scudnn_128x64_relu_…`,
//! `nvjet_hsh_128x256_64x4_…`, and cuDNN's older `implicit_convolve_sgemm<float, float, 128, 6,
//! 7, …>` whose numbers are logarithms. Tiles come out in the order the name writes them.

use std::borrow::Cow;
use std::sync::LazyLock;

use lumacycle_workloads::DType;
use lumacycle_workloads::ops::Implementation;
use lumacycle_workloads::ops::gemm::{Math, Tile};
use regex::Regex;

/// What was found in a name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NamedKernel {
    /// The tile; `m` and `n` as written.
    pub tile: Tile,
    /// Operand type.
    pub dtype: DType,
    /// Bytes that one thread loads at once, from `align8` and the like.
    pub vector_bytes: f64,
    /// Whether fp16 products accumulate in fp16.
    pub fp16_accumulate: bool,
    /// Compute capability × 10 that the kernel was written for; 0 = not said.
    pub built_for: u32,
}

#[expect(clippy::expect_used, reason = "the patterns are constants, compiled by a test")]
pub(crate) fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("constant pattern")
}

static TILE_SIZE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"tilesize(\d+)x(\d+)x(\d+)(?:_stage(\d+))?(?:_warpsize(\d+)x(\d+)x(\d+))?")
});
static TILE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?:gemm|cudnn|fprop|dgrad|wgrad|nvjet|winograd)[a-z0-9_]*?_(\d+)x(\d+)(?:_(\d+)x(\d+))?",
    )
});
static STAGES: LazyLock<Regex> = LazyLock::new(|| pattern(r"stages_(\d+)x(\d+)"));
static SLICED: LazyLock<Regex> = LazyLock::new(|| pattern(r"sliced(\d+)x(\d+)"));
static LOGARITHMS: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?:convolve_sgemm|dgrad_engine|wgrad_alg\d_engine|dgrad_alg1_engine|dgrad2d_alg1_1)<[a-z, ]*(\d+), (\d+), (\d+), (\d+)",
    )
});
static FLASH_TRAITS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"[Ff]lash_fwd_kernel_traits<\d+, (\d+), (\d+), (\d+)"));
static ALIGN: LazyLock<Regex> = LazyLock::new(|| pattern(r"_align(\d+)"));
static NVJET: LazyLock<Regex> = LazyLock::new(|| pattern(r"nvjet_(?:sm\d+_)?([a-z]+)_"));
static GEMM_SHAPE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"GemmShapeILi(\d+)ELi(\d+)ELi(\d+)E"));
static BUILT_FOR: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?:sm|cutlass_)(\d\d\d?)_"));

static CAST_TRUTH: LazyLock<Regex> = LazyLock::new(|| pattern(r"\(bool\)([01])"));
static CAST: LazyLock<Regex> = LazyLock::new(|| pattern(r"\([A-Za-z_][A-Za-z0-9_: ]*\)(\d)"));

/// A name as most tools write it: Nsight puts the type before each number of a template, as in
/// `f<(int)4, (bool)1>`.
pub fn canonical(name: &str) -> Cow<'_, str> {
    let truths = CAST_TRUTH.replace_all(
        name,
        |found: &regex::Captures<'_>| {
            if &found[1] == "1" { "true" } else { "false" }
        },
    );
    match truths {
        Cow::Borrowed(name) => CAST.replace_all(name, "$1"),
        Cow::Owned(name) => Cow::Owned(CAST.replace_all(&name, "$1").into_owned()),
    }
}

/// Reads a GEMM or convolution kernel name; `None` where it names no tile.
pub fn parse(name: &str) -> Option<NamedKernel> {
    let number = |text: Option<regex::Match<'_>>| text.and_then(|m| m.as_str().parse::<u32>().ok());
    let math = math(name);
    let dtype = dtype(name, math);
    let default_k = if math == Math::Simt { 8 } else { (64.0 / dtype.bytes()) as u32 };
    let (mut tile, threads_hint) = if let Some(found) = TILE_SIZE.captures(name) {
        let (m, n, k) = (number(found.get(1))?, number(found.get(2))?, number(found.get(3))?);
        let stages = number(found.get(4)).unwrap_or(if name.contains("sm90") { 4 } else { 3 });
        let warps = [5, 6, 7].iter().filter_map(|&i| number(found.get(i)));
        let warps = warps.fold(1_u32, u32::saturating_mul).min(32);
        let warps = if found.get(5).is_some() { warps } else { 0 };
        (Tile { m, n, k, stages, warps: 0, math }, warps)
    } else if let Some(found) = LOGARITHMS.captures(name) {
        // Group 1 is a size hint of the launch, then log2 of tile rows, columns and depth.
        let log = |i| number(found.get(i)).filter(|&log| log <= 10);
        (Tile { m: 1 << log(2)?, n: 1 << log(3)?, k: 1 << log(4)?, stages: 2, warps: 0, math }, 0)
    } else if let Some(found) = GEMM_SHAPE.captures(name) {
        let (m, n, k) = (number(found.get(1))?, number(found.get(2))?, number(found.get(3))?);
        (Tile { m, n, k, stages: 3, warps: 0, math }, 0)
    } else if let Some(found) = TILE.captures(name) {
        let (m, n) = (number(found.get(1))?, number(found.get(2))?);
        let pair = STAGES
            .captures(name)
            .and_then(|f| Some((number(f.get(1))?, number(f.get(2))?)))
            .or_else(|| Some((number(found.get(3))?, number(found.get(4))?)));
        let (k, stages) = pair.unwrap_or((default_k, 2));
        (Tile { m, n, k, stages, warps: 0, math }, 0)
    } else {
        return None;
    };
    if tile.m == 0 || tile.n == 0 || tile.k == 0 || tile.m > 1024 || tile.n > 1024 || tile.k > 1024
    {
        return None;
    }
    // "sliced1x4": warps split the depth of a step between them.
    if let Some(found) = SLICED.captures(name)
        && tile.k == 8
    {
        tile.k *= number(found.get(2)).unwrap_or(1).clamp(1, 8);
    }
    tile.stages = tile.stages.clamp(1, 16);
    tile.warps = if threads_hint > 0 { threads_hint } else { default_warps(tile) };
    let elements = ALIGN.captures(name).and_then(|found| number(found.get(1)));
    let aligned = elements.map_or(16.0, |elements| f64::from(elements) * dtype.bytes());
    Some(NamedKernel {
        vector_bytes: aligned.clamp(dtype.bytes(), 16.0),
        tile,
        dtype,
        fp16_accumulate: name.contains("_h16816")
            || name.contains("_h1688")
            || name.contains("_h884"),
        built_for: built_for(name),
    })
}

/// Query rows, key columns and warps that a FlashAttention 2 kernel's traits spell out.
pub fn flash_tile(name: &str) -> Option<[u32; 3]> {
    let found = FLASH_TRAITS.captures(name)?;
    let number = |i| found.get(i)?.as_str().parse::<u32>().ok();
    let tile = [number(1)?, number(2)?, number(3)?];
    let possible = |value: u32, most| (1..=most).contains(&value);
    let [rows, columns, warps] = tile;
    (possible(rows, 1024) && possible(columns, 1024) && possible(warps, 32)).then_some(tile)
}

/// Whose fused attention a kernel is, where its name tells that it is newer than version 2: kernels
/// whose warps divide the work (FlashAttention 3 and 4, and cuDNN's for the same chips).
pub fn flash_version(name: &str) -> Option<Implementation> {
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if has(&["Sm100", "sm100_flash"]) {
        Some(Implementation::Flash4)
    } else if has(&["compute_attn_ws", "FlashAttnFwdSm90", "Sm90", "sm90_flash"]) {
        Some(Implementation::Flash3)
    } else {
        None
    }
}

/// Warps that tiles of this size usually have; a recorded block overrides it.
fn default_warps(tile: Tile) -> u32 {
    match tile.m * tile.n {
        0..=4096 if tile.math == Math::Simt => 2,
        0..=16383 => 4,
        16384 if tile.math != Math::Simt => 4,
        _ => 8,
    }
}

fn math(name: &str) -> Math {
    let tensor = [
        "16816",
        "1688",
        "s884",
        "h884",
        "i8816",
        "161616",
        "xmma",
        "tensorop",
        "nvjet",
        "hmma",
        "imma",
        "tf32",
        "device_kernel",
        "16832",
    ];
    let simt = ["simt", "scudnn", "sgemm", "ffma", "hgemm"].iter().any(|word| name.contains(word));
    let warp_group = ["sm90_", "nvjet", "Sm90", "device_kernel"];
    if name.contains("nvjet_sm100") || name.contains("Sm100") {
        return Math::TensorMemory;
    }
    if simt || !tensor.iter().any(|word| name.contains(word)) {
        Math::Simt
    } else if warp_group.iter().any(|word| name.contains(word)) {
        Math::WarpGroup
    } else {
        Math::Tensor
    }
}

fn dtype(name: &str, math: Math) -> DType {
    let has = |word: &str| name.contains(word);
    // nvjet writes operand, accumulator and result as letters.
    if let Some(found) = NVJET.captures(name).and_then(|found| found.get(1)) {
        return match found.as_str().as_bytes().first() {
            Some(b't') => DType::Bf16,
            Some(b'q') => DType::Fp8,
            Some(b's') => DType::Tf32,
            _ => DType::Fp16,
        };
    }
    if has("bf16") || has("__nv_bfloat16") {
        DType::Bf16
    } else if has("fp16")
        || has("f16f16")
        || has("_f16_")
        || has("__half")
        || has("h884")
        || has("h1688")
        || has("h16816")
        || has("hgemm")
    {
        DType::Fp16
    } else if has("e4m3") || has("fp8") {
        DType::Fp8
    } else if has("i8i8") || has("int8") || has("_s8_") {
        DType::Int8
    } else if has("dgemm") || has("f64f64") || has("d884") {
        DType::Fp64
    } else if math != Math::Simt {
        // s1688 without a 16-bit word multiplies TF32.
        DType::Tf32
    } else {
        DType::Fp32
    }
}

fn built_for(name: &str) -> u32 {
    for (word, capability) in [
        ("maxwell_", 52),
        ("volta_", 70),
        ("turing_", 75),
        ("ampere_", 80),
        ("hopper_", 90),
        ("nvjet", 90),
    ] {
        if name.contains(word) {
            return capability;
        }
    }
    BUILT_FOR
        .captures(name)
        .and_then(|found| found.get(1)?.as_str().parse().ok())
        .filter(|&capability| capability <= 130)
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tile(name: &str) -> (u32, u32, u32, u32) {
        let tile = parse(name).unwrap_or_else(|| panic!("{name}")).tile;
        (tile.m, tile.n, tile.k, tile.stages)
    }

    #[test]
    fn families_of_names() {
        for (name, expected) in [
            ("volta_sgemm_128x64_nn", (128, 64, 8, 2)),
            ("ampere_sgemm_32x32_sliced1x4_tn", (32, 32, 32, 2)),
            ("ampere_fp16_s16816gemm_fp16_128x64_ldg8_f2f_stages_64x4_tn", (128, 64, 64, 4)),
            (
                "ampere_fp16_s16816gemm_fp16_64x64_sliced1x2_ldg8_relu_f2f_stages_64x6_tn",
                (64, 64, 64, 6),
            ),
            ("turing_fp16_s1688gemm_fp16_256x128_ldg8_f2f_nn", (256, 128, 32, 2)),
            (
                "void cutlass::Kernel<cutlass_80_tensorop_s1688gemm_128x128_32x3_nn_align4>(Params)",
                (128, 128, 32, 3),
            ),
            (
                "void cutlass::Kernel<cutlass_80_wmma_tensorop_f16_s161616gemm_f16_32x32_64x1_tn_align8>",
                (32, 32, 64, 1),
            ),
            (
                "sm80_xmma_gemm_f16f16_f16f32_f32_tn_n_tilesize128x128x32_stage3_warpsize2x2x1",
                (128, 128, 32, 3),
            ),
            (
                "sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x64x64_warpgroupsize1x1x1_execute",
                (128, 64, 64, 4),
            ),
            ("volta_scudnn_128x64_relu_interior_nn_v1", (128, 64, 8, 2)),
            ("volta_scudnn_winograd_128x128_ldg1_ldg4_relu_tile148t_nt_v1", (128, 128, 8, 2)),
            (
                "cutlass_tensorop_s1688fprop_optimized_tf32_128x128_32x4_nhwc_align4",
                (128, 128, 32, 4),
            ),
            (
                "void implicit_convolve_sgemm<float, float, 1024, 5, 5, 3, 3, 3, 1, false, true, true>(int)",
                (32, 32, 8, 2),
            ),
            (
                "void cudnn::cnn::wgrad_alg0_engine<float, 128, 6, 7, 3, 3, 5, false, 512>(int)",
                (64, 128, 8, 2),
            ),
            (
                "_ZN19cutlass_cudnn_train6KernelINS_4conv11GemmShapeILi128ELi128ELi32EEE",
                (128, 128, 32, 3),
            ),
            ("nvjet_hsh_128x256_64x4_1x2_h_bz_coopA_NTT", (128, 256, 64, 4)),
        ] {
            assert_eq!(tile(name), expected, "{name}");
        }
    }

    #[test]
    fn casts_are_taken_off() {
        let nsight = "void f<(int)4, a::<unnamed>::g(T1)::[lambda(float) (instance 1)], (bool)0, std::array<char *, (unsigned long)3>, (tcnn::HashType)1>(int, T2)";
        let plain = "void f<4, a::<unnamed>::g(T1)::[lambda(float) (instance 1)], false, std::array<char *, 3>, 1>(int, T2)";
        assert_eq!(canonical(nsight), plain);
        assert_eq!(canonical(plain), plain);
        assert!(matches!(canonical("volta_sgemm_128x64_nn"), Cow::Borrowed(_)));
    }

    #[test]
    fn flash_attention_traits() {
        let name = "void pytorch_flash::flash_fwd_kernel<pytorch_flash::Flash_fwd_kernel_traits<64, 128, 128, 4, false> >";
        assert_eq!(flash_tile(name), Some([128, 128, 4]));
        assert_eq!(flash_tile("Flash_fwd_kernel_traits<64, 0, 128, 4"), None);
        assert_eq!(flash_version(name), None);
        for (name, version) in [
            ("void flash::compute_attn_ws<Flash_fwd_kernel_traits<192, 128, 128, 12, 2>", 3),
            ("cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_7_64x128x128", 3),
            ("cudnn_generated_fort_native_sdpa_sm100_flash_fprop_f16_knob_7_8x128x128_4x1x1", 4),
            ("kernel_cutlass_kernel_flash_attncuteflash_fwd_sm100FlashAttentionForwardSm100", 4),
        ] {
            let expected =
                if version == 3 { Implementation::Flash3 } else { Implementation::Flash4 };
            assert_eq!(flash_version(name), Some(expected), "{name}");
        }
    }

    #[test]
    fn operand_types() {
        let of = |name| parse(name).map(|n| (n.dtype, n.tile.math));
        assert_eq!(of("volta_sgemm_128x64_nn"), Some((DType::Fp32, Math::Simt)));
        assert_eq!(
            of("cutlass_80_tensorop_s1688gemm_128x128_32x3_nn_align4"),
            Some((DType::Tf32, Math::Tensor))
        );
        assert_eq!(of("ampere_fp16_sgemm_fp16_32x128_tn"), Some((DType::Fp16, Math::Simt)));
        assert_eq!(
            of("cutlass_75_tensorop_bf16_s1688gemm_bf16_128x128_nn_align1"),
            Some((DType::Bf16, Math::Tensor))
        );
        assert_eq!(parse("void at::native::reduce_kernel<512, 1>"), None);
        assert_eq!(
            of("sm80_xmma_gemm_f32f32_f32f32_f32_tn_n_tilesize64x64x8_stage3_warpsize1x4x1_ffma"),
            Some((DType::Fp32, Math::Simt))
        );
        assert_eq!(of("nvjet_tst_128x128_64x4_1x2_h_bz_NTT"), Some((DType::Bf16, Math::WarpGroup)));
        assert_eq!(
            of("nvjet_sm100_qqtst_128x128_64x4_1x2"),
            Some((DType::Fp8, Math::TensorMemory))
        );
        assert_eq!(
            of("ampere_h16816gemm_128x128_ldg8_stages_32x5_nn"),
            Some((DType::Fp16, Math::Tensor))
        );
        assert_eq!(
            of("cutlass_80_tensorop_d884gemm_128x64_16x3_nn_align1"),
            Some((DType::Fp64, Math::Tensor))
        );
    }
}
