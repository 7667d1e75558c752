//! Names of files as a figure sets them: columns as titles with their units, identifiers as words.

/// A name with its unit in brackets, from a column with a unit suffix: `frame_time_ms` becomes
/// "frame time (ms)".
pub fn titled(column: &str) -> String {
    let units = [
        ("_ms", "ms"),
        ("_us", "µs"),
        ("_ns", "ns"),
        ("_mj", "mJ"),
        ("_w", "W"),
        ("_mm2", "mm²"),
        ("_mhz", "MHz"),
        ("_pct", "%"),
        ("_gb", "GB"),
        ("_mb", "MB"),
        ("_mib", "MiB"),
        ("_gb_per_s", "GB/s"),
    ];
    let special = [
        ("fps", "frames per second"),
        ("frames_per_s", "frames per second"),
        ("frames_per_j", "frames per joule"),
        ("frames_per_s_mm2", "frames per second and mm²"),
        ("speedup", "speedup over the GPU alone (×)"),
        ("conflict_cycles", "clocks for banks per sample"),
        ("at", "share of the camera path"),
        ("app", "application"),
    ];
    if let Some((_, title)) = special.iter().find(|(name, _)| *name == column) {
        return (*title).to_owned();
    }
    let unit = units
        .iter()
        .filter(|(suffix, _)| column.ends_with(suffix))
        .max_by_key(|(suffix, _)| suffix.len());
    match unit {
        Some((suffix, unit)) => {
            format!("{} ({unit})", worded(&column[..column.len() - suffix.len()]))
        }
        None => worded(column),
    }
}

/// Names that are written otherwise than in the lower case of identifiers.
const WRITTEN: [(&str, &str); 24] = [
    ("cpu", "CPU"),
    ("cta", "CTA"),
    ("dma", "DMA"),
    ("dram", "DRAM"),
    ("gemm", "GEMM"),
    ("gia", "GIA"),
    ("gpu", "GPU"),
    ("hbm", "HBM"),
    ("l1", "L1"),
    ("l2", "L2"),
    ("mac", "MAC"),
    ("macs", "MACs"),
    ("mlp", "MLP"),
    ("nerf", "NeRF"),
    ("ngpc", "NGPC"),
    ("nsdf", "NSDF"),
    ("nvlink", "NVLink"),
    ("nvr", "NVR"),
    ("pcie", "PCIe"),
    ("sm", "SM"),
    ("sms", "SMs"),
    ("sram", "SRAM"),
    ("tensorf", "TensoRF"),
    ("tlb", "TLB"),
];

/// Words of an identifier, at most: with more it is the name of a kernel or of a file.
const MOST_WORDS: usize = 4;

/// An identifier as words: `mlp` becomes "MLP", `grid_sram` "grid SRAM". What is none (paths with dots, names with
/// capitals, blanks or hyphens, long names of kernels) stays as it is: people look it up under that name.
pub fn worded(name: &str) -> String {
    let written =
        |word: &str| WRITTEN.iter().find(|(known, _)| *known == word).map(|(_, own)| *own);
    let words: Vec<&str> = name.split('_').collect();
    let plain = |word: &&str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase()) || written(word).is_some()
    };
    if words.len() > MOST_WORDS || words.len() > 1 && !words.iter().all(plain) {
        return name.to_owned();
    }
    words.into_iter().map(|word| written(word).unwrap_or(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_set_as_words_and_names_are_left_alone() {
        for (name, words) in [
            ("mlp", "MLP"),
            ("rest", "rest"),
            ("layer_norm", "layer norm"),
            ("dram_rows", "DRAM rows"),
            ("nerf", "NeRF"),
            ("rtx3090", "rtx3090"),
            ("accelerator.grid_sram.banks", "accelerator.grid_sram.banks"),
            ("ampere_sgemm_128x64_tn<Float>", "ampere_sgemm_128x64_tn<Float>"),
            ("ampere_fp16_s16816gemm_fp16_128x64_tn", "ampere_fp16_s16816gemm_fp16_128x64_tn"),
            ("l2_hits", "L2 hits"),
            ("ngpc-8", "ngpc-8"),
            ("generate_next_nerf_network_inputs", "generate_next_nerf_network_inputs"),
            ("_", "_"),
            ("", ""),
        ] {
            assert_eq!(worded(name), words);
        }
    }

    #[test]
    fn columns_become_titles_with_their_units() {
        assert_eq!(titled("frame_time_ms"), "frame time (ms)");
        assert_eq!(titled("dram_gb_per_s"), "DRAM (GB/s)");
        assert_eq!(titled("mlp_share_pct"), "MLP share (%)");
        assert_eq!(titled("gpu_ms"), "GPU (ms)");
        assert_eq!(titled("at"), "share of the camera path");
    }
}
