//! Turns refusals of the domain into problems.

use cairn_core::admin::jobs::JobRefusal;
use cairn_core::bounds::LimitReached;
use cairn_core::community::projects::ProjectRefusal;
use cairn_core::learning::facts::TasksIncomplete;
use cairn_core::learning::lessons::LessonRefusal;
use cairn_core::library::favorites::FavoriteRefusal;
use cairn_core::noun::Noun;
use cairn_core::refusal::{NotFound, Rejected};
use cairn_core::resource;
use cairn_core::settings::BudgetScope;
use cairn_core::stats::daily::UnknownTimeZone;
use cairn_core::tools::budgets::{self, BudgetExceeded};
use cairn_core::tools::cancel::CancelRefusal;
use cairn_core::tools::evaluation_runs::RunRefusal;
use cairn_core::tools::instructions::ActivationRefusal;
use cairn_core::tools::mentor_questions::MentorRefusal;
use cairn_core::tools::questions::AskRefusal;
use cairn_core::tools::ratings::AnswerRefusal;
use cairn_core::tools::retry::RetryRefusal;
use cairn_core::tools::tryouts::TryoutRefusal;
use cairn_core::users::accounts::RegistrationRefusal;
use cairn_core::users::erasure::DeletionRefusal;
use cairn_core::users::invites::InviteRefusal;
use cairn_core::users::passwords::Overloaded;
use cairn_core::users::profile::PasswordChanged;
use cairn_core::users::resets::InvalidReset;
use cairn_core::users::verifications::InvalidVerification;
use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::{Code, FieldError, Problem};
use crate::time;

/// The seconds to wait before asking again while a reply is still being written.
const OPEN_REPLY_RETRY_AFTER: u64 = 5;

/// The seconds after which the hash queue has worked off what is in it.
const HASHING_RETRY_AFTER: u64 = 2;

impl<R> From<Rejected<R>> for Problem
where
    Self: From<R>,
{
    fn from(rejected: Rejected<R>) -> Self {
        match rejected {
            Rejected::Refused(refusal) => refusal.into(),
            Rejected::Failed(error) => error.into(),
        }
    }
}

impl From<NotFound> for Problem {
    fn from(NotFound(noun): NotFound) -> Self {
        Self::new(Code::not_found_for(noun))
    }
}

impl Code {
    /// The code for a missing object of this kind.
    fn not_found_for(noun: Noun) -> Self {
        match noun {
            Noun::Activity => Self::ActivityNotFound,
            Noun::Chat | Noun::ToolChat => Self::ChatNotFound,
            Noun::Evaluation => Self::EvaluationNotFound,
            Noun::EvaluationRun => Self::EvaluationRunNotFound,
            Noun::Import => Self::ImportNotFound,
            Noun::Instruction => Self::InstructionNotFound,
            Noun::Invite => Self::InviteNotFound,
            Noun::Job => Self::JobNotFound,
            Noun::Lesson => Self::LessonNotFound,
            Noun::MentorQuestion => Self::MentorQuestionNotFound,
            Noun::Message => Self::MessageNotFound,
            Noun::Module => Self::ModuleNotFound,
            Noun::Project => Self::ProjectNotFound,
            Noun::Prompt => Self::PromptNotFound,
            Noun::PromptCategory => Self::PromptCategoryNotFound,
            Noun::Reply => Self::ReplyNotFound,
            Noun::Roadmap => Self::RoadmapNotFound,
            Noun::Session => Self::SessionNotFound,
            Noun::Setting => Self::SettingNotFound,
            Noun::Stage => Self::StageNotFound,
            Noun::Student => Self::StudentNotFound,
            Noun::Style => Self::StyleNotFound,
            Noun::Task => Self::TaskNotFound,
            Noun::Term => Self::TermNotFound,
            Noun::Tryout => Self::TryoutNotFound,
            Noun::User => Self::UserNotFound,
            Noun::Admin
            | Noun::Budget
            | Noun::Course
            | Noun::Email
            | Noun::Jobs
            | Noun::Password
            | Noun::PasswordReset
            | Noun::Question
            | Noun::Queue
            | Noun::Operation
            | Noun::RefreshToken => Self::NotFound,
        }
    }
}

