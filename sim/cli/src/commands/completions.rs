//! `lumacycle completions SHELL`.

use clap::CommandFactory;

use crate::args::{Cli, CompletionArgs};
use crate::failure::Failure;
use crate::output;

pub fn run(args: &CompletionArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "lumacycle", &mut script);
    output::write(None, &script)
}
