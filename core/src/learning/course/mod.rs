//! Course documents: a whole course as one file, YAML or JSON.
//!
//! [`parse`] reads and checks a document and reports every problem with its line. [`import()`] changes the database to match
//! a document; [`export()`] writes the content of the database as a document.
//!
//! # What an import changes
//!
//! Objects are matched by their slug: tasks within their lesson, stages within their roadmap. Materials and steps have no
//! slug and are matched by their order. A matched object keeps its id, and with it what learners did. A deleted object
//! whose slug is in the document is restored under its old id. For objects that are not in the document:
//!
//! - Modules, lessons, roadmaps, styles, terms, categories and prompts are left as they are, because several documents may
//!   share a database. Archive or delete them by hand.
//! - A task, material or stage is deleted if its lesson or roadmap is in the document, and so is a step whose prompt is.
//!   The next import that contains it restores it. A lesson is removed from a stage that no longer lists it.
//!
//! Importing the same document again writes nothing.

mod check;
mod document;
mod export;
mod import;
mod library;
mod node;
mod rules;
#[cfg(test)]
mod tests;
mod values;

pub use self::document::*;
pub use self::export::{export, export_snapshot, to_yaml};
pub use self::import::{ImportError, Summary, count, import};
pub use self::library::*;
pub use self::node::Problem;
pub use self::values::Publication;

/// Reads a document of at most 10 MB, in YAML or JSON (which is a subset of YAML). An invalid document is rejected as a
/// whole, with its problems in the order of the file: the first [`MAX_FAULTS`](crate::schema::MAX_FAULTS) violations of
/// the schema, and all violations of rules that a schema cannot express. After a syntax error nothing else is checked.
pub fn parse(text: &str) -> Result<Course, Vec<Problem>> {
    let document = node::read(text).map_err(|problem| vec![problem])?;
    let json = document.to_json();
    let mut problems = check::check(&document, &json);
    problems.extend(rules::check(&document));
    if problems.is_empty() {
        serde_json::from_value(json.value).map_err(|error| vec![document.at.problem(error.to_string())])
    } else {
        problems.sort();
        Err(problems)
    }
}
