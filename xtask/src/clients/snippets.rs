//! The snippets of `docs/SDK.md` are pieces of the programs.

use std::fs;
use std::path::Path;

use crate::steps::{Failure, read};

const GUIDE: &str = "docs/SDK.md";

/// Languages of snippets, each with the folder of what they come from.
const SOURCES: [(&str, &str); 3] =
    [("ts", "clients/typescript"), ("python", "clients/python"), ("rust", "clients/rust/src")];

/// Fails with every line of a snippet that is in none of the programs of its language.
pub(crate) fn check() -> Result<(), Failure> {
    let mut findings = Vec::new();
    for (language, folder) in SOURCES {
        let sources = sources(Path::new(folder))?;
        let missing = lines(&read(Path::new(GUIDE))?, language)
            .into_iter()
            .filter(|line| !sources.lines().any(|source| source.trim() == line));
        findings.extend(missing.map(|line| format!("{GUIDE}: `{line}` is not in {folder}")));
    }
    if findings.is_empty() { Ok(()) } else { Err(Failure::new(findings.join("\n  "))) }
}

fn sources(folder: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "ts" || extension == "py" || extension == "rs") {
            text.push_str(&read(&path)?);
        }
    }
    Ok(text)
}

/// The lines of the code blocks in this language.
fn lines(guide: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut block = None;
    for line in guide.lines().map(str::trim) {
        match (line.strip_prefix("```"), block) {
            (Some(name), None) => block = Some(name),
            (Some(_), Some(_)) => block = None,
            (None, Some(name)) if name == language && !line.is_empty() => found.push(line.to_owned()),
            (None, _) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #[test]
    fn snippets_are_told_apart_by_their_language() {
        let guide = "a\n```ts\nconst a = 1;\n\n```\nb\n```python\na = 1\n```\n";
        assert_eq!(super::lines(guide, "ts"), ["const a = 1;"]);
        assert_eq!(super::lines(guide, "python"), ["a = 1"]);
    }
}
