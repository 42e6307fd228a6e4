//! Some tests instead of all.

use std::collections::BTreeSet;

use crate::rules::{Workspace, members, rust_files};
use crate::steps::{Failure, build_with_postgres, cargo, with_postgres};

/// Crates whose tests start programs of other crates: those must be built.
const START_PROGRAMS: [&str; 2] = ["cli", "worker"];

/// Builds and runs the tests whose name contains `filter`, and no test target that has none of them.
pub(crate) fn run(filter: &str) -> Result<(), Failure> {
    let mut targets = BTreeSet::new();
    for folder in members()? {
        targets.extend(matching(&folder, &rust_files(&folder)?, filter));
    }
    if targets.is_empty() {
        return Err(Failure::new(format!("no test's name contains {filter:?}")));
    }
    build_with_postgres()?;
    for (folder, kind) in targets {
        let package = package(&folder)?;
        if START_PROGRAMS.contains(&folder.as_str()) && kind == "--tests" {
            cargo(&["build", "--package", "cairn-api", "--package", "cairn-worker", "--bins"]).run()?;
        }
        let target: &[&str] = if kind == "--tests" { &["--test", "*"] } else { &["--lib", "--bins"] };
        with_postgres(&[&["cargo", "test", "--package", &package], target, &["--", filter]].concat()).run()?;
    }
    Ok(())
}

/// The test targets of a crate that have such a test, as far as the sources tell.
fn matching(folder: &str, files: &Workspace, filter: &str) -> BTreeSet<(String, &'static str)> {
    let mut targets = BTreeSet::new();
    for (file, text) in files {
        let inside = file.strip_prefix(folder).unwrap_or(file).trim_start_matches('/');
        let (path, kind) = match (inside.strip_prefix("tests/it/"), inside.strip_prefix("src/")) {
            (Some(path), _) => (path, "--tests"),
            (_, Some(path)) => (path, "--lib"),
            _ => continue,
        };
        let modules = path.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::");
        let modules = if matches!(modules.as_str(), "main" | "lib" | "mod") { "" } else { &modules };
        if names(text).any(|name| {
            let within = if kind == "--lib" { "tests::" } else { "" };
            format!("{modules}::{within}{name}").trim_start_matches("::").contains(filter)
        }) {
            targets.insert((folder.to_owned(), kind));
        }
    }
    targets
}

/// Functions that have a test attribute.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let mut is_test = false;
    text.lines().map(str::trim).filter_map(move |line| {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
            return None;
        }
        let (_, name) = line.split_once("fn ").filter(|_| is_test)?;
        is_test = false;
        name.split(['(', '<']).next()
    })
}

fn package(folder: &str) -> Result<String, Failure> {
    let manifest = crate::steps::read(&std::path::Path::new(folder).join("Cargo.toml"))?;
    let name = manifest.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    name.map(str::to_owned).ok_or_else(|| Failure::new(format!("{folder}/Cargo.toml has no name")))
}

#[cfg(test)]
mod tests {
    use super::{Workspace, matching};

    #[test]
    fn tests_are_found_by_what_cargo_calls_them() {
        let files: Workspace = [
            ("api/tests/it/learning/lessons.rs", "#[tokio::test]\nasync fn a_lesson_is_read() {}\nfn helper() {}"),
            ("api/tests/it/users/mod.rs", "#[test]\n#[cfg(unix)]\nfn signs_in() {}"),
            ("api/src/params/page.rs", "mod tests {\n    #[test]\n    fn reads_a_cursor() {}\n}"),
        ]
        .map(|(file, text)| (file.to_owned(), text.to_owned()))
        .into();
        let kinds = |filter| matching("api", &files, filter).into_iter().map(|(_, kind)| kind).collect::<Vec<_>>();
        assert_eq!(kinds("learning::lessons"), ["--tests"]);
        assert_eq!(kinds("users::signs_in"), ["--tests"]);
        assert_eq!(kinds("page::tests::reads"), ["--lib"]);
        assert_eq!(kinds("s_"), ["--lib", "--tests"]);
        assert_eq!(kinds("helper"), [] as [&str; 0]);
    }
}