impl From<RegistrationRefusal> for Problem {
    fn from(refusal: RegistrationRefusal) -> Self {
        match refusal {
            RegistrationRefusal::EmailTaken => Self::email_taken(),
            RegistrationRefusal::InviteRequired => Self::invite_required(),
            RegistrationRefusal::Invite(InviteRefusal::Unknown) => Self::invite_not_found(),
            RegistrationRefusal::Invite(InviteRefusal::Revoked) => Self::invite_revoked(),
            RegistrationRefusal::Invite(InviteRefusal::Expired) => Self::invite_expired(),
            RegistrationRefusal::Invite(InviteRefusal::UsedUp) => Self::invite_used_up(),
        }
    }
}

impl From<Overloaded> for Problem {
    fn from(Overloaded: Overloaded) -> Self {
        Self::unavailable()
            .detail("Too many passwords are being checked. Nothing was changed. Try again later.")
            .retry_after(HASHING_RETRY_AFTER)
    }
}

impl From<InvalidReset> for Problem {
    fn from(InvalidReset: InvalidReset) -> Self {
        Self::invalid_reset_token()
    }
}

impl From<InvalidVerification> for Problem {
    fn from(InvalidVerification: InvalidVerification) -> Self {
        Self::invalid_verification_token()
    }
}

impl From<PasswordChanged> for Problem {
    fn from(PasswordChanged: PasswordChanged) -> Self {
        Self::wrong_password()
    }
}

impl From<DeletionRefusal> for Problem {
    fn from(refusal: DeletionRefusal) -> Self {
        match refusal {
            DeletionRefusal::PasswordChanged => Self::wrong_password(),
            DeletionRefusal::LastAdmin => Self::last_admin(),
        }
    }
}

impl From<LessonRefusal> for Problem {
    fn from(refusal: LessonRefusal) -> Self {
        match refusal {
            LessonRefusal::NotFound(not_found) => not_found.into(),
            LessonRefusal::StageLocked { stage_title, missing } => {
                let names = missing.iter().map(|stage| {
                    format!("“{}” ({} of {} lessons)", stage.title, stage.lessons_completed, stage.lessons_total)
                });
                let names = named(names);
                let missing: Vec<Value> = missing
                    .iter()
                    .map(|stage| {
                        json!({
                            "stage_id": stage.stage_id,
                            "title": stage.title,
                            "lessons_total": stage.lessons_total,
                            "lessons_completed": stage.lessons_completed,
                        })
                    })
                    .collect();
                Self::stage_locked()
                    .detail(format!("The stage “{stage_title}” opens after {names}."))
                    .with("locked_by", missing)
            }
        }
    }
}

impl From<TasksIncomplete> for Problem {
    fn from(TasksIncomplete(tasks): TasksIncomplete) -> Self {
        let titles = named(tasks.iter().map(|task| format!("“{}”", task.title)));
        let missing: Vec<Value> =
            tasks.iter().map(|task| json!({"task_id": task.task_id, "title": task.title})).collect();
        Self::tasks_incomplete()
            .detail(format!("Check the required tasks first: {titles}."))
            .with("missing_tasks", missing)
    }
}

impl From<AskRefusal> for Problem {
    fn from(refusal: AskRefusal) -> Self {
        match refusal {
            AskRefusal::ReplyOpen => Self::reply_open(),
            AskRefusal::TooManyOpen { limit } => Self::too_many_open_replies()
                .detail(format!("At most {limit} of your questions are answered at once. Wait for an open reply."))
                .with("limit", limit)
                .retry_after(OPEN_REPLY_RETRY_AFTER),
            AskRefusal::QuotaUsed(quota) => {
                let next = quota.resets_at.map_or_else(String::new, |time| {
                    format!(" The next one can be asked at {}.", time.to_rfc3339_opts(SecondsFormat::Secs, true))
                });
                let seconds = quota.resets_in.as_secs() + 1;
                Self::quota_exceeded()
                    .detail(format!("{} questions may be asked in 24 hours.{next}", quota.limit))
                    .with("limit", quota.limit)
                    .with("resets_at", quota.resets_at.map(time::text))
                    .retry_after(seconds)
            }
            AskRefusal::BudgetExceeded(exceeded) => exceeded.into(),
            // The schema installs an instruction for each tool, and activating one replaces another.
            AskRefusal::Unavailable => cairn_core::Error::message("a tool has no active instruction").into(),
        }
    }
}

