//! The handlers of jobs, one file for each kind. A run loads the current state, returns if there is nothing to do, does
//! external work outside of any transaction, and commits its effect in one transaction. (The recomputation of a roadmap
//! commits one for each chunk, and each of them is complete.)

mod answer_tryout;
mod complete_lesson;
mod count_likes;
mod count_search_terms;
mod embed_passages;
mod erase_user;
mod generate_reply;
mod housekeeping;
mod import_course;
mod recompute_roadmap;
mod reconcile;
mod record_activity;
mod refresh_stats;
mod refresh_trending;
mod roll_up_progress;
mod roll_up_uses;
mod run_evaluation;
mod send_mail;

use cairn_core::queue::{Envelope, Job};
use serde_json::Value;

use crate::Context;
use crate::run::JobError;
use crate::run::perform;

macro_rules! define_dispatch {
    ($($module:ident: $job:ty,)*) => {
        /// Runs the job in an envelope.
        pub(crate) async fn dispatch(context: Context, envelope: Envelope<Value>) -> Result<(), JobError> {
            match envelope.kind.as_str() {
                // Boxed, so that a small job does not need the memory of the largest.
                $(<$job as Job>::KIND => Box::pin(perform(context, envelope, $module::run)).await,)*
                unknown => Err(JobError::Unknown(format!("unknown kind of job `{unknown}`"))),
            }
        }

        /// The name of a kind in metrics. A payload may contain any text, so unknown kinds have one name.
        pub(crate) fn metric_name(kind: &str) -> &'static str {
            match kind {
                $(<$job as Job>::KIND => <$job as Job>::KIND,)*
                _ => "unknown",
            }
        }
    };
}

cairn_core::for_each_job!(define_dispatch);
