//! What a program does with Cairn, against a running one. Fails with a clear line where the answer is not as expected.

use std::cell::Cell;
use std::collections::HashSet;

use anyhow::{Context as _, Result, ensure};
use cairn_client::{Client, ClientInfo as _, Error, ResponseValue, connect, problem, reply_events, retrying, types};
use futures::{StreamExt as _, TryStreamExt as _};
use reqwest::StatusCode;
use reqwest::header::{ETAG, HeaderMap, RETRY_AFTER};
use uuid::Uuid;

/// Where Cairn runs, and whom it knows: by default the accounts of `cargo run`.
struct Settings {
    base_url: String,
    password: String,
    invite: String,
    admin: String,
}

impl Settings {
    fn from_environment() -> Self {
        let value = |name, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
        Self {
            base_url: value("CAIRN_URL", "http://127.0.0.1:8080"),
            password: value("CAIRN_PASSWORD", "cairn-demo-2026"),
            invite: value("CAIRN_INVITE", "demo-invite-cairn-2026"),
            admin: value("CAIRN_ADMIN", "admin@demo.test"),
        }
    }

    fn registration(&self, email: &str) -> types::builder::RegisterRequest {
        types::RegisterRequest::builder()
            .email(email)
            .password(self.password.as_str())
            .first_name("Ruth")
            .invite_code(types::RegisterRequestInviteCode::try_from(self.invite.as_str()).ok())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let settings = Settings::from_environment();
    let anonymous = connect(&settings.base_url, None)?;
    let client = register(&settings, &anonymous).await?;
    refresh(&client).await?;
    walk_a_list(&client).await?;
    complete_a_lesson(&client).await?;
    meet_problems(&settings, &anonymous, &client).await?;
    create_once(&client).await?;
    follow_a_reply(&client).await?;
    edit_a_lesson(&settings, &anonymous).await?;
    read_unchanged(&client).await?;
    wait_while_busy().await
}

async fn register(settings: &Settings, anonymous: &Client) -> Result<Client> {
    let body = settings.registration(&format!("{}@client.test", Uuid::new_v4()));
    let signed_in = anonymous.register().body(body).send().await?.into_inner();
    connect(&settings.base_url, Some(signed_in.tokens))
}

async fn refresh(client: &Client) -> Result<()> {
    let first = client.inner().refresh().await?;
    let second = client.inner().refresh().await?;
    ensure!(first.refresh_token != second.refresh_token, "a refresh did not give a new refresh token");
    let me = client.get_me().send().await?;
    ensure!(me.first_name == "Ruth", "the session is not of the person who registered");
    Ok(())
}

async fn walk_a_list(client: &Client) -> Result<()> {
    let mut slugs = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = retrying(|| {
            let request = client.list_terms().limit(7);
            match &cursor {
                Some(cursor) => request.cursor(cursor.as_str()),
                None => request,
            }
            .send()
        });
        let page = page.await?.into_inner();
        slugs.extend(page.items.into_iter().map(|term| term.slug));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    ensure!(slugs.len() > 7, "the glossary has only one page");
    ensure!(slugs.iter().collect::<HashSet<_>>().len() == slugs.len(), "a term came twice");
    Ok(())
}

async fn complete_a_lesson(client: &Client) -> Result<()> {
    let roadmaps = client.list_roadmaps().send().await?.into_inner();
    let roadmap_id = roadmaps.items.first().context("there is no roadmap")?.id;
    let tree = client.get_roadmap().roadmap_id(roadmap_id).send().await?.into_inner();
    let mut lessons = tree.stages.iter().flat_map(|stage| &stage.lessons);
    let lesson = lessons.find(|lesson| !lesson.is_locked && lesson.completion == types::CompletionRule::Manual);
    let lesson = lesson.context("there is no lesson to complete")?;

    let change = client.complete_lesson().lesson_id(lesson.id).send().await?.into_inner();
    ensure!(change.status == types::LessonStatus::Completed, "the lesson is not completed");
    let mark = change.progress.iter().find(|mark| mark.roadmap_id == roadmap_id);
    let seq = mark.context("the change does not name the roadmap")?.seq;
    let progress = client.get_roadmap_progress().roadmap_id(roadmap_id).min_seq(seq).send().await?;
    ensure!(progress.seq >= seq, "the rollup does not include the change");
    ensure!(progress.lessons_completed == 1, "{} lessons are completed", progress.lessons_completed);
    Ok(())
}

async fn meet_problems(settings: &Settings, anonymous: &Client, client: &Client) -> Result<()> {
    let nowhere = Uuid::from_u128(0x7000_8000_0000_0000_0000);
    let missing = problem(client.get_lesson().lesson_id(nowhere).send().await).await?;
    ensure!((missing.status, missing.code.as_str()) == (404, "lesson_not_found"), "{missing:?}");

    let body = settings.registration("no address");
    let invalid = problem(anonymous.register().body(body).send().await).await?;
    ensure!((invalid.status, invalid.code.as_str()) == (422, "invalid_body"), "{invalid:?}");
    // Beside which input to show it.
    let pointer = invalid.errors.first().and_then(|error| error.pointer.as_deref());
    ensure!(pointer == Some("/email"), "{invalid:?}");
    Ok(())
}

async fn create_once(client: &Client) -> Result<()> {
    let key = Uuid::new_v4().to_string();
    let create = |title: &str| {
        let body = types::NewProject::builder().title(title).is_draft(true);
        client.create_project().idempotency_key(key.as_str()).body(body).send()
    };
    let first = create("A page about tides").await?;
    let again = create("A page about tides").await?;
    ensure!(again.id == first.id, "the same key got another answer");
    let mine = client.list_my_projects().send().await?;
    ensure!(mine.items.len() == 1, "{} projects were created", mine.items.len());

    let reused = problem(create("Another page").await).await?;
    ensure!((reused.status, reused.code.as_str()) == (409, "idempotency_key_reused"), "{reused:?}");
    Ok(())
}

async fn follow_a_reply(client: &Client) -> Result<()> {
    let question = types::NewQuestion::builder().message("stub:words=40,gap=50 Why does content come before layout?");
    let asked = client
        .ask_tool()
        .tool_type(types::ToolType::Assistant)
        .idempotency_key(Uuid::new_v4().to_string())
        .body(question)
        .send()
        .await?;

    let mut text = String::new();
    let mut last_event_id = None;
    let mut connections = 0;
    let mut is_finished = false;
    while !is_finished {
        connections += 1;
        ensure!(connections <= 5, "the stream does not come to its end");
        let events = reply_events(client, asked.reply_id, last_event_id.as_deref()).await?;
        // The connection is lost half way, once, on purpose.
        let mut events = events.take(if connections == 1 { 3 } else { usize::MAX });
        while let Some((id, event)) = events.try_next().await? {
            last_event_id = Some(id);
            match event {
                types::ReplyEvent::Chunk(chunk) => text.push_str(&chunk.text),
                types::ReplyEvent::Restart(_) => text.clear(),
                _ => is_finished = true,
            }
        }
    }

    ensure!(connections > 1, "the stream was followed over one connection only");
    let reply = client.get_reply().reply_id(asked.reply_id).send().await?;
    ensure!(reply.state == types::ReplyState::Completed, "the reply is {}", reply.state);
    ensure!(text == reply.text, "the text is not whole, or has something twice: {text:?}");
    Ok(())
}

async fn edit_a_lesson(settings: &Settings, anonymous: &Client) -> Result<()> {
    let credentials =
        types::LoginRequest::builder().email(settings.admin.as_str()).password(settings.password.as_str());
    let signed_in = anonymous.login().body(credentials).send().await?.into_inner();
    let admin = connect(&settings.base_url, Some(signed_in.tokens))?;
    let lessons = admin.list_admin_lessons().limit(1).send().await?;
    let lesson_id = lessons.items.first().context("there is no lesson to edit")?.id;

    let read = admin.get_admin_lesson().lesson_id(lesson_id).send().await?;
    let etag = read.headers().get(ETAG).context("a lesson has no version")?.to_str()?;
    let summary = format!("Edited from Rust, {}.", Uuid::new_v4());
    let edit = || {
        let body =
            types::LessonChanges::builder().summary(types::LessonChangesSummary::try_from(summary.as_str()).ok());
        admin.update_lesson().lesson_id(lesson_id).if_match(etag).body(body).send()
    };
    ensure!(edit().await?.summary == summary, "the summary is not changed");

    let stale = problem(edit().await).await?;
    ensure!((stale.status, stale.code.as_str()) == (412, "version_mismatch"), "{stale:?}");
    Ok(())
}

async fn read_unchanged(client: &Client) -> Result<()> {
    let first = client.get_platform_settings().send().await?;
    let etag = first.headers().get(ETAG).context("settings have no ETag")?.to_str()?;
    let again = client.get_platform_settings().if_none_match(etag).send().await;
    let status = again.err().and_then(|error| error.status());
    ensure!(status == Some(StatusCode::NOT_MODIFIED), "unchanged settings are sent again: {status:?}");
    Ok(())
}

/// A service that is busy at first, which a real one is too rarely to wait for.
async fn wait_while_busy() -> Result<()> {
    let calls = Cell::new(0);
    let answer = retrying(async || {
        calls.set(calls.get() + 1);
        if calls.get() > 1 {
            return Ok(ResponseValue::new((), StatusCode::OK, HeaderMap::new()));
        }
        let headers = HeaderMap::from_iter([(RETRY_AFTER, 0.into())]);
        let empty = cairn_client::ByteStream::new(Box::pin(futures::stream::empty()));
        Err(Error::ErrorResponse(ResponseValue::new(empty, StatusCode::SERVICE_UNAVAILABLE, headers)))
    });
    ensure!(answer.await.is_ok() && calls.get() == 2, "a busy service was not asked again");
    Ok(())
}
