//! Which file of a crate imports from which.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Import, Module, Path, read};

/// The files of a crate's `src/`, by their path in it (`learning/facts.rs`), and what is in them.
pub(crate) type Files = BTreeMap<String, String>;

/// Arrows between files, each with the line in the first of them that makes it.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    arrows: BTreeMap<String, BTreeMap<String, usize>>,
}

/// A module of the tree, by its path from the crate's root.
struct Node {
    file: String,
    module: Module,
}

struct Tree {
    nodes: BTreeMap<Path, Node>,
}

impl Graph {
    /// Reads all files. What only tests are built with is left out.
    pub(crate) fn of(files: &Files) -> Self {
        let tree = Tree::of(files);
        let mut graph = Self::default();
        for (here, node) in &tree.nodes {
            for (target, line) in tree.targets(here, &node.module) {
                graph.add(&node.file, &target, line);
            }
        }
        graph
    }

    /// The arrows between files.
    pub(crate) fn files(&self) -> Vec<Arrow> {
        self.grouped(|file| Some(file.to_owned()))
    }

    /// The arrows between groups of files, one for each import. Files without a group are left out.
    pub(crate) fn grouped(&self, group: impl Fn(&str) -> Option<String>) -> Vec<Arrow> {
        let mut arrows = Vec::new();
        for (from, targets) in &self.arrows {
            for (to, line) in targets {
                let (Some(from_group), Some(to_group)) = (group(from), group(to)) else { continue };
                if from_group != to_group {
                    let import = format!("{from}:{line} imports from {to}");
                    arrows.push(Arrow { from: from_group, to: to_group, import });
                }
            }
        }
        arrows
    }

    fn add(&mut self, from: &str, to: &str, line: usize) {
        if from != to {
            self.arrows.entry(from.to_owned()).or_default().entry(to.to_owned()).or_insert(line);
        }
    }
}

/// An import between two groups of files (or two files).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrow {
    pub(crate) from: String,
    pub(crate) to: String,
    /// The line that makes it.
    pub(crate) import: String,
}

/// The circles, each as its arrows, shortest first. One that leads through all of a shorter one says nothing new and is
/// left out.
pub(crate) fn circles(arrows: &[Arrow]) -> Vec<Vec<Arrow>> {
    let mut all: Vec<Vec<&Arrow>> = arrows
        .iter()
        // The arrow, and the shortest path from its target back to its origin.
        .filter_map(|arrow| Some([vec![arrow], shortest_path(arrows, &arrow.to, &arrow.from)?].concat()))
        .collect();
    all.sort_by_key(Vec::len);
    let mut seen: Vec<BTreeSet<&str>> = Vec::new();
    all.retain(|circle| {
        let members: BTreeSet<&str> = circle.iter().map(|arrow| arrow.from.as_str()).collect();
        let is_new = !seen.iter().any(|shorter| shorter.is_subset(&members));
        if is_new {
            seen.push(members);
        }
        is_new
    });
    all.into_iter().map(|circle| circle.into_iter().cloned().collect()).collect()
}

fn shortest_path<'a>(arrows: &'a [Arrow], from: &str, to: &str) -> Option<Vec<&'a Arrow>> {
    let mut reached_by: BTreeMap<&str, &Arrow> = BTreeMap::new();
    let mut frontier = vec![from];
    while !frontier.is_empty() {
        let mut next = Vec::new();
        for at in frontier {
            for arrow in arrows.iter().filter(|arrow| arrow.from == at) {
                if arrow.to != from && !reached_by.contains_key(arrow.to.as_str()) {
                    reached_by.insert(&arrow.to, arrow);
                    next.push(arrow.to.as_str());
                }
            }
        }
        if let Some(mut arrow) = reached_by.get(to).copied() {
            let mut path = vec![arrow];
            while arrow.from != from {
                arrow = reached_by[arrow.from.as_str()];
                path.insert(0, arrow);
            }
            return Some(path);
        }
        frontier = next;
    }
    None
}

impl Tree {
    fn of(files: &Files) -> Self {
        let mut tree = Self { nodes: BTreeMap::new() };
        let root = if files.contains_key("lib.rs") { "lib.rs" } else { "main.rs" };
        tree.add(files, root, Vec::new(), None);
        tree
    }

