//! The list of all jobs.

use crate::activity::RecordActivity;
use crate::admin::maintenance::{KeepHouse, Reconcile};
use crate::community::jobs::CountLikes;
use crate::learning::jobs::{RecomputeRoadmap, RollUpProgress};
use crate::library::jobs::RollUpUses;
use crate::queue::Kind;
use crate::tools::jobs::GenerateReply;

impl Kind {
    /// Every kind of job.
    pub const ALL: [Self; 8] = [
        Self::of::<RecordActivity>(),
        Self::of::<RollUpProgress>(),
        Self::of::<RecomputeRoadmap>(),
        Self::of::<CountLikes>(),
        Self::of::<RollUpUses>(),
        Self::of::<GenerateReply>(),
        Self::of::<Reconcile>(),
        Self::of::<KeepHouse>(),
    ];

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
