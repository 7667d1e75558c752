//! `lumacycle figures --out DIR`: every figure of the documentation and of the reproduced papers, from
//! scratch.
//!
//! A figure is a command of this program and what is drawn from its output, so that each can be had
//! alone with two command lines; `README.md` in the folder lists them. Another paper is another
//! entry of [`RECIPES`] (RT-NeRF's comparison comes here once its suite is there).

use std::process::{Command, Stdio};

use lumacycle_figures::theme::PAGE_IN;
use lumacycle_figures::{Kind, Options, Table};

use super::plot::{Format, refused, roofs, save, style};
use crate::args::FiguresArgs;
use crate::failure::Failure;
use crate::output;

/// One figure.
struct Recipe {
    name: &'static str,
    /// What it shows.
    caption: &'static str,
    /// Command lines whose rows are drawn together; `SIZE` stands for the image size.
    commands: &'static [&'static str],
    kind: Kind,
    wide: bool,
    only: &'static [(&'static str, &'static str)],
    x: &'static str,
    y: &'static str,
    by: &'static str,
    y_title: &'static str,
    log: bool,
}

const PLAIN: Recipe = Recipe {
    name: "",
    caption: "",
    commands: &[],
    kind: Kind::Speedup,
    wide: false,
    only: &[],
    x: "",
    y: "",
    by: "",
    y_title: "",
    log: false,
};

const RECIPES: &[Recipe] = &[
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
        caption: "Share of lookups that NGPC's table memories answer, by level of the hash grid.",
        commands: &[
            "run nerf --gpu rtx3090 --accelerator ngpc-8 --accelerator ngpc-64 --resolution SIZE --format json",
        ],
        kind: Kind::Levels,
        ..PLAIN
    },
    Recipe {
        name: "bank-conflicts",
        caption: "Clocks that banks cost per sample, by level of the hash grid.",
        commands: &[
            "run nerf --gpu rtx3090 --accelerator ngpc-8 --accelerator ngpc-64 --resolution SIZE --format json",
        ],
        kind: Kind::Levels,
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
];

pub fn run(args: &FiguresArgs) -> Result<(), Failure> {
    super::inputs::resolution(&args.resolution)?;
    for name in &args.only {
        if !RECIPES.iter().any(|recipe| recipe.name == name) {
            let names: Vec<&str> = RECIPES.iter().map(|recipe| recipe.name).collect();
            return Err(Failure::UnknownName {
                what: format!("there is no figure called \"{name}\""),
                help: format!("known: {}", names.join(", ")),
            });
        }
    }
    let theme = style(args.style.as_deref())?;
    output::folder(&args.out)?;
    let mut list = format!(
        "# Figures\n\nDrawn by Lumacycle {} with `lumacycle figures --resolution {}`.\n",
        lumacycle_sim::VERSION,
        args.resolution
    );
    let wanted =
        |recipe: &&Recipe| args.only.is_empty() || args.only.iter().any(|name| recipe.name == name);
    for recipe in RECIPES.iter().filter(wanted) {
        let table = rows(recipe, &args.resolution)?;
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let options = Options {
            x: some(recipe.x),
            y: some(recipe.y),
            by: some(recipe.by),
            y_title: some(recipe.y_title),
            log: recipe.log,
            roofs: if recipe.kind == Kind::Roofline { roofs(&table) } else { Vec::new() },
            ..Options::default()
        };
        let mut theme = theme.clone();
        if recipe.wide {
            theme.width_in = PAGE_IN;
        }
        let figure = lumacycle_figures::draw(recipe.kind, &table, &options, &theme)
            .map_err(|error| refused(recipe.name, &error))?;
        let formats: &[(&str, Format)] = if cfg!(feature = "plots") {
            &[("svg", Format::Svg), ("pdf", Format::Pdf), ("png", Format::Png)]
        } else {
            &[("svg", Format::Svg)]
        };
        for (extension, format) in formats {
            let path = args.out.join(format!("{}.{extension}", recipe.name));
            save(&path, *format, &figure)?;
        }
        list.push_str(&format!(
            "\n## {0}\n\n{1}\n\n![{0}]({0}.svg)\n\n",
            recipe.name, recipe.caption
        ));
        for command in recipe.commands {
            let command = command.replace("SIZE", &args.resolution);
            list.push_str(&format!("    lumacycle {command}\n"));
        }
        output::say(&format!("{}: drawn", recipe.name));
    }
    output::write(Some(&args.out.join("README.md")), list.as_bytes())
}

/// The rows that the commands of a figure write, under one header, each with the word that follows the command.
fn rows(recipe: &Recipe, size: &str) -> Result<Table, Failure> {
    let mut all = Table::default();
    for command in recipe.commands {
        let bytes = said(&command.replace("SIZE", size).split(' ').collect::<Vec<_>>())?;
        let mut table = Table::parse(&bytes, recipe.kind.records())
            .map_err(|error| refused(recipe.name, &error))?;
        for (column, value) in recipe.only {
            table.keep(column, value).map_err(|error| refused(recipe.name, &error))?;
        }
        let word = command.split(' ').nth(1).unwrap_or_default().to_owned();
        table.header.push("command".to_owned());
        for name in &table.header {
            if !all.header.contains(name) {
                all.header.push(name.clone());
            }
        }
        for (line, mut cells) in table.rows {
            cells.push(word.clone());
            for (cell, name) in cells.iter_mut().zip(&table.header) {
                if name == "units" {
                    *cell = format!("NGPC-{cell}");
                } else if let Some(rest) = cell.strip_prefix("frames a second of ") {
                    *cell = rest.to_owned();
                }
            }
            let of = |name: &String| {
                let at = table.header.iter().position(|known| known == name);
                at.and_then(|at| cells.get(at)).cloned().unwrap_or_default()
            };
            all.rows.push((line, all.header.iter().map(of).collect()));
        }
    }
    Ok(all)
}

/// What this program writes to its standard output for a command line.
pub fn said(words: &[&str]) -> Result<Vec<u8>, Failure> {
    let command = words.join(" ");
    let internal = |what: String| Failure::Internal { what };
    let program = std::env::current_exe().map_err(|error| internal(error.to_string()))?;
    let run = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| internal(format!("{command}: {error}")))?;
    if !run.status.success() {
        let said = String::from_utf8_lossy(&run.stderr);
        return Err(Failure::Said {
            what: format!("{command}: {}", said.trim()),
            code: run.status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(70),
        });
    }
    Ok(run.stdout)
}
