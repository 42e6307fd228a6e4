//! Turns the plain-text errors of poem into problems.

use poem::error::{MethodNotAllowedError, NotFoundError, ReadBodyError};
use poem::http::StatusCode;
use poem::{Error, PathPattern};
use poem_openapi::error::{
    AuthorizationError, ContentTypeError, ParseParamError, ParsePathError, ParseRequestPayloadError,
};

use super::Problem;
use crate::contract::Contract;

impl Problem {
    /// The problem inside `error`, or the problem that corresponds to poem's own error.
    pub(crate) fn from_poem(error: Error, contract: &Contract) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(problem) => return problem,
            Err(error) => error,
        };
        if let Some(ParseParamError { name, reason }) = error.downcast_ref() {
            return Self::invalid_parameter(path_parameter(contract, &error, name), "malformed", plain(reason));
        }
        if let Some(ParsePathError { name, reason }) = error.downcast_ref() {
            return Self::invalid_parameter(path_parameter(contract, &error, name), "malformed", plain(reason));
        }
        if error.is::<ParseRequestPayloadError>() {
            return Self::invalid_body();
        }
        if error.is::<NotFoundError>() {
            return Self::not_found();
        }
        if error.is::<MethodNotAllowedError>() {
            return Self::method_not_allowed();
        }
        if error.is::<AuthorizationError>() {
            return Self::unauthorized().without_token();
        }
        if error.is::<ContentTypeError>() {
            return Self::unsupported_media_type();
        }
        if let Some(ReadBodyError::PayloadTooLarge) = error.downcast_ref() {
            return Self::body_too_large();
        }
        match error.status() {
            StatusCode::NOT_FOUND => Self::not_found(),
            StatusCode::UNAUTHORIZED => Self::unauthorized(),
            StatusCode::PAYLOAD_TOO_LARGE => Self::body_too_large(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::unsupported_media_type(),
            status if status.is_client_error() => Self::malformed_parameter(),
            _ => cairn_core::Error::message(error.to_string()).into(),
        }
    }
}

/// The documented name of a path parameter, which poem's router calls `param0`, `param1`, …
fn path_parameter(contract: &Contract, error: &Error, name: &str) -> String {
    let pattern = error.data::<PathPattern>().and_then(|pattern| contract.patterns.get(&*pattern.0));
    let number = name.strip_prefix("param").and_then(|number| number.parse::<usize>().ok());
    let documented = pattern.zip(number).and_then(|(pattern, number)| pattern.parameters.get(number));
    documented.map_or_else(|| name.to_owned(), Clone::clone)
}

/// poem's reason without the name of the Rust type.
fn plain(reason: &str) -> &str {
    reason
        .strip_prefix("failed to parse \"")
        .and_then(|rest| rest.split_once("\": "))
        .map_or(reason, |(_, plain)| plain)
}
