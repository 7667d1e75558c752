//! What a mistyped command, option or value was probably meant to be.
//!
//! clap names what is similar by the letters in common, which finds nothing for short words with two letters
//! swapped (`rnu`). Here the distance is the number of typing slips (a letter too many, too few, wrong, or two
//! swapped), at most a third of the word. Only errors that clap has no hint for are touched.

use std::error::Error as _;
use std::ffi::{OsStr, OsString};
use std::num::ParseIntError;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Error};

/// The candidate that takes the fewest slips to reach, if they are few for a word of that length.
fn nearest(typed: &str, candidates: impl IntoIterator<Item = String>) -> Option<String> {
    let most = typed.chars().count().div_ceil(3);
    candidates
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(typed, &name), name))
        .filter(|(slips, _)| *slips <= most)
        .min()
        .map(|(_, name)| name)
}

/// The innermost command that the words before the mistake name.
fn innermost<'a>(root: &'a Command, words: &[OsString]) -> &'a Command {
    let mut command = root;
    for word in words {
        if word == OsStr::new("--") {
            break;
        }
        if let Some(inner) = word.to_str().and_then(|name| command.find_subcommand(name)) {
            command = inner;
        }
    }
    command
}

fn text(error: &Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    }
}

fn is_negative(typed: &str) -> bool {
    typed.starts_with('-') && typed.parse::<f64>().is_ok()
}

fn tip(error: &mut Error, text: &'static str) {
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![text.into()]));
}

/// Adds a hint to an error of the command line `words` (program's name left out) that has none.
pub fn hinted(mut error: Error, root: &Command, words: &[OsString]) -> Error {
    match error.kind() {
        ErrorKind::InvalidSubcommand if error.get(ContextKind::SuggestedSubcommand).is_none() => {
            let Some(typed) = text(&error, ContextKind::InvalidSubcommand) else { return error };
            let before = words.iter().position(|word| word == OsStr::new(typed)).unwrap_or(0);
            let names = innermost(root, &words[..before]).get_subcommands();
            let names = names.filter(|inner| !inner.is_hide_set());
            if let Some(near) = nearest(typed, names.map(|inner| inner.get_name().to_owned())) {
                let near = ContextValue::Strings(vec![near]);
                error.insert(ContextKind::SuggestedSubcommand, near);
            }
        }
        // Not that it can be passed behind `--`, where it is no number of anything either.
        ErrorKind::UnknownArgument
            if text(&error, ContextKind::InvalidArg).is_some_and(is_negative) =>
        {
            tip(&mut error, "numbers here are not negative");
        }
        ErrorKind::ValueValidation
            if error.source().is_some_and(<dyn std::error::Error>::is::<ParseIntError>) =>
        {
            tip(&mut error, "write a whole number, such as 4096");
        }
        ErrorKind::UnknownArgument if error.get(ContextKind::SuggestedArg).is_none() => {
            let Some(typed) = text(&error, ContextKind::InvalidArg) else { return error };
            let Some(bare) = typed.strip_prefix("--") else { return error };
            let options = innermost(root, words).get_arguments();
            let names = options.filter(|option| !option.is_hide_set()).filter_map(|o| o.get_long());
            if let Some(near) = nearest(bare, names.map(str::to_owned)) {
                error.insert(ContextKind::SuggestedArg, ContextValue::String(format!("--{near}")));
            }
        }
        ErrorKind::InvalidValue if error.get(ContextKind::SuggestedValue).is_none() => {
            let Some(typed) = text(&error, ContextKind::InvalidValue) else { return error };
            let Some(ContextValue::Strings(known)) = error.get(ContextKind::ValidValue) else {
                return error;
            };
            if let Some(near) = nearest(typed, known.iter().cloned()) {
                error.insert(ContextKind::SuggestedValue, ContextValue::String(near));
            }
        }
        _ => {}
    }
    error
}
