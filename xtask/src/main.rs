//! The project's own tasks, as [`TASKS`] lists them.
//!
//! No dependencies, so that it builds in a second and shares no build with the rest: everything else is built once, as
//! the whole workspace, and then used by path.

mod checkers;
mod clients;
mod documents;
mod migration;
mod openapi;
mod rules;
mod sbom;
mod schema;
mod selection;
mod sqlx;
mod steps;
mod tools;

use std::path::Path;
use std::process::ExitCode;

use steps::{Failure, Steps, built, cargo};

/// What there is to do, with its arguments.
const TASKS: [(&str, &str); 18] = [
    ("check", "format, lints, imports and layout, documents: what needs no database"),
    ("test", "everything that CI runs"),
    ("test FILTER", "the tests whose name contains FILTER (`learning::lessons`), beside a Postgres"),
    ("regen", "rewrite .sqlx/, docs/schema.sql, openapi.json and docs/course.schema.json"),
    ("previous [REVISION]", "whether the queries of the last release still work on the schema of now"),
    ("new-migration NAME", "create the next file in migrations/"),
    ("db psql [ARGUMENT…]", "open psql on the database of `cargo run`"),
    ("db reset", "delete the database of `cargo run`; the next start creates a new one"),
    ("clients [LANGUAGE…]", "generate clients from openapi.json, and run their programs against a Cairn"),
    ("chaos [--minutes N] [--pause S]", "kill processes under load, then count what was lost or done twice"),
    ("model", "check the protocol of leases in every state that can be reached, and that faults are caught"),
    ("attack [NAME]", "attack an API over loopback, and measure what its other users notice"),
    ("drill", "the layout of docs/RUNNING.md: restart everything, restore, recover, fail over"),
    (
        "evals [--accept] [--show] [--hybrid]",
        "measure which sources questions find, and fail if they are worse than before",
    ),
    ("lint", "the lints of the API's document, and whether it breaks clients of the last release"),
    ("fuzz [--minutes N] [--seed N]", "send generated requests to every operation, as learner and as admin"),
    ("sbom", "print what the programs are made of, with licences and checksums (CycloneDX)"),
    ("bench [NAME…]", "measure a release build; the names are in docs/BENCHMARKS.md"),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["check"] => check(),
        ["test"] => test(),
        ["test", filter] => selection::run(filter),
        ["regen"] => regen(),
        ["previous"] => previous(None),
        ["previous", revision] => previous(Some(revision)),
        ["new-migration", name] => migration::create(name),
        ["db", "psql", arguments @ ..] => database(&[&["psql"], arguments].concat()),
        ["db", "reset"] => database(&["reset"]),
        ["clients", languages @ ..] => clients(languages),
        ["chaos", options @ ..] => chaos(options),
        ["model"] => model(),
        ["attack", options @ ..] => attack(options),
        ["drill", options @ ..] => drill(options),
        ["evals", options @ ..] => evals(options),
        ["lint"] => lint(),
        ["fuzz", options @ ..] => fuzz(options),
        ["sbom"] => sbom::print(),
        ["bench", names @ ..] => bench(names),
        ["help" | "--help" | "-h"] | [] => {
            print!("{}", usage());
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{}", usage());
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\n{failure}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> String {
    let lines = TASKS.map(|(task, does)| format!("  {task:<32}{does}\n"));
    format!("usage: cargo xtask TASK\n\n{}", lines.concat())
}

fn check() -> Result<(), Failure> {
    let mut steps = Steps::default();
    static_checks(&mut steps)?;
    steps.run("build", || cargo(&["build", "--package", "cairn", "--locked"]).run())?;
    steps.run("generated documents", documents::are_current)?;
    steps.print();
    Ok(())
}

/// The cheapest first.
fn static_checks(steps: &mut Steps) -> Result<(), Failure> {
    steps.run("format", || cargo(&["fmt", "--all", "--check"]).run())?;
    steps.run("imports and layout", rules::check)?;
    steps.run("documents", documents::check)?;
    steps.run("snippets", clients::check_snippets)?;
    steps.run("spelling", checkers::spelling)?;
    steps.run("deployment files", checkers::deployment)?;
    steps.run("dependencies", checkers::dependencies)?;
    steps.run("lints", || {
        cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]).run()
    })
}

