//! The `lumacycle` command line: the only place that prints.
//!
//! Data goes to stdout (or `--output`), talk to stderr. Exit codes: 0 success; 1 result outside
//! a requested bound; 2 wrong usage; 3 bad input file; 4 unknown name; 5 output cannot be
//! written; 70 internal error.

mod args;
mod commands;
mod failure;
mod output;

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};

use crate::args::{Cli, Command};
use crate::failure::Failure;

fn main() -> ExitCode {
    // clap exits with 2 for wrong usage and prints help to stdout with 0, as documented.
    let cli = Cli::try_parse().unwrap_or_else(|error| with_nearest(error).exit());
    failure::install_hooks();
    let result = match cli.command {
        Command::Replay(args) => commands::replay::run(&args),
        Command::Kernel(args) => commands::kernel::run(&args),
        Command::Run(args) => commands::run::run(&args),
        Command::Study(args) => commands::study::run(&args),
        Command::Explore(args) => commands::explore::run(&args),
        Command::Trace(args) => commands::trace::run(args),
        Command::Catalog(args) => commands::catalog::run(args),
        Command::Validate(args) => commands::validate::run(&args),
        Command::Diff(args) => commands::diff::run(&args),
        Command::Calibrate(args) => commands::calibrate::run(&args),
        Command::Plot(args) => commands::plot::run(&args),
        Command::Figures(args) => commands::figures::run(&args),
        Command::Explain(args) => commands::explain::run(&args),
        Command::Completions(args) => commands::completions::run(&args),
        Command::Man(args) => commands::man::run(&args),
        Command::Reference(args) => commands::reference::run(&args),
    };
    match result {
        // Somebody closed the pipe (`| head`): nothing is wrong.
        Ok(()) | Err(Failure::ClosedPipe) => ExitCode::SUCCESS,
        Err(failure) => {
            let code = failure.exit_code();
            failure.print();
            ExitCode::from(code)
        }
    }
}

/// Names the nearest command where clap finds none: swapped letters are not near to it.
fn with_nearest(mut error: clap::Error) -> clap::Error {
    let unknown = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(name)) => name.clone(),
        _ => return error,
    };
    let named = error.get(ContextKind::SuggestedSubcommand).is_some();
    if error.kind() != ErrorKind::InvalidSubcommand || named {
        return error;
    }
    let commands = Cli::command();
    let near = commands.get_subcommands().map(clap::Command::get_name);
    let near = near.map(|name| (strsim::osa_distance(name, &unknown), name));
    if let Some((distance, name)) = near.min()
        && distance <= 2
    {
        let names = ContextValue::Strings(vec![name.to_owned()]);
        error.insert(ContextKind::SuggestedSubcommand, names);
    }
    error
}
