//! The kinds of jobs, one file each. A run loads the current state, returns if there is nothing to do, does external
//! work outside any transaction, and commits its effect in one.

mod count_likes;
mod generate_reply;
mod keep_house;
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

/// Runs the job of an envelope. Every kind stands here once.
pub(crate) async fn dispatch(context: Context, envelope: Envelope<Value>) -> Result<(), JobError> {
    match envelope.kind.as_str() {
        RecordActivity::KIND => perform(context, envelope, record_activity::run).await,
        RollUpProgress::KIND => perform(context, envelope, roll_up_progress::run).await,
        RecomputeRoadmap::KIND => perform(context, envelope, recompute_roadmap::run).await,
        CountLikes::KIND => perform(context, envelope, count_likes::run).await,
        GenerateReply::KIND => perform(context, envelope, generate_reply::run).await,
        Reconcile::KIND => perform(context, envelope, reconcile::run).await,
        KeepHouse::KIND => perform(context, envelope, keep_house::run).await,
        unknown => Err(JobError::Discard(format!("`{unknown}` is no kind of job here"))),
    }
}
