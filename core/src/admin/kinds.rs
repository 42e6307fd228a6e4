//! The list of all jobs.

use crate::queue::{Job, JobKind};

/// The list of all jobs. Passes each payload type to a macro, together
/// with its [`Job::KIND`], which is also the name of its handler's module in `worker/src/jobs/`.
#[macro_export]
macro_rules! for_each_job {
    ($callback:ident) => {
        $callback! {
            record_activity: $crate::activity::RecordActivity,
            roll_up_progress: $crate::learning::jobs::RollUpProgress,
            recompute_roadmap: $crate::learning::jobs::RecomputeRoadmap,
            complete_lesson: $crate::learning::jobs::CompleteLesson,
            count_likes: $crate::community::jobs::CountLikes,
            refresh_trending: $crate::community::jobs::RefreshTrending,
            roll_up_uses: $crate::library::jobs::RollUpUses,
            count_search_terms: $crate::library::jobs::CountSearchTerms,
            embed_passages: $crate::library::jobs::EmbedPassages,
            erase_user: $crate::users::jobs::EraseUser,
            send_mail: $crate::users::jobs::SendMail,
            generate_reply: $crate::tools::jobs::GenerateReply,
            answer_tryout: $crate::tools::jobs::AnswerTryout,
            run_evaluation: $crate::tools::jobs::RunEvaluation,
            import_course: $crate::learning::jobs::ImportCourse,
            refresh_stats: $crate::stats::jobs::RefreshStats,
            reconcile: $crate::admin::maintenance::Reconcile,
            housekeeping: $crate::admin::maintenance::Housekeeping,
        }
    };
}

macro_rules! define_kinds {
    ($($kind:ident: $job:ty,)*) => {
        impl JobKind {
            /// All kinds of jobs.
            pub const ALL: [Self; [$(<$job as Job>::KIND),*].len()] = [$(Self::of::<$job>()),*];
        }
    };
}

for_each_job!(define_kinds);

impl JobKind {
    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! names {
        ($($kind:ident: $job:ty,)*) => {
            [$((stringify!($kind), <$job as Job>::KIND)),*]
        };
    }

    macro_rules! types {
        ($($kind:ident: $job:ty,)*) => {
            [$(std::any::type_name::<$job>()),*]
        };
    }

    #[test]
    fn every_job_stands_in_the_table_of_queues() {
        let document = include_str!("../../../docs/JOBS.md");
        for job in for_each_job!(types) {
            let name = job.rsplit("::").next().unwrap();
            assert!(document.contains(&format!("`{name}")), "{name} is missing in docs/JOBS.md, section Queues");
        }
    }

    #[test]
    fn jobs_are_listed_by_their_kind() {
        for (listed, kind) in for_each_job!(names) {
            assert_eq!(listed, kind);
        }
    }
}
