//! The `Idempotency-Key` header, with which a client can safely repeat a creation.

use cairn_core::actor::Caller;
use cairn_core::users::idempotency::{self, Claim, Fingerprint};
use poem_openapi::registry::MetaSchema;
use poem_openapi::types::{ParseError, ParseFromJSON, ParseFromParameter, ParseResult, ToJSON};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Body, parameter_type};
use crate::Problem;

/// A key that makes it safe to repeat a creation. Handlers take it as
/// `#[oai(name = "Idempotency-Key")] key: Header<Option<IdempotencyKey>>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    const MAX_LENGTH: usize = 200;
}

parameter_type!(IdempotencyKey, "idempotency_key", required: true, MetaSchema {
    description: Some(
        "Makes a retry safe: the same key and body get the same answer and create nothing new. Use a new key, such as a \
         UUID, for every new request."),
    min_length: Some(1),
    max_length: Some(IdempotencyKey::MAX_LENGTH),
    pattern: Some("^[!-~]+$".to_owned()),
    example: Some("4d1a6c1e-5b0c-4a8e-9a55-0d6c7f0b7c11".into()),
    ..MetaSchema::new("string")
});

impl ParseFromParameter for IdempotencyKey {
    fn parse_from_parameter(value: &str) -> ParseResult<Self> {
        let sane = (1..=Self::MAX_LENGTH).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic());
        if sane { Ok(Self(value.to_owned())) } else { Err(ParseError::custom("1 to 200 visible ASCII characters")) }
    }
}

/// A creation that is carried out once per key, however often it is sent. Without a key it is carried out each time.
///
/// ```ignore
/// let request = IdempotentRequest::new(&caller, "createProject", key.0, &body);
/// let mut tx = self.app.begin_as(&caller).await?;
/// if let Some(project) = request.replay::<Project>(&mut tx).await? { return Ok(Created::new(PATH, project)); }
/// // … write, build `project` …
/// request.store(&mut tx, &project).await?;
/// tx.commit().await?;
/// ```
pub struct IdempotentRequest {
    user_id: Uuid,
    operation: &'static str,
    claim: Option<(IdempotencyKey, Fingerprint)>,
}

impl IdempotentRequest {
    /// The creation that `caller` requests with this key and body.
    pub fn new<T>(caller: &Caller, operation: &'static str, key: Option<IdempotencyKey>, body: &Body<T>) -> Self {
        Self { user_id: caller.user_id, operation, claim: key.map(|key| (key, body.fingerprint())) }
    }

    /// Returns the response that the same request got before. `None` means that the request is new; the key is then
    /// claimed until the transaction ends.
    ///
    /// If the key was used for another request, returns the problem `idempotency_key_reused`.
    pub async fn replay<T: ParseFromJSON>(&self, connection: &mut PgConnection) -> Result<Option<T>, Problem> {
        let Some((key, fingerprint)) = &self.claim else { return Ok(None) };
        match idempotency::claim(connection, self.user_id, self.operation, &key.0, *fingerprint).await? {
            Claim::New => Ok(None),
            Claim::Reused => Err(Problem::idempotency_key_reused()),
            Claim::Answered(answer) => match T::parse_from_json(Some(answer)) {
                Ok(answer) => Ok(Some(answer)),
                Err(error) => Err(cairn_core::Error::message(error.into_message()).into()),
            },
        }
    }

    /// Stores the response for repeated requests. Call this before the commit.
    pub async fn store(&self, connection: &mut PgConnection, answer: &impl ToJSON) -> Result<(), Problem> {
        if let Some((key, _)) = &self.claim {
            let answer = answer.to_json().unwrap_or_default();
            idempotency::store(connection, self.user_id, self.operation, &key.0, &answer).await?;
        }
        Ok(())
    }
}
