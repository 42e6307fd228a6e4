//! `cargo xtask test` runs everything CI runs; `cargo xtask regen` rewrites every generated file; `cargo xtask chaos`
//! kills everything for minutes.
//!
//! No dependencies, so that it builds in a second and shares no build with the rest: everything else is built once, as
//! the whole workspace, and then used by path.

mod schema;
mod sqlx;
mod steps;

use std::path::Path;
use std::process::ExitCode;

use steps::{Failure, Steps, cargo};

const USAGE: &str = "usage: cargo xtask test | regen | chaos [--minutes N] [--seed N] [--learners N]

  test    format, lints, docs, generated files, all tests; what CI runs
  regen   rewrite .sqlx/, openapi.json, docs/course.schema.json and docs/schema.sql
  chaos   kill processes and restart the database under load, then count what was lost or done twice";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["test"] => test(),
        ["regen"] => regen(),
        ["chaos", options @ ..] => chaos(options),
        _ => {
            eprintln!("{USAGE}");
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

fn test() -> Result<(), Failure> {
    let mut steps = Steps::default();
    steps.run("format", || cargo(&["fmt", "--all", "--check"]).run())?;
    steps.run("lints", || {
        cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]).run()
    })?;
    steps.run("docs", || {
        cargo(&["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"])
            .env("RUSTDOCFLAGS", "--deny warnings")
            .run()
    })?;
    // Binaries too: the crash and command-line tests start them.
    steps.run("build", || cargo(&["build", "--workspace", "--all-targets", "--locked"]).run())?;
    steps.run("queries", sqlx::check)?;
    steps.run("schema", schema::check)?;
    steps.run("documents", || {
        documents_are_current()?;
        steps::every_named_test_exists(Path::new("docs/JOBS.md"))
    })?;
    let exercised = steps::target("exercised-operations");
    let _ = std::fs::remove_file(&exercised);
    steps.run("tests", || {
        steps::with_postgres(&["cargo", "test", "--workspace", "--locked"])
            .env("CAIRN_TEST_COVERAGE", exercised.as_os_str())
            .run()
    })?;
    steps.run("every operation is tested", || steps::every_operation_is_exercised(&exercised))?;
    steps.print();
    Ok(())
}

fn regen() -> Result<(), Failure> {
    let mut steps = Steps::default();
    steps.run("queries", sqlx::write)?;
    steps.run("schema", schema::write)?;
    steps.run("build", || cargo(&["build", "--workspace", "--all-targets"]).run())?;
    steps.run("documents", || {
        for (path, arguments) in DOCUMENTS {
            let text = steps::built("cairn", arguments).output()?;
            std::fs::write(path, text).map_err(|error| Failure::new(format!("{path}: {error}")))?;
        }
        Ok(())
    })?;
    steps.print();
    Ok(())
}

/// The programs that are killed are those of the workspace's build.
fn chaos(options: &[&str]) -> Result<(), Failure> {
    // As the tests build it: another selection would build everything anew.
    cargo(&["build", "--workspace", "--all-targets"]).run()?;
    steps::built("cairn-chaos", options).run()
}

/// Generated documents, and the command that prints each.
const DOCUMENTS: [(&str, &[&str]); 2] =
    [("openapi.json", &["openapi"]), ("docs/course.schema.json", &["course-schema"])];

fn documents_are_current() -> Result<(), Failure> {
    for (path, arguments) in DOCUMENTS {
        let text = steps::built("cairn", arguments).output()?;
        if std::fs::read(path).unwrap_or_default() != text {
            return Err(Failure::new(format!(
                "{path} is not what the code says: run `cargo xtask regen` and commit it"
            )));
        }
    }
    Ok(())
}
