//! `lumacycle man --out DIR`: manual pages from the definitions of the command line.

use clap::{Command, CommandFactory};

use crate::args::{Cli, ManArgs};
use crate::failure::Failure;
use crate::output;

pub fn run(args: &ManArgs) -> Result<(), Failure> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    rendered(&command, &mut pages)?;
    output::folder(&args.out)?;
    for (name, page) in pages {
        output::write(Some(&args.out.join(name)), &page)?;
    }
    Ok(())
}

/// The page of a command, then those of its commands.
fn rendered(command: &Command, pages: &mut Vec<(String, Vec<u8>)>) -> Result<(), Failure> {
    // Commands of commands are called as they are typed: lumacycle-trace-stats.
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let page = clap_mangen::Man::new(command.clone());
    let mut text = Vec::new();
    page.render(&mut text).map_err(|error| Failure::Internal { what: error.to_string() })?;
    pages.push((format!("{name}.1"), text));
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        rendered(command, pages)?;
    }
    Ok(())
}
