//! Azure OpenAI: the chat-completions format with paths and a header for the key of its own. The model names the deployment.
//!
//! <https://learn.microsoft.com/azure/ai-foundry/openai/reference>

use cairn_core::config::Secret;
use reqwest::RequestBuilder;
use serde_json::Value;

use super::chat;
use super::dialect::{Asking, Dialect};
use super::said::Said;

/// A resource.
#[derive(Debug)]
pub(super) struct Azure {
    /// The address of the resource, such as `https://name.openai.azure.com`.
    pub(super) base_url: String,
    /// The version of the API.
    pub(super) version: String,
}

impl Dialect for Azure {
    fn url(&self, model: &str) -> String {
        let (base, version) = (&self.base_url, &self.version);
        let deployment = segment(model);
        format!("{base}/openai/deployments/{deployment}/chat/completions?api-version={version}")
    }

    fn models_url(&self) -> String {
        format!("{}/openai/models?api-version={}", self.base_url, self.version)
    }

    fn authorize(&self, request: RequestBuilder, key: &Secret) -> RequestBuilder {
        let mut value = reqwest::header::HeaderValue::try_from(key.expose());
        if let Ok(value) = &mut value {
            value.set_sensitive(true); // so that no log shows it
        }
        match value {
            Ok(value) => request.header("api-key", value),
            Err(_) => request,
        }
    }

    fn body(&self, asking: &Asking<'_>) -> Value {
        chat::body(asking)
    }

    fn read(&self, value: &Value) -> Said {
        chat::read(value)
    }
}

/// A name as a segment of a path.
pub(super) fn segment(name: &str) -> String {
    use std::fmt::Write as _;
    name.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_names_the_deployment_and_the_version() {
        let azure = Azure { base_url: "https://name.openai.azure.com".into(), version: "2024-10-21".into() };
        assert_eq!(
            azure.url("gpt 4/o"),
            "https://name.openai.azure.com/openai/deployments/gpt%204%2Fo/chat/completions?api-version=2024-10-21"
        );
    }
}
