//! Sources that are found by their meaning, with an endpoint for embeddings to which pelicans are waterbirds.

use std::collections::HashMap;
use std::time::Duration;

use cairn_core::config::{Config, EmbeddingsConfig};
use cairn_core::db::Db;
use cairn_stub_provider::Stub;
use cairn_worker::embeddings::Meaning;
use prometheus::Registry;
use serde_json::{Value, json};
use uuid::Uuid;

use super::ReplyHarness;

/// Three lessons with several passages each. Only `feeding` is about what the question asks for, in other words.
const CONTENT: &str = "
    INSERT INTO course_modules (id, slug, title, publication)
        VALUES ('00000000-0000-7000-8000-00000000000a', 'module', 'Module', 'published');
    INSERT INTO lessons (id, module_id, slug, title, summary, body, duration_minutes, publication)
        SELECT ('00000000-0000-7000-8000-0000000000' || n)::uuid, '00000000-0000-7000-8000-00000000000a', slug, title, summary,
            body, 5, 'published'
        FROM (VALUES
            (11, 'feeding', 'Food and drink', 'In short', E'## Morning\\n\\nThe pelican eats fish.\\n\\n## Evening\\n\\nIt sleeps.'),
            (12, 'flight', 'Up in the air', 'About wings', E'## Start\\n\\nIt jumps.\\n\\n## End\\n\\nIt lands.'),
            (13, 'nests', 'At home', 'About twigs', E'## Building\\n\\nTwig by twig.\\n\\n## Repairs\\n\\nMore of them.')
        ) AS l (n, slug, title, summary, body)";

const QUESTION: &str = "stub:words=3 waterbird?";

/// A school with an endpoint for embeddings.
struct School {
    fixture: ReplyHarness,
    embeddings: Stub,
}

impl School {
    async fn new() -> Self {
        let mut fixture = ReplyHarness::new().await;
        let embeddings = Stub::start().await.unwrap();
        fixture.harness.config.embeddings = Some(config(&embeddings.base_url(), "first"));
        let school = Self { fixture, embeddings };
        school.run(CONTENT).await;
        school
    }

    async fn run(&self, statements: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(self.fixture.harness.pool()).await.unwrap();
    }

    fn db(&self) -> &Db {
        &self.fixture.harness.db
    }

    /// Gets vectors until there is nothing left to do. Returns how many texts got one.
    async fn embed(&self) -> usize {
        let before = self.embeddings.embedded();
        let config = self.fixture.harness.config.embeddings.as_ref().unwrap();
        let meaning = Meaning::new(config, &Registry::new()).unwrap();
        for round in 0.. {
            assert!(round < 20, "there is no end of what is left to do");
            if !meaning.embed(self.db()).await.unwrap() {
                break;
            }
        }
        self.embeddings.embedded() - before
    }

    /// Asks by a worker that has just been started. Returns the sources and whether they were looked for by meaning.
    async fn answered(&self, question: &str) -> (Vec<Value>, Value) {
        let worker = self.fixture.harness.start();
        let reply = self.fixture.ask(question).await;
        self.fixture.completed(reply).await;
        worker.stop().await;
        self.context(reply).await
    }

    async fn context(&self, reply: Uuid) -> (Vec<Value>, Value) {
        let context: Value = sqlx::query_scalar("SELECT context FROM ai_replies WHERE id = $1")
            .bind(reply)
            .fetch_one(self.fixture.harness.pool())
            .await
            .unwrap();
        (context["sources"].as_array().unwrap().clone(), context["by_meaning"].clone())
    }

    /// How many passages have no vector of the configured model.
    async fn without_vector(&self) -> i64 {
        self.fixture.count("SELECT count(*) FROM search_passages WHERE kind = 'lesson' AND embedding IS NULL").await
    }
}

