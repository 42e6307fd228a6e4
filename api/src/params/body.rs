//! The JSON body of a request, checked against the schema that the document shows.

use std::ops::Deref;

use cairn_core::users::idempotency::Fingerprint;
use poem::{Request, RequestBody};
use poem_openapi::payload::{Json, Payload};
use poem_openapi::registry::{MetaRequest, Registry};
use poem_openapi::types::ParseFromJSON;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde_json::Value;

use super::schema;
use crate::Problem;
use crate::contract::Contract;

/// A JSON body. Use it instead of poem's `Json`, which takes numbers for strings and does not say where a body is
/// wrong: this one answers with a problem that points to every wrong member.
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
        <Json<T> as ApiExtractor>::request_meta()
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        if !request.content_type().is_some_and(<Json<T> as Payload>::check_content_type) {
            return Err(Problem::unsupported_media_type().into());
        }
        let json: Value = serde_json::from_slice(&body.take()?.into_bytes().await?).map_err(|error| {
            Problem::malformed_body().detail(format!("The body could not be parsed as JSON: {error}."))
        })?;
        let contract = request.data::<&'static Contract>();
        let contract = contract.ok_or_else(|| cairn_core::Error::message("a request without the contract"));
        let contract = contract.map_err(Problem::from)?;
        let schema = serde_json::to_value(T::schema_ref()).unwrap_or_default();
        let errors = schema::check(&contract.document, &schema, &json);
        if !errors.is_empty() {
            return Err(Problem::invalid_body().with_errors(errors).into());
        }
        let fingerprint = Fingerprint::of(request.uri().path(), &json);
        let value = T::parse_from_json(Some(json)).map_err(|error| refused(error.message()))?;
        Ok(Self { value, fingerprint })
    }
}

/// What is left for poem to find: it says so only in words, and names at most the last member on the way.
fn refused(message: &str) -> Problem {
    let member = message.split_once("field `").and_then(|(_, rest)| rest.split_once('`'));
    let pointer = member.map(|(name, _)| format!("/{name}")).unwrap_or_default();
    Problem::invalid_field(pointer, "invalid", message)
}
