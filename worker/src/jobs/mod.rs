//! The kinds of jobs, one file each. A run loads the current state, returns if there is nothing to do, does external
//! work outside any transaction, and commits its effect in one. (A walk over a roadmap has one for each chunk, and each is
//! complete.)

mod count_likes;
mod generate_reply;
mod keep_house;
mod recompute_roadmap;
mod reconcile;
mod record_activity;
mod roll_up_progress;
mod roll_up_uses;

use cairn_core::activity::RecordActivity;
use cairn_core::admin::maintenance::{KeepHouse, Reconcile};
use cairn_core::community::jobs::CountLikes;
use cairn_core::learning::jobs::{RecomputeRoadmap, RollUpProgress};
use cairn_core::library::jobs::RollUpUses;
use cairn_core::queue::{Envelope, Job};
use cairn_core::tools::jobs::GenerateReply;
use serde_json::Value;

use crate::adapter::perform;
use crate::{Context, JobError};

macro_rules! kinds {
    ($($job:ident => $module:ident,)*) => {
        /// Runs the job of an envelope.
        pub(crate) async fn dispatch(context: Context, envelope: Envelope<Value>) -> Result<(), JobError> {
            match envelope.kind.as_str() {
                // Boxed, so that a small job does not take the room of the largest.
                $($job::KIND => Box::pin(perform(context, envelope, $module::run)).await,)*
                unknown => Err(JobError::Discard(format!("`{unknown}` is no kind of job here"))),
            }
        }

        /// The name of a kind in metrics, where not every text that a payload may hold can stand.
        pub(crate) fn known(kind: &str) -> &'static str {
            match kind {
                $($job::KIND => $job::KIND,)*
                _ => "unknown",
            }
        }
    };
}

// Every kind stands here once.
kinds! {
    RecordActivity => record_activity,
    RollUpProgress => roll_up_progress,
    RecomputeRoadmap => recompute_roadmap,
    CountLikes => count_likes,
    RollUpUses => roll_up_uses,
    GenerateReply => generate_reply,
    Reconcile => reconcile,
    KeepHouse => keep_house,
}
