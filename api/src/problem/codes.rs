//! The closed list of problem codes. Clients branch on them, so a code that has been used keeps its name and meaning.
//!
//! A line consists of the variant, the constructor of `Problem` (which is also the name of the code in responses), the
//! status, the title, and the default detail.

use std::borrow::Cow;

use poem::http::StatusCode;

/// Calls the macro `$define` with the list.
macro_rules! with_codes {
    ($define:ident) => { $define! {
        // Any request.
        MalformedBody malformed_body BAD_REQUEST "The body is not JSON" "The body could not be parsed as JSON.";
        InvalidBody invalid_body UNPROCESSABLE_ENTITY "The body does not have the documented form" "At least one member of the body is missing, of the wrong type or out of bounds; see errors.";
        MalformedParameter malformed_parameter BAD_REQUEST "A parameter does not have the documented form" "A path, query or header parameter is missing, malformed or out of bounds; see errors.";
        Unauthorized unauthorized UNAUTHORIZED "The access token is not valid" "The access token is missing, expired, or its session has ended. Refresh the session or sign in.";
        Forbidden forbidden FORBIDDEN "Not allowed for your role" "Your role does not allow this operation.";
        NotFound not_found NOT_FOUND "Path not found" "There is no such path. All paths are listed in /openapi.json.";
        MethodNotAllowed method_not_allowed METHOD_NOT_ALLOWED "Method not allowed" "The path exists, but not with this method; see the Allow header.";
        BodyTooLarge body_too_large PAYLOAD_TOO_LARGE "The body is too large" "A body may have at most 256 KiB.";
        UnsupportedMediaType unsupported_media_type UNSUPPORTED_MEDIA_TYPE "The body must be JSON" "Send the body as application/json.";
        TooManyRequests too_many_requests TOO_MANY_REQUESTS "Too many requests" "There were too many requests or attempts. Try again later; see the Retry-After header.";
        IdempotencyKeyReused idempotency_key_reused CONFLICT "The idempotency key was used for another request" "This Idempotency-Key was sent before with another body. Use a new key for a new request.";
        PreconditionRequired precondition_required PRECONDITION_REQUIRED "If-Match is required" "Send the ETag of the version that you want to change as If-Match.";
        VersionMismatch version_mismatch PRECONDITION_FAILED "The resource has changed" "The resource has changed since you read it. Get it again, and repeat the update with its new ETag.";
        ResourceDeleted resource_deleted CONFLICT "The resource is deleted" "A deleted resource can only be restored. Restore it first.";
        ValueTaken value_taken CONFLICT "The value is already in use" "A member must be unique, and another resource has the same value; see errors.";
        ResourceInUse resource_in_use CONFLICT "The resource is in use" "Others that are not deleted belong to it. Move or delete them first; dependents_count says how many there are.";
        ParentDeleted parent_deleted CONFLICT "What it belongs to is deleted" "It cannot be restored while what it belongs to is deleted. Restore that first.";
        OrderMismatch order_mismatch CONFLICT "The order does not match the list" "The order must contain each resource of the list exactly once. Get the list again and repeat the call.";
        CollectionFull collection_full CONFLICT "The list is full" "The list has as many resources as it can have. Delete one of them first.";
        LimitReached limit_reached CONFLICT "You have as many as you can have" "A user can have a limited number of these; limit says how many. Delete one of them first.";
        Internal internal INTERNAL_SERVER_ERROR "Internal error" "The request could not be completed. If it keeps happening, report the request id.";
        Unavailable unavailable SERVICE_UNAVAILABLE "The service is unavailable" "The request could not be completed in time. Nothing was changed. Try again later.";

        // Users.
        InvalidCredentials invalid_credentials UNAUTHORIZED "Wrong email or password" "There is no account with this email and password.";
        AccountSuspended account_suspended FORBIDDEN "The account is suspended" "This account is suspended. Ask an administrator.";
        InvalidRefreshToken invalid_refresh_token UNAUTHORIZED "The refresh token is not valid" "The refresh token is unknown, was used before, or its session has ended. Sign in again.";
        EmailTaken email_taken CONFLICT "The email address is already in use" "There is an account with this email address. Sign in instead.";
        UserNotFound user_not_found NOT_FOUND "User not found" "There is no user with this id.";
        LastAdmin last_admin CONFLICT "The last active admin must stay one" "The change would leave the platform without an active admin. Give somebody else the role first.";
        SessionNotFound session_not_found NOT_FOUND "Session not found" "There is no session of yours with this id, or it has ended.";
        WrongPassword wrong_password FORBIDDEN "The password is wrong" "The current password is not the one that was sent.";
        InvalidResetToken invalid_reset_token GONE "The reset link is not valid" "The reset link is unknown, was used or replaced, or has expired. Ask for a new one.";
        EmailNotVerified email_not_verified FORBIDDEN "The email address is not verified" "Verify your email address first, with the link in the mail that requestEmailVerification sends.";
        InvalidVerificationToken invalid_verification_token GONE "The verification link is not valid" "The link is unknown, was used or replaced, has expired, or is about another address. Ask for a new one.";
        InviteRequired invite_required FORBIDDEN "An invite is required" "Registration is by invite only. Send an invite_code.";
        InviteNotFound invite_not_found NOT_FOUND "Invite not found" "There is no invite with this code.";
        InviteExpired invite_expired GONE "The invite has expired" "This invite has expired. Ask for a new one.";
        InviteUsedUp invite_used_up CONFLICT "The invite is used up" "This invite has been used the maximum number of times.";
        InviteRevoked invite_revoked GONE "The invite was revoked" "This invite was revoked. Ask for a new one.";

        // Learning.
        RoadmapNotFound roadmap_not_found NOT_FOUND "Roadmap not found" "There is no published roadmap with this id.";
        ModuleNotFound module_not_found NOT_FOUND "Module not found" "There is no module with this id.";
        StageNotFound stage_not_found NOT_FOUND "Stage not found" "There is no published stage with this id.";
        LessonNotFound lesson_not_found NOT_FOUND "Lesson not found" "There is no published lesson with this id.";
        TaskNotFound task_not_found NOT_FOUND "Task not found" "The lesson has no task with this id.";
        StageLocked stage_locked CONFLICT "The lesson is locked" "Complete the earlier stages first.";
        ImportNotFound import_not_found NOT_FOUND "Import not found" "There is no course import with this id.";
        StudentNotFound student_not_found NOT_FOUND "Student not found" "There is no student with this id.";
        TasksIncomplete tasks_incomplete CONFLICT "Required tasks are not checked" "This lesson is completed by checking all of its required tasks.";

        // Libraries.
        PromptCategoryNotFound prompt_category_not_found NOT_FOUND "Prompt category not found" "There is no prompt category with this id.";
        PromptNotFound prompt_not_found NOT_FOUND "Prompt not found" "There is no published prompt with this id.";
        StyleNotFound style_not_found NOT_FOUND "Style card not found" "There is no published style card with this id.";
        TermNotFound term_not_found NOT_FOUND "Term not found" "There is no published term with this id.";

        // Community.
        ProjectNotFound project_not_found NOT_FOUND "Project not found" "There is no project with this id.";
        ProjectState project_state CONFLICT "The status of the project does not allow this" "The project has a status in which this cannot be done; see project_status.";
        OwnProject own_project FORBIDDEN "The project is your own" "Another mentor or an admin decides about your projects.";

        // Tools.
        ReplyNotFound reply_not_found NOT_FOUND "Reply not found" "There is no reply of yours with this id.";
        ReplyOpen reply_open CONFLICT "A reply is still being written" "Wait for the open reply of this chat, or cancel it, before asking again.";
        TooManyOpenReplies too_many_open_replies TOO_MANY_REQUESTS "Too many replies are being written" "Wait until one of your open replies is completed, or cancel it.";
        QuotaExceeded quota_exceeded TOO_MANY_REQUESTS "The daily quota is used up" "You have asked the maximum number of questions in 24 hours.";
        BudgetExceeded budget_exceeded TOO_MANY_REQUESTS "A budget is used up" "The budget of the AI tools is used up until the time in resets_at, or reserved for replies that are being written.";
        ReplyNotAnswered reply_not_answered CONFLICT "The reply has no answer" "Only a reply that is completed, and whose answer was not cleared, can be rated or put before a mentor.";
        MentorQuestionNotFound mentor_question_not_found NOT_FOUND "Question not found" "There is no question to the mentors with this id, or its learner has withdrawn it.";
        MentorQuestionAnswered mentor_question_answered CONFLICT "A mentor has answered" "A question to the mentors is answered once, and can be withdrawn until then.";
        ReplyFinished reply_finished CONFLICT "The reply is finished" "A reply can be cancelled until it is completed or has failed.";
        ReplyNotRetryable reply_not_retryable CONFLICT "The reply cannot be retried" "A reply that failed or was cancelled can be retried up to 20 times, as long as its question is in the chat.";
        TooManyStreams too_many_streams TOO_MANY_REQUESTS "Too many streams are open" "Close one of your streams first.";
        MessageNotFound message_not_found NOT_FOUND "Message not found" "There is no message of yours with this id.";
        InstructionNotFound instruction_not_found NOT_FOUND "Instruction not found" "The tool has no instruction with this version.";
        EvaluationNotFound evaluation_not_found NOT_FOUND "Evaluation not found" "There is no evaluation with this id.";
        EvaluationRunNotFound evaluation_run_not_found NOT_FOUND "Run not found" "There is no run of an evaluation with this id.";
        EvaluationRunning evaluation_running CONFLICT "The evaluation is being run" "One run of an evaluation goes on at a time. Wait until it has ended.";
        EvaluationFallen evaluation_fallen CONFLICT "The version does worse than the active one" "In an evaluation that is attached, the version answers fewer questions well than the active one; see evaluation_id.";
        EvaluationRequired evaluation_required CONFLICT "The version has not been evaluated" "The version has to be compared with the active one first, in the evaluation of evaluation_id as its questions are now.";
        InstructionNotRollable instruction_not_rollable CONFLICT "The version cannot be rolled back" "Only the active version can be rolled back, and only if another one was active before it.";
        TryoutNotFound tryout_not_found NOT_FOUND "Try-out not found" "There is no try-out with this id. Try-outs are kept for a day.";
        TooManyTryouts too_many_tryouts TOO_MANY_REQUESTS "Too many try-outs are open" "Wait until one of your try-outs has been answered.";
        ChatNotFound chat_not_found NOT_FOUND "Chat not found" "There is no chat with this id.";
        MessageTooLong message_too_long UNPROCESSABLE_ENTITY "The message is too long" "The message has more characters than the platform allows.";

        // The activity log.
        ActivityNotFound activity_not_found NOT_FOUND "Activity not found" "There is no activity with this id. Activities are kept for a limited time.";

        // Settings.
        SettingNotFound setting_not_found NOT_FOUND "Setting not found" "There is no setting with this key. All settings are listed at /v1/admin/settings.";

        // Operations.
        JobNotFound job_not_found NOT_FOUND "Job not found" "There is no job with this id. Finished jobs are kept for a limited time.";
        JobRunning job_running CONFLICT "The job is running" "The job is running. Wait until the attempt has ended.";
        JobFinished job_finished CONFLICT "The job is done" "A job that is done cannot be changed.";
    } };
}
pub(super) use with_codes;

macro_rules! define_codes {
    ($($variant:ident $name:ident $status:ident $title:literal $detail:literal;)*) => {
        /// What went wrong, for programs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $title] $variant,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable name, as in the member `code`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($name),)* }
            }

            /// The status of all responses with this code.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)* }
            }

            /// What the code means. It is the same in every response.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            pub(crate) const fn detail(self) -> Cow<'static, str> {
                match self { $(Self::$variant => Cow::Borrowed($detail),)* }
            }
        }
    };
}

with_codes!(define_codes);
