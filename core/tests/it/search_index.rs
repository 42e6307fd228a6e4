//! `verify` compares the search index with what the texts give.

use cairn_core::admin::verify::{Kind, Mode, Report, verify};
use cairn_core::library::search::{self, Hit, HitKind};
use cairn_testing::database::{TestDb, run, scalar, until_waiting};

/// One object of each kind that can be found, one that cannot, and what counts their words.
const CONTENT: &str = "
    INSERT INTO course_modules (slug, title, publication) VALUES ('module', 'Module', 'published'), ('later', 'L', 'draft');
    INSERT INTO lessons (module_id, slug, title, summary, body, duration_minutes, publication)
        SELECT id, slug || '-lesson', 'A lesson about grids', 'What grids are', repeat('Сетки и гриды: grids. ', 50), 5,
            'published'
        FROM course_modules;
    INSERT INTO prompt_categories (slug, name, kind) VALUES ('category', 'C', 'design');
    INSERT INTO prompts (category_id, slug, title, body, publication)
        SELECT id, 'prompt', 'Write a page', 'Write a page with a grid', 'published' FROM prompt_categories;
    INSERT INTO glossary_terms (slug, term, category, definition, publication)
        VALUES ('grid', 'Grid', 'css', 'Rows and columns', 'published'), ('draft', 'Draft', 'css', 'Not yet', 'draft');
    INSERT INTO style_cards (slug, title, category, description, prompt, tags, publication)
        SELECT 'style', 'Style', (enum_range(NULL::style_category))[1], 'A grid', 'Draw it', '{tag}', 'published';
    INSERT INTO users (id, email, first_name) VALUES ('00000000-0000-0000-0000-0000000000aa', 'a@example.test', 'A');
    INSERT INTO showcase_projects (user_id, title, summary, description, status, published_at)
        VALUES ('00000000-0000-0000-0000-0000000000aa', 'Project', 'A grid', 'Long', 'published', now())";

async fn indexed() -> TestDb {
    let test = TestDb::new().await;
    run(test.pool(), CONTENT).await;
    search::count_terms(&mut test.connect().await).await.unwrap();
    test
}

async fn check(test: &TestDb) -> Report {
    verify(test.pool(), Mode::WhileRunning).await.unwrap()
}

/// What `verify` finds after the statements, which must be of one kind: the stored and the expected value.
async fn only(kind: Kind, statements: &str) -> (serde_json::Value, serde_json::Value) {
    let test = indexed().await;
    run(test.owner(), statements).await;
    let report = check(&test).await;
    let kinds: Vec<Kind> = report.findings.iter().map(|finding| finding.kind).collect();
    assert_eq!((kinds, report.total()), (vec![kind], 1), "{statements}: {report:#?}");
    let difference = report.findings[0].differences[0].clone();
    (difference.stored, difference.expected)
}

#[tokio::test]
async fn an_index_that_triggers_kept_has_no_differences() {
    let test = indexed().await;
    assert!(check(&test).await.is_clean());
    run(
        test.pool(),
        "UPDATE glossary_terms SET term = 'Flexbox' WHERE slug = 'grid';
         UPDATE course_modules SET publication = 'draft';
         UPDATE prompts SET deleted_at = now();
         DELETE FROM style_cards",
    )
    .await;
    assert!(check(&test).await.is_clean(), "the words need not be counted yet");
    search::count_terms(&mut test.connect().await).await.unwrap();
    assert!(check(&test).await.is_clean());
}

