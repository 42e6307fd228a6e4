//! Which crate of the workspace may depend on which.

use std::collections::BTreeMap;

/// Manifests of the workspace's crates, by their folder.
pub(crate) type Manifests = BTreeMap<String, String>;

/// A crate by its folder, and the crates (by name) that it may depend on. Its tests may use any but those of [`NEVER`].
const MAY_USE: [(&str, &[&str]); 17] = [
    ("migrations", &[]),
    ("model", &[]),
    ("postgres", &[]),
    ("server", &[]),
    ("stub-provider", &[]),
    ("testing", &["cairn-core", "cairn-postgres"]),
    ("workspace-hack", &[]),
    ("xtask", &[]),
    ("core", &["cairn-migrations"]),
    ("api", &["cairn-core", "cairn-server"]),
    ("worker", &["cairn-core", "cairn-server"]),
    ("cli", &["cairn-api", "cairn-core", "cairn-migrations", "cairn-postgres", "cairn-worker"]),
    ("attack", &["cairn-core", "cairn-postgres", "cairn-testing"]),
    ("chaos", &["cairn-core", "cairn-model", "cairn-postgres", "cairn-stub-provider", "cairn-testing"]),
    (
        "bench",
        &[
            "cairn-api",
            "cairn-core",
            "cairn-migrations",
            "cairn-postgres",
            "cairn-stub-provider",
            "cairn-testing",
            "cairn-worker",
        ],
    ),
    ("evals", &["cairn-core", "cairn-postgres", "cairn-testing", "cairn-worker"]),
    ("xtask/with-postgres", &["cairn-migrations", "cairn-postgres"]),
];

/// Programs at the top, which nothing depends on, not even tests.
const NEVER: [&str; 5] = ["cairn", "cairn-attack", "cairn-bench", "cairn-chaos", "cairn-evals"];

/// Dependencies between our crates that run against the direction.
pub(crate) fn directions(manifests: &Manifests) -> Vec<String> {
    let mut findings = Vec::new();
    for (folder, manifest) in manifests {
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| name == folder) else {
            findings.push(format!(
                "{folder}/Cargo.toml: a crate that has no place yet; say in MAY_USE in xtask/src/rules/crates.rs what it may depend on"
            ));
            continue;
        };
        for (section, name) in ours(manifest) {
            let is_for_tests = section == "dev-dependencies";
            if NEVER.contains(&name) {
                findings.push(format!(
                    "{folder}/Cargo.toml: depends on {name}, which nothing may depend on; move what is shared into a crate below"
                ));
            } else if !is_for_tests && !allowed.contains(&name) {
                findings.push(format!(
                    "{folder}/Cargo.toml: must not depend on {name}; it may on {}",
                    if allowed.is_empty() { "none of our crates".to_owned() } else { allowed.join(", ") }
                ));
            }
        }
    }
    findings
}

/// Our crates in the dependency sections of a manifest.
fn ours(manifest: &str) -> Vec<(&str, &str)> {
    let mut section = "";
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if section.ends_with("dependencies") && line.starts_with("cairn") {
            let name = line.split(['.', ' ', '=']).next().unwrap_or_default();
            found.push((section, name));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{Manifests, directions};

    fn findings(manifests: &[(&str, &str)]) -> Vec<String> {
        let manifests: Manifests =
            manifests.iter().map(|(folder, text)| ((*folder).to_owned(), (*text).to_owned())).collect();
        directions(&manifests)
    }

    #[test]
    fn dependencies_run_downward() {
        let fine = [
            (
                "core",
                "[dependencies]\ncairn-migrations.workspace = true\n\n[dev-dependencies]\ncairn-postgres.workspace = true",
            ),
            ("api", "[dependencies]\ncairn-core.workspace = true\n[dev-dependencies]\ncairn-worker.workspace = true"),
        ];
        assert_eq!(findings(&fine), Vec::<String>::new());
        let wrong = findings(&[
            ("core", "[dependencies]\ncairn-api = { path = \"../api\" }"),
            ("worker", "[dependencies]\ncairn-core.workspace = true\n[dev-dependencies]\ncairn-chaos.workspace = true"),
            ("news", "[dependencies]"),
        ]);
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(wrong[0].contains("must not depend on cairn-api; it may on cairn-migrations"), "{wrong:?}");
        assert!(wrong[1].starts_with("news/Cargo.toml: a crate that has no place yet"), "{wrong:?}");
        assert!(wrong[2].contains("depends on cairn-chaos"), "{wrong:?}");
    }
}
