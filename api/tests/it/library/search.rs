//! Search.

use cairn_core::library::search::{self, Hit, HitKind};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Actor, TestApp};

const CONTENT: &str = "
    INSERT INTO course_modules (id, slug, title, publication) VALUES
        ('00000000-0000-7000-8000-000000000001', 'shown', 'Shown', 'published'),
        ('00000000-0000-7000-8000-000000000002', 'hidden', 'Hidden', 'draft');
    INSERT INTO lessons (module_id, slug, title, summary, body, duration_minutes, publication, deleted_at) VALUES
        ('00000000-0000-7000-8000-000000000001', 'flexbox', 'Flexbox layouts', 'Rows and columns.', 'Secret body zebra.', 5, 'published', NULL),
        ('00000000-0000-7000-8000-000000000001', 'forms', 'Формы и поля', 'Как собирать данные пользователей.', '', 5, 'published', NULL),
        ('00000000-0000-7000-8000-000000000001', 'drafted', 'Flexbox draft', '', '', 5, 'draft', NULL),
        ('00000000-0000-7000-8000-000000000001', 'deleted', 'Flexbox deleted', '', '', 5, 'published', now()),
        ('00000000-0000-7000-8000-000000000002', 'inside', 'Flexbox in a hidden module', '', '', 5, 'published', NULL);
    INSERT INTO prompt_categories (id, slug, name, kind) VALUES
        ('00000000-0000-7000-8000-000000000003', 'design', 'Design', 'design');
    INSERT INTO prompts (category_id, slug, title, body, publication) VALUES
        ('00000000-0000-7000-8000-000000000003', 'grid', 'Ask for a grid', 'Build a layout with grid, not flexbox.', 'published'),
        ('00000000-0000-7000-8000-000000000003', 'grid-draft', 'Draft about flexbox', 'x', 'draft');
    INSERT INTO glossary_terms (slug, term, definition, publication) VALUES
        ('viewport', 'Viewport', 'The part of a page that is visible.', 'published'),
        ('flex-draft', 'Flexbox', 'A draft.', 'draft');
";

async fn library() -> TestApp {
    let app = TestApp::new().await;
    sqlx::raw_sql(CONTENT).execute(app.app.pool()).await.unwrap();
    app
}

async fn search(app: &TestApp, query: &str) -> Vec<Hit> {
    let mut connection = app.app.pool().acquire().await.unwrap();
    search::search(&mut connection, query, HitKind::ALL, 10).await.unwrap()
}

async fn found(app: &TestApp, query: &str) -> Vec<String> {
    search(app, query).await.into_iter().map(|hit| hit.slug).collect()
}

#[tokio::test]
async fn what_learners_may_see_is_found_in_every_form_of_a_word() {
    let app = library().await;
    assert_eq!(found(&app, "flexbox").await, ["flexbox", "grid"], "title before body, nothing hidden");
    assert_eq!(found(&app, "layout column").await, ["flexbox", "grid"], "what has all words comes first");
    assert_eq!(found(&app, "форму").await, ["forms"]);
    assert_eq!(found(&app, "данных пользователя").await, ["forms"]);
    assert_eq!(found(&app, "visible pages").await, ["viewport"]);
    assert_eq!(found(&app, "flexbox -grid").await, ["flexbox"]);
    assert_eq!(found(&app, "\"columns rows\"").await, ["flexbox"]);
    assert_eq!(found(&app, "ФОРМЫ").await, ["forms"]);
    assert_eq!(found(&app, "grid or viewport").await.len(), 2);
}

#[tokio::test]
async fn some_words_are_enough_when_no_text_has_all() {
    let app = library().await;
    assert_eq!(found(&app, "How do I make a viewport with seventeen unicorns?").await, ["viewport"]);
    assert_eq!(found(&app, "unicorn").await, [""; 0]);
    assert_eq!(found(&app, "the of and").await, [""; 0], "stop words only");
}

