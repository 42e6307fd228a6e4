//! Where files lie: the same area and the same name in `core/src`, `api/src/routes` and `api/tests/it`.

use std::collections::{BTreeMap, BTreeSet};

/// All Rust files of the workspace and their text, by path.
pub(crate) type Workspace = BTreeMap<String, String>;

const ROUTES: &str = "api/src/routes/";
const TESTS: &str = "api/tests/it/";

/// A module that has children is `mod.rs` in their folder.
pub(crate) fn module_files(workspace: &Workspace) -> Vec<String> {
    let folders: BTreeSet<&str> = workspace.keys().filter_map(|file| Some(file.rsplit_once('/')?.0)).collect();
    let has_folder = |file: &&String| file.strip_suffix(".rs").is_some_and(|stem| folders.contains(stem));
    let say = |file: &String| {
        let stem = file.trim_end_matches(".rs");
        format!("{file}: stands beside the folder of its children; `git mv {file} {stem}/mod.rs`")
    };
    workspace.keys().filter(has_folder).map(say).collect()
}

/// Resources: a file with operations is `api/src/routes/[admin/]<area>/<resource>.rs`, its area is a room of `core/src`,
/// and its tests are `api/tests/it/<area>/<resource>.rs`.
pub(crate) fn resources<'a>(workspace: &Workspace, rooms: impl Iterator<Item = &'a str>) -> Vec<String> {
    let rooms: Vec<&str> = rooms.collect();
    let mut findings = Vec::new();
    let resources = workspace.iter().filter(|(_, text)| text.lines().any(|line| line.trim_start() == "#[OpenApi]"));
    for (file, _) in resources.filter(|(file, _)| file.starts_with("api/src/")) {
        let path = file.strip_prefix(ROUTES).map(|path| path.strip_prefix("admin/").unwrap_or(path));
        let Some((area, resource)) = path.and_then(|path| path.split_once('/')) else {
            findings.push(format!("{file}: has operations; move it to {ROUTES}<area>/ or {ROUTES}admin/<area>/"));
            continue;
        };
        if !rooms.contains(&area) {
            findings.push(format!(
                "{file}: there is no core/src/{area}; name the folder like the room whose rules it serves"
            ));
        }
        let (one, many) =
            (format!("{TESTS}{area}/{resource}"), format!("{TESTS}{area}/{}/", resource.trim_end_matches(".rs")));
        if !workspace.keys().any(|file| *file == one || file.starts_with(&many)) {
            findings.push(format!("{file}: its tests belong into {one}, which does not exist"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{Workspace, module_files, resources};

    fn workspace(files: &[(&str, &str)]) -> Workspace {
        files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn a_module_with_children_is_in_their_folder() {
        let found = module_files(&workspace(&[
            ("core/src/config.rs", ""),
            ("core/src/config/ai.rs", ""),
            ("core/src/db/mod.rs", ""),
            ("core/src/db/tx.rs", ""),
            ("core/src/clock.rs", ""),
        ]));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("`git mv core/src/config.rs core/src/config/mod.rs`"), "{found:?}");
    }

    #[test]
    fn resources_and_their_tests_lie_in_their_area() {
        let operations = "#[OpenApi]\nimpl X {}";
        let found = resources(
            &workspace(&[
                ("api/src/routes/library/styles.rs", operations),
                ("api/src/routes/admin/library/styles.rs", operations),
                ("api/src/routes/library/shared.rs", ""),
                ("api/tests/it/library/styles.rs", ""),
                ("api/src/routes/admin/jobs.rs", operations),
                ("api/src/routes/news/items.rs", operations),
                ("api/src/routes/library/prompts.rs", operations),
                ("api/tests/it/library/prompts/steps.rs", ""),
            ]),
            ["library"].into_iter(),
        );
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("api/src/routes/admin/jobs.rs: has operations; move it to"), "{found:?}");
        assert!(found[1].starts_with("api/src/routes/news/items.rs: there is no core/src/news"), "{found:?}");
        assert!(found[2].contains("its tests belong into api/tests/it/news/items.rs"), "{found:?}");
    }
}
