//! Every selection of crates builds its dependencies with the same features, so that one build serves all.

use std::collections::{BTreeMap, BTreeSet};

use crate::steps::{Failure, cargo};

/// What people build and test one by one. The rest (`postgres`, `stub-provider`, …) stands below and is built rarely.
const ALONE: [&str; 4] = ["cairn", "cairn-api", "cairn-core", "cairn-worker"];

/// Features that a selection lacks, by package.
pub(crate) fn differences() -> Result<Vec<String>, Failure> {
    let mut missing: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    // First without procedural macros: a package that they use too is built twice, for the platform and for the compiler, and
    // the build for the compiler would hide that the other one differs.
    for edges in ["normal,dev,no-proc-macro", "normal,build,dev"] {
        let all = dependencies(&["--workspace", "--edges", edges])?;
        for (name, edges) in ALONE.iter().flat_map(|name| [(name, edges.to_owned()), (name, edges.replace(",dev", ""))])
        {
            for (package, features) in dependencies(&["--package", name, "--edges", &edges])?.difference(&all) {
                let is_more = |build: &(String, BTreeSet<String>)| build.0 == *package && build.1.is_superset(features);
                let builds = all.iter().filter(|build| is_more(build)).map(|(_, features)| features);
                let nearest = builds.map(|build| build - features).min_by_key(BTreeSet::len).unwrap_or_default();
                missing.entry(package.clone()).or_default().extend(nearest);
            }
        }
    }
    let say = |(package, features): (String, BTreeSet<String>)| {
        let features: Vec<String> = features.into_iter().collect();
        format!(
            "workspace-hack/Cargo.toml: add {package} with the features [{}]: some crates alone would build it without",
            features.join(", ")
        )
    };
    Ok(missing.into_iter().map(say).collect())
}

/// All packages of a selection, each with its features.
fn dependencies(selection: &[&str]) -> Result<BTreeSet<(String, BTreeSet<String>)>, Failure> {
    let format = ["tree", "--locked", "--prefix", "none", "--format", "{p}|{f}"];
    let output = cargo(&[&format[..], selection].concat()).output()?;
    let lines = String::from_utf8_lossy(&output);
    let package = |line: &str| {
        // Marked where the package was printed before.
        let (package, features) = line.trim_end_matches(" (*)").split_once('|')?;
        // Without the path or the note that follow the version.
        let name: Vec<&str> = package.split(' ').take(2).collect();
        Some((name.join(" "), features.split(',').map(str::to_owned).collect()))
    };
    Ok(lines.lines().filter_map(package).collect())
}
