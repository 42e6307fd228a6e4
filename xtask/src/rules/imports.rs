//! No circles, and no import that runs upward.

use super::graph::{Files, Graph, circles};

/// The storeys of `core/src`, lowest first. A room imports from its own storey and from those below. Rooms are folders
/// and the files beside them.
const STOREYS: [(&str, &[&str]); 3] = [
    (
        "ground",
        &[
            "activity",
            "actor",
            "batcher",
            "bounds",
            "clock",
            "config",
            "db",
            "error",
            "events",
            "failpoint",
            "noun",
            "program",
            "queue",
            "refusal",
            "repetition",
            "resource",
            "schema",
            "settings",
            "shutdown",
            "stream",
            "telemetry",
        ],
    ),
    ("areas", &["audit", "community", "learning", "library", "stats", "tools", "users"]),
    ("top", &["admin", "legacy"]),
];

/// Areas that have routes and tests: everything above the ground, and what of the ground has operations of its own.
pub(crate) fn rooms() -> impl Iterator<Item = &'static str> {
    STOREYS.iter().flat_map(|(_, rooms)| rooms.iter().copied())
}

/// Circles between the files of a crate.
pub(crate) fn file_circles(src: &str, files: &Files) -> Vec<String> {
    let found = circles(&Graph::of(files).files());
    let say = |circle: Vec<_>| {
        describe(src, "files import each other", &circle, "move what both need into a file of its own")
    };
    found.into_iter().map(say).collect()
}

/// Circles between the rooms of `core/src`, and imports that run upward.
pub(crate) fn rooms_of_core(src: &str, files: &Files) -> Vec<String> {
    let arrows = Graph::of(files).grouped(|file| Some(room(file)).filter(|room| *room != "lib").map(str::to_owned));
    let mut findings: Vec<String> = circles(&arrows)
        .into_iter()
        .map(|circle| describe(src, "rooms import each other", &circle, "move what both need to the storey below"))
        .collect();
    for arrow in &arrows {
        let (Some(from), Some(to)) = (storey(&arrow.from), storey(&arrow.to)) else { continue };
        if from < to {
            findings.push(format!(
                "{src}/{}: that is from the storey {:?} up into {:?}; move the item down, or its user up",
                arrow.import, STOREYS[from].0, STOREYS[to].0
            ));
        }
    }
    let mut unknown: Vec<&str> = files.keys().map(|file| room(file)).filter(|room| storey(room).is_none()).collect();
    unknown.dedup();
    for room in unknown.into_iter().filter(|room| *room != "lib") {
        findings.push(format!("{src}/{room}: no storey; name it in STOREYS in xtask/src/rules/imports.rs"));
    }
    findings
}

fn describe(src: &str, what: &str, circle: &[super::graph::Arrow], advice: &str) -> String {
    let mut text = format!("{src}: {what}; {advice}");
    for arrow in circle {
        text.push_str("\n      ");
        text.push_str(&arrow.import);
    }
    text
}

/// The folder or file below `src/` that a file belongs to.
fn room(file: &str) -> &str {
    file.split('/').next().unwrap_or_default().trim_end_matches(".rs")
}

fn storey(room: &str) -> Option<usize> {
    STOREYS.iter().position(|(_, rooms)| rooms.contains(&room))
}

#[cfg(test)]
mod tests {
    use super::{Files, rooms_of_core};

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        let files: Files = files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
        rooms_of_core("core/src", &files)
    }

    #[test]
    fn imports_run_downward() {
        let tree = ("lib.rs", "mod db; mod users; mod tools; mod admin; mod error; pub use error::Error;");
        let files = [
            tree,
            ("error.rs", "pub struct Error;"),
            ("db/mod.rs", "pub mod tx; use crate::Error;"),
            ("db/tx.rs", "pub struct Tx;"),
            ("users/mod.rs", "use crate::db::tx::Tx; pub struct User;"),
            ("tools/mod.rs", "use crate::users::User; pub struct Tool;"),
            ("admin/mod.rs", "use crate::{db::tx::Tx, tools::Tool, users::User};"),
        ];
        assert_eq!(findings(&files), Vec::<String>::new());

        let mut upward = files;
        upward[3].1 = "use crate::users::User; pub struct Tx;";
        let found = findings(&upward).join("\n");
        assert!(found.contains("rooms import each other"), "{found}");
        assert!(
            found.contains(
                "core/src/db/tx.rs:1 imports from users/mod.rs: that is from the storey \"ground\" up into \"areas\""
            ),
            "{found}"
        );
    }

    #[test]
    fn rooms_of_different_files_are_a_circle_though_the_files_are_none() {
        let found = findings(&[
            ("lib.rs", "mod users; mod tools;"),
            ("users/mod.rs", "mod a; mod b;"),
            ("users/a.rs", "use crate::tools::c::C;"),
            ("users/b.rs", "pub struct B;"),
            ("tools/mod.rs", "pub mod c; mod d;"),
            ("tools/c.rs", "pub struct C;"),
            ("tools/d.rs", "use crate::users::b::B;"),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("users/a.rs:1 imports from tools/c.rs"), "{found:?}");
        assert!(found[0].contains("tools/d.rs:1 imports from users/b.rs"), "{found:?}");
    }

    #[test]
    fn every_room_has_a_storey() {
        let found = findings(&[("lib.rs", "mod news;"), ("news/mod.rs", ""), ("news/item.rs", "")]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("core/src/news: no storey"), "{found:?}");
    }
}
