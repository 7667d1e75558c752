//! The figures that `lumacycle figures` draws: what is run for each, and what is drawn of it. Another paper
//! is another entry. Left out: the studies' own figures, which `lumacycle study` draws.

use lumacycle_figures::Kind;

/// Spaces that ship, by name.
pub const SPACES: [(&str, &str); 5] = [
    ("ngpc-scaling", include_str!("../../../spaces/ngpc-scaling.toml")),
    ("ngpc-sram", include_str!("../../../spaces/ngpc-sram.toml")),
    ("gpu-hash-encoding", include_str!("../../../spaces/gpu-hash-encoding.toml")),
    ("equal-area", include_str!("../../../spaces/equal-area.toml")),
    ("rt-nerf-edge", include_str!("../../../spaces/rt-nerf-edge.toml")),
];

/// One figure.
pub struct Recipe {
    /// Name of its files.
    pub name: &'static str,
    /// What it shows.
    pub caption: &'static str,
    /// Command lines whose rows are drawn together; `SIZE` stands for the image size, `SQUARE` for that of
    /// a field, and `explore NAME` for a space that ships.
    pub commands: &'static [&'static str],
    pub kind: Kind,
    pub wide: bool,
    pub only: &'static [(&'static str, &'static str)],
    /// Shorter names of what would not fit under an axis.
    pub shorter: &'static [(&'static str, &'static str)],
    pub x: &'static str,
    pub y: &'static str,
    pub by: &'static str,
    pub y_title: &'static str,
    pub log: bool,
}

const PLAIN: Recipe = Recipe {
    name: "",
    caption: "",
    commands: &[],
    kind: Kind::Speedup,
    wide: false,
    only: &[],
    shorter: &[],
    x: "",
    y: "",
    by: "",
    y_title: "",
    log: false,
};

