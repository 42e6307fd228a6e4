//! The kinds of jobs, one file each. A run loads the current state, returns if there is nothing to do, does external
//! work outside any transaction, and commits its effect in one. (A walk over a roadmap has one for each chunk, and each is
//! complete.)

mod count_likes;
mod generate_reply;
mod housekeeping;
mod recompute_roadmap;
mod reconcile;
mod record_activity;
mod roll_up_progress;

use cairn_core::jobs::{
    CountLikes, Envelope, GenerateReply, Job, KeepHouse, RecomputeRoadmap, Reconcile, RecordActivity, RollUpProgress,
};
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
    GenerateReply => generate_reply,
    Reconcile => reconcile,
    Housekeeping => housekeeping,
}
