//! The sources of replies: only what the answer was given and the learner may see, whatever a model cites.

use cairn_testing::course::Course;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Actor, TestApp};
use crate::tools::{ASSISTANT, asked, begin, complete, reply};

/// A lesson that is open, one that is locked, one that is a draft, one that is deleted, a term and a prompt. All are about grids.
const CONTENT: &str = "
    INSERT INTO course_modules (id, slug, title, publication)
        VALUES ('00000000-0000-7000-8000-00000000000a', 'module', 'Module', 'published');
    INSERT INTO lessons (id, module_id, slug, title, summary, body, duration_minutes, publication, deleted_at)
        SELECT ('00000000-0000-7000-8000-0000000000' || n)::uuid, '00000000-0000-7000-8000-00000000000a', slug,
            'The grid ' || slug, 'Summary of ' || slug, E'## Grids\\n\\nSecret of ' || slug || ' grids.', 5, publication::publication,
            CASE slug WHEN 'deleted' THEN now() END
        FROM (VALUES (11, 'open', 'published'), (12, 'locked', 'published'), (13, 'drafted', 'draft'), (14, 'deleted', 'published'))
            AS l (n, slug, publication);
    INSERT INTO roadmaps (id, slug, title, is_sequential, publication)
        VALUES ('00000000-0000-7000-8000-00000000000b', 'roadmap', 'Roadmap', true, 'published');
    INSERT INTO stages (id, roadmap_id, slug, title, position, publication) VALUES
        ('00000000-0000-7000-8000-00000000000c', '00000000-0000-7000-8000-00000000000b', 'one', 'One', 1, 'published'),
        ('00000000-0000-7000-8000-00000000000d', '00000000-0000-7000-8000-00000000000b', 'two', 'Two', 2, 'published');
    INSERT INTO stage_lessons (stage_id, lesson_id) VALUES
        ('00000000-0000-7000-8000-00000000000c', '00000000-0000-7000-8000-000000000011'),
        ('00000000-0000-7000-8000-00000000000d', '00000000-0000-7000-8000-000000000012');
    INSERT INTO glossary_terms (id, slug, term, definition, publication) VALUES
        ('00000000-0000-7000-8000-000000000021', 'grid', 'Grid', 'Rows and columns.', 'published'),
        ('00000000-0000-7000-8000-000000000022', 'unrelated', 'Cookie', 'Something else.', 'published');
    INSERT INTO prompt_categories (id, slug, name, kind)
        VALUES ('00000000-0000-7000-8000-00000000000e', 'design', 'Design', 'design');
    INSERT INTO prompts (id, category_id, slug, title, body, publication)
        VALUES ('00000000-0000-7000-8000-000000000031', '00000000-0000-7000-8000-00000000000e', 'grids', 'Ask for a grid', 'A grid, please.', 'published')";

const QUESTION: &str = "How do I make a grid?";

async fn school() -> TestApp {
    let app = TestApp::new().await;
    sqlx::raw_sql(CONTENT).execute(app.app.pool()).await.unwrap();
    app
}

fn item(n: u8) -> Uuid {
    format!("00000000-0000-7000-8000-0000000000{n}").parse().unwrap()
}

/// Asks, and has the answer be this text.
async fn answered(app: &TestApp, learner: &Actor, text: &str) -> Value {
    let reply_id = asked(learner, ASSISTANT, QUESTION).await;
    assert_eq!(reply(learner, reply_id).await["sources"], json!([]), "nothing is known before the end");
    assert!(complete(app, &begin(app, reply_id).await.unwrap(), text).await);
    reply(learner, reply_id).await
}

/// The slugs of the sources, and whether the answer used them.
fn sources(reply: &Value) -> Vec<(&str, bool)> {
    let sources = reply["sources"].as_array().unwrap();
    sources.iter().map(|source| (source["slug"].as_str().unwrap(), source["is_used"].as_bool().unwrap())).collect()
}

fn source<'a>(reply: &'a Value, slug: &str) -> &'a Value {
    reply["sources"].as_array().unwrap().iter().find(|source| source["slug"] == slug).unwrap()
}

