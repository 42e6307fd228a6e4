//! The software bill of materials: every crate that is compiled into the programs, with its licence and checksum, in the format of
//! `CycloneDX`.
//!
//! What is in it follows from `Cargo.lock` and the manifests alone, so the same commit always gives the same document.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::steps::{Failure, cargo, read};

/// A crate by name and version.
type Id = (String, String);

/// What `Cargo.lock` says of a crate.
#[derive(Default)]
struct Locked {
    checksum: Option<String>,
    dependencies: Vec<String>,
}

/// Prints the document.
pub(crate) fn print() -> Result<(), Failure> {
    let arguments =
        ["tree", "--workspace", "--locked", "--edges", "normal,build", "--prefix", "none", "--format", "{p}|{l}"];
    let tree = cargo(&arguments).output()?;
    let tree = String::from_utf8(tree).map_err(|error| Failure::new(format!("cargo tree: {error}")))?;
    let lock = read(Path::new("Cargo.lock"))?;
    print!("{}", document(&compiled(&tree), &locked(&lock)));
    Ok(())
}

/// The crates in the output of `cargo tree` with their licences, such as `serde v1.0.0 (proc-macro)|MIT OR Apache-2.0`.
fn compiled(tree: &str) -> BTreeMap<Id, String> {
    let parse = |line: &str| {
        let (package, licence) = line.split_once('|')?;
        let mut words = package.split(' ');
        let id = (words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned());
        // Before SPDX expressions, a slash stood for a choice. A repeated crate is marked with an asterisk.
        let licence = licence.trim_end_matches(" (*)").replace(" / ", " OR ").replace('/', " OR ");
        Some((id, licence))
    };
    tree.lines().filter_map(parse).collect()
}

/// The crates in `Cargo.lock`.
fn locked(lock: &str) -> BTreeMap<Id, Locked> {
    let blocks = lock.split("[[package]]").skip(1);
    let parse = |block: &str| {
        let value = |key: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
            line.map(|value| value.trim_matches('"').to_owned())
        };
        let dependencies =
            block.split_once("dependencies = [").map_or("", |(_, list)| list.split(']').next().unwrap_or(""));
        let dependencies =
            dependencies.lines().map(|line| line.trim().trim_end_matches(',').trim_matches('"').to_owned());
        let dependencies = dependencies.filter(|name| !name.is_empty()).collect();
        Some(((value("name")?, value("version")?), Locked { checksum: value("checksum"), dependencies }))
    };
    blocks.filter_map(parse).collect()
}

fn document(compiled: &BTreeMap<Id, String>, locked: &BTreeMap<Id, Locked>) -> String {
    let components: Vec<String> = compiled.iter().map(|(id, licence)| component(id, licence, locked.get(id))).collect();
    let dependencies: Vec<String> = compiled
        .keys()
        .map(|id| dependency(id, compiled, locked.get(id).map_or(&[], |entry| &entry.dependencies)))
        .collect();
    format!(
        "{{\n  \"bomFormat\": \"CycloneDX\",\n  \"specVersion\": \"1.5\",\n  \"version\": 1,\n  \"metadata\": {{\n    \
         \"component\": {{\"type\": \"application\", \"bom-ref\": \"cairn\", \"name\": \"cairn\"}}\n  }},\n  \
         \"components\": [\n{}\n  ],\n  \"dependencies\": [\n{}\n  ]\n}}\n",
        components.join(",\n"),
        dependencies.join(",\n")
    )
}

fn component((name, version): &Id, licence: &str, locked: Option<&Locked>) -> String {
    let purl = purl(name, version);
    let licences = if licence.is_empty() {
        String::new()
    } else {
        format!(", \"licenses\": [{{\"expression\": {}}}]", json(licence))
    };
    let hashes = locked.and_then(|locked| locked.checksum.as_deref()).map_or_else(String::new, |checksum| {
        format!(", \"hashes\": [{{\"alg\": \"SHA-256\", \"content\": {}}}]", json(checksum))
    });
    format!(
        "    {{\"type\": \"library\", \"bom-ref\": {purl}, \"name\": {}, \"version\": {}, \"purl\": {purl}{licences}{hashes}}}",
        json(name),
        json(version)
    )
}

/// The direct dependencies of a crate among those that are compiled. `Cargo.lock` gives a version only where there are several.
fn dependency((name, version): &Id, compiled: &BTreeMap<Id, String>, names: &[String]) -> String {
    let found: BTreeSet<String> = names
        .iter()
        .flat_map(|entry| {
            let mut words = entry.split(' ');
            let (name, version) = (words.next().unwrap_or_default(), words.next());
            let suits = move |id: &&Id| id.0 == name && version.is_none_or(|version| id.1 == version);
            compiled.keys().filter(suits).map(|(name, version)| purl(name, version)).collect::<Vec<_>>()
        })
        .collect();
    let found: Vec<String> = found.into_iter().collect();
    format!("    {{\"ref\": {}, \"dependsOn\": [{}]}}", purl(name, version), found.join(", "))
}

/// The package URL as JSON.
fn purl(name: &str, version: &str) -> String {
    json(&format!("pkg:cargo/{name}@{}", version.replace('+', "%2B")))
}

fn json(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::{compiled, document, locked};

    const LOCK: &str = "version = 4

[[package]]
name = \"ours\"
version = \"0.1.0\"
dependencies = [
 \"only-for-tests\",
 \"twice 1.0.0\",
]

[[package]]
name = \"twice\"
version = \"1.0.0+x\"
source = \"registry+https://github.com/rust-lang/crates.io-index\"
checksum = \"aa\"

[[package]]
name = \"twice\"
version = \"1.0.0\"
checksum = \"bb\"
";

    #[test]
    fn every_compiled_crate_is_in_it_with_licence_checksum_and_dependencies() {
        let tree = "ours v0.1.0 (/here)|MIT OR Apache-2.0\ntwice v1.0.0|MIT/Apache-2.0\n\ntwice v1.0.0|MIT/Apache-2.0 (*)\nnone v2.0.0 (proc-macro)|\n";
        let text = document(&compiled(tree), &locked(LOCK));
        for line in [
            r#"    {"type": "library", "bom-ref": "pkg:cargo/twice@1.0.0", "name": "twice", "version": "1.0.0", "purl": "pkg:cargo/twice@1.0.0", "licenses": [{"expression": "MIT OR Apache-2.0"}], "hashes": [{"alg": "SHA-256", "content": "bb"}]}"#,
            r#"    {"type": "library", "bom-ref": "pkg:cargo/none@2.0.0", "name": "none", "version": "2.0.0", "purl": "pkg:cargo/none@2.0.0"},"#,
            r#"    {"ref": "pkg:cargo/ours@0.1.0", "dependsOn": ["pkg:cargo/twice@1.0.0"]},"#,
            r#"    {"ref": "pkg:cargo/twice@1.0.0", "dependsOn": []}"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\nin\n{text}");
        }
        assert_eq!(text.matches("pkg:cargo/twice@1.0.0\", \"name\"").count(), 1);
    }
}
