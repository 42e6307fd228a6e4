//! Course documents in and out.

use crate::support::Place;

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
async fn a_course_goes_in_and_comes_out() {
    let place = Place::with_database().await;
    place.write("c.yaml", COURSE);
    assert_eq!(
        place.run(&["import", "--dry-run", "c.yaml"]).ok(),
        "c.yaml: 5 created, 0 updated, 0 unchanged, 0 removed (dry run: nothing was changed)\n"
    );
    assert_eq!(place.run(&["import", "c.yaml"]).ok(), "c.yaml: 5 created, 0 updated, 0 unchanged, 0 removed\n");
    assert_eq!(place.run(&["import", "c.yaml"]).ok(), "c.yaml: 0 created, 0 updated, 5 unchanged, 0 removed\n");
    for format in ["yaml", "json"] {
        let exported = place.run(&["export", "--format", format]);
        let again = place.run_with_input(&["import", "-"], exported.ok());
        assert_eq!(again.ok(), "-: 0 created, 0 updated, 5 unchanged, 0 removed\n", "{}", exported.out);
    }
}

#[tokio::test]
async fn every_problem_of_every_file_is_told_and_nothing_is_imported() {
    let place = Place::with_database().await;
    place.write("good.yaml", COURSE);
    place.write("bad.yaml", &COURSE.replace("lesson: first", "lesson: second").replace("slug: basics", "slug: Basics"));
    place.write("worse.json", "{\"version\": 1, \"modules\": [{}]}");
    let run = place.run(&["import", "good.yaml", "bad.yaml", "worse.json"]);
    run.fails(1, &["4 problems; nothing was imported"]);
    let lines: Vec<&str> = run.err.lines().collect();
    assert!(lines[0].starts_with("bad.yaml:3:11: slug is \"Basics\""), "{run:?}");
    assert_eq!(lines[1], "bad.yaml:11:56: lesson \"second\" in stage \"start\" is not defined in any module");
    assert_eq!(lines[2], "worse.json:1:28: slug is missing in an item of modules");
    let exported = place.run(&["export"]);
    assert_eq!(exported.ok(), "version: 1\n");
}

#[tokio::test]
async fn files_are_all_imported_or_none() {
    let place = Place::with_database().await;
    place.write("a.yaml", "version: 1\nprompt_categories: [{slug: one, name: Same, kind: design}]\n");
    place.write("b.yaml", "version: 1\nprompt_categories: [{slug: two, name: same, kind: design}]\n");
    place.run(&["import", "a.yaml", "b.yaml"]).fails(1, &["does not fit", "(same)"]);
    assert_eq!(place.run(&["export"]).ok(), "version: 1\n");
}

#[test]
fn what_cannot_be_read_is_told() {
    let place = Place::new();
    place.run(&["import", "nowhere.yaml"]).fails(1, &["nowhere.yaml", "No such file"]);
    place.run(&["import", "."]).fails(1, &["cannot read ."]);
    std::fs::write(place.path().join("binary"), [0xff, 0xfe, 0x00]).unwrap();
    place.run(&["import", "binary"]).fails(1, &["cannot read binary", "UTF-8"]);
    place.write("empty", "");
    let run = place.run(&["import", "empty"]);
    run.fails(1, &["1 problem"]);
    assert!(run.err.starts_with("empty:1:1: "), "{run:?}");
}
