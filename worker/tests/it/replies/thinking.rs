//! What a model thinks is shown while it is written, if the instruction allows it, and is no part of anything else.

use super::ReplyHarness;

#[tokio::test(flavor = "multi_thread")]
async fn thoughts_are_shown_only_if_the_instruction_allows_it() {
    let fixture = ReplyHarness::new().await;
    let worker = fixture.harness.start();
    for is_shown in [false, true] {
        sqlx::query("UPDATE ai_system_instructions SET show_thinking = $1")
            .bind(is_shown)
            .execute(fixture.harness.pool())
            .await
            .unwrap();
        let reply = fixture.ask("stub:think=20,words=5,gap=5 Hello?").await;
        let stored = fixture.finished(reply).await;
        assert_eq!(stored.state, "completed");
        let chunks: Vec<(bool, String)> = sqlx::query_as(
            "SELECT is_thinking, string_agg(content, '' ORDER BY seq) FROM ai_reply_chunks WHERE reply_id = $1
             GROUP BY is_thinking ORDER BY is_thinking",
        )
        .bind(reply)
        .fetch_all(fixture.harness.pool())
        .await
        .unwrap();
        assert_eq!(chunks[0], (false, stored.answer.clone().unwrap()), "the text has no thoughts");
        assert_eq!(chunks.len(), 1 + usize::from(is_shown));
        assert!(chunks.get(1).is_none_or(|(_, thoughts)| !thoughts.is_empty()));
        let ordered: Vec<bool> =
            sqlx::query_scalar("SELECT is_thinking FROM ai_reply_chunks WHERE reply_id = $1 ORDER BY seq")
                .bind(reply)
                .fetch_all(fixture.harness.pool())
                .await
                .unwrap();
        assert!(ordered.is_sorted_by(|first, second| first >= second), "thoughts come first: {ordered:?}");
    }
    worker.stop().await;
}