/// Whether something can be found depends on what contains it. Whoever of the two comes first is seen by the other.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_edited_while_its_parent_is_edited_is_indexed_as_both_say() {
    const PUBLISH: &str = "UPDATE course_modules SET publication = 'published'";
    const HIDE: &str = "UPDATE course_modules SET publication = 'draft'";
    const REMOVE: &str = "UPDATE prompt_categories SET deleted_at = now()";
    const EDIT: &str = "UPDATE lessons SET body = 'Flexbox'";
    const ADD: &str = "INSERT INTO lessons (module_id, slug, title, summary, body, duration_minutes, publication)
        SELECT id, slug || '-new', 'New', 'New', 'Flexbox', 5, 'published' FROM course_modules";
    const ADD_PROMPT: &str = "INSERT INTO prompts (category_id, slug, title, body, publication)
        SELECT id, 'new', 'New', 'Flexbox', 'published' FROM prompt_categories";
    const EDIT_PROMPT: &str = "UPDATE prompts SET body = 'Flexbox'";
    for (first, second) in [
        (PUBLISH, EDIT),
        (EDIT, PUBLISH),
        (PUBLISH, ADD),
        (ADD, PUBLISH),
        (HIDE, EDIT),
        (EDIT, HIDE),
        (HIDE, ADD),
        (ADD, HIDE),
        (REMOVE, EDIT_PROMPT),
        (EDIT_PROMPT, REMOVE),
        (ADD_PROMPT, REMOVE), // which is refused the other way round
    ] {
        let test = indexed().await;
        let mut open = test.pool().begin().await.unwrap();
        sqlx::raw_sql(first).execute(&mut *open).await.unwrap();
        let pool = test.pool().clone();
        let waiting = tokio::spawn(async move { run(&pool, second).await });
        until_waiting(test.pool(), 1).await;
        open.commit().await.unwrap();
        waiting.await.unwrap();
        search::count_terms(&mut test.connect().await).await.unwrap();
        let report = check(&test).await;
        assert!(report.is_clean(), "{first}, then {second}: {report:#?}");
    }
}

#[tokio::test]
async fn finds_postings_that_are_missing_or_wrong() {
    let grid = "object_id = (SELECT id FROM glossary_terms WHERE slug = 'grid') AND lexeme = 'grid'";
    // A change that its trigger did not see, as in a restore without triggers. The words are not counted in these.
    let uncounted = "; INSERT INTO search_changes DEFAULT VALUES";
    let (stored, expected) =
        only(Kind::SearchIndex, &format!("DELETE FROM search_postings WHERE {grid}{uncounted}")).await;
    assert!(stored.is_null() && expected["grid"][0].as_f64().unwrap() > 1.0, "{stored} {expected}");
    let (stored, _) = only(Kind::SearchIndex, &format!("UPDATE search_postings SET weight = 9 WHERE {grid}")).await;
    assert_eq!(stored["grid"][0], 9.0);
    let (stored, expected) = only(
        Kind::SearchIndex,
        &format!(
            "ALTER TABLE glossary_terms DISABLE TRIGGER USER;
             UPDATE glossary_terms SET definition = 'Flexbox' WHERE slug = 'grid'{uncounted}"
        ),
    )
    .await;
    assert!(stored["row"].is_array() && expected["flexbox"].is_array(), "{stored} {expected}");
}

#[tokio::test]
async fn finds_postings_of_what_cannot_be_found() {
    let add = |id: &str| {
        format!(
            "INSERT INTO search_postings (lexeme, kind, weight, object_id) VALUES ('word', 'glossary_term', 1, ({id}));
             INSERT INTO search_changes DEFAULT VALUES"
        )
    };
    for id in [
        "SELECT id FROM glossary_terms WHERE slug = 'draft'",
        "SELECT id FROM lessons WHERE slug = 'later-lesson'",
        "SELECT gen_random_uuid()",
        "SELECT 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid",
    ] {
        let (stored, expected) = only(Kind::SearchIndex, &add(id)).await;
        assert!(stored["word"].is_array() && expected.is_null(), "{id}: {stored} {expected}");
    }
    // The id of another kind of object, which has postings of its own.
    let (stored, _) = only(Kind::SearchIndex, &add("SELECT id FROM prompts")).await;
    assert!(stored["word"].is_array());
}

#[tokio::test]
async fn finds_passages_that_are_missing_wrong_or_left_over() {
    let lesson = "object_id = (SELECT id FROM lessons WHERE slug = 'module-lesson')";
    let (stored, expected) =
        only(Kind::SearchPassage, &format!("DELETE FROM search_passages WHERE {lesson} AND nth = 1")).await;
    assert!(stored.is_null() && expected.as_str().unwrap().starts_with("Сетки и гриды"), "{stored} {expected}");
    let (stored, _) =
        only(Kind::SearchPassage, &format!("UPDATE search_passages SET content = 'x' WHERE {lesson} AND nth = 1"))
            .await;
    assert_eq!(stored, "x");
    let (stored, expected) =
        only(Kind::SearchPassage, &format!("UPDATE search_passages SET vector = '' WHERE {lesson} AND nth = 1")).await;
    assert_eq!(stored, expected);
    for id in ["SELECT id FROM lessons WHERE slug = 'later-lesson'", "SELECT gen_random_uuid()"] {
        let statement = format!(
            "INSERT INTO search_passages (object_id, kind, nth, content, vector) VALUES (({id}), 'lesson', 1, 'secret', '')"
        );
        let (stored, expected) = only(Kind::SearchPassage, &statement).await;
        assert!(stored == "secret" && expected.is_null(), "{id}: {stored} {expected}");
    }
}

