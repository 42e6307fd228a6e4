//! Sends mails through the hook of the operator, as <https://www.standardwebhooks.com> describes it.

use std::time::Duration;

use cairn_core::clock::new_id;
use cairn_core::config::MailConfig;
use cairn_core::users::mail::{self, Mail};
use chrono::{DateTime, Utc};
use reqwest::{Client, StatusCode};

use crate::failure::JobError;
use crate::http;

/// How long the hook may take. Shorter than the deadline of the job.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The hook.
pub(crate) struct MailHook {
    http: Client,
    config: MailConfig,
}

impl MailHook {
    /// The configured hook.
    pub(crate) fn new(config: &MailConfig) -> cairn_core::Result<Self> {
        let http = http::client(config.url.as_str()).timeout(TIMEOUT).user_agent("cairn");
        let http =
            http.build().map_err(|error| cairn_core::Error::message(format!("no HTTP client for mails: {error}")))?;
        Ok(Self { http, config: config.clone() })
    }

    /// Hands a mail over. The errors contain neither the address of the hook nor the mail.
    pub(crate) async fn deliver(&self, mail: &Mail, now: DateTime<Utc>) -> Result<(), JobError> {
        let body = serde_json::to_string(mail).map_err(JobError::discard)?;
        let (id, time) = (format!("msg_{}", new_id().simple()), now.timestamp());
        let signature = mail::sign(&self.config.secret, &format!("{id}.{time}.{body}"))?;
        let request = self.http.post(self.config.url.clone()).header("Content-Type", "application/json");
        let request = request.header("webhook-id", id).header("webhook-timestamp", time.to_string());
        let sent = request.header("webhook-signature", signature).body(body).send().await;
        let status = sent.map_err(|error| JobError::retry(error.without_url()))?.status();
        match status {
            _ if status.is_success() => Ok(()),
            StatusCode::GONE => Err(JobError::discard("the mail hook does not want this mail (410)")),
            _ => Err(JobError::retry(format!("the mail hook answered {status}"))),
        }
    }
}
