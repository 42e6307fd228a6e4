//! What operators should notice: each is counted, and written to the log with the address and the account that it is about.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use prometheus::{IntCounterVec, Registry, register_int_counter_vec_with_registry};
use uuid::Uuid;

/// Of the operations that a user may not call, one is recorded in this time. Whoever tries all of them is seen, and cannot fill
/// the activity log.
const REFUSAL_INTERVAL: TimeDelta = TimeDelta::minutes(1);

/// The maximum number of users whose last recorded refusal is remembered.
const MAX_REFUSED_USERS: usize = 10_000;

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecurityEvent {
    /// A password was wrong.
    SignInFailed,
    /// So many were wrong that the next attempt at the account has to wait.
    AccountLocked,
    /// An attempt at an account was refused because it came too early.
    AccountAttemptRefused,
    /// An attempt was refused because of other accounts that were tried from the same address.
    AddressAttemptRefused,
    /// A client has used up its budget.
    RateLimited,
    /// The caller's role does not allow the operation.
    Forbidden,
    /// A refresh token was used twice.
    TokenReused,
    /// An admin has read a chat of a learner.
    ChatRead,
    /// An admin has exported chats.
    ChatsExported,
    /// An admin has exported activities.
    ActivityExported,
}

impl SecurityEvent {
    const ALL: [Self; 10] = [
        Self::SignInFailed,
        Self::AccountLocked,
        Self::AccountAttemptRefused,
        Self::AddressAttemptRefused,
        Self::RateLimited,
        Self::Forbidden,
        Self::TokenReused,
        Self::ChatRead,
        Self::ChatsExported,
        Self::ActivityExported,
    ];

    /// The label of the metric, and what the log calls it.
    const fn name(self) -> &'static str {
        match self {
            Self::SignInFailed => "sign_in_failed",
            Self::AccountLocked => "account_locked",
            Self::AccountAttemptRefused => "account_attempt_refused",
            Self::AddressAttemptRefused => "address_attempt_refused",
            Self::RateLimited => "rate_limited",
            Self::Forbidden => "forbidden",
            Self::TokenReused => "token_reused",
            Self::ChatRead => "chat_read",
            Self::ChatsExported => "chats_exported",
            Self::ActivityExported => "activity_exported",
        }
    }
}

/// Counts the events of one process. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct SecurityEvents {
    total: IntCounterVec,
    /// When a refusal of a user was last recorded.
    refused: Arc<Mutex<HashMap<Uuid, DateTime<Utc>>>>,
}

impl SecurityEvents {
    pub(crate) fn new(registry: &Registry) -> cairn_core::Result<Self> {
        let total = register_int_counter_vec_with_registry!(
            "cairn_security_events_total",
            "Events that may be an attack, or that concern private data.",
            &["event"],
            registry
        )?;
        // Counters begin at 0, so that the first event is an increase.
        for event in SecurityEvent::ALL {
            total.with_label_values(&[event.name()]);
        }
        Ok(Self { total, refused: Arc::default() })
    }

    /// Counts an event that comes in floods and has a line in the log anyway, that of the request.
    pub(crate) fn count(&self, event: SecurityEvent) {
        self.total.with_label_values(&[event.name()]).inc();
    }

    /// Counts an event and writes it to the log.
    pub(crate) fn note(&self, event: SecurityEvent, user_id: Option<Uuid>, ip: Option<IpAddr>) {
        self.count(event);
        let (user, ip) = (user_id.map(tracing::field::display), ip.map(tracing::field::display));
        tracing::warn!(security.event = event.name(), user.id = user, client.ip = ip, "security event");
    }
    /// Whether a refusal of this user is to be recorded: the first one in a while is.
    pub(crate) fn is_first_refusal(&self, user_id: Uuid, now: DateTime<Utc>) -> bool {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: &DateTime<Utc>| (now - *at).abs() < REFUSAL_INTERVAL;
        if refused.get(&user_id).is_some_and(is_recent) {
            return false;
        }
        if refused.len() >= MAX_REFUSED_USERS {
            refused.retain(|_, at| is_recent(at));
        }
        // Beyond that, refusals are in the log and the metrics alone.
        let has_room = refused.len() < MAX_REFUSED_USERS;
        if has_room {
            refused.insert(user_id, now);
        }
        has_room
    }
}
