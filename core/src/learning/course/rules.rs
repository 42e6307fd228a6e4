//! Rules that a schema cannot express: uniqueness and references. They are checked on everything that could be parsed, so
//! that their problems are reported together with those of [`super::check`].

use std::collections::HashMap;

use super::check::shown;
use super::node::{At, Node, Problem, Value};

/// Returns all violations, in no particular order.
pub(super) fn check(document: &Node) -> Vec<Problem> {
    let mut problems = Vec::new();
    let lessons: Vec<&Node> = document.items("modules").iter().flat_map(|module| module.items("lessons")).collect();
    let categories = document.items("prompt_categories");
    for (kind, key) in [
        ("module", "modules"),
        ("roadmap", "roadmaps"),
        ("style", "styles"),
        ("glossary term", "glossary"),
        ("prompt category", "prompt_categories"),
        ("prompt", "prompts"),
    ] {
        unique(document.items(key), "slug", kind, "", &mut problems);
    }
    let known_lessons = unique(lessons.iter().copied(), "slug", "lesson", "", &mut problems);
    let known_categories: Vec<&str> = categories.iter().filter_map(|c| Some(c.text("slug")?.0)).collect();
    category_names(categories, &mut problems);
    for lesson in &lessons {
        tasks(lesson, &mut problems);
    }
    for roadmap in document.items("roadmaps") {
        let inside = format!(" in roadmap {}", name_of(roadmap));
        unique(roadmap.items("stages"), "slug", "stage", &inside, &mut problems);
        for stage in roadmap.items("stages") {
            let inside = format!(" in stage {}", name_of(stage));
            for (lesson, at) in unique(stage.items("lessons"), "lesson", "lesson", &inside, &mut problems) {
                if !known_lessons.contains_key(lesson) {
                    let lesson = shown(lesson);
                    problems.push(at.problem(format!("lesson {lesson}{inside} is not defined in any module")));
                }
            }
        }
    }
    for prompt in document.items("prompts") {
        if let Some((category, at)) = prompt.text("category")
            && !known_categories.contains(&category)
        {
            let (category, prompt) = (shown(category), name_of(prompt));
            problems.push(at.problem(format!("category {category} of prompt {prompt} is not in prompt_categories")));
        }
    }
    problems
}

/// Reports repetitions of the text under `key`. Returns each text with its first position.
fn unique<'a>(
    items: impl IntoIterator<Item = &'a Node>,
    key: &str,
    kind: &str,
    inside: &str,
    problems: &mut Vec<Problem>,
) -> HashMap<&'a str, At> {
    let mut first: HashMap<&str, At> = HashMap::new();
    for (text, at) in items.into_iter().filter_map(|item| item.text(key)) {
        if let Some(earlier) = first.get(text) {
            let (text, line) = (shown(text), earlier.line());
            problems.push(at.problem(format!("{kind} {text} occurs twice{inside}, first on line {line}")));
        } else {
            first.insert(text, at);
        }
    }
    first
}

fn category_names(categories: &[Node], problems: &mut Vec<Problem>) {
    let mut first: HashMap<String, At> = HashMap::new();
    for (name, at) in categories.iter().filter_map(|category| category.text("name")) {
        if let Some(earlier) = first.get(&name.to_lowercase()) {
            let (name, line) = (shown(name), earlier.line());
            problems.push(at.problem(format!("two prompt categories are named {name}, the first on line {line}")));
        } else {
            first.insert(name.to_lowercase(), at);
        }
    }
}

fn tasks(lesson: &Node, problems: &mut Vec<Problem>) {
    let inside = format!(" in lesson {}", name_of(lesson));
    unique(lesson.items("tasks"), "slug", "task", &inside, problems);
    let required = |task: &Node| !matches!(task.get("required").map(|node| &node.value), Some(Value::Bool(false)));
    if let Some(("tasks", at)) = lesson.text("completion")
        && !lesson.items("tasks").iter().any(required)
    {
        problems.push(at.problem(format!("completion by tasks{inside} needs at least one required task")));
    }
}

fn name_of(node: &Node) -> String {
    shown(node.text("slug").map_or("?", |(slug, _)| slug))
}
