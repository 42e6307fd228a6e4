//! Checks of the sources by programs that others keep.

use std::path::Path;

use crate::steps::{Command, Failure, target};
use crate::tools;

/// Looks for misspelled words.
pub(crate) fn spelling() -> Result<(), Failure> {
    checker("typos", &[])?.map_or(Ok(()), Command::run)
}

/// Checks licences, sources, duplicates and banned crates.
pub(crate) fn dependencies() -> Result<(), Failure> {
    let arguments = ["--locked", "check", "bans", "licenses", "sources"];
    checker("cargo-deny", &arguments)?.map_or(Ok(()), Command::run)
}

/// A program that checks the sources: the one on this machine or, where it has none, that of `xtask/check-tools`. `None` on a
/// machine without Python.
fn checker(name: &str, arguments: &[&str]) -> Result<Option<Command>, Failure> {
    if Command::new(name, &["--version"]).run_silently() {
        return Ok(Some(Command::new(name, arguments)));
    }
    if !tools::are_installed(&[tools::PYTHON])? {
        return Ok(None);
    }
    let folder = target("check-tools");
    tools::lay(Path::new("xtask/check-tools"), &folder)?;
    tools::venv(&folder)?;
    Ok(Some(Command::new(folder.join("venv/bin").join(name), arguments)))
}