/// Whoever searches for a word gets what has it. Whoever asks a question gets what answers it, in whatever words.
#[tokio::test]
async fn questions_also_find_words_of_the_same_meaning() {
    let app = library().await;
    assert_eq!(found(&app, "what does a smartphone screen show").await, [""; 0]);
    let mut connection = app.app.pool().acquire().await.unwrap();
    let mut asked = async |question: &str| -> Vec<String> {
        let hits = search::answering(&mut connection, question, HitKind::ALL, 10).await.unwrap();
        hits.into_iter().map(|hit| hit.slug).collect()
    };
    assert_eq!(asked("what does a smartphone screen show").await, ["viewport"]);
    let mut both = asked("- flexbox\n-grid").await;
    both.sort_unstable();
    assert_eq!(both, ["flexbox", "grid"], "a list leaves out nothing");
    assert_eq!(asked("???").await, [""; 0]);
}

#[tokio::test]
async fn hits_are_typed_and_show_no_lesson_body() {
    let app = library().await;
    let hits = search(&app, "zebra").await;
    assert_eq!(hits.len(), 1);
    assert_eq!((hits[0].kind, hits[0].title.as_str()), (HitKind::Lesson, "Flexbox layouts"));
    assert_eq!(hits[0].about, "Rows and columns.");
    assert_ne!(hits[0].id, Uuid::nil());
    assert_eq!(search(&app, "grid").await[0].kind, HitKind::Prompt);
    assert_eq!(search(&app, "grid").await[0].about, "Build a layout with grid, not flexbox.");
    assert_eq!(search(&app, "viewport").await[0].kind, HitKind::GlossaryTerm);
}

#[tokio::test]
async fn any_text_is_a_query() {
    let app = library().await;
    let long_word = "x".repeat(5000);
    let many_words = (0..2000).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ");
    let many_quotes = "\" ' -\"".repeat(500);
    for query in [
        "",
        " ",
        "\0",
        "a\0b",
        "'",
        "\"",
        "''",
        "\\",
        "\\'",
        "'\\",
        "a'b\\c",
        "&",
        "|",
        "!",
        "!!",
        "<->",
        "a <-> ",
        ":*",
        "a:*",
        "a:ABCD",
        "(",
        ")",
        "((",
        "()",
        "-",
        "--",
        "- -",
        "or",
        "OR or",
        "or or a",
        "\"or\"",
        "a & b | c",
        "!a",
        "-a -b",
        "%",
        "_",
        "*",
        ";",
        "--;",
        "$1",
        "http://x.example/a?b=c&d='e'",
        "C:\\temp\\'x'",
        "x@y.example",
        "1.2.3e-4",
        "<b>x</b>",
        "\u{feff}",
        "\u{200b}",
        "\u{202e}",
        "🙂",
        "ё",
        "日本語",
        "\u{1}\u{2}",
        "\n\t\r",
        "a\u{301}",
        "'\u{0}'",
        "'' ''",
        "\\\\''\\\\",
        &long_word,
        &many_words,
        &many_quotes,
    ] {
        assert!(search(&app, query).await.len() <= 10, "{query}");
    }
    // All strings of three characters that have a special meaning somewhere.
    let signs = ['\'', '"', '\\', '&', '!', '(', '<', '-', ':', 'a'];
    for a in signs {
        for b in signs {
            for c in signs {
                search(&app, &format!("{a}{b}{c}")).await;
            }
        }
    }
}

/// What a search over HTTP finds, as types and slugs.
async fn hits(actor: &Actor, query: &str) -> Vec<(String, String)> {
    let results = actor.get(&format!("/v1/search?{query}")).await.expect(200).json;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    results["items"].as_array().unwrap().iter().map(|hit| (text(&hit["type"]), text(&hit["slug"]))).collect()
}

