//! Rules about the shape of the workspace that neither the compiler nor clippy knows: no circles between files or
//! rooms, no import that runs upward, crates in one direction, files where their area says.

mod crates;
mod features;
mod graph;
mod imports;
mod layout;
mod migrations;
mod queries;
mod servers;
mod source;
mod tokens;

use std::path::Path;

use crate::steps::{Failure, read};

pub(crate) use self::layout::Workspace;

/// The functions of the database, as they are now.
const SCHEMA: &str = "docs/schema.sql";

/// Fails with everything that is wrong, each with the file and what to do.
pub(crate) fn check() -> Result<(), Failure> {
    let mut findings = features::differences()?;
    let mut manifests = crates::Manifests::new();
    let mut workspace = Workspace::new();
    for folder in members()? {
        manifests.insert(folder.clone(), read(&Path::new(&folder).join("Cargo.toml"))?);
        let files = rust_files(&folder)?;
        let src = format!("{folder}/src");
        let in_src: graph::Files = files
            .iter()
            .filter_map(|(file, text)| Some((file.strip_prefix(&format!("{src}/"))?.to_owned(), text.clone())))
            .collect();
        findings.extend(imports::file_circles(&src, &in_src));
        if folder == "core" {
            findings.extend(imports::rooms_of_core(&src, &in_src));
        }
        workspace.extend(files);
    }
    findings.extend(crates::directions(&manifests));
    findings.extend(layout::module_files(&workspace));
    findings.extend(servers::findings(&workspace));
    let of_core = |(file, _): &(&String, &String)| file.starts_with("core/src/");
    for (file, text) in workspace.iter().filter(of_core).chain(&files_of(Path::new("core/src"), "sql")?) {
        findings.extend(queries::findings(file, text));
    }
    findings.extend(queries::findings(SCHEMA, &read(Path::new(SCHEMA))?));
    let migrations = files_of(Path::new("migrations"), "sql")?;
    findings.extend(migrations::findings(migrations.iter().map(|(name, text)| (name.as_str(), text.as_str()))));
    // What operators do to queues and jobs is an area of the API alone: its rules are in the rooms `queue` and `admin`.
    findings.extend(layout::resources(&workspace, imports::rooms().chain(["operations"])));
    if findings.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("{} findings:\n\n  {}", findings.len(), findings.join("\n  "))))
}

/// Folders of the workspace's crates, from its manifest.
pub(crate) fn members() -> Result<Vec<String>, Failure> {
    let manifest = read(Path::new("Cargo.toml"))?;
    let list = manifest.split_once("\nmembers = [").and_then(|(_, rest)| rest.split_once(']'));
    let (list, _) = list.ok_or_else(|| Failure::new("Cargo.toml has no list of members"))?;
    Ok(list.split('"').skip(1).step_by(2).map(str::to_owned).collect())
}

/// The Rust files of a crate's `src/` and `tests/`, by their path from the workspace's root.
pub(crate) fn rust_files(folder: &str) -> Result<Workspace, Failure> {
    rust_files_of(Path::new(folder))
}

fn rust_files_of(folder: &Path) -> Result<Workspace, Failure> {
    let mut files = Workspace::new();
    for part in ["src", "tests"] {
        files.extend(files_of(&folder.join(part), "rs")?);
    }
    Ok(files)
}

/// The files in a folder and those below that have this extension.
fn files_of(folder: &Path, extension: &str) -> Result<Workspace, Failure> {
    let mut files = Workspace::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(files_of(&path, extension)?);
        } else if path.extension().is_some_and(|found| found == extension) {
            files.insert(path.display().to_string(), read(&path)?);
        }
    }
    Ok(files)
}
