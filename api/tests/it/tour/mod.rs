//! Runs `docs/TOUR.md`: every call in it is made, in order, and every answer is compared with the one that is shown.
//!
//! Jobs run after each call that may have enqueued some. Where a reader waits (`sleep`), the statistics are refreshed.

mod shell;
mod shown;

use std::collections::HashMap;

use cairn_core::actor::Role;
use cairn_core::stats::refresh;
use cairn_core::users::accounts::{self, NewAccount};
use cairn_core::users::password_rules::Password;
use cairn_core::users::passwords::Passwords;
use cairn_core::users::rules::{Email, PersonName};
use poem::http::Method;
use serde_json::Value;

use self::shell::{Command, Request, Step, Variables};
use self::shown::{matches, matches_events};
use crate::support::{Call, TestApp};

const TOUR: &str = include_str!("../../../../docs/TOUR.md");

#[tokio::test]
async fn the_tour_is_true() {
    let mut tour = Tour { app: TestApp::new().await, variables: HashMap::new(), answer: Value::Null };
    let steps = shell::steps(TOUR);
    assert!(steps.len() > 70, "{} steps were found", steps.len());
    for step in &steps {
        tour.take(step).await;
    }
}

/// Where a reader of the tour is.
struct Tour {
    app: TestApp,
    variables: Variables,
    /// The last answer, as in `answer.json`.
    answer: Value,
}

impl Tour {
    async fn take(&mut self, step: &Step) {
        let mut is_shown = step.shown.is_none();
        for command in &step.commands {
            match command {
                Command::Assign { name, value } => {
                    let value = value.text(&self.variables, &self.answer);
                    self.variables.insert(name.clone(), value);
                }
                Command::Curl(words) => {
                    let words: Vec<String> =
                        words.iter().map(|word| word.text(&self.variables, &self.answer)).collect();
                    let shown = step.shown.as_deref().unwrap_or_else(|| panic!("line {}: no answer", step.line));
                    self.call(&Request::parse(&words), shown, step.line).await;
                    is_shown = true;
                }
                Command::CreateAdmin { email, first_name, password } => {
                    self.create_admin(email, first_name, password).await;
                }
                Command::Sleep => self.refresh().await,
            }
        }
        assert!(is_shown, "line {}: an answer without a call", step.line);
    }

    async fn call(&mut self, request: &Request, shown: &str, line: usize) {
        let (status, body) = shown.split_once('\n').unwrap_or((shown, ""));
        let call = self.prepared(request);
        let compared = if body.starts_with("retry:") {
            assert_eq!(status, "200", "line {line}");
            matches_events(body, &mut call.follow().await, &self.variables).await
        } else {
            let reply = call.await;
            assert_eq!(reply.status.as_str(), status, "line {line}: {reply:#?}");
            self.answer = reply.json;
            matches(body, &self.answer, &self.variables)
        };
        if let Err(difference) = compared {
            panic!("docs/TOUR.md, line {line}: {difference}\n{:#}", self.answer);
        }
        if request.method != Method::GET {
            self.app.run_jobs().await;
        }
    }

    fn prepared(&self, request: &Request) -> Call {
        let mut call = self.app.call(request.method.clone(), &request.path);
        for (name, value) in &request.headers {
            call = call.header(name, value);
        }
        match &request.body {
            Some(body) => call.header("Content-Type", "application/json").raw(body.clone()),
            None => call,
        }
    }

    /// Does what `cairn admin create` does.
    async fn create_admin(&self, email: &str, first_name: &str, password: &str) {
        let password_hash = Passwords::patient().hash(&Password::parse(password).unwrap()).await.unwrap();
        let account = NewAccount {
            email: Email::parse(email).unwrap(),
            first_name: PersonName::parse(first_name).unwrap(),
            last_name: None,
            password_hash,
        };
        let mut tx = self.app.app.db.begin().await.unwrap();
        accounts::create(&mut tx, &account, Role::Admin).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Does what the scheduled jobs do while a reader waits.
    async fn refresh(&self) {
        self.app.run_jobs().await;
        let mut has_more = true;
        while has_more {
            let mut tx = self.app.app.db.begin().await.unwrap();
            has_more = refresh::quarters(&mut tx).await.unwrap();
            tx.commit().await.unwrap();
        }
    }
}
