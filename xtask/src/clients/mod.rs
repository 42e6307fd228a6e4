//! Clients in other languages: generated from `openapi.json` by the generators that people use, and proven by programs
//! that run against a Cairn.
//!
//! Everything generated is under `target/clients/`. The network is used to install the pinned tools, and by nothing else.

mod bounded;
mod contract;
mod folder;
mod languages;
mod platform;
mod snippets;

use std::time::{Duration, Instant};

use crate::steps::Failure;

use self::contract::Contract;
use self::folder::folder;
use self::languages::{LANGUAGES, Language};
use self::platform::Platform;

pub(crate) use self::snippets::check as check_snippets;

/// A program takes seconds.
const PROGRAM: Duration = Duration::from_mins(2);

/// What is printed of a language.
struct Row {
    language: &'static str,
    result: String,
    took: Duration,
}

/// Generates, checks and tries the clients with these names, or all of them.
pub(crate) fn run(names: &[&str]) -> Result<(), Failure> {
    if let Some(unknown) = names.iter().find(|name| LANGUAGES.iter().all(|language| language.name != **name)) {
        let known: Vec<&str> = LANGUAGES.iter().map(|language| language.name).collect();
        return Err(Failure::new(format!("there is no client in {unknown}, only in {}", known.join(", "))));
    }
    let contract = Contract::read()?;
    std::fs::create_dir_all(folder("")).map_err(|error| Failure::new(format!("target/clients: {error}")))?;
    let mut platform = None;
    let mut rows = Vec::new();
    for language in LANGUAGES.iter().filter(|language| names.is_empty() || names.contains(&language.name)) {
        eprintln!("{}", language.name);
        let begun = Instant::now();
        let result = try_language(language, &contract, &mut platform)
            .map_err(|failure| Failure::new(format!("{}: {failure}", language.name)))?;
        rows.push(Row { language: language.name, result, took: begun.elapsed() });
    }
    eprintln!("\n{} operations, {} types", contract.operations.len(), contract.types.len());
    for Row { language, result, took } in rows {
        eprintln!("{:>6.1} s  {language:<12}{result}", took.as_secs_f64());
    }
    Ok(())
}

/// What came of a language. Cairn is started for the first one that has a program.
fn try_language(language: &Language, contract: &Contract, platform: &mut Option<Platform>) -> Result<String, Failure> {
    if let Some(missing) = language.needs.iter().find(|command| !bounded::succeeds(command)) {
        return skip(format!("`{}` fails: install what the client needs", missing.join(" ")));
    }
    let generated = (language.generate)()?;
    let missing = contract.missing(&generated);
    if !missing.is_empty() {
        return Err(Failure::new(format!("the generated client lacks {}", missing.join(", "))));
    }
    let Some(program) = language.program else {
        return Ok(format!("{} models, 0 types lost, 0 warnings", generated.models));
    };
    let url = match platform {
        Some(platform) => &platform.url,
        None => &platform.insert(Platform::start()?).url,
    };
    program().env("CAIRN_URL", url).run("program", PROGRAM)?;
    Ok(format!("{} models, 0 types lost, 0 warnings, program passed", generated.models))
}

/// A developer may lack a tool; CI may not.
#[expect(clippy::disallowed_methods, reason = "this program has no configuration")]
fn skip(reason: String) -> Result<String, Failure> {
    if std::env::var_os("CI").is_some() { Err(Failure::new(reason)) } else { Ok(format!("skipped: {reason}")) }
}