#[tokio::test]
async fn a_completed_reply_lists_its_sources_and_marks_those_that_it_used() {
    let app = school().await;
    let anna = app.student("anna").await;
    let reply = answered(&app, &anna, &format!("See [1], and the prompt {}. Not [7].", item(31))).await;
    let mut found = sources(&reply);
    let numbers: Vec<i64> =
        reply["sources"].as_array().unwrap().iter().map(|s| s["number"].as_i64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert!(found[0].1, "{found:?}");
    found.sort_unstable();
    assert_eq!(found.iter().map(|(slug, _)| *slug).collect::<Vec<_>>(), ["grid", "grids", "locked", "open"]);
    assert_eq!(found.iter().filter(|(_, is_used)| *is_used).count(), 2, "{found:?}");
    let open = source(&reply, "open");
    assert_eq!(
        (&open["type"], &open["title"], &open["is_locked"]),
        (&json!("lesson"), &json!("The grid open"), &json!(false))
    );
    assert_eq!(open["passage"], "## Grids\n\nSecret of open grids.");
    assert_eq!(source(&reply, "grid")["passage"], "Rows and columns.");
    app.run_jobs().await;
}

#[tokio::test]
async fn nothing_is_shown_of_a_lesson_that_is_locked() {
    let app = school().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT, QUESTION).await;
    let attempt = begin(&app, reply_id).await.unwrap();
    let given = serde_json::to_string(&attempt.request.context).unwrap();
    assert!(given.contains("Secret of open") && !given.contains("Secret of locked"), "{given}");
    assert!(complete(&app, &attempt, "Done.").await);
    let locked = source(&reply(&anna, reply_id).await, "locked").clone();
    assert_eq!((&locked["is_locked"], &locked["passage"]), (&json!(true), &json!("Summary of locked")));
    // What was open when the answer was written is not shown when it is locked later.
    sqlx::raw_sql(
        "INSERT INTO stages (id, roadmap_id, slug, title, position, publication)
         VALUES ('00000000-0000-7000-8000-00000000000f', '00000000-0000-7000-8000-00000000000b', 'three', 'Three', 3, 'published');
         UPDATE stage_lessons SET stage_id = '00000000-0000-7000-8000-00000000000f'
         WHERE lesson_id = '00000000-0000-7000-8000-000000000011';
         INSERT INTO lessons (id, module_id, slug, title, duration_minutes, publication)
         VALUES ('00000000-0000-7000-8000-000000000015', '00000000-0000-7000-8000-00000000000a', 'first', 'First', 5, 'published');
         INSERT INTO stage_lessons (stage_id, lesson_id)
         VALUES ('00000000-0000-7000-8000-00000000000c', '00000000-0000-7000-8000-000000000015')",
    )
    .execute(app.app.pool())
    .await
    .unwrap();
    let open = source(&reply(&anna, reply_id).await, "open").clone();
    assert_eq!((&open["is_locked"], &open["passage"]), (&json!(true), &json!("Summary of open")));
    app.run_jobs().await;
}

#[tokio::test]
async fn what_may_no_longer_be_seen_is_left_out() {
    let app = school().await;
    let anna = app.student("anna").await;
    let before = answered(&app, &anna, "[1] [2] [3] [4]").await;
    assert_eq!(sources(&before).len(), 4);
    sqlx::raw_sql(
        "UPDATE lessons SET publication = 'draft' WHERE slug = 'open'; UPDATE glossary_terms SET deleted_at = now();
         UPDATE prompts SET title = 'Renamed'",
    )
    .execute(app.app.pool())
    .await
    .unwrap();
    let after = anna.get(&format!("/v1/replies/{}", before["id"].as_str().unwrap())).await.expect(200).json;
    let mut left = sources(&after);
    left.sort_unstable();
    assert_eq!(left, [("grids", true), ("locked", true)]);
    assert_eq!(source(&after, "grids")["title"], "Renamed");
    assert_eq!(source(&after, "grids")["number"], source(&before, "grids")["number"], "numbers are those in the text");
    app.run_jobs().await;
}

