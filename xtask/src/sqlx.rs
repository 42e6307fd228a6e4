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