fn config(base_url: &str, model: &str) -> EmbeddingsConfig {
    let values = HashMap::from(
        [("BASE_URL", base_url), ("MODEL", model)]
            .map(|(key, value)| (format!("CAIRN_EMBEDDINGS_{key}"), value.to_owned())),
    );
    Config::from_values(&values).unwrap().embeddings.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_are_found_in_other_words_than_those_of_the_question() {
    let school = School::new().await;
    school.embeddings.set_out(true);
    assert_eq!(school.answered(QUESTION).await.0, Vec::<Value>::new(), "no word matches");
    school.embeddings.set_out(false);
    school.embed().await;
    assert_eq!(school.without_vector().await, 0);
    let (sources, by_meaning) = school.answered(QUESTION).await;
    assert_eq!(by_meaning, json!(true));
    assert_eq!(
        (&sources[0]["title"], &sources[0]["passage"]),
        (&json!("Food and drink"), &json!("## Morning\n\nThe pelican eats fish."))
    );
    let given = school.fixture.stub.requests().pop().unwrap().body.to_string();
    assert!(given.contains("The pelican eats fish."), "{given}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lesson_answers_is_found_by_its_meaning_and_not_quoted() {
    let school = School::new().await;
    school.run("UPDATE lessons SET questions = '{Where does a pelican live?}' WHERE slug = 'nests'").await;
    school.run("UPDATE lessons SET deleted_at = now() WHERE slug = 'feeding'").await;
    school.embed().await;
    let (sources, _) = school.answered(QUESTION).await;
    assert_eq!(sources[0]["title"], "At home");
    assert!(!sources[0].to_string().contains("pelican"), "{}", sources[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_keeps_the_vectors_without_being_asked() {
    let school = School::new().await;
    let worker = school.fixture.harness.start();
    cairn_testing::eventually("all passages have vectors", async || school.without_vector().await == 0).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn words_are_enough_while_the_endpoint_does_not_work() {
    let school = School::new().await;
    school.embed().await;
    school.embeddings.set_out(true);
    let (sources, by_meaning) = school.answered("stub:words=3 What do I need the twigs for, waterbird?").await;
    assert_eq!((&sources[0]["title"], sources.len(), by_meaning), (&json!("At home"), 1, json!(true)));
    // New passages wait until it works again.
    school.run("UPDATE lessons SET body = 'The pelican has moved here.' WHERE slug = 'flight'").await;
    let meaning = Meaning::new(school.fixture.harness.config.embeddings.as_ref().unwrap(), &Registry::new()).unwrap();
    assert!(meaning.embed(school.db()).await.unwrap());
    assert_eq!(school.without_vector().await, 1);
    school.embeddings.set_out(false);
    assert!(!meaning.embed(school.db()).await.unwrap());
    assert_eq!(school.without_vector().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_changed_gets_a_new_vector() {
    let school = School::new().await;
    let all = school.embed().await;
    assert_eq!(all, 9, "three titles with their summaries, and six passages");
    assert_eq!(school.embed().await, 0);
    for (change, texts) in [
        ("UPDATE lessons SET body = replace(body, 'It sleeps', 'It rests') WHERE slug = 'feeding'", 1),
        ("UPDATE lessons SET summary = 'Changed' WHERE slug = 'feeding'", 1),
        ("UPDATE lessons SET title = 'Changed' WHERE slug = 'feeding'", 3),
        ("UPDATE lessons SET body = split_part(body, '## Evening', 1) WHERE slug = 'feeding'", 0),
        ("UPDATE lessons SET duration_minutes = 6", 0),
        ("UPDATE lessons SET publication = 'draft' WHERE slug = 'nests'", 0),
        ("UPDATE lessons SET publication = 'published' WHERE slug = 'nests'", 3),
    ] {
        school.run(change).await;
        assert_eq!(school.embed().await, texts, "{change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_model_gets_vectors_of_its_own() {
    let mut school = School::new().await;
    school.embed().await;
    school.fixture.harness.config.embeddings = Some(config(&school.embeddings.base_url(), "second"));
    let meaning = Meaning::new(school.fixture.harness.config.embeddings.as_ref().unwrap(), &Registry::new()).unwrap();
    assert_eq!(meaning.near(school.db(), QUESTION).await, [], "vectors of another model say nothing");
    assert_eq!(school.embed().await, 9);
    let (sources, _) = school.answered(QUESTION).await;
    assert_eq!(sources[0]["title"], "Food and drink");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_refused_does_not_keep_others_from_their_vectors() {
    // Refused, and one with which the endpoint fails.
    for word in ["unembeddable", "unspeakable"] {
        let school = School::new().await;
        let change = format!("UPDATE lessons SET body = 'This is {word}.' WHERE slug = 'flight'");
        school.run(&change).await;
        assert_eq!(school.embed().await, 7 + 1, "all others, and a text that shows that the endpoint works");
        assert_eq!(school.without_vector().await, 1);
        assert_eq!(school.embed().await, 0, "it is not tried again");
        school.run("UPDATE lessons SET body = 'This is harmless.' WHERE slug = 'flight'").await;
        assert_eq!((school.embed().await, school.without_vector().await), (1, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_refuses_every_text_is_asked_again() {
    let mut school = School::new().await;
    let base_url = school.embeddings.base_url();
    school.fixture.harness.config.embeddings = Some(config(&base_url, "refuses"));
    let meaning = Meaning::new(school.fixture.harness.config.embeddings.as_ref().unwrap(), &Registry::new()).unwrap();
    assert!(meaning.embed(school.db()).await.unwrap(), "there is something left to do");
    let tried = "SELECT count(*) FROM search_passages WHERE embedded_by IS NOT NULL";
    assert_eq!(school.fixture.count(tried).await, 0);
    // One text that is refused, whatever it is, is no reason to give the others up.
    school.run("UPDATE lessons SET body = 'This is unembeddable.', title = 'unembeddable', summary = '' WHERE slug = 'flight'; DELETE FROM lessons WHERE slug <> 'flight'").await;
    school.fixture.harness.config.embeddings = Some(config(&base_url, "works"));
    assert_eq!(school.embed().await, 2, "for each a text that shows that the endpoint works");
    assert_eq!((school.fixture.count(tried).await, school.without_vector().await), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_too_long_for_the_model_is_shortened() {
    let school = School::new().await;
    school.embed().await;
    let question = format!("{QUESTION} {}", "and so on ".repeat(390));
    let (sources, by_meaning) = school.answered(&question).await;
    assert_eq!((&sources[0]["title"], by_meaning), (&json!("Food and drink"), json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_is_not_answerable_for_a_slow_endpoint() {
    let mut school = School::new().await;
    school.fixture.harness.config.embeddings = Some(config(&school.embeddings.base_url(), "slow"));
    school.fixture.ai().limits.first_token = Duration::from_millis(1500);
    let worker = school.fixture.harness.start();
    let reply = school.fixture.ask("stub:words=3 What are twigs for?").await;
    let stored = school.fixture.completed(reply).await;
    worker.stop().await;
    assert_eq!((stored.attempt, stored.ends), (1, vec![None]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_hidden_since_is_not_found() {
    let school = School::new().await;
    school.embed().await;
    let worker = school.fixture.harness.start();
    let ask = async || {
        let reply = school.fixture.ask(QUESTION).await;
        school.fixture.completed(reply).await;
        school.context(reply).await.0.iter().map(|source| source["title"].clone()).collect::<Vec<_>>()
    };
    assert!(ask().await.contains(&json!("Food and drink")));
    // The vectors are still in the memory of the worker.
    school.run("UPDATE lessons SET publication = 'draft' WHERE slug = 'feeding'").await;
    assert!(!ask().await.contains(&json!("Food and drink")));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_attempts_ask_for_the_same() {
    let school = School::new().await;
    school.embed().await;
    let worker = school.fixture.harness.start();
    let reply = school.fixture.ask("stub:words=3,fault=429,times=1 waterbird?").await;
    cairn_testing::eventually("the first attempt has failed", async || {
        school.fixture.count("SELECT count(*) FROM ai_reply_attempts WHERE reason IS NOT NULL").await == 1
    })
    .await;
    school.run("UPDATE lessons SET publication = 'draft' WHERE slug = 'feeding'").await;
    school.fixture.completed(reply).await;
    worker.stop().await;
    let requests = school.fixture.stub.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].body["messages"], requests[1].body["messages"]);
    assert!(requests[1].body.to_string().contains("The pelican eats fish."));
}
