//! Invalid documents, and the positions of their problems.

use super::{Course, parse, schema, to_json, to_yaml};
use crate::schema::{MAX_FAULTS, is_visible};

/// A minimal document with one object of each kind.
const SMALL: &str = "\
version: 1
modules:
  - slug: basics
    title: Basics
    lessons:
      - slug: first
        title: First
        duration_minutes: 5
        tasks:
          - slug: do-it
            title: Do it
      - slug: second
        title: Second
        duration_minutes: 5
roadmaps:
  - slug: way
    title: Way
    stages:
      - slug: start
        title: Start
        lessons:
          - lesson: first
          - lesson: second
prompt_categories:
  - slug: plan
    name: Plan
    kind: planning
prompts:
  - slug: ask
    title: Ask
    category: plan
    body: Ask.
";

/// The problems of a document, one line each.
fn problems(text: &str) -> Vec<String> {
    parse(text).unwrap_err().iter().map(|problem| problem.in_file("c.yaml")).collect()
}

/// The problems after `from` is replaced by `to`.
fn after(from: &str, to: &str) -> Vec<String> {
    assert!(SMALL.contains(from), "{from:?} is not in the document");
    problems(&SMALL.replacen(from, to, 1))
}

#[test]
fn the_small_document_is_right() {
    let course = parse(SMALL).unwrap();
    assert_eq!(course.modules[0].lessons[0].tasks[0].slug, "do-it");
    assert!(course.modules[0].lessons[0].tasks[0].required, "tasks are required by default");
    assert_eq!(course.prompt_categories[0].color, "#64748b");
}

#[test]
fn each_problem_is_told_with_its_place() {
    for (from, to, expected) in [
        (
            "slug: basics",
            "slug: Basics",
            "c.yaml:3:11: slug: Lower-case letters a-z and digits, joined by single hyphens",
        ),
        ("slug: basics", "slug: b", "c.yaml:3:11: slug: At least 2 characters are expected."),
        ("title: Basics", "title: ''", "c.yaml:4:12: title: At least 1 character is expected."),
        ("title: Basics", "title: 2026", "c.yaml:4:12: title: A string is expected; put it in quotes."),
        ("title: Basics", "title:", "c.yaml:4:10: title: A string is expected, not null."),
        ("title: Basics", "titel: Basics", "c.yaml:4:5: titel: There is no such member; is title meant?"),
        ("title: Basics", "titel: Basics", "c.yaml:3:5: title: This member is required."),
        ("title: Basics", "title: A\n    title: B", "c.yaml:5:5: title: This member is there more than once."),
        ("title: Basics", "title: \"a\\ab\"", "c.yaml:4:12: title: The control character U+0007 is not allowed"),
        ("title: Basics", "title: Basics\n    summary: 'x\n\n      y'\n    \"a\\ab\": 1", "c.yaml:8:5: \"a\\u{7}b\": "),
        ("title: Basics", "title: \"a\\0b\"", "c.yaml:4:12: title: The character U+0000 is not allowed."),
        ("duration_minutes: 5", "duration_minutes: 30001", "c.yaml:8:27: duration_minutes: At most 30000 is allowed."),
        ("duration_minutes: 5", "duration_minutes: 0", "c.yaml:8:27: duration_minutes: At least 1 is expected."),
        ("duration_minutes: 5", "duration_minutes: 1.5", "c.yaml:8:27: duration_minutes: A whole number is expected."),
        ("duration_minutes: 5", "duration_minutes: '5'", "c.yaml:8:27: duration_minutes: A whole number is expected."),
        ("title: Way", "title: Way\n    sequential: yes", "c.yaml:18:17: sequential: True or false is expected."),
        (
            "title: Way",
            "title: Way\n    publication: hidden",
            "publication: One of \"draft\", \"published\", \"archived\" is expected.",
        ),
        ("kind: planning", "kind: plan", "c.yaml:27:11: kind: One of \"planning\", \"research\", \"design\""),
        ("kind: planning", "kind: planning\n    color: '#FFFFFF'", "c.yaml:28:12: color: A colour is expected: #"),
        (
            "title: First",
            "title: F\n        video_url: ftp://x",
            "c.yaml:8:20: video_url: An address that starts with http:// or https://",
        ),
        (
            "title: First",
            "title: F\n        completion: all",
            "c.yaml:8:21: completion: One of \"manual\", \"tasks\" is expected.",
        ),
        ("slug: second", "slug: first", "c.yaml:12:15: lesson \"first\" occurs twice, first on line 6"),
        (
            "lesson: second",
            "lesson: first",
            "c.yaml:23:21: lesson \"first\" occurs twice in stage \"start\", first on line 22",
        ),
        (
            "lesson: second",
            "lesson: third",
            "c.yaml:23:21: lesson \"third\" in stage \"start\" is not defined in any module",
        ),
        (
            "category: plan",
            "category: other",
            "c.yaml:31:15: category \"other\" of prompt \"ask\" is not in prompt_categories",
        ),
        ("version: 1", "version: 2", "c.yaml:1:10: version: At most 1 is allowed."),
        ("version: 1", "styles: {}", "c.yaml:1:9: styles: An array is expected."),
        (
            "title: Start",
            "title: S\n      - slug: start\n        title: T",
            "stage \"start\" occurs twice in roadmap \"way\", first on line 19",
        ),
        (
            "title: Do it",
            "title: D\n          - slug: do-it\n            title: E",
            "task \"do-it\" occurs twice in lesson \"first\"",
        ),
    ] {
        let problems = after(from, to);
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected}\nin {problems:#?}");
    }
}

