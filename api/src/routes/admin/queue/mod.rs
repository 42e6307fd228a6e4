//! Running the platform.

pub mod bulk;
pub mod jobs;
pub mod queues;
pub mod workers;

use cairn_core::queue::inspect::State;
use cairn_core::queue::{self, Queue};
use poem_openapi::registry::MetaSchema;
use poem_openapi::types::{ParseError, ParseFromJSON, ParseFromParameter, ParseResult, ToJSON};
use serde_json::Value;

use crate::params::parameter_type;

/// Declares types for parameters and members from names that the core knows. An unknown name gets a problem that lists
/// the known ones.
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

        impl From<$core> for $type {
            fn from(name: $core) -> Self {
                Self(name)
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
    /// The state of a job.
    JobState(State) "job_state"
        "`due`: can run now. `scheduled`: has not been tried and is scheduled for later. `retrying`: failed and awaits its \
         next attempt. `running`: a worker runs it. `done`: its effect is committed. `dead`: failed its last attempt. \
         `discarded`: an operator discarded it.";
}

/// The message for an unknown name, which lists the allowed names.
fn one_of(names: &[&str]) -> String {
    format!("One of {} is expected.", names.join(", "))
}

/// The message for a kind of job in the wrong queue, which names the right one.
fn elsewhere(kind: JobKind) -> String {
    format!("Jobs of the kind {} go to the queue {}.", kind.0.name(), kind.0.queue().name())
}