    fn add(&mut self, files: &Files, file: &str, path: Path, inline: Option<Module>) {
        let module = match inline {
            Some(module) => module,
            None => files.get(file).map(|text| read(text)).unwrap_or_default(),
        };
        if module.is_test {
            return;
        }
        for (name, is_test) in &module.children {
            let child: Path = path.iter().chain([name]).cloned().collect();
            let base = child.join("/");
            let candidates = [format!("{base}.rs"), format!("{base}/mod.rs")];
            if let Some(file) = candidates.iter().find(|file| files.contains_key(*file)).filter(|_| !is_test) {
                self.add(files, file, child, None);
            }
        }
        for (name, inside) in &module.inline {
            let child: Path = path.iter().chain([name]).cloned().collect();
            self.add(files, file, child, Some(inside.clone()));
        }
        self.nodes.insert(path, Node { file: file.to_owned(), module });
    }

    /// The files that a module imports from, with the line of each.
    fn targets(&self, here: &Path, module: &Module) -> Vec<(String, usize)> {
        let mut targets = Vec::new();
        for import in &module.imports {
            let Some(path) = absolute(here, module, &import.path) else { continue };
            // `pub use child::Item` is only a re-export: files that use the name import from the child. See `resolve`.
            if import.is_public && path.starts_with(here) {
                continue;
            }
            targets.extend(self.resolve(&path, 0).map(|file| (file, import.line)));
        }
        for (mention, line) in &module.mentions {
            let path = match absolute(here, module, mention) {
                Some(path) => path,
                // A name that is handed on here and used here as well.
                None if self.is_handed_on(here, module, &mention[0]) => here.iter().chain(mention).cloned().collect(),
                None => continue,
            };
            targets.extend(self.resolve(&path, 0).map(|file| (file, *line)));
        }
        targets
    }

    /// Whether `name` comes into the module through `pub use child::*`.
    fn is_handed_on(&self, here: &Path, module: &Module, name: &str) -> bool {
        !module.items.iter().any(|item| item == name)
            && module.imports.iter().filter(|import| import.name == "*").any(|import| {
                absolute(here, module, &import.path)
                    .and_then(|path| self.nodes.get(&path))
                    .is_some_and(|node| node.module.items.iter().any(|item| item == name))
            })
    }

    /// The file that defines what an absolute path names, following re-exports.
    fn resolve(&self, path: &[String], depth: usize) -> Option<String> {
        // The longest part of the path that is a module.
        let length = (0..=path.len()).rev().find(|length| self.nodes.contains_key(&path[..*length]))?;
        let (here, rest) = path.split_at(length);
        let node = self.nodes.get(here)?;
        let Some(item) = rest.first() else { return Some(node.file.clone()) };
        if depth > 8 || node.module.items.contains(item) {
            return Some(node.file.clone());
        }
        let here = here.to_vec();
        let through = |import: &Import| {
            let mut path = absolute(&here, &node.module, &import.path)?;
            if import.name == "*" {
                self.nodes.get(&path).filter(|node| node.module.items.contains(item))?;
                path.push(item.clone());
            }
            self.resolve(&path, depth + 1)
        };
        let named = node.module.imports.iter().filter(|import| import.name == *item || import.name == "*");
        named.into_iter().find_map(through).or_else(|| Some(node.file.clone()))
    }
}

/// A path as it is written in `here`, from the crate's root; `None` if it leads out of the crate.
fn absolute(here: &Path, module: &Module, path: &[String]) -> Option<Path> {
    let first = path.first()?;
    let mut base = here.clone();
    let mut rest = path;
    match first.as_str() {
        "crate" => base.clear(),
        "self" => {}
        "super" => {
            while let Some((_, after)) = rest.split_first().filter(|(first, _)| *first == "super") {
                base.pop();
                rest = after;
            }
            base.extend(rest.iter().cloned());
            return Some(base);
        }
        _ if module.children.contains_key(first) || module.inline.contains_key(first) => {
            base.extend(path.iter().cloned());
            return Some(base);
        }
        _ => {
            let import = module.imports.iter().find(|import| import.name == *first && import.path[0] != *first)?;
            let mut absolute = absolute(here, module, &import.path)?;
            // A name handed on by `pub use` counts where it is used: `is_handed_on` sees to it.
            absolute.extend(rest[1..].iter().cloned());
            return Some(absolute);
        }
    }
    base.extend(rest[1..].iter().cloned());
    Some(base)
}

