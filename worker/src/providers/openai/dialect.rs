//! What differs between the formats that models are asked in.

use std::fmt;

use cairn_core::config::{Adjustment, Secret};
use reqwest::RequestBuilder;
use serde_json::Value;

use super::adjustments::Adjustments;
use super::prompt::Prompt;
use super::said::Said;

/// A question, and how this model is to be asked.
pub(super) struct Asking<'a> {
    pub(super) model: &'a str,
    pub(super) prompt: Prompt,
    pub(super) temperature: Option<f64>,
    pub(super) max_tokens: i32,
    pub(super) adjustments: Adjustments,
}

impl Asking<'_> {
    pub(super) fn has(&self, adjustment: Adjustment) -> bool {
        self.adjustments.has(adjustment)
    }

    pub(super) fn is_streamed(&self) -> bool {
        !self.has(Adjustment::NoStreaming)
    }
}

/// A format that models are asked in. How bodies are split into events, what ends an answer and what errors mean is the same
/// for all of them.
pub(super) trait Dialect: fmt::Debug + Send + Sync {
    /// Where a model is asked.
    fn url(&self, model: &str) -> String;

    /// Where the models are listed.
    fn models_url(&self) -> String;

    /// Adds the key to a request.
    fn authorize(&self, request: RequestBuilder, key: &Secret) -> RequestBuilder {
        request.bearer_auth(key.expose())
    }

    /// The body of a request.
    fn body(&self, asking: &Asking<'_>) -> Value;

    /// Reads an event of a stream, or a whole answer.
    fn read(&self, value: &Value) -> Said;

    /// Where an answer that the provider keeps can be read again; `None` if it keeps none.
    fn kept_url(&self, _response_id: &str) -> Option<String> {
        None
    }
}
