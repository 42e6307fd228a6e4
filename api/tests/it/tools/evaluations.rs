//! Evaluations of instructions.

use serde_json::{Value, json};

use crate::support::TestApp;
use crate::support::crud::{Case, crud_contract};

pub(super) const PATH: &str = "/v1/admin/evaluations";

pub(super) fn evaluation(n: usize) -> Value {
    json!({
        "tool_type": "assistant",
        "name": format!("Evaluation {n}"),
        "cases": [
            {"question": "What is a viewport?", "contains": ["viewport"]},
            {"question": "How do I centre?", "contains": ["flexbox"], "excludes": ["table"]},
        ],
    })
}

#[tokio::test]
async fn evaluations_are_edited_like_every_resource() {
    let app = TestApp::new().await;
    let case = Case {
        noun: "evaluation",
        path: PATH,
        learners: None,
        body: evaluation,
        unique: "name",
        changed: ("is_attached", json!(true)),
        cleared: None,
        refused: vec![
            (json!({"name": ""}), vec![("/name", "too_short")]),
            (json!({"tool_type": "oracle"}), vec![("/tool_type", "not_allowed")]),
            (json!({"cases": []}), vec![("/cases", "too_few")]),
            (json!({"cases": [{"question": ""}]}), vec![("/cases/0/question", "too_short")]),
            (json!({"cases": [{"question": "?", "contains": [""]}]}), vec![("/cases/0/contains/0", "too_short")]),
        ],
        ordered: false,
    };
    crud_contract(&app, case).await;
}
