//! The JSON body of a request, checked against the schema that the document shows.

use std::ops::Deref;

use cairn_core::Error;
use cairn_core::schema::{Json, Schema, Unreadable};
use cairn_core::users::idempotency::Fingerprint;
use poem::{Request, RequestBody};
use poem_openapi::payload::{self, Payload};
use poem_openapi::registry::{MetaRequest, Registry};
use poem_openapi::types::{ParseFromJSON, Type};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use crate::Problem;
use crate::contract::Contract;
use crate::problem::FieldError;

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
        let json = Json::parse(&body.take()?.into_bytes().await?).map_err(|unreadable| match unreadable {
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

/// The compiled schema of a body, as the document shows it.
fn schema_of<T: Type>(contract: &Contract) -> Result<&Schema, Problem> {
    let shown = serde_json::to_string(&T::schema_ref()).map_err(Error::from)?;
    contract.bodies.get(&shown).ok_or_else(|| Error::message(format!("no operation has the body {shown}")).into())
}