pub const RECIPES: &[Recipe] = &[
    Recipe {
        name: "ngpc-speedup",
        caption: "NGPC: mean speedup over the RTX 3090 by encoding and number of processors, from its emulator's \
                  arithmetic; marks across the bars are the paper's values.",
        commands: &["validate ngpc --format csv"],
        only: &[("what", "mean speedup")],
        x: "class",
        by: "units",
        y: "predicted",
        y_title: "mean speedup (×)",
        ..PLAIN
    },
    Recipe {
        name: "ngpc-area",
        caption: "NGPC: area over that of the GPU's die; marks are the paper's values.",
        commands: &["validate ngpc --format csv"],
        only: &[("class", "area")],
        x: "units",
        by: "class",
        y: "predicted",
        y_title: "area over the GPU's die (%)",
        ..PLAIN
    },
    Recipe {
        name: "ngpc-power",
        caption: "NGPC: power over the board's limit; marks are the paper's values.",
        commands: &["validate ngpc --format csv"],
        only: &[("class", "power")],
        x: "units",
        by: "class",
        y: "predicted",
        y_title: "power over the board's limit (%)",
        ..PLAIN
    },
    Recipe {
        name: "ngpc-frame-rate",
        caption: "NGPC-64: frames a second at the paper's resolutions; marks are what the paper claims as least.",
        commands: &["validate ngpc --format csv"],
        only: &[("class", "frame rate")],
        x: "what",
        by: "class",
        y: "predicted",
        y_title: "frames per second",
        log: true,
        ..PLAIN
    },
    Recipe {
        name: "kernel-time",
        caption: "Where the time of a frame goes on an RTX 3090.",
        commands: &[
            "run nerf --gpu rtx3090 --resolution SIZE --format csv",
            "run nsdf --gpu rtx3090 --resolution SIZE --format csv",
            "run nvr --gpu rtx3090 --resolution SIZE --format csv",
            "run gia --gpu rtx3090 --resolution SIZE --format csv",
        ],
        kind: Kind::Breakdown,
        x: "command",
        by: "part",
        y: "share_pct",
        y_title: "share of kernel time (%)",
        ..PLAIN
    },
    Recipe {
        name: "kernel-energy",
        caption: "Energy of a frame of NeRF by kernel on three GPUs.",
        commands: &[
            "run nerf --gpu rtx3090 --gpu rtx4090 --gpu jetson-agx-orin --resolution SIZE --format csv",
        ],
        kind: Kind::Breakdown,
        x: "gpu",
        by: "kernel",
        y: "energy_mj",
        wide: true,
        ..PLAIN
    },
    Recipe {
        name: "path",
        caption: "Frame time of NeRF along the camera path, on the GPU alone and with NGPC-8 as built.",
        commands: &[
            "run nerf --gpu rtx3090 --accelerator ngpc-8 --path-frames 12 --resolution SIZE --format json",
        ],
        kind: Kind::FrameTimes,
        ..PLAIN
    },
    Recipe {
        name: "levels",
        caption: "Share of lookups that NGPC's table memories answer, by level of the hash grid; processors have the \
                  same memories, however many there are.",
        commands: &[
            "run nerf --gpu rtx3090 --accelerator ngpc-8 --resolution SIZE --format json",
            "run nsdf --gpu rtx3090 --accelerator ngpc-8 --resolution SIZE --format json",
            "run nvr --gpu rtx3090 --accelerator ngpc-8 --resolution SIZE --format json",
            "run gia --gpu rtx3090 --accelerator ngpc-8 --resolution SIZE --format json",
        ],
        kind: Kind::Levels,
        by: "command",
        ..PLAIN
    },
    Recipe {
        name: "bank-conflicts",
        caption: "Clocks that banks cost per sample, by level of the hash grid.",
        commands: &[
            "run nerf --gpu rtx3090 --accelerator ngpc-8 --resolution SIZE --format json",
            "run nsdf --gpu rtx3090 --accelerator ngpc-8 --resolution SIZE --format json",
            "run nvr --gpu rtx3090 --accelerator ngpc-8 --resolution SIZE --format json",
            "run gia --gpu rtx3090 --accelerator ngpc-8 --resolution SIZE --format json",
        ],
        kind: Kind::Levels,
        by: "command",
        y: "conflict_cycles",
        ..PLAIN
    },
    Recipe {
        name: "roofline",
        caption: "Matrix products and attention under the roofs of two GPUs.",
        commands: &[
            "kernel gemm 4096 4096 4096 --gpu rtx3090 --gpu h100-sxm --format json",
            "kernel gemm 4096 4096 32 --gpu rtx3090 --gpu h100-sxm --format json",
            "kernel gemm 256 256 256 --gpu rtx3090 --gpu h100-sxm --format json",
            "kernel attention 4 16 2048 2048 --gpu rtx3090 --gpu h100-sxm --format json",
            "kernel softmax 8192 4096 --gpu rtx3090 --gpu h100-sxm --format json",
        ],
        kind: Kind::Roofline,
        ..PLAIN
    },
    Recipe {
        name: "ngpc-amdahl",
        caption: "Frames with NGPC as built, what the paper's arithmetic makes of the same frames, and what an \
                  accelerator that takes no time would leave (Amdahl's limit).",
        commands: &[
            "run nerf --gpu rtx3090 --accelerator ngpc-8 --accelerator ngpc-16 --accelerator ngpc-32 --accelerator ngpc-64 --resolution SIZE --format csv",
            "run nsdf --gpu rtx3090 --accelerator ngpc-8 --accelerator ngpc-16 --accelerator ngpc-32 --accelerator ngpc-64 --resolution SIZE --format csv",
            "run nvr --gpu rtx3090 --accelerator ngpc-8 --accelerator ngpc-16 --accelerator ngpc-32 --accelerator ngpc-64 --resolution SIZE --format csv",
            "run gia --gpu rtx3090 --accelerator ngpc-8 --accelerator ngpc-16 --accelerator ngpc-32 --accelerator ngpc-64 --resolution SIZE --format csv",
        ],
        x: "command",
        by: "accelerator",
        y: "speedup",
        log: true,
        ..PLAIN
    },
    Recipe {
        name: "rt-nerf-frame-rate",
        caption: "RT-NeRF's edge version and TensoRF's own renderer on GPUs, by scene.",
        commands: &[
            "run tensorf --gpu rtx2080ti --gpu jetson-nano --gpu jetson-xavier-nx --accelerator rt-nerf-edge --scene statue --resolution SQUARE --format csv",
            "run tensorf --gpu rtx2080ti --gpu jetson-nano --gpu jetson-xavier-nx --accelerator rt-nerf-edge --scene lattice --resolution SQUARE --format csv",
            "run tensorf --gpu rtx2080ti --gpu jetson-nano --gpu jetson-xavier-nx --accelerator rt-nerf-edge --scene room --resolution SQUARE --format csv",
            "run tensorf --gpu rtx2080ti --gpu jetson-nano --gpu jetson-xavier-nx --accelerator rt-nerf-edge --scene cloud --resolution SQUARE --format csv",
        ],
        x: "scene",
        by: "device",
        y: "frames_per_s",
        log: true,
        ..PLAIN
    },
    Recipe {
        name: "rt-nerf-published",
        caption: "RT-NeRF's edge version, one set of parameters: mean frame rate of eight objects, the rate of their mean \
                  time, the mean of all scenes that ship, a digger with as many samples as others counted, and the rate \
                  that the paper promises at least; marks across the bars are the paper's values.",
        commands: &["validate rtnerf --format csv"],
        only: &[("class", "rate")],
        shorter: &[
            ("edge, 800×800, eight objects", "eight objects"),
            ("the same by the mean time of a frame", "by mean time"),
            ("the same over all scenes that ship", "all scenes"),
            ("the same, with lego's samples as others counted them", "others' samples"),
            ("on device", "at least"),
        ],
        x: "what",
        by: "class",
        y: "predicted",
        y_title: "frames per second",
        ..PLAIN
    },
    Recipe {
        name: "space-ngpc-scaling",
        caption: "How far NGPC scales for NeRF: designs over area, by how the GPU runs the rest.",
        commands: &["explore ngpc-scaling"],
        kind: Kind::Pareto,
        x: "area_mm2",
        y: "fps",
        by: "rest",
        ..PLAIN
    },
    Recipe {
        name: "space-ngpc-sram",
        caption: "NGPC's table memory, banks and MACs for NeRF under 150 mm2.",
        commands: &["explore ngpc-sram"],
        kind: Kind::Pareto,
        x: "area_mm2",
        y: "frame_time_ms",
        ..PLAIN
    },
    Recipe {
        name: "space-gpu-hash-encoding",
        caption: "L2, SMs and bandwidth of a GPU for NeRF, over the estimated area of the die.",
        commands: &["explore gpu-hash-encoding"],
        kind: Kind::Pareto,
        x: "gpu_area_mm2",
        y: "frame_time_ms",
        by: "bandwidth",
        ..PLAIN
    },
    Recipe {
        name: "space-equal-area",
        caption: "GPUs alone and with NGPC for NeRF, over the area of both.",
        commands: &["explore equal-area"],
        kind: Kind::Pareto,
        x: "total_area_mm2",
        y: "frame_time_ms",
        by: "accelerator",
        ..PLAIN
    },
    Recipe {
        name: "space-rt-nerf-edge",
        caption: "RT-NeRF on an edge budget: memory and units for the statue, over area.",
        commands: &["explore rt-nerf-edge"],
        kind: Kind::Pareto,
        x: "area_mm2",
        y: "fps",
        ..PLAIN
    },
];
