//! Running the platform.

pub mod bulk;
pub mod chat_export;
pub mod chats;
pub mod instructions;
pub mod jobs;
pub mod library;
pub mod queues;
pub mod tool_stats;
pub mod workers;

use cairn_core::queue::inspect::State;
use cairn_core::queue::{self, Queue};
use cairn_core::resource;
use poem_openapi::registry::MetaSchema;
use poem_openapi::types::{ParseError, ParseFromJSON, ParseFromParameter, ParseResult, ToJSON};
use poem_openapi::{Enum, Object};
use serde_json::Value;
use uuid::Uuid;

use crate::params::parameter_type;

/// Names that the core knows, as types for paths, queries, bodies and answers. Who sends another is told which there are.
macro_rules! names {
    ($($(#[$doc:meta])* $type:ident($core:ty) $name:literal $description:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $type(pub $core);

        parameter_type!($type, $name, required: true, MetaSchema {
            description: Some($description),
            enum_items: <$core>::ALL.into_iter().map(|item| item.name().into()).collect(),
            ..MetaSchema::new("string")
        });

        impl ParseFromParameter for $type {
            fn parse_from_parameter(value: &str) -> ParseResult<Self> {
                <$core>::from_name(value)
                    .map(Self)
                    .ok_or_else(|| ParseError::custom(one_of(&<$core>::ALL.map(<$core>::name))))
            }
        }

        impl ParseFromJSON for $type {
            fn parse_from_json(value: Option<Value>) -> ParseResult<Self> {
                Self::parse_from_parameter(value.as_ref().and_then(Value::as_str).unwrap_or_default())
            }
        }

        impl ToJSON for $type {
            fn to_json(&self) -> Option<Value> {
                Some(self.0.name().into())
            }
        }
    )*};
}

names! {
    /// A queue.
    QueueName(Queue) "queue_name" "The queue.";
    /// A kind of job.
    JobKind(queue::JobKind) "job_kind" "The kind of job. Each kind goes to one queue.";
    /// How far a job is.
    JobState(State) "job_state"
        "`due`: could run now. `scheduled`: has not been tried and waits for its time. `retrying`: has failed and waits \
         for its next attempt. `running`: a worker has it. `done`: its effect is committed. `dead`: has given up. \
         `discarded`: an operator gave it up.";
}

/// Says which names there are.
fn one_of(names: &[&str]) -> String {
    format!("One of {} is expected.", names.join(", "))
}

/// Says where a kind of job belongs, to somebody who looks for it elsewhere.
fn elsewhere(kind: JobKind) -> String {
    format!("Jobs of the kind {} go to the queue {}.", kind.0.name(), kind.0.queue().name())
}

/// Whether learners see something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case", remote = "resource::Publication")]
pub enum Publication {
    /// Not yet.
    Draft,
    /// They do.
    Published,
    /// No longer.
    Archived,
}

/// A new order of a list.
#[derive(Clone, Debug, Object)]
pub struct Order {
    /// Identifies every live resource of the list exactly once, in the new order.
    #[oai(validator(max_items = 1000))]
    pub ids: Vec<Uuid>,
}
