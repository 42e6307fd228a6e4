//! The checked queries: `.sqlx/` holds what a real database said of each.
//!
//! This is what `cargo sqlx prepare` does, without the need to install it: the macros, pointed at a database, write down
//! each query they expand (`SQLX_OFFLINE_DIR`). All SQL that is checked is in `core/`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use crate::steps::{Failure, build_with_postgres, cargo, target, with_postgres};

const COMMITTED: &str = ".sqlx";

/// Rewrites `.sqlx/`.
pub(crate) fn write() -> Result<(), Failure> {
    // By itself: the workspace does not compile while .sqlx/ lacks a query.
    build_with_postgres()?;
    // Dependencies are built first and without a database, because their own queries must not be kept. That this fails on
    // our new queries does not matter, since they are about to be written.
    eprintln!("building what the queries depend on");
    cargo(&["check", "--package", "cairn-core", "--keep-going"]).env("SQLX_OFFLINE", "true").run_silently();
    let fresh = prepare()?;
    let _ = fs::remove_dir_all(COMMITTED);
    fs::create_dir_all(COMMITTED).map_err(failed)?;
    for (name, content) in fresh {
        fs::write(Path::new(COMMITTED).join(name), content).map_err(failed)?;
    }
    Ok(())
}

/// Fails when `.sqlx/` is not what a freshly migrated database says.
pub(crate) fn check() -> Result<(), Failure> {
    let fresh = prepare()?;
    // Fresh ones that are not committed are queries of dependencies that were built along: had they been ours, nothing
    // would have compiled without them.
    if read(Path::new(COMMITTED))?.iter().all(|(name, content)| fresh.get(name) == Some(content)) {
        return Ok(());
    }
    Err(Failure::new(".sqlx/ is not what the queries and migrations say: run `cargo xtask regen` and commit it"))
}

/// Fails when the queries of the last release, or of `revision`, cannot be prepared on a freshly migrated database: that release
/// runs on it during a deployment, and after one was taken back.
pub(crate) fn check_previous(revision: Option<&str>) -> Result<(), Failure> {
    let Some(revision) = revision.map(str::to_owned).or_else(last_release) else {
        eprintln!("nothing is released yet, so there are no queries that must still work");
        return Ok(());
    };
    let lines = git(&["grep", "-h", "^  \"query\": ", &revision, "--", COMMITTED])?;
    let queries: Vec<String> = lines.lines().filter_map(query).filter(|query| can_be_prepared(query)).collect();
    if queries.is_empty() {
        return Err(Failure::new(format!("{revision} has no queries in {COMMITTED}/")));
    }
    let statements: Vec<String> =
        queries.iter().enumerate().map(|(n, query)| format!("PREPARE q{n} AS {query};\n")).collect();
    let script = statements.concat();
    let (file, errors) = (target("previous.sql"), target("previous.err"));
    fs::write(&file, script).map_err(failed)?;
    let psql = format!(
        "exec psql --no-psqlrc --quiet --file='{}' \"$DATABASE_URL\" 2> '{}'",
        file.display(),
        errors.display()
    );
    with_postgres(&["sh", "-c", &psql]).run()?;
    let errors = fs::read_to_string(errors).map_err(failed)?;
    if errors.is_empty() {
        eprintln!("{} queries of {revision} can be prepared", queries.len());
        return Ok(());
    }
    Err(Failure::new(format!("programs of {revision} do not run on the database any more:\n{errors}")))
}

fn last_release() -> Option<String> {
    git(&["describe", "--tags", "--abbrev=0", "--match", "v[0-9]*"]).ok().map(|tag| tag.trim().to_owned())
}

fn git(arguments: &[&str]) -> Result<String, Failure> {
    let output = std::process::Command::new("git").args(arguments).output().map_err(failed)?;
    if !output.status.success() {
        return Err(Failure::new(format!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr))));
    }
    String::from_utf8(output.stdout).map_err(|error| Failure::new(error.to_string()))
}

/// The text of `"query": "…",` without its escapes.
fn query(line: &str) -> Option<String> {
    let text = line.trim().strip_prefix("\"query\": \"")?.strip_suffix("\",")?;
    let mut query = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        query.push(match character {
            '\\' => match characters.next()? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                // Quotes and backslashes. The files have no others, because Postgres' texts have no control characters.
                other => other,
            },
            other => other,
        });
    }
    Some(query)
}

/// Statements such as LOCK cannot.
fn can_be_prepared(query: &str) -> bool {
    let first = query.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "VALUES"].contains(&first.to_uppercase().as_str())
}

fn prepare() -> Result<BTreeMap<String, String>, Failure> {
    let out = target("sqlx");
    let _ = fs::remove_dir_all(&out);
    fs::create_dir_all(&out).map_err(failed)?;
    // Touched so that the macros run, and set back so that nothing else is built again.
    let root = fs::File::options().append(true).open("core/src/lib.rs").map_err(failed)?;
    let modified = root.metadata().and_then(|metadata| metadata.modified()).map_err(failed)?;
    root.set_modified(SystemTime::now()).map_err(failed)?;
    let checked = with_postgres(&["cargo", "check", "--package", "cairn-core"])
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", out.as_os_str())
        .run();
    root.set_modified(modified).map_err(failed)?;
    checked?;
    read(&out)
}

fn read(directory: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("query-") {
            files.insert(name, fs::read_to_string(entry.path()).map_err(failed)?);
        }
    }
    Ok(files)
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function of map_err")]
fn failed(error: std::io::Error) -> Failure {
    Failure::new(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_as_they_were_written() {
        let line = r#"  "query": "SELECT \"a\",\n  '\\' AS \"b!\"","#;
        assert_eq!(query(line).as_deref(), Some("SELECT \"a\",\n  '\\' AS \"b!\""));
        assert_eq!(query("  \"db_name\": \"PostgreSQL\","), None);
        assert!(can_be_prepared("\n  with a AS (SELECT 1) SELECT 1") && !can_be_prepared("LOCK TABLE users"));
    }
}