/// Whatever an answer cites, in whatever form: its sources are those that it was given, each can be got by the learner, and
/// those that are marked are cited.
#[tokio::test(flavor = "multi_thread")]
async fn no_answer_makes_a_source_of_what_it_was_not_given() {
    let app = school().await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    // A project of somebody else that is not published is foreign.
    let project =
        ben.post("/v1/projects", json!({"title": "Grid of mine", "summary": "A grid"})).await.expect(201).json;
    let foreign: Uuid = project["id"].as_str().unwrap().parse().unwrap();
    let ids = vec![
        item(11),
        item(12),
        item(13),
        item(14),
        item(21),
        item(22),
        item(31),
        foreign,
        anna.id,
        ben.id,
        Uuid::nil(),
    ];
    let citation = prop_oneof![
        prop::sample::select(ids).prop_map(|id| id.to_string()),
        any::<u128>().prop_map(|id| Uuid::from_u128(id).to_string().to_uppercase()),
        (0..120u32).prop_map(|n| format!("[{n}]")),
        (0..9u32, 0..9u32).prop_map(|(a, b)| format!("【{a}, {b}】")),
        prop::sample::select(vec![
            "The grid drafted",
            "THE GRID OPEN",
            "[[1",
            "]",
            "`[2]`",
            "```",
            "<item number=\"9\">",
            "\u{202e}[1]"
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    let mut runner = TestRunner::deterministic();
    let strategy = prop::collection::vec(citation, 1..12).prop_map(|parts| parts.join(" "));
    let texts: Vec<String> = (0..40).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect();
    sqlx::query("UPDATE platform_settings SET value = to_jsonb(100) WHERE key = 'ai.daily_questions'")
        .execute(app.app.pool())
        .await
        .unwrap();
    app.app.settings.invalidate();
    let paths = [("lesson", "/v1/lessons"), ("glossary_term", "/v1/glossary"), ("prompt", "/v1/prompts")];
    for text in texts {
        let reply = answered(&app, &anna, &text).await;
        for source in reply["sources"].as_array().unwrap() {
            let (_, path) = paths.iter().find(|(kind, _)| source["type"] == *kind).unwrap();
            let got = anna.get(&format!("{path}/{}", source["id"].as_str().unwrap())).await.expect(200).json;
            assert_eq!(got["slug"], source["slug"], "{text}");
            let number = source["number"].as_i64().unwrap();
            assert!((1..=4).contains(&number), "{source}");
            if source["is_used"] == true {
                let cited = [
                    number.to_string(),
                    source["id"].as_str().unwrap().to_owned(),
                    source["title"].as_str().unwrap().to_lowercase(),
                ];
                let text = text.to_lowercase();
                assert!(cited.iter().any(|cited| text.contains(cited)), "{source} is not cited by {text}");
            }
        }
        assert_eq!(sources(&reply).len(), 4, "{text}");
    }
    app.run_jobs().await;
}

/// Of two lessons that say the same, each learner is shown the one of the roadmap that they have begun.
#[tokio::test]
async fn the_place_of_a_learner_breaks_ties() {
    let app = TestApp::new().await;
    let course = Course::new(app.app.pool()).await;
    let (one, two) = (course.path(false, &[2]).await, course.path(false, &[2]).await);
    for path in [&one, &two] {
        sqlx::query("UPDATE lessons SET title = 'Grids', body = 'How grids are made.' WHERE id = $1")
            .bind(path.lessons[0][0])
            .execute(app.app.pool())
            .await
            .unwrap();
    }
    for (name, path) in [("anna", &one), ("ben", &two)] {
        let learner = app.student(name).await;
        learner.put(&format!("/v1/lessons/{}/completion", path.lessons[0][1])).await.expect(200);
        app.run_jobs().await;
        let reply = answered(&app, &learner, "See [1].").await;
        assert_eq!(reply["sources"][0]["id"], json!(path.lessons[0][0]), "{name}: {}", reply["sources"]);
    }
    app.run_jobs().await;
}
