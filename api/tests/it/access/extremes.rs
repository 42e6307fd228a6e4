//! Whatever fits the document is stored or refused, at the ends of every range too: with real ids, so that it reaches the
//! columns.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::Value;

use super::AREAS;
use super::examples::with_ids;
use super::school::{School, operation};
use super::table::Row;
use crate::bodies::values;

const BODIES: usize = 8;

#[tokio::test]
async fn no_body_that_fits_the_document_fails_below_it() {
    let mut school = School::new(2).await;
    let mut runner = TestRunner::deterministic();
    let mut seen: Vec<&str> = Vec::new();
    let mut stored = 0;
    for row in AREAS.iter().flat_map(|rows| rows.iter()).filter(|row| row.refusal(row.access.first()).is_none()) {
        let schema = &operation(row.operation).description()["requestBody"]["content"]["application/json"]["schema"];
        if schema.is_null() || seen.contains(&row.operation) {
            continue;
        }
        seen.push(row.operation);
        let who = row.access.first();
        let bodies = values(schema);
        for _ in 0..BODIES {
            let own: Value = school.body(row, who).await.unwrap_or_default();
            let body = with_ids(&bodies.new_tree(&mut runner).unwrap().current(), &own);
            let reply = school.call(&Row { body: None, ..*row }, who).await.json(body.clone()).await;
            assert!(!reply.status.is_server_error(), "{}: {reply:?}\n{body:#}", row.operation);
            stored += usize::from(reply.status.is_success());
        }
        school.restore().await;
    }
    assert!(seen.len() > 40 && stored > 40, "{} operations, {stored} successes", seen.len());
}