/// Learners ask in words that no text contains. What they are shown is the text.
#[tokio::test]
async fn a_lesson_is_found_by_the_questions_that_it_answers_and_its_text_is_quoted() {
    const QUESTION: &str = "Why is everything so tiny on my telephone?";
    async fn found(test: &TestDb, question: &str) -> Vec<Hit> {
        search::answering(&mut test.connect().await, question, &[HitKind::Lesson], 5).await.unwrap()
    }
    let test = indexed().await;
    assert!(found(&test, QUESTION).await.is_empty());
    let ask = format!("UPDATE lessons SET questions = ARRAY['{QUESTION}', 'How do I add another column to a grid?']");
    run(test.pool(), ask.as_str()).await;
    let hits = found(&test, QUESTION).await;
    // That of the module that is a draft is not found.
    assert_eq!(hits.iter().map(|hit| hit.slug.as_str()).collect::<Vec<_>>(), ["module-lesson"]);
    assert_eq!((hits[0].passage.as_deref(), hits[0].about.as_str()), (None, "What grids are"));
    let hits = found(&test, "How do I add a column to a grid on my telephone?").await;
    assert!(hits[0].passage.as_ref().is_some_and(|passage| passage.starts_with("Сетки и гриды")), "{hits:?}");
    assert!(check(&test).await.is_clean());

    run(test.pool(), "UPDATE lessons SET questions = '{Something else}'").await;
    assert!(found(&test, QUESTION).await.is_empty());
    assert!(check(&test).await.is_clean());
    let ask = "UPDATE lessons SET questions = '{Why?}'";
    let (stored, expected) =
        only(Kind::SearchPassage, &format!("{ask}; DELETE FROM search_passages WHERE nth = -1")).await;
    assert!(stored.is_null() && expected == "Why?", "{stored} {expected}");
}

/// Passages end at headings and paragraphs, code stays together, and together they are the whole text.
#[tokio::test]
async fn texts_are_split_into_passages() {
    let test = TestDb::new().await;
    let split = async |text: &str| -> Vec<String> {
        sqlx::query_scalar("SELECT passages_of($1)").bind(text).fetch_all(test.pool()).await.unwrap()
    };
    assert_eq!(split("").await, [""; 0]);
    assert_eq!(split(" \n\n \t\n").await, [""; 0]);
    assert_eq!(
        split("One.\n\nTwo.\n\n## Three\n\nFour.\r\n\r\nFive.").await,
        ["One.\n\nTwo.", "## Three\n\nFour.\n\nFive."]
    );
    let paragraph = "word ".repeat(80);
    let passages = split(&format!("## Heading\n\n{paragraph}\n\n{paragraph}\n\nEnd.")).await;
    assert_eq!(passages.len(), 2, "{passages:?}");
    assert!(passages[0].starts_with("## Heading\n\nword") && passages[1].ends_with("End."));
    let code = format!("```sql\nSELECT 1;\n\n{}\n\n# no heading\n```", "SELECT 2; ".repeat(70));
    assert_eq!(split(&format!("Before.\n\n{code}")).await.len(), 1);
    for text in ["x".repeat(100_000), "слово ".repeat(16_000), "a\n\n".repeat(30_000), "`".repeat(100_000)] {
        let passages = split(&text).await;
        assert!(passages.iter().all(|passage| (1..=1200).contains(&passage.chars().count())));
        let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
        assert_eq!(passages.iter().map(|passage| letters(passage)).sum::<usize>(), letters(&text));
    }
}

#[tokio::test]
async fn finds_words_that_are_counted_wrongly() {
    let (stored, expected) =
        only(Kind::SearchWord, "UPDATE search_lexemes SET objects = 77 WHERE lexeme = 'grid'").await;
    assert_eq!((stored, expected), (77.into(), 5.into()));
    let (stored, expected) = only(Kind::SearchWord, "INSERT INTO search_lexemes VALUES ('nowhere', 1)").await;
    assert_eq!((stored, expected), (1.into(), serde_json::Value::Null));
    only(Kind::SearchWord, "DELETE FROM search_lexemes WHERE lexeme = 'grid'").await;
}