#[cfg(test)]
mod tests {
    use super::{Files, Graph, circles};

    fn found(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let files: Files = files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
        let circles = circles(&Graph::of(&files).files());
        circles.into_iter().map(|circle| circle.into_iter().map(|arrow| arrow.from).collect()).collect()
    }

    #[test]
    fn a_tree_has_no_circles() {
        let files = [
            ("lib.rs", "pub mod area; mod error; pub mod ground;\npub use error::Error;"),
            ("error.rs", "pub struct Error;"),
            ("ground.rs", "use crate::Error; pub struct Db;"),
            (
                "area/mod.rs",
                "//! Uses `crate::area::a`.\nmod a; pub mod b; mod rows; pub use self::a::A; pub use rows::*;",
            ),
            ("area/a.rs", "use super::b; use super::Row; pub struct A; fn f() { b::g(crate::ground::Db) }"),
            ("area/b.rs", "use crate::{Error, area::Row, ground::Db}; pub fn g(_: Db) {}"),
            ("area/rows.rs", "pub struct Row;"),
        ];
        assert_eq!(found(&files), Vec::<Vec<String>>::new());
    }

    #[test]
    fn two_files_that_import_each_other_are_a_circle_however_it_is_written() {
        let tree = ("lib.rs", "mod a; mod b;");
        let there = ("a.rs", "use crate::b::B; pub struct A;");
        for back in ["use crate::a::A;", "use super::a;", "fn f() { crate::a::A; }", "use super::{a::{self as x}};"] {
            let back = format!("pub struct B; {back}");
            assert_eq!(found(&[tree, there, ("b.rs", &back)]), [["a.rs", "b.rs"]], "{back}");
        }
        // By the name of the folder, and through what hands the item on.
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b; pub struct A; fn f() { b::inner::g() }"),
            ("b/mod.rs", "pub mod inner; pub use inner::*;"),
            ("b/inner.rs", "use crate::a::A; pub fn g() {}"),
        ];
        assert_eq!(found(&files), [["a.rs", "b/inner.rs"]]);
        let files = [files[0], ("a.rs", "use crate::b::g; pub struct A;"), files[2], files[3]];
        assert_eq!(found(&files), [["a.rs", "b/inner.rs"]]);
    }

    #[test]
    fn tests_make_no_circles() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "pub struct A; #[cfg(test)] mod tests { use crate::b::B; }"),
            ("b.rs", "use crate::a::A; pub struct B;"),
        ];
        assert_eq!(found(&files), Vec::<Vec<String>>::new());
    }

    #[test]
    fn a_folder_that_uses_its_files_must_not_define_what_they_import() {
        let child = ("a/child.rs", "use super::Shared; pub fn f(_: Shared) {}");
        for parent in ["use child::f;", "fn g() { child::f(Shared) }", "pub use child::*; fn g(h: H) {}"] {
            let parent = format!("mod child; pub struct Shared; {parent}");
            let child = (child.0, "use super::Shared; pub struct H; pub fn f(_: Shared) {}");
            assert_eq!(found(&[("lib.rs", "mod a;"), ("a/mod.rs", &parent), child]).len(), 1, "{parent}");
        }
        let parent = ("a/mod.rs", "pub mod child; mod shared; pub use child::f; pub use shared::Shared;");
        let files = [("lib.rs", "mod a;"), parent, child, ("a/shared.rs", "pub struct Shared;")];
        assert_eq!(found(&files), Vec::<Vec<String>>::new());
    }

    #[test]
    fn of_circles_within_each_other_the_shortest_is_told() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "use crate::b::B; pub struct A;"),
            ("b.rs", "use crate::a::A; use crate::c::C; pub struct B;"),
            ("c.rs", "use crate::a::A; pub struct C;"),
        ];
        assert_eq!(found(&files), [vec!["a.rs", "b.rs"]]);
        let files = [files[0], files[1], ("b.rs", "use crate::c::C; pub struct B;"), files[3]];
        assert_eq!(found(&files), [vec!["a.rs", "b.rs", "c.rs"]]);
    }
}
