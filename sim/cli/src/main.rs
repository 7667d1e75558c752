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

use clap::{CommandFactory, FromArgMatches};

use crate::args::{Cli, Command};
use crate::failure::Failure;

fn main() -> ExitCode {
    // clap exits with 2 for wrong usage and prints help to stdout with 0, as documented.
    let mut command = Cli::command();
    let parsed = command.try_get_matches_from_mut(std::env::args_os()).and_then(|matches| {
        let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        Ok((cli, matches))
    });
    let (cli, matches) = parsed.unwrap_or_else(|error| {
        let words: Vec<_> = std::env::args_os().skip(1).collect();
        args::hinted(error, &Cli::command(), &words).exit()
    });
    failure::install_hooks();
    let result = args::apart(&command, &matches).and_then(|()| run(cli.command));
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

fn run(command: Command) -> Result<(), Failure> {
    match command {
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
    }
}
