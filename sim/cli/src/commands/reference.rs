//! `lumacycle reference PAGE`: the pages of the documentation that follow from definitions in the
//! program, so that they cannot say anything else. `tests/docs.rs` compares them with what is committed.

use std::fmt::Write as _;

use clap::Parser;
use clap_markdown::MarkdownOptions;
use lumacycle_sim::explore::metrics;
use lumacycle_sim::study::MEANINGS;

use super::catalog;
use crate::args::{Cli, KeysOf, ReferenceArgs, ReferencePage};
use crate::failure::Failure;
use crate::output;

pub fn run(args: &ReferenceArgs) -> Result<(), Failure> {
    let page = match &args.page {
        ReferencePage::Cli => commands(),
        ReferencePage::Catalogue => keys(),
        ReferencePage::Metrics => measures(),
        ReferencePage::Parse { words } => {
            let line = std::iter::once("lumacycle").chain(words.iter().map(String::as_str));
            return match Cli::try_parse_from(line) {
                Ok(_) => Ok(()),
                Err(error) => {
                    let text = error.to_string();
                    Err(Failure::usage(text.trim_end(), "compare with `lumacycle --help`"))
                }
            };
        }
    };
    output::write(None, page.as_bytes())
}

fn made_by(page: &str) -> String {
    format!("This page is made by `lumacycle reference {page}` from the program itself.\n")
}

fn commands() -> String {
    let options = MarkdownOptions::new().title("Commands".to_owned()).show_footer(false);
    let text = clap_markdown::help_markdown_custom::<Cli>(&options);
    let (title, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let mut page = format!("{title}\n\n{}", made_by("cli"));
    // Examples are indented; a fence keeps their lines apart.
    let mut fenced = false;
    for line in rest.lines() {
        let example = line.starts_with("  lumacycle ");
        if example != fenced {
            page.push_str(if example { "\n```sh\n" } else { "```\n" });
            fenced = example;
        }
        page.push_str(if example { line.trim() } else { line.trim_end() });
        page.push('\n');
    }
    while page.ends_with("\n\n") {
        page.pop();
    }
    page
}

/// A cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

fn keys() -> String {
    let mut page = format!(
        "# Keys of hardware descriptions\n\n{}{}",
        made_by("catalogue"),
        "`lumacycle catalog keys gpu` prints the same. How a description is put together is in \
         [Describe your GPU](../howto/gpu.md) and [Describe your accelerator](../howto/accelerator.md): \
         `base` names the entry that it starts from, `[sources]` says where values come from.\n"
    );
    for (title, of) in [
        ("GPUs", KeysOf::Gpu),
        ("Accelerators beside a GPU", KeysOf::Accelerator),
        ("Accelerators of decomposed fields", KeysOf::SparseAccelerator),
    ] {
        let _ = write!(page, "\n## {title}\n");
        let mut section = "";
        for key in catalog::keys(of) {
            if key.section != section {
                section = key.section;
                let _ = write!(
                    page,
                    "\n**`[{section}]`** {}\n\n| key | written as | meaning |\n|---|---|---|\n",
                    cell(key.section_meaning)
                );
            }
            let [value, meaning] = [key.value, key.meaning].map(cell);
            let _ = writeln!(page, "| `{}` | {value} | {meaning} |", key.name);
        }
    }
    page
}

fn measures() -> String {
    let mut page = format!("# Metrics\n\n{}", made_by("metrics"));
    page.push_str(
        "A metric that a system does not have is an empty cell in CSV files.\n\n## Of studies\n\n\
         | metric | meaning |\n|---|---|\n",
    );
    for (name, meaning) in MEANINGS {
        let _ = writeln!(page, "| `{name}` | {} |", cell(meaning.trim()));
    }
    page.push_str("\n## Of explorations\n\n| metric | meaning |\n|---|---|\n");
    for name in metrics::NAMES {
        let _ = writeln!(page, "| `{name}` | {} |", cell(metrics::meaning(name)));
    }
    page
}
