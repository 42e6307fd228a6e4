//! Attacks on passwords.

use std::time::Duration;

use anyhow::ensure;
use cairn_core::actor::Role;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::client::{USERS, json_client};
use crate::target::{PASSWORD, Target};

/// The most guesses of one attack that a server may check.
const CHECKED: usize = 40;

/// What became of sign-ins.
struct Outcome {
    checked: usize,
    refused: usize,
    shed: usize,
}

/// Sends sign-ins, 50 at a time. An answer 200 fails the attack's defence.
async fn sign_in(target: &Target, attempts: Vec<Value>) -> anyhow::Result<Outcome> {
    let client = json_client(target.attacker)?;
    let url = format!("http://127.0.0.1:{}/v1/auth/login", target.api);
    let mut outcome = Outcome { checked: 0, refused: 0, shed: 0 };
    for some in attempts.chunks(50) {
        let answers = join_all(some.iter().map(|attempt| client.post(&url).json(attempt).send())).await;
        for status in answers.into_iter().map(|answer| answer.map_or(0, |answer| answer.status().as_u16())) {
            match status {
                401 => outcome.checked += 1,
                429 => outcome.refused += 1,
                503 | 0 => outcome.shed += 1,
                _ => anyhow::bail!("a guess was answered with {status}"),
            }
        }
    }
    Ok(outcome)
}

/// Floods with registrations that are refused, then guesses one password under many spellings of the address. The owner can
/// sign in from elsewhere all the time, or at the latest after the wait that an answer tells.
pub(crate) async fn many_for_one_account(target: &Target) -> anyhow::Result<String> {
    let owner = target.person("admin-of-guesses", Role::Admin).await?;
    let client = json_client(target.attacker)?;
    let register = format!("http://127.0.0.1:{}/v1/auth/register", target.api);
    let refused = (0..2000).map(|n| {
        let body = json!({"email": format!("flood-{n}@example.test"), "password": PASSWORD, "first_name": "F",
            "invite_code": "none"});
        client.post(&register).json(&body).send()
    });
    join_all(refused).await;
    let spellings =
        ["admin-of-guesses", "ADMIN-of-guesses", "admİn-of-guesses", "ａdmin-of-guesses", " admin-of-guesses"];
    let attempts = (0..500).map(|n| {
        let email = owner.email.replace("admin-of-guesses", spellings[n % spellings.len()]);
        json!({"email": email, "password": format!("guess number {n}")})
    });
    let outcome = sign_in(target, attempts.collect()).await?;
    // An address with a dotted capital I is another one, which does not exist.
    ensure!(outcome.checked <= CHECKED, "{} guesses were checked", outcome.checked);
    let url = format!("http://127.0.0.1:{}/v1/auth/login", target.api);
    let (client, body) = (json_client(USERS)?, json!({"email": owner.email, "password": PASSWORD}));
    let mut waited = Duration::ZERO;
    loop {
        let answer = client.post(&url).json(&body).send().await?;
        if answer.status() == 200 {
            break;
        }
        let wait = answer.headers().get("retry-after").and_then(|wait| wait.to_str().ok()?.parse().ok());
        let wait = Duration::from_secs(wait.unwrap_or(1));
        waited += wait;
        ensure!(waited < Duration::from_mins(16), "the owner is locked out: {answer:?}");
        if waited > Duration::from_secs(10) {
            break;
        }
        tokio::time::sleep(wait).await;
    }
    Ok(format!(
        "{} checked, {} refused, {} shed; the owner waits {waited:?}",
        outcome.checked, outcome.refused, outcome.shed
    ))
}

/// One guess for each of many accounts, from one address.
pub(crate) async fn one_for_many_accounts(target: &Target) -> anyhow::Result<String> {
    let mut attempts = Vec::new();
    for n in 0..300 {
        let person = target.person(&format!("sprayed-{n}"), Role::Student).await?;
        attempts.push(json!({"email": person.email, "password": "correct horse battery"}));
    }
    let outcome = sign_in(target, attempts).await?;
    ensure!(outcome.checked <= 2 * CHECKED, "{} accounts were tried", outcome.checked);
    Ok(format!("{} checked, {} refused, {} shed", outcome.checked, outcome.refused, outcome.shed))
}