/// Many objects are compared in chunks, and everything that is wrong is counted. The statement of docs/OPERATIONS.md mends it.
#[tokio::test]
async fn all_chunks_are_compared_and_the_index_can_be_written_anew() {
    let test = indexed().await;
    run(
        test.pool(),
        "INSERT INTO glossary_terms (slug, term, category, definition, publication)
             SELECT 'term-' || n, 'Term ' || n, 'css', 'Number ' || n, 'published' FROM generate_series(1, 1500) n",
    )
    .await;
    search::count_terms(&mut test.connect().await).await.unwrap();
    assert!(check(&test).await.is_clean());
    run(test.pool(), "DELETE FROM search_postings WHERE lexeme = 'number'").await;
    let report = check(&test).await;
    let finding = report.of(Kind::SearchIndex).unwrap();
    assert_eq!((finding.total, finding.differences.len()), (1500, 1000));
    assert_eq!(report.of(Kind::SearchWord).unwrap().total, 1);
    let documents = include_str!("../../../docs/OPERATIONS.md");
    let section = documents.split("## The search index").nth(1).unwrap();
    let statements = section.split("```").nth(1).unwrap().strip_prefix("sql\n").unwrap();
    assert!(statements.contains("index_for_search"), "{statements}");
    run(test.pool(), statements).await;
    search::count_terms(&mut test.connect().await).await.unwrap();
    assert!(check(&test).await.is_clean());
    assert_eq!(scalar::<i32>(test.pool(), "SELECT objects FROM search_lexemes WHERE lexeme = 'number'").await, 1500);
}

/// Statistics say that there is little to search in, as on the first day of a platform.
#[tokio::test]
async fn a_search_reads_what_it_finds_and_not_everything() {
    const TERMS: usize = 2000;
    let test = TestDb::with_connections(1).await;
    let pool = test.pool();
    run(pool, "ANALYZE; SET plan_cache_mode = force_generic_plan").await;
    sqlx::query(
        "INSERT INTO glossary_terms (slug, term, category, definition, publication)
         SELECT 'term-' || n, 'Grid ' || n, 'css', 'Rows', 'published' FROM generate_series(1, $1) n",
    )
    .bind(i32::try_from(TERMS).unwrap())
    .execute(pool)
    .await
    .unwrap();
    let mut tx = test.db.begin().await.unwrap();
    search::count_terms(&mut tx).await.unwrap();
    let before = terms_read(&mut tx).await;
    let hits = search::search(&mut tx, "grid", search::HitKind::ALL, 5).await.unwrap();
    let read = terms_read(&mut tx).await - before;
    assert_eq!(hits.len(), 5);
    assert!((5..100).contains(&read), "{read} of {TERMS} terms were read for 5 hits");
}

/// As above, for lessons: only the passages of the best objects are read.
#[tokio::test]
async fn a_search_reads_the_passages_of_the_best_objects_only() {
    let test = TestDb::with_connections(1).await;
    let pool = test.pool();
    run(
        pool,
        "ANALYZE; SET plan_cache_mode = force_generic_plan;
         INSERT INTO course_modules (slug, title, publication) VALUES ('module', 'Module', 'published');
         INSERT INTO lessons (module_id, slug, title, body, duration_minutes, publication)
             SELECT m.id, 'lesson-' || n, 'Grid ' || n, E'## Rows\n\nA grid.\n\n## Columns\n\nA grid.\n\n## Gaps\n\nNone.', 5, 'published'
             FROM course_modules m, generate_series(1, 1000) n",
    )
    .await;
    let mut tx = test.db.begin().await.unwrap();
    search::count_terms(&mut tx).await.unwrap();
    let before = rows_read(&mut tx, "search_passages").await;
    let hits = search::answering(&mut tx, "how do I make a grid", search::HitKind::ALL, 5).await.unwrap();
    let read = rows_read(&mut tx, "search_passages").await - before;
    assert_eq!(hits.len(), 5);
    assert_eq!(hits[0].passage.as_deref(), Some("## Rows\n\nA grid."));
    assert!((5..=100).contains(&read), "{read} of 3000 passages were read for 5 hits");
}

async fn terms_read(connection: &mut sqlx::PgConnection) -> i64 {
    rows_read(connection, "glossary_terms").await
}

async fn rows_read(connection: &mut sqlx::PgConnection, table: &str) -> i64 {
    sqlx::query_scalar(
        "SELECT (seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_xact_user_tables WHERE relname = $1",
    )
    .bind(table)
    .fetch_one(connection)
    .await
    .unwrap()
}
