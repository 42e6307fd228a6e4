//! Importing and exporting course documents.

use crate::support::Sandbox;

const COURSE: &str = "\
version: 1
modules:
  - slug: basics
    title: Basics
    lessons:
      - {slug: first, title: First, duration_minutes: 5}
roadmaps:
  - slug: way
    title: Way
    stages:
      - {slug: start, title: Start, lessons: [{lesson: first}]}
";

#[tokio::test]
async fn an_exported_course_can_be_imported_again() {
    let sandbox = Sandbox::with_database().await;
    sandbox.write("c.yaml", COURSE);
    assert_eq!(
        sandbox.run(&["import", "--dry-run", "c.yaml"]).ok(),
        "c.yaml: 5 created, 0 updated, 0 unchanged, 0 removed (dry run: nothing was changed)\n"
    );
    assert_eq!(sandbox.run(&["import", "c.yaml"]).ok(), "c.yaml: 5 created, 0 updated, 0 unchanged, 0 removed\n");
    assert_eq!(sandbox.run(&["import", "c.yaml"]).ok(), "c.yaml: 0 created, 0 updated, 5 unchanged, 0 removed\n");
    for format in ["yaml", "json"] {
        let exported = sandbox.run(&["export", "--format", format]);
        let again = sandbox.run_with_input(&["import", "-"], exported.ok());
        assert_eq!(again.ok(), "-: 0 created, 0 updated, 5 unchanged, 0 removed\n", "{}", exported.out);
    }
}

#[tokio::test]
async fn every_problem_of_every_file_is_reported_and_nothing_is_imported() {
    let sandbox = Sandbox::with_database().await;
    sandbox.write("good.yaml", COURSE);
    sandbox
        .write("bad.yaml", &COURSE.replace("lesson: first", "lesson: second").replace("slug: basics", "slug: Basics"));
    sandbox.write("worse.json", "{\"version\": 1, \"modules\": [{}]}");
    let run = sandbox.run(&["import", "good.yaml", "bad.yaml", "worse.json"]);
    run.fails(1, &["4 problems; nothing was imported"]);
    let lines: Vec<&str> = run.err.lines().collect();
    assert!(lines[0].starts_with("bad.yaml:3:11: slug: Lower-case letters"), "{run:?}");
    assert_eq!(lines[1], "bad.yaml:11:56: lesson \"second\" in stage \"start\" is not defined in any module");
    assert_eq!(lines[2], "worse.json:1:28: slug: This member is required.");
    let exported = sandbox.run(&["export"]);
    assert_eq!(exported.ok(), "version: 1\n");
}

#[tokio::test]
async fn either_all_files_are_imported_or_none() {
    let sandbox = Sandbox::with_database().await;
    sandbox.write("a.yaml", "version: 1\nprompt_categories: [{slug: one, name: Same, kind: design}]\n");
    sandbox.write("b.yaml", "version: 1\nprompt_categories: [{slug: two, name: same, kind: design}]\n");
    sandbox.run(&["import", "a.yaml", "b.yaml"]).fails(1, &["conflicts with the database", "(same)"]);
    assert_eq!(sandbox.run(&["export"]).ok(), "version: 1\n");
}

#[test]
fn unreadable_files_are_reported() {
    let sandbox = Sandbox::new();
    sandbox.run(&["import", "nowhere.yaml"]).fails(1, &["nowhere.yaml", "No such file"]);
    sandbox.run(&["import", "."]).fails(1, &["cannot read ."]);
    std::fs::write(sandbox.path().join("binary"), [0xff, 0xfe, 0x00]).unwrap();
    sandbox.run(&["import", "binary"]).fails(1, &["cannot read binary", "UTF-8"]);
    sandbox.write("empty", "");
    let run = sandbox.run(&["import", "empty"]);
    run.fails(1, &["1 problem"]);
    assert!(run.err.starts_with("empty:1:1: "), "{run:?}");
}