fn test() -> Result<(), Failure> {
    let mut steps = Steps::default();
    static_checks(&mut steps)?;
    steps.run("docs", || {
        cargo(&["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"])
            .env("RUSTDOCFLAGS", "--deny warnings")
            .run()
    })?;
    // Binaries too: the crash and command-line tests start them.
    steps.run("build", || cargo(&["build", "--workspace", "--all-targets", "--locked"]).run())?;
    steps.run("queries", sqlx::check)?;
    steps.run("queries of the last release", || sqlx::check_previous(None))?;
    steps.run("schema", schema::check)?;
    steps.run("generated documents", documents::are_current)?;
    lint_document(&mut steps)?;
    let exercised = steps::target("exercised-operations");
    let _ = std::fs::remove_file(&exercised);
    steps.run("tests", || {
        steps::with_postgres(&["cargo", "test", "--workspace", "--locked", "--no-fail-fast"])
            .env("CAIRN_TEST_COVERAGE", exercised.as_os_str())
            .env("RUST_TEST_THREADS", test_threads())
            .run()
    })?;
    steps.run("sources for questions", || built("cairn-evals", &[]).run())?;
    steps.run("the model of leases", || model_check(&["test"]))?;
    steps.run("every operation is tested", || documents::every_operation_is_exercised(&exercised))?;
    steps.run("generated requests", || openapi::fuzz(&[]))?;
    steps.run("clients", || clients::run(&[]))?;
    steps.print();
    Ok(())
}

/// Two for each core, because tests spend much of their time waiting for jobs, locks and limits.
fn test_threads() -> String {
    (2 * std::thread::available_parallelism().map_or(1, usize::from)).to_string()
}

/// The programs that run are those of the workspace's build.
fn clients(languages: &[&str]) -> Result<(), Failure> {
    cargo(&["build", "--workspace", "--bins"]).run()?;
    clients::run(languages)
}

fn regen() -> Result<(), Failure> {
    let mut steps = Steps::default();
    steps.run("queries", sqlx::write)?;
    steps.run("schema", schema::write)?;
    steps.run("build", || cargo(&["build", "--package", "cairn"]).run())?;
    steps.run("generated documents", documents::write)?;
    steps.print();
    Ok(())
}

fn previous(revision: Option<&str>) -> Result<(), Failure> {
    steps::build_with_postgres()?;
    sqlx::check_previous(revision)
}

/// Works on the database of `cargo run`, whether that runs or not.
fn database(arguments: &[&str]) -> Result<(), Failure> {
    steps::build_with_postgres()?;
    built("with-postgres", &[&["--of-dev"], arguments].concat()).run()
}

/// The programs that are killed are those of the workspace's build.
fn chaos(options: &[&str]) -> Result<(), Failure> {
    cargo(&["build", "--workspace", "--bins"]).run()?;
    built("cairn-chaos", options).run()
}

/// The crate is no member of the workspace (see its manifest), and what is built for it stays apart.
fn model() -> Result<(), Failure> {
    model_check(&["run"])
}

fn model_check(command: &[&str]) -> Result<(), Failure> {
    let target = steps::target("model");
    let place = ["--manifest-path", "model/check/Cargo.toml", "--target-dir", &target.to_string_lossy()];
    cargo(&[command, &place].concat()).run()
}

/// The API that is attacked is that of the workspace's release build: in a debug build, checking a body takes as long as
/// hashing a password.
fn attack(options: &[&str]) -> Result<(), Failure> {
    cargo(&["build", "--release", "--workspace", "--bins"]).run()?;
    steps::released("cairn-attack", options).run()
}

fn drill(options: &[&str]) -> Result<(), Failure> {
    cargo(&["build", "--workspace", "--bins"]).run()?;
    let programs = steps::target("debug");
    let script = ["deploy/drill.py", "--programs", &programs.to_string_lossy()];
    steps::Command::new("python3", &[&script, options].concat()).run()
}

/// In a database of its own, with the content of the demo course, and with `--hybrid` with a small model for the meaning of questions.
fn evals(options: &[&str]) -> Result<(), Failure> {
    let folder = steps::target("embeddings");
    let mut options = options.to_vec();
    if options.contains(&"--hybrid") {
        tools::lay(Path::new("evals/embeddings"), &folder)?;
        tools::venv(&folder)?;
        options.push(tools::argument(&folder));
    }
    cargo(&["build", "--workspace", "--bin", "cairn-evals"]).run()?;
    built("cairn-evals", &options).run()
}

fn lint() -> Result<(), Failure> {
    let mut steps = Steps::default();
    steps.run("build", || cargo(&["build", "--package", "cairn"]).run())?;
    lint_document(&mut steps)?;
    steps.print();
    Ok(())
}

/// Of the program that was built last.
fn lint_document(steps: &mut Steps) -> Result<(), Failure> {
    steps.run("lints of the API's document", openapi::lint)?;
    steps.run("compatibility of the API", openapi::is_compatible)
}

fn fuzz(options: &[&str]) -> Result<(), Failure> {
    cargo(&["build", "--workspace", "--bins"]).run()?;
    openapi::fuzz(options)
}

fn bench(names: &[&str]) -> Result<(), Failure> {
    cargo(&["build", "--release", "--workspace", "--bins"]).run()?;
    steps::released("cairn-bench", names).run()
}