impl From<BudgetExceeded> for Problem {
    fn from(BudgetExceeded(used): BudgetExceeded) -> Self {
        let is_own = used.budget.scope == BudgetScope::Learner;
        let whose = if is_own { "Your budget" } else { "The budget" };
        let (state, seconds) = if used.is_spent() {
            ("used up", used.resets_in.as_secs() + 1)
        } else {
            ("reserved for replies that are being written", OPEN_REPLY_RETRY_AFTER)
        };
        let time = used.resets_at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let period = budgets::named(used.budget.period);
        let problem = Self::budget_exceeded()
            .detail(format!("{whose} of the AI tools for {period} is {state}. The next one begins at {time}."))
            .with("resets_at", time::text(used.resets_at))
            .with("budget_scope", used.budget.scope.name())
            .with("budget_period", used.budget.period.name())
            .with("budget_unit", used.budget.unit.name())
            .retry_after(seconds);
        // What the platform spends is none of a learner's business.
        if is_own { problem.with("limit", used.budget.amount) } else { problem }
    }
}

impl From<AnswerRefusal> for Problem {
    fn from(refusal: AnswerRefusal) -> Self {
        match refusal {
            AnswerRefusal::NotFound(not_found) => not_found.into(),
            AnswerRefusal::NotAnswered => Self::reply_not_answered(),
        }
    }
}

impl From<MentorRefusal> for Problem {
    fn from(refusal: MentorRefusal) -> Self {
        match refusal {
            MentorRefusal::NotFound(not_found) => not_found.into(),
            MentorRefusal::Answered => Self::mentor_question_answered(),
        }
    }
}

impl From<RetryRefusal> for Problem {
    fn from(refusal: RetryRefusal) -> Self {
        match refusal {
            RetryRefusal::NotFound(not_found) => not_found.into(),
            RetryRefusal::NotRetryable => Self::reply_not_retryable(),
            RetryRefusal::Ask(refusal) => refusal.into(),
        }
    }
}

impl From<CancelRefusal> for Problem {
    fn from(refusal: CancelRefusal) -> Self {
        match refusal {
            CancelRefusal::NotFound(not_found) => not_found.into(),
            CancelRefusal::Finished => Self::reply_finished(),
        }
    }
}

impl From<TryoutRefusal> for Problem {
    fn from(refusal: TryoutRefusal) -> Self {
        match refusal {
            TryoutRefusal::NotFound(not_found) => not_found.into(),
            TryoutRefusal::TooManyOpen { limit } => Self::too_many_tryouts()
                .detail(format!("At most {limit} of your try-outs are answered at once. Wait for one of them."))
                .with("limit", limit)
                .retry_after(OPEN_REPLY_RETRY_AFTER),
            TryoutRefusal::BudgetExceeded(exceeded) => exceeded.into(),
        }
    }
}

impl From<ActivationRefusal> for Problem {
    fn from(refusal: ActivationRefusal) -> Self {
        match refusal {
            ActivationRefusal::NotFound(not_found) => not_found.into(),
            ActivationRefusal::Fallen { evaluation_id, name, passed, baseline_passed } => Self::evaluation_fallen()
                .detail(format!(
                    "In the evaluation “{name}” the version answers {passed} questions well, and the active one {baseline_passed}."
                ))
                .with("evaluation_id", evaluation_id.to_string())
                .with("passed_count", passed)
                .with("baseline_passed_count", baseline_passed),
            ActivationRefusal::NotEvaluated { evaluation_id, name } => Self::evaluation_required()
                .detail(format!("Compare the version with the active one in the evaluation “{name}” first."))
                .with("evaluation_id", evaluation_id.to_string()),
            ActivationRefusal::NotRollable => Self::instruction_not_rollable(),
        }
    }
}

impl From<RunRefusal> for Problem {
    fn from(refusal: RunRefusal) -> Self {
        match refusal {
            RunRefusal::NotFound(not_found) => not_found.into(),
            RunRefusal::Deleted => Self::resource_deleted(),
            RunRefusal::Open => Self::evaluation_running(),
            RunRefusal::BudgetExceeded(exceeded) => exceeded.into(),
        }
    }
}