#[test]
fn two_categories_of_one_name_are_refused_whatever_the_case() {
    let problems =
        after("    kind: planning\n", "    kind: planning\n  - slug: other\n    name: PLAN\n    kind: design\n");
    assert_eq!(problems, ["c.yaml:29:11: two prompt categories are named \"PLAN\", the first on line 26"]);
}

#[test]
fn a_lesson_completed_by_tasks_needs_one_that_counts() {
    let without = after("        title: Second\n", "        title: Second\n        completion: tasks\n");
    assert!(
        without[0].contains("c.yaml:14:21: completion by tasks in lesson \"second\" needs at least one required task"),
        "{without:?}"
    );
    let optional = SMALL.replace("title: First\n", "title: First\n        completion: tasks\n");
    assert!(parse(&optional).is_ok());
    let optional = optional.replace("title: Do it", "title: Do it\n            required: false");
    assert!(problems(&optional)[0].contains("needs at least one required task"));
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let text = SMALL
        .replace("slug: basics", "slug: Basics")
        .replace("lesson: second", "lesson: third")
        .replace("kind: planning", "kind: plan")
        .replace("body: Ask.", "body: ''");
    let lines: Vec<String> =
        problems(&text).iter().map(|problem| problem.split(':').nth(1).unwrap_or_default().to_owned()).collect();
    assert_eq!(lines, ["3", "23", "27", "32"]);
}

#[test]
fn long_texts_and_lists_are_refused() {
    let problems = after("title: Basics", &format!("title: {}", "я".repeat(201)));
    assert_eq!(problems, ["c.yaml:4:12: title: At most 200 characters are allowed."]);
    let tags = vec!["tag"; 21].join(", ");
    let problems = after("    body: Ask.", &format!("    body: Ask.\n    tags: [{tags}]"));
    assert_eq!(problems, ["c.yaml:33:11: tags: At most 20 items are allowed."]);
    let huge = format!("{SMALL}\n# {}", "x".repeat(10_000_000));
    assert!(problems_of(&huge).contains("at most 10000000"));
}

fn problems_of(text: &str) -> String {
    problems(text).join("\n")
}

#[test]
fn what_is_no_document_is_refused_in_one_line() {
    for (text, expected) in [
        ("", "the document: An object is expected, not null."),
        ("version: [", "not readable as YAML or JSON"),
        ("a\tb: {", "not readable as YAML or JSON"),
        ("- 1", "the document: An object is expected."),
        ("version: 1\n---\nversion: 1", "only one document is allowed"),
        ("version: &v 1\nmodules: *v", "anchors and aliases"),
        ("version: *v", "anchors and aliases"),
        ("<<: {version: 1}", "<<: There is no such member; known are $schema, version, modules"),
        ("version: .nan", "`.nan` rejected"),
        ("version: .inf", "`.inf` rejected"),
        ("version: 99999999999999999999", "version"),
        (&format!("version: {}{}", "[".repeat(100), "]".repeat(100)), "nested too deeply"),
        (&"[".repeat(1_000_000), "not readable as YAML or JSON"),
    ] {
        let problems = problems(text);
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{problems:?}");
        assert!(problems.iter().all(|problem| !problem.contains('\n')), "{problems:?}");
    }
}

#[test]
fn json_is_read_too() {
    let course = parse(SMALL).unwrap();
    let json = serde_json::to_string_pretty(&course).unwrap();
    assert_eq!(parse(&json).unwrap(), course);
    let wrong = json.replace("\"duration_minutes\": 5", "\"duration_minutes\": 0");
    assert_eq!(problems(&wrong).len(), 2);
}

/// Texts that a YAML writer can get wrong.
const AWKWARD: [&str; 16] = [
    "yes",
    "null",
    "1e3",
    " leading",
    "trailing ",
    "\n\nlines\n\n",
    "  indented\nless",
    "tab\there",
    "colon: here",
    "- dash",
    "# hash",
    "\u{feff}bom",
    "line\r\nfeed",
    "quote\" and ' both",
    "ends\n",
    "é ü я 漢\u{1F600}\u{a0}\u{2028}",
];

