//! Problem documents (RFC 9457), the format of all errors that clients see.

mod codes;
mod foreign;
mod refusals;

use std::borrow::Cow;
use std::fmt;

use cairn_core::schema::{Fault, FaultCode};
use poem::error::ResponseError;
use poem::http::{HeaderValue, StatusCode, header};
use poem::{Body, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaResponses, Registry};
use serde::Serialize;
use serde_json::{Map, Value};

pub use self::codes::Code;
use self::codes::with_codes;

/// The detail of a problem after which nobody knows whether the change was made.
pub(crate) const OUTCOME_UNKNOWN: &str = "The request could not be completed in time. The change may have been made: look before you try again, or send \
     it again with the same Idempotency-Key.";

/// The content type of problem documents.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// An error as the client sees it, and the error type of handlers. There is a constructor for each code, such as
/// [`Problem::lesson_not_found`], and the code determines the status.
pub struct Problem(Box<Inner>);

struct Inner {
    code: Code,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    retry_after: Option<u64>,
    /// Whether the request had no token at all.
    lacks_token: bool,
    /// Further members, which say what a client can act on.
    members: Map<String, Value>,
    /// The internal cause, which is logged at the edge and never sent to the client.
    source: Option<cairn_core::Error>,
}

/// What is wrong with one part of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) to the member of the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// Name of the path, query or header parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// What is wrong, for programs: `required`, `wrong_type`, `too_long`, …
    pub code: Cow<'static, str>,
    /// What is wrong, for people.
    pub message: String,
}

impl FieldError {
    /// A fault in the member of the body at `pointer`.
    pub fn at(pointer: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { pointer: Some(pointer.into()), parameter: None, code: code.into(), message: message.into() }
    }

    /// A fault in the parameter `name`.
    pub fn parameter(name: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { pointer: None, parameter: Some(name.into()), code: code.into(), message: message.into() }
    }
}

impl From<Fault> for FieldError {
    fn from(Fault { pointer, code, message }: Fault) -> Self {
        Self::at(pointer, code.name(), message)
    }
}

impl Problem {
    pub(crate) fn new(code: Code) -> Self {
        let (errors, members) = (Vec::new(), Map::new());
        let detail = code.detail();
        Self(Box::new(Inner { code, detail, errors, members, retry_after: None, lacks_token: false, source: None }))
    }

    /// A member of the body that violates a rule that the schema cannot express.
    pub fn invalid_field(pointer: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self::invalid_body().with_errors(vec![FieldError::at(pointer, code, message)])
    }

    /// A parameter that violates a rule that the schema cannot express.
    pub fn invalid_parameter(name: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self::malformed_parameter().with_errors(vec![FieldError::parameter(name, code, message)])
    }

    /// Replaces the detail with a more precise one. It must not contain anything internal.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = detail.into();
        self
    }

    /// Lists the parts of the request that are wrong.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.0.errors = errors;
        self
    }

    /// Adds what else is wrong with the parameters of the request. What a handler has found stays if the document does not
    /// tell it, or only that a pattern does not match.
    #[must_use]
    pub(crate) fn with_parameter_faults(mut self, faults: Vec<(String, Fault)>) -> Self {
        let mut found = std::mem::take(&mut self.0.errors);
        for (name, fault) in faults {
            let own = found.iter().position(|error| error.parameter.as_deref() == Some(&name));
            let own = own.map(|place| found.remove(place)).filter(|_| fault.code == FaultCode::Malformed);
            let told = || FieldError::parameter(name, fault.code.name(), fault.message);
            self.0.errors.push(own.unwrap_or_else(told));
        }
        self.0.errors.append(&mut found);
        self
    }

    /// Adds a member that the schema of problems describes (`openapi/problems.rs`).
    #[must_use]
    pub fn with(mut self, member: &'static str, value: impl Into<Value>) -> Self {
        self.0.members.insert(member.to_owned(), value.into());
        self
    }

    /// Sets the number of seconds after which the client should retry.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// The request had no token at all, so nothing is said about it (RFC 6750, section 3.1).
    #[must_use]
    pub(crate) fn without_token(mut self) -> Self {
        self.0.lacks_token = true;
        self
    }

    /// The code, by which clients tell problems apart.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The internal cause, for the log.
    pub fn cause(&self) -> Option<&cairn_core::Error> {
        self.0.source.as_ref()
    }

    /// The response to the request with that id.
    pub fn into_response(self, request_id: &str) -> Response {
        let Inner { code, detail, errors, members, retry_after, lacks_token, .. } = *self.0;
        let document = Document {
            kind: format!("/problems/{}", code.name()),
            title: code.title(),
            status: code.status().as_u16(),
            detail: &detail,
            code: code.name(),
            request_id,
            errors: &errors,
            members: &members,
        };
        let body = Body::from_json(&document).unwrap_or_else(|_| Body::empty());
        let mut response = Response::builder().status(code.status()).content_type(CONTENT_TYPE).body(body);
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if code.status() == StatusCode::UNAUTHORIZED {
            let challenge = match code {
                Code::Unauthorized if !lacks_token => "Bearer error=\"invalid_token\"",
                _ => "Bearer",
            };
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

macro_rules! define_constructors {
    ($($variant:ident $name:ident $status:ident $title:literal $detail:literal;)*) => {
        impl Problem {
            $(#[doc = $title] pub fn $name() -> Self { Self::new(Code::$variant) })*
        }
    };
}

with_codes!(define_constructors);

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(flatten)]
    members: &'a Map<String, Value>,
}

impl From<cairn_core::Error> for Problem {
    fn from(error: cairn_core::Error) -> Self {
        let mut problem = if error.is_unavailable() { Self::unavailable().retry_after(2) } else { Self::internal() };
        if error.is_outcome_unknown() {
            problem = problem.detail(OUTCOME_UNKNOWN);
        }
        problem.0.source = Some(error);
        problem
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Problem({}, {:?})", self.0.code.name(), self.0.source)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.name(), self.0.detail)
    }
}

impl std::error::Error for Problem {}

/// Used only to pass the problem through poem. The edge extracts it again and renders it with the request id.
impl ResponseError for Problem {
    fn status(&self) -> StatusCode {
        self.0.code.status()
    }
}

/// Adds nothing, because the problems of an operation are declared beside it (`PROBLEMS`) or derived
/// (`openapi::problems`).
impl ApiResponse for Problem {
    fn meta() -> MetaResponses {
        MetaResponses { responses: Vec::new() }
    }

    fn register(_: &mut Registry) {}
}
