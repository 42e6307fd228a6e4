//! Documents: generated ones are current, written ones name what exists.

use std::collections::BTreeSet;
use std::path::Path;

use crate::rules;
use crate::steps::{Failure, built, read};

/// Generated documents, and the command that prints each.
const GENERATED: [(&str, &[&str]); 2] =
    [("openapi.json", &["openapi"]), ("docs/course.schema.json", &["course-schema"])];

/// The document that names for each risk the test that shows how it is held.
const SECURITY: &str = "docs/SECURITY.md";
const AI: &str = "docs/AI.md";

/// Where written documents lie.
const FOLDERS: [&str; 5] = [".", "docs", "docs/adr", "clients", "migrations"];

/// Rewrites the generated documents with the program that was built last.
pub(crate) fn write() -> Result<(), Failure> {
    for (path, arguments) in GENERATED {
        let text = built("cairn", arguments).output()?;
        std::fs::write(path, text).map_err(|error| Failure::new(format!("{path}: {error}")))?;
    }
    Ok(())
}

/// Fails when a generated document is not what the program that was built last prints.
pub(crate) fn are_current() -> Result<(), Failure> {
    for (path, arguments) in GENERATED {
        let text = built("cairn", arguments).output()?;
        if std::fs::read(path).unwrap_or_default() != text {
            return Err(Failure::new(format!(
                "{path} is not what the code says: run `cargo xtask regen` and commit it"
            )));
        }
    }
    Ok(())
}

/// Fails when a written document links to a file or names a test that does not exist.
pub(crate) fn check() -> Result<(), Failure> {
    let mut findings = Vec::new();
    for folder in FOLDERS {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let text = read(&path)?;
                let document = path.strip_prefix(".").unwrap_or(&path).display().to_string();
                findings.extend(broken_links(&document, Path::new(folder), &text));
                findings.extend(missing_tests(&document, &text));
                if [SECURITY, AI].contains(&document.as_str()) {
                    findings.extend(missing_functions(&document, &text, &sources()?));
                }
            }
        }
    }
    if findings.is_empty() { Ok(()) } else { Err(Failure::new(findings.join("\n  "))) }
}

/// The sources and tests of all crates.
fn sources() -> Result<Vec<String>, Failure> {
    let mut texts = Vec::new();
    for folder in rules::members()? {
        texts.extend(rules::rust_files(&folder)?.into_values());
    }
    Ok(texts)
}

/// Tests that are named, by their function alone, in the last column of a table and do not exist.
fn missing_functions(document: &str, text: &str, sources: &[String]) -> Vec<String> {
    let last_cells = text.lines().filter_map(|line| line.strip_suffix(" |")?.rsplit_once(" | "));
    let named: BTreeSet<&str> = last_cells.flat_map(|(_, cell)| cell.split('`').skip(1).step_by(2)).collect();
    let is_function = |name: &&str| {
        name.contains('_') && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let exists = |name: &str| sources.iter().any(|source| source.contains(&format!("fn {name}(")));
    let missing = named.into_iter().filter(is_function).filter(|name| !exists(name));
    missing.map(|name| format!("{document}: names the test {name}, which does not exist")).collect()
}

/// Relative links whose file does not exist.
fn broken_links(document: &str, folder: &Path, text: &str) -> Vec<String> {
    links(text)
        .filter(|link| !link.contains("://") && !link.starts_with(['#', '<']))
        .filter(|link| !folder.join(link.split('#').next().unwrap_or_default()).exists())
        .map(|link| format!("{document}: links to {link}, which does not exist"))
        .collect()
}

/// Targets of `[text](target)`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(link, _)| link))
}

/// Tests that are named as `file: test` and do not exist.
fn missing_tests(document: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    // Between backticks: every second piece.
    for named in text.split('`').skip(1).step_by(2) {
        let Some((file, function)) = named.split_once(".rs: ") else { continue };
        let file = format!("{file}.rs");
        if !read(Path::new(&file)).is_ok_and(|text| text.contains(&format!("fn {function}("))) {
            findings.push(format!("{document}: names the test {function}, which is not in {file}"));
        }
    }
    findings
}

/// Compares the operations that tests called (a line each in `file`) with those of openapi.json.
pub(crate) fn every_operation_is_exercised(file: &Path) -> Result<(), Failure> {
    let document = read(Path::new("openapi.json"))?;
    // One line each, because the document is written with one key a line.
    let declared: BTreeSet<&str> = document
        .lines()
        .filter_map(|line| line.trim().strip_prefix("\"operationId\": \""))
        .filter_map(|rest| rest.split('"').next())
        .collect();
    let exercised = std::fs::read_to_string(file).unwrap_or_default();
    let exercised: BTreeSet<&str> = exercised.lines().collect();
    let missing: Vec<&str> = declared.difference(&exercised).copied().collect();
    if declared.is_empty() {
        return Err(Failure::new("openapi.json has no operations"));
    }
    if missing.is_empty() { Ok(()) } else { Err(Failure::new(format!("no test calls {}", missing.join(", ")))) }
}

#[cfg(test)]
mod tests {
    use super::{broken_links, missing_tests};
    use std::path::Path;

    #[test]
    fn links_lead_somewhere() {
        let text = "[a](src/documents.rs) [b](https://example.org) [c](#here) [d](src/none.rs#x)";
        assert_eq!(broken_links("x.md", Path::new("."), text), ["x.md: links to src/none.rs#x, which does not exist"]);
    }

    #[test]
    fn named_tests_exist() {
        let text = "`src/documents.rs: named_tests_exist` and `src/documents.rs: another`";
        let found = missing_tests("x.md", text);
        assert_eq!(found, ["x.md: names the test another, which is not in src/documents.rs"]);
    }
}
