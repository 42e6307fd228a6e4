//! The JSON body of a request, checked against the schema that the document shows.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use cairn_core::Error;
use cairn_core::schema::{Json, Schema, Unreadable};
use cairn_core::users::idempotency::Fingerprint;
use poem::error::ReadBodyError;
use poem::http::header;
use poem::{Request, RequestBody};
use poem_openapi::payload::{self, Payload};
use poem_openapi::registry::{MetaRequest, Registry};
use poem_openapi::types::{ParseFromJSON, Type};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::Problem;
use crate::caller::is_signed_in;
use crate::contract::Contract;
use crate::problem::FieldError;

/// The largest body, in bytes.
const BODY_LIMIT: usize = 256 * 1024;
/// The largest body of a client that has not signed in.
const ANONYMOUS_BODY_LIMIT: usize = 16 * 1024;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// Keeps the body of a request, which can be read only once, for the case that the request has to be done again.
#[derive(Clone, Default)]
pub(crate) struct KeptBody(Arc<OnceLock<Bytes>>);

impl KeptBody {
    fn keep(&self, bytes: Bytes) {
        let _ = self.0.set(bytes); // of a request that is done again it is the same
    }

    /// The body, if it has been read.
    pub(crate) fn get(&self) -> Option<Bytes> {
        self.0.get().cloned()
    }
}

/// A JSON body. Use it instead of poem's `Json`, which accepts numbers as strings and does not report where a body is
/// wrong. This one responds with a problem that points to every wrong member.
pub struct Body<T> {
    /// The body.
    pub value: T,
    fingerprint: Fingerprint,
}

impl<T> Body<T> {
    pub(super) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

impl<T> Deref for Body<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<'a, T: ParseFromJSON> ApiExtractor<'a> for Body<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        <payload::Json<T> as ApiExtractor>::request_meta()
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        if !request.content_type().is_some_and(<payload::Json<T> as Payload>::check_content_type) {
            return Err(Problem::unsupported_media_type().into());
        }
        let json = Json::parse(&read(request, body).await?).map_err(|unreadable| match unreadable {
            Unreadable::Syntax(error) => {
                Problem::malformed_body().detail(format!("The body could not be parsed as JSON: {error}."))
            }
            Unreadable::Refused(fault) => Problem::invalid_body().with_errors(vec![fault.into()]),
        })?;
        let contract = request.data::<&'static Contract>();
        let contract =
            contract.ok_or_else(|| Error::message("a request without the contract")).map_err(Problem::from)?;
        let faults = schema_of::<T>(contract)?.check(&json);
        if !faults.is_empty() {
            return Err(Problem::invalid_body().with_errors(faults.into_iter().map(FieldError::from).collect()).into());
        }
        let fingerprint = Fingerprint::of(request.uri().path(), &json.value);
        // A body that matches the schema can be parsed. If it cannot, the mistake is ours and not the client's.
        let value = T::parse_from_json(Some(json.value)).map_err(|error| {
            Problem::from(Error::message(format!("a body that fits its schema was refused: {}", error.into_message())))
        })?;
        Ok(Self { value, fingerprint })
    }
}

/// Reads a body, at most as much of it as the client may send, whatever `Content-Length` says or does not say. What the
/// operation needs of the caller was checked before, so a client without an account cannot make us keep large bodies.
async fn read(request: &Request, body: &mut RequestBody) -> Result<Bytes, Problem> {
    let limit = if is_signed_in(request) { BODY_LIMIT } else { ANONYMOUS_BODY_LIMIT };
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: usize| length > limit) {
        return Err(Problem::body_too_large());
    }
    let body = body.take().map_err(|error| Error::message(error.to_string()))?;
    let unreadable = |why: &str| Problem::malformed_body().detail(why.to_owned());
    match tokio::time::timeout(BODY_TIMEOUT, body.into_bytes_limit(limit)).await {
        Ok(Ok(bytes)) => {
            if let Some(kept) = request.data::<KeptBody>() {
                kept.keep(bytes.clone());
            }
            Ok(bytes)
        }
        Ok(Err(ReadBodyError::PayloadTooLarge)) => Err(Problem::body_too_large()),
        Ok(Err(_)) => Err(unreadable("The body could not be read to its end.")),
        Err(_) => Err(unreadable("The body did not arrive within 15 seconds.")),
    }
}

/// The compiled schema of a body, as the document shows it.
fn schema_of<T: Type>(contract: &Contract) -> Result<&Schema, Problem> {
    let shown = serde_json::to_string(&T::schema_ref()).map_err(Error::from)?;
    contract.bodies.get(&shown).ok_or_else(|| Error::message(format!("no operation has the body {shown}")).into())
}
