//! Search.

use cairn_core::library::search::{self, Hit, HitKind};
use uuid::Uuid;

use crate::support::TestApp;

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
    search::search(&mut connection, query, 10).await.unwrap()
}

async fn found(app: &TestApp, query: &str) -> Vec<String> {
    search(app, query).await.into_iter().map(|hit| hit.slug).collect()
}

#[tokio::test]
async fn what_learners_may_see_is_found_in_every_form_of_a_word() {
    let app = library().await;
    assert_eq!(found(&app, "flexbox").await, ["flexbox", "grid"], "title before body, nothing hidden");
    assert_eq!(found(&app, "layout column").await, ["flexbox"]);
    assert_eq!(found(&app, "форму").await, ["forms"]);
    assert_eq!(found(&app, "данных пользователя").await, ["forms"]);
    assert_eq!(found(&app, "visible pages").await, ["viewport"]);
    assert_eq!(found(&app, "flexbox -grid").await, ["flexbox"]);
    assert_eq!(found(&app, "\"columns rows\"").await, ["flexbox"], "no such phrase, so any of its words");
    assert_eq!(found(&app, "grid or viewport").await.len(), 2);
}

#[tokio::test]
async fn some_words_are_enough_when_no_text_has_all() {
    let app = library().await;
    assert_eq!(found(&app, "How do I make a viewport with seventeen unicorns?").await, ["viewport"]);
    assert_eq!(found(&app, "unicorn").await, [""; 0]);
    assert_eq!(found(&app, "the of and").await, [""; 0], "stop words only");
}

#[tokio::test]
async fn hits_are_typed_and_show_no_lesson_body() {
    let app = library().await;
    let hits = search(&app, "zebra").await;
    assert_eq!(hits.len(), 1);
    assert_eq!((hits[0].kind, hits[0].title.as_str()), (HitKind::Lesson, "Flexbox layouts"));
    assert_eq!(hits[0].snippet, "Rows and columns.");
    assert_ne!(hits[0].id, Uuid::nil());
    assert_eq!(search(&app, "grid").await[0].kind, HitKind::Prompt);
    assert_eq!(search(&app, "grid").await[0].snippet, "Build a layout with grid, not flexbox.");
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
