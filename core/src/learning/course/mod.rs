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

use serde::Deserialize;

pub use self::document::*;
pub use self::export::{export, export_snapshot, to_json, to_yaml};
pub use self::import::{ImportError, Summary, count, import};
pub use self::library::*;
use self::node::Node;
pub use self::node::Problem;
pub use self::values::Publication;
use crate::schema::Json;

/// Reads a document of at most 10 MB, in YAML or JSON (which is a subset of YAML). An invalid document is rejected as a
/// whole, with its problems in the order of the file: the first [`MAX_FAULTS`](crate::schema::MAX_FAULTS) violations of
/// the schema, and all violations of rules that a schema cannot express. After a syntax error nothing else is checked.
pub fn parse(text: &str) -> Result<Course, Vec<Problem>> {
    // YAML lacks some of what JSON allows in strings, such as pairs of surrogates, so JSON is read as what it is, and as YAML
    // only for the positions of its problems.
    let json = node::read_json(text);
    if let Some(json) = &json
        && problems(&Node::from(&json.value), json).is_empty()
    {
        return typed(json);
    }
    let document = match (node::read(text), &json) {
        (Ok(document), _) => document,
        (Err(_), Some(json)) => Node::from(&json.value),
        (Err(problem), None) => return Err(vec![problem]),
    };
    let json = json.unwrap_or_else(|| document.to_json());
    let problems = problems(&document, &json);
    if problems.is_empty() { typed(&json) } else { Err(problems) }
}

fn problems(document: &Node, json: &Json) -> Vec<Problem> {
    let mut problems = check::check(document, json);
    problems.extend(rules::check(document));
    problems.sort();
    problems
}

fn typed(json: &Json) -> Result<Course, Vec<Problem>> {
    let course = Course::deserialize(&json.value);
    course.map_err(|error| vec![Problem { line: 1, column: 1, message: error.to_string() }])
}
