//! A small layer over the generated client: sign-in, problems, retries and the stream of a reply.

/// The client as it is generated. Lints are for people.
#[allow(warnings, clippy::all, clippy::pedantic)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/client.rs"));
}

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use eventsource_stream::Eventsource as _;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, RETRY_AFTER};
use tokio::sync::Mutex;
use uuid::Uuid;

pub use generated::{ByteStream, Client, ClientInfo, Error, ResponseValue, types};

/// What every operation returns.
pub type Answer<T> = std::result::Result<ResponseValue<T>, Error<ByteStream>>;

/// An access token is renewed this long before it expires.
const MARGIN: Duration = Duration::from_secs(30);

/// The tokens of a session. Without any, requests are anonymous.
#[derive(Debug)]
pub struct Session {
    base_url: String,
    tokens: Mutex<Option<(types::Tokens, Instant)>>,
}

impl Clone for Session {
    /// A refresh token has one owner, so a copy is anonymous.
    fn clone(&self) -> Self {
        Self { base_url: self.base_url.clone(), tokens: Mutex::default() }
    }
}

impl Session {
    /// Adds the access token to a request, and renews it first if it is about to expire.
    pub(crate) async fn authorize(&self, request: &mut reqwest::Request) -> Result<()> {
        let mut tokens = self.tokens.lock().await;
        if tokens.as_ref().is_some_and(|(_, expires_at)| Instant::now() + MARGIN >= *expires_at) {
            self.renew(&mut tokens).await?;
        }
        if let Some((tokens, _)) = &*tokens {
            request.headers_mut().insert(AUTHORIZATION, format!("Bearer {}", tokens.access_token).parse()?);
        }
        Ok(())
    }

    /// Refreshes the session now.
    ///
    /// # Errors
    ///
    /// If the session has ended, or there is none.
    pub async fn refresh(&self) -> Result<types::Tokens> {
        let mut tokens = self.tokens.lock().await;
        self.renew(&mut tokens).await
    }

    /// Each refresh token works once: requests wait at the lock, and then find the new one.
    async fn renew(&self, tokens: &mut Option<(types::Tokens, Instant)>) -> Result<types::Tokens> {
        let (old, _) = tokens.as_ref().context("nobody has signed in")?;
        let refresh_token = types::RefreshRequestRefreshToken::try_from(old.refresh_token.as_str())?;
        let anonymous = connect(&self.base_url, None)?;
        // Boxed, because this request is authorized by `authorize` too.
        let request = Box::pin(anonymous.refresh_session().body(types::RefreshRequest { refresh_token }).send());
        let renewed = request.await?.into_inner();
        *tokens = Some(expiring(renewed.clone()));
        Ok(renewed)
    }
}

fn expiring(tokens: types::Tokens) -> (types::Tokens, Instant) {
    let lifetime = Duration::from_secs(u64::try_from(tokens.expires_in).unwrap_or_default());
    (tokens, Instant::now() + lifetime)
}

/// A client for one session, or an anonymous one.
///
/// # Errors
///
/// If the HTTP client cannot be built.
pub fn connect(base_url: &str, tokens: Option<types::Tokens>) -> Result<Client> {
    // Comments keep a stream open; they come at least every 15 seconds.
    let http = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_secs(30))
        .build()?;
    let session = Session { base_url: base_url.to_owned(), tokens: Mutex::new(tokens.map(expiring)) };
    Ok(Client::new_with_client(base_url, http, session))
}

/// The problem that a request was refused with.
///
/// # Errors
///
/// If it failed in another way.
pub async fn problem<T>(answer: Answer<T>) -> Result<types::Problem> {
    match answer {
        Ok(_) => bail!("a request succeeded that should have been refused"),
        Err(Error::ErrorResponse(refused)) => {
            let body: Vec<_> = refused.into_inner().into_inner().try_collect().await?;
            Ok(serde_json::from_slice(&body.concat())?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Sends a request, waits as long as 429 and 503 say, up to a minute, and then repeats it.
///
/// # Errors
///
/// The answer to the last attempt, if that is not a success.
pub async fn retrying<T, F>(send: impl Fn() -> F) -> Answer<T>
where
    F: Future<Output = Answer<T>>,
{
    for _ in 0..3 {
        match send().await {
            Err(Error::ErrorResponse(busy)) if is_temporary(busy.status()) => {
                let seconds = busy.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
                match seconds {
                    Some(seconds @ 0..=60) => tokio::time::sleep(Duration::from_secs(seconds)).await,
                    _ => return Err(Error::ErrorResponse(busy)),
                }
            }
            answer => return answer,
        }
    }
    send().await
}

fn is_temporary(status: StatusCode) -> bool {
    [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&status)
}

/// The events of a reply on one connection, after `last_event_id`, each with its id.
///
/// # Errors
///
/// If the stream is refused.
pub async fn reply_events(
    client: &Client,
    reply_id: Uuid,
    last_event_id: Option<&str>,
) -> Result<impl Stream<Item = Result<(String, types::ReplyEvent)>> + use<>> {
    let mut request = client.stream_reply().reply_id(reply_id);
    if let Some(id) = last_event_id {
        request = request.last_event_id(id);
    }
    let body = request.send().await?.into_inner_stream();
    let frames = body.eventsource().map_err(anyhow::Error::from);
    Ok(frames.and_then(async |frame| Ok((frame.id, serde_json::from_str(&frame.data)?))).boxed())
}