#[tokio::test]
async fn learners_search_everything_that_they_may_see() {
    let app = library().await;
    let anna = app.student("anna").await;
    let project = anna.post("/v1/projects", json!({"title": "Flexbox garden", "summary": "Plants in rows"})).await;
    let project = project.expect(201).json["id"].as_str().unwrap().to_owned();
    let found = hits(&anna, "q=flexbox").await;
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.contains(&("project".to_owned(), project.clone())), "{found:?}");
    assert_eq!(hits(&anna, "q=flexbox&type=project").await, [("project".to_owned(), project.clone())]);
    assert_eq!(hits(&anna, "q=flexbox&type=lesson&type=prompt").await.len(), 2);
    assert_eq!(hits(&anna, "q=flexbox&limit=1").await.len(), 1);
    let result = anna.get("/v1/search?q=garden").await.expect(200).json;
    assert_eq!(
        result["items"][0]["title"],
        json!([{"text": "Flexbox ", "is_match": false}, {"text": "garden", "is_match": true}])
    );
    anna.delete(&format!("/v1/projects/{project}")).header("If-Match", "\"1\"").await.expect(204);
    assert_eq!(hits(&anna, "q=garden").await, []);
    for wrong in ["", "q=", "q=a&type=user", "q=a&limit=0", "q=a&limit=51"] {
        anna.get(&format!("/v1/search?{wrong}")).invalid().await.expect(400);
    }
    app.get("/v1/search?q=a").await.expect(401);
    app.run_jobs().await;
}

#[tokio::test]
async fn what_changes_is_found_or_not_at_once() {
    let app = library().await;
    for (statement, query, expected) in [
        ("UPDATE lessons SET title = 'Tables' WHERE slug = 'flexbox'", "flexbox", vec!["grid"]),
        ("UPDATE lessons SET publication = 'archived' WHERE slug = 'flexbox'", "tables", vec![]),
        ("UPDATE course_modules SET publication = 'published' WHERE slug = 'hidden'", "hidden module", vec!["inside"]),
        ("UPDATE course_modules SET publication = 'draft' WHERE slug = 'hidden'", "hidden module", vec![]),
        ("UPDATE prompts SET publication = 'archived'", "grid", vec![]),
        ("UPDATE prompts SET publication = 'published' WHERE slug = 'grid'", "grid", vec!["grid"]),
        ("UPDATE glossary_terms SET deleted_at = now()", "viewport", vec![]),
        ("DELETE FROM prompts", "grid", vec![]),
    ] {
        sqlx::raw_sql(statement).execute(app.app.pool()).await.unwrap();
        assert_eq!(found(&app, query).await, expected, "{statement}");
    }
    let stale = "SELECT count(*) FROM search_postings p
                 WHERE NOT EXISTS (SELECT FROM searchable s WHERE s.kind = p.kind AND s.id = p.object_id)";
    assert_eq!(app.count(stale).await, 0);
}

#[tokio::test]
async fn unfinished_and_misspelled_words_are_understood_and_rare_ones_count_more() {
    let app = library().await;
    let mut connection = app.app.pool().acquire().await.unwrap();
    for n in 0..30 {
        sqlx::query("INSERT INTO glossary_terms (slug, term, definition, publication) VALUES ($1, 'Page', 'A common page.', 'published')")
            .bind(format!("page-{n}"))
            .execute(&mut *connection)
            .await
            .unwrap();
    }
    search::count_terms(&mut connection).await.unwrap();
    assert_eq!(found(&app, "viewp").await, ["viewport"]);
    assert_eq!(found(&app, "vewport").await, ["viewport"], "a letter is missing");
    assert_eq!(found(&app, "viewprot").await, ["viewport"], "two letters are swapped");
    assert_eq!(found(&app, "форым").await, ["forms"]);
    assert_eq!(
        found(&app, "page viewport").await[0],
        "viewport",
        "it has the rare word, though both short texts say page"
    );
    // Twice the same, and nothing to count again.
    search::count_terms(&mut connection).await.unwrap();
    let lexemes = "SELECT count(*) FROM search_lexemes WHERE lexeme <> ''";
    assert_eq!(app.count(lexemes).await, app.count("SELECT count(DISTINCT lexeme) FROM search_postings").await);
    sqlx::raw_sql("DELETE FROM glossary_terms").execute(&mut *connection).await.unwrap();
    search::count_terms(&mut connection).await.unwrap();
    assert_eq!(app.count("SELECT count(*) FROM search_lexemes WHERE lexeme = 'viewport'").await, 0);
}
