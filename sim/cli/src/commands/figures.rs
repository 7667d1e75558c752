//! `lumacycle figures --out DIR`: every figure of the documentation and of the reproduced papers, from
//! scratch.
//!
//! A figure is a command of this program and what is drawn from its output, so that each can be had
//! alone with two command lines; `README.md` in the folder lists them. The figures are entries of
//! `figures_recipes`.

use std::process::{Command, Stdio};

use lumacycle_arch::Catalog;
use lumacycle_figures::theme::PAGE_IN;
use lumacycle_figures::{Kind, Options, Table};

use super::figures_recipes::{RECIPES, Recipe, SPACES};
use super::plot::{Format, refused, roofs, save, style};
use crate::args::FiguresArgs;
use crate::failure::Failure;
use crate::output;

/// Pixels along a side of a rendered field, at most.
const FIELD_SIDE: u32 = 800;

pub fn run(args: &FiguresArgs) -> Result<(), Failure> {
    let (width, height, _) = super::inputs::resolution(&args.resolution)?;
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
        let table = rows(recipe, [width, height])?;
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
            let command = spelled(command, [width, height]);
            let command = match command.strip_prefix("explore ") {
                Some(space) => format!("explore sim/spaces/{space}.toml --out DIR"),
                None => command,
            };
            list.push_str(&format!("    lumacycle {command}\n"));
        }
        output::say(&format!("{}: drawn", recipe.name));
    }
    output::write(Some(&args.out.join("README.md")), list.as_bytes())
}

/// A command line for images of that size; fields are rendered as squares, as published.
fn spelled(command: &str, [width, height]: [u32; 2]) -> String {
    let side = width.min(height).min(FIELD_SIDE);
    command
        .replace("SIZE", &format!("{width}x{height}"))
        .replace("SQUARE", &format!("{side}x{side}"))
}

/// The results of a space that ships, at that image size.
fn explored(name: &str, [width, height]: [u32; 2]) -> Result<Vec<u8>, Failure> {
    let internal =
        |what: &dyn std::fmt::Display| Failure::Internal { what: format!("{name}: {what}") };
    let text = SPACES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
    let text = text.ok_or_else(|| internal(&"no such space"))?;
    let folder = tempfile::tempdir().map_err(|error| internal(&error))?;
    let size = if text.contains("app = \"tensorf\"") {
        let side = width.min(height).min(FIELD_SIDE);
        format!("[system]\nresolution = [{side}, {side}]\n")
    } else {
        format!("[system]\nresolution = [{width}, {height}]\n")
    };
    let lines = text.lines().filter(|line| !line.starts_with("resolution"));
    let lines: Vec<&str> = lines.collect();
    let text = lines.join("\n").replacen("[system]\n", &size, 1);
    let file = folder.path().join("space.toml");
    output::write(Some(&file), text.as_bytes())?;
    let out = folder.path().join("out");
    let words = [&file, &out].map(|path| path.display().to_string());
    said(&["explore", &words[0], "--out", &words[1]])?;
    super::plot::read(&out.join("results.csv"))
}

/// The rows that the commands of a figure write, under one header, each with the word that follows the command
/// and its scene.
fn rows(recipe: &Recipe, size: [u32; 2]) -> Result<Table, Failure> {
    let mut all = Table::default();
    let catalog = Catalog::embedded();
    for command in recipe.commands {
        let bytes = match command.strip_prefix("explore ") {
            Some(space) => explored(space, size)?,
            None => said(&spelled(command, size).split(' ').collect::<Vec<_>>())?,
        };
        let mut table = Table::parse(&bytes, recipe.kind.records())
            .map_err(|error| refused(recipe.name, &error))?;
        for (column, value) in recipe.only {
            table.keep(column, value).map_err(|error| refused(recipe.name, &error))?;
        }
        let word = command.split(' ').nth(1).unwrap_or_default().to_owned();
        let scene =
            command.split(' ').skip_while(|word| *word != "--scene").nth(1).unwrap_or_default();
        table.header.extend(["command", "scene"].map(ToOwned::to_owned));
        for name in &table.header {
            if !all.header.contains(name) {
                all.header.push(name.clone());
            }
        }
        for (line, mut cells) in table.rows {
            cells.extend([word.clone(), scene.to_owned()]);
            for (cell, column) in cells.iter_mut().zip(&table.header) {
                *cell = named(recipe.kind, column, cell, &catalog);
                let shorter = recipe.shorter.iter().find(|(long, _)| long == cell);
                if let Some((_, short)) = shorter {
                    (*short).clone_into(cell);
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

/// A cell as a figure says it: hardware and applications by their names.
fn named(kind: Kind, column: &str, cell: &str, catalog: &Catalog) -> String {
    const APPLICATIONS: [(&str, &str); 4] =
        [("nerf", "NeRF"), ("nsdf", "NSDF"), ("nvr", "NVR"), ("gia", "GIA")];
    let app = |word: &str| APPLICATIONS.iter().find(|(id, _)| *id == word).map(|(_, name)| *name);
    match column {
        "units" => format!("NGPC-{cell}"),
        "command" => app(cell).unwrap_or(cell).to_owned(),
        // A roofline looks its GPUs up, and names them itself.
        "accelerator" if cell == "none" => "GPU alone".to_owned(),
        "gpu" | "device" | "accelerator" if kind != Kind::Roofline => match catalog.get(cell) {
            Ok(entry) => super::plot::short(&entry.gpu.gpu.name),
            Err(_) => catalog
                .accelerator(cell)
                .map(|entry| entry.accelerator.accelerator.name)
                .or_else(|_| {
                    catalog.sparse_accelerator(cell).map(|entry| entry.accelerator.accelerator.name)
                })
                .unwrap_or_else(|_| cell.to_owned()),
        },
        "what" => {
            // "frames a second of nerf at 3840 x 2160"
            let rest = cell.strip_prefix("frames a second of ").unwrap_or(cell);
            let rest = &rest.replace(", frames a second", "");
            let (first, after) = rest.split_once(' ').unwrap_or((rest, ""));
            let first = app(first).unwrap_or(first);
            // Sizes stay in one piece where labels are broken.
            format!("{first} {after}").trim().replace(" x ", "×")
        }
        _ => cell.to_owned(),
    }
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
            said: said.trim_end().to_owned(),
            command,
            code: run.status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(70),
        });
    }
    Ok(run.stdout)
}
