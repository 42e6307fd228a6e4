//! The export of the learners' chats.

use futures_util::StreamExt;
use poem::http::Method;

use super::{ASSISTANT, append, asked, begin};
use crate::support::TestApp;

#[tokio::test]
async fn chats_are_exported_whole_and_in_order() {
    let app = TestApp::new().await;
    let ada = app.admin("ada").await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    // More chats and messages than are read at once.
    sqlx::query(
        "WITH learner AS (
             INSERT INTO users (email, first_name) SELECT 'x' || n || '@example.test', 'Learner ' || n
             FROM generate_series(1, 250) n RETURNING id
         )
         INSERT INTO tool_chats (user_id, tool_type) SELECT id, 'ideas' FROM learner",
    )
    .execute(app.app.pool())
    .await
    .unwrap();
    asked(&anna, ASSISTANT, "Hello?").await;
    app.run_jobs().await;
    sqlx::query(
        "INSERT INTO tool_messages (chat_id, role, content, created_at)
         SELECT id, 'user', 'Message ' || n, now() + n * interval '1 second'
         FROM tool_chats, generate_series(1, 130) n WHERE tool_type = 'assistant'",
    )
    .execute(app.app.pool())
    .await
    .unwrap();
    let cancelled = asked(&ben, ASSISTANT, "Мне нужна помощь").await;
    append(&app, &begin(&app, cancelled).await.unwrap(), 1, "Half").await;
    ben.call(Method::POST, &format!("/v1/replies/{cancelled}/cancel")).await.expect(200);
    let export = ada.get("/v1/admin/chats/export").await.expect(200);
    assert!(export.header("content-type").starts_with("text/markdown"));
    assert!(export.header("content-disposition").contains("chats.md"));
    assert_eq!(export.text.matches("\nChat ").count(), 252);
    for n in 1..=250 {
        assert!(export.text.contains(&format!("# Project ideas: Learner {n}, x{n}@example.test\n")), "{n}");
    }
    let of_anna = ada.get(&format!("/v1/admin/chats/export?user_id={}", anna.id)).await.expect(200).text;
    assert!(of_anna.starts_with("# Assistant: anna, anna@example.test\n"), "{of_anna}");
    let messages: Vec<usize> =
        (1..=130).map(|n| of_anna.find(&format!("\n> Message {n}\n")).unwrap_or_else(|| panic!("{n}"))).collect();
    assert!(messages.is_sorted(), "oldest first");
    assert!(of_anna.find("Hello?").unwrap() < messages[0]);
    assert!(export.text.contains(&of_anna));
    let of_tool = ada.get("/v1/admin/chats/export?tool_type=assistant").await.expect(200).text;
    assert_eq!(of_tool.matches("\nChat ").count(), 2);
    assert!(of_tool.contains("## Tool, cancelled, ") && of_tool.contains("\n> Half\n"), "{of_tool}");
    assert!(of_tool.contains("Мне нужна помощь"));
    let both = ada.get(&format!("/v1/admin/chats/export?tool_type=ideas&user_id={}", anna.id)).await.expect(200);
    assert_eq!(both.text, "");
    app.run_jobs().await;
}

/// An admin who loses the role during an export gets nothing more, and can see that the export is incomplete.
#[tokio::test]
async fn an_export_is_cut_when_its_session_ends() {
    let app = TestApp::new().await;
    let (ada, anna) = (app.admin("ada").await, app.student("anna").await);
    app.admin("another, because the last one stays an admin").await;
    asked(&anna, ASSISTANT, "Hello?").await;
    let mut export = ada.get("/v1/admin/chats/export").body().await;
    let first = export.next().await.unwrap().unwrap();
    assert!(String::from_utf8(first).unwrap().starts_with("# Assistant: anna"));
    sqlx::query("UPDATE users SET role = 'student' WHERE id = $1").bind(ada.id).execute(app.app.pool()).await.unwrap();
    assert!(export.next().await.unwrap().is_err());
    app.run_jobs().await;
}