impl From<JobRefusal> for Problem {
    fn from(refusal: JobRefusal) -> Self {
        match refusal {
            JobRefusal::NotFound(not_found) => not_found.into(),
            JobRefusal::Running => Self::job_running(),
            JobRefusal::Finished => Self::job_finished(),
        }
    }
}

impl From<ProjectRefusal> for Problem {
    fn from(refusal: ProjectRefusal) -> Self {
        match refusal {
            ProjectRefusal::NotFound(not_found) => not_found.into(),
            ProjectRefusal::Status(status) => Self::project_state()
                .detail(format!("The project has the status {}, in which this cannot be done.", status.name()))
                .with("project_status", status.name()),
            ProjectRefusal::OwnProject => Self::own_project(),
            ProjectRefusal::LimitReached(reached) => reached.into(),
            ProjectRefusal::Resource(refusal) => refusal.into(),
        }
    }
}

impl From<FavoriteRefusal> for Problem {
    fn from(refusal: FavoriteRefusal) -> Self {
        match refusal {
            FavoriteRefusal::NotFound(not_found) => not_found.into(),
            FavoriteRefusal::LimitReached(reached) => reached.into(),
        }
    }
}

impl From<LimitReached> for Problem {
    fn from(LimitReached { limit }: LimitReached) -> Self {
        Self::limit_reached()
            .detail(format!("You can have {limit} of these. Delete one of them first."))
            .with("limit", limit)
    }
}

impl From<UnknownTimeZone> for Problem {
    fn from(_: UnknownTimeZone) -> Self {
        Self::invalid_parameter("time_zone", "unknown", "There is no such time zone in the IANA database.")
    }
}

impl From<resource::Refusal> for Problem {
    fn from(refusal: resource::Refusal) -> Self {
        match refusal {
            resource::Refusal::NotFound(not_found) => not_found.into(),
            resource::Refusal::Stale { current } => Self::version_mismatch()
                .detail(format!("The resource has version {current} now. Get it again and repeat the update."))
                .with("current_version", current),
            resource::Refusal::Deleted => Self::resource_deleted(),
            resource::Refusal::Taken { member } => {
                let message = "Another resource has this value.";
                Self::value_taken().with_errors(vec![FieldError::at(format!("/{member}"), "taken", message)])
            }
            resource::Refusal::LastAdmin => Self::last_admin(),
            resource::Refusal::Invalid { pointer, message } => Self::invalid_field(pointer, "invalid", message),
            resource::Refusal::Faults(faults) => {
                Self::invalid_body().with_errors(faults.into_iter().map(FieldError::from).collect())
            }
            resource::Refusal::Full { limit } => Self::collection_full()
                .detail(format!("The list has {limit} resources, and can have no more."))
                .with("limit", limit),
            resource::Refusal::InUse { noun, count } => Self::resource_in_use()
                .detail(format!(
                    "Others that are not deleted belong to it ({}: {count}). Move or delete them first.",
                    noun.name()
                ))
                .with("dependents_type", noun.name())
                .with("dependents_count", count),
            resource::Refusal::ParentDeleted(noun) => Self::parent_deleted()
                .detail(format!("What it belongs to ({}) is deleted. Restore that first.", noun.name()))
                .with("parent_type", noun.name()),
            resource::Refusal::OrderMismatch { missing, unexpected } => Self::order_mismatch()
                .detail(format!(
                    "{missing} resources are missing from the order, and {unexpected} are not in the list or are repeated."
                ))
                .with("missing_count", missing)
                .with("unexpected_count", unexpected),
        }
    }
}

/// Formats at most ten items as a list within a sentence.
fn named(items: impl ExactSizeIterator<Item = String>) -> String {
    const SHOWN: usize = 10;
    let more = items.len().saturating_sub(SHOWN);
    let shown = items.take(SHOWN).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut() {
        let list = |n: usize| named((0..n).map(|i| (i + 1).to_string()));
        assert_eq!(list(2), "1, 2");
        assert_eq!(list(12), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more");
    }
}