/// What of a text may be in a name.
fn visible(text: &str) -> String {
    text.chars().filter(|character| is_visible(*character)).collect()
}

#[test]
fn what_is_written_is_read_again_as_it_was() {
    let mut course: Course = parse(SMALL).unwrap();
    for text in AWKWARD {
        course.modules[0].lessons[0].body = text.to_owned();
        course.prompts[0].body = format!("{}{text}", "word ".repeat(50));
        course.prompts[0].tags = AWKWARD.map(|tag| visible(tag).chars().take(50).collect()).to_vec();
        let yaml = to_yaml(&course).unwrap();
        assert_eq!(parse(&yaml).unwrap_or_else(|problems| panic!("{problems:?}\n{yaml}")), course, "{yaml}");
    }
}

/// JSON as programs write it that know ASCII only.
fn ascii(json: &str) -> String {
    let mut text = String::new();
    for character in json.chars() {
        if character.is_ascii() && character != '\u{7f}' {
            text.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                let escape = format!("\\u{unit:04X}");
                text.push_str(&escape);
            }
        }
    }
    text
}

/// Any character that a text may have. The ones that writers and readers treat in a special way are frequent.
fn accepted() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let special = prop::sample::select(vec![
        '\t',
        '\n',
        '\r',
        '\u{7f}',
        '\u{80}',
        '\u{85}',
        '\u{9b}',
        '\u{9f}',
        '\u{a0}',
        '\u{2028}',
        '\u{2029}',
        '\u{feff}',
        '\u{fffd}',
        '\u{fffe}',
        '\u{ffff}',
        '\u{10ffff}',
        '\u{1f600}',
        '"',
        '\\',
        '\'',
        '#',
        ':',
        '-',
        ' ',
        '/',
    ]);
    let any = any::<char>().prop_filter("no text may have it", |c| *c >= ' ');
    prop::collection::vec(prop_oneof![special, any], 1..40).prop_map(|characters| characters.into_iter().collect())
}

proptest::proptest! {
    #[test]
    fn any_text_that_is_accepted_survives_writing_and_reading(body in accepted(), title in accepted()) {
        let mut course = parse(SMALL).unwrap();
        course.modules[0].lessons[0].body = body;
        course.modules[0].lessons[0].title = format!("T{}", visible(&title).trim());
        let yaml = to_yaml(&course).unwrap();
        proptest::prop_assert_eq!(parse(&yaml).unwrap(), course.clone(), "{}", yaml);
        let raw = serde_json::to_string(&course).unwrap();
        for json in [to_json(&course).unwrap(), ascii(&raw), raw] {
            proptest::prop_assert_eq!(parse(&json).unwrap(), course.clone(), "{}", json);
        }
    }
}

/// An address of the schema, which editors look for, and numbers as programs write them that know floats only.
#[test]
fn what_the_schema_allows_is_read() {
    let course = parse(SMALL).unwrap();
    let yaml = format!("$schema: https://cairn.example/course.schema.json\n{SMALL}");
    let yaml = yaml.replace("version: 1", "version: 1.0").replace("duration_minutes: 5", "duration_minutes: 5.0");
    let read = parse(&yaml).unwrap();
    assert_eq!(Course { schema: None, ..read }, course);
    let mut json = serde_json::to_value(&course).unwrap();
    json["$schema"] = "./course.schema.json".into();
    json["version"] = 1.0.into();
    json["modules"][0]["lessons"][0]["duration_minutes"] = 3e1.into();
    let read = parse(&json.to_string()).unwrap();
    assert_eq!(read.modules[0].lessons[0].duration_minutes, 30);
    assert!(!to_yaml(&read).unwrap().contains("$schema"), "it says nothing of the course");
    json["$schema"] = 1.into();
    assert!(parse(&json.to_string()).is_err());
}

#[test]
fn the_published_schema_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/course.schema.json");
    let published: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(
        published,
        schema(),
        "docs/course.schema.json is out of date: cairn course-schema > docs/course.schema.json"
    );
}

/// Looking for a repeated key among those before it, or noting the whole pointer of each, would take hours and gigabytes.
#[test]
fn a_document_may_have_as_many_keys_as_fit() {
    let distinct: String = (0..240_000).map(|n| format!("k{n}: 0\n")).collect::<Vec<_>>().concat();
    let problems = parse(&format!("version: 1\n{distinct}")).unwrap_err();
    assert_eq!(problems.len(), MAX_FAULTS);
    let within: String =
        (0..20).map(|n| format!("{}{}:\n", " ".repeat(n), "n".repeat(1_000))).collect::<Vec<_>>().concat();
    let repeated = format!("{}k: 0\n", " ".repeat(20)).repeat(240_000);
    let problems = parse(&format!("version: 1\n{within}{repeated}")).unwrap_err();
    assert!((1..=MAX_FAULTS).contains(&problems.len()), "{problems:?}");
}
