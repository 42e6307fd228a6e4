//! What the platform has names for.

/// What an action is done to, and what [`NotFound`](crate::refusal::NotFound) refers to. The names are stored, so their
/// meaning must never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "each names itself")]
pub enum Noun {
    Activity,
    Admin,
    Budget,
    Chat,
    Course,
    Email,
    Evaluation,
    EvaluationRun,
    Import,
    Instruction,
    Invite,
    Job,
    Jobs,
    Lesson,
    MentorQuestion,
    Message,
    Module,
    Operation,
    Password,
    PasswordReset,
    Project,
    Prompt,
    PromptCategory,
    Question,
    Queue,
    RefreshToken,
    Reply,
    Roadmap,
    Session,
    Setting,
    Stage,
    Student,
    Style,
    Task,
    Term,
    ToolChat,
    Tryout,
    User,
}

impl Noun {
    /// The stored name.
    pub fn name(self) -> &'static str {
        self.into()
    }
}
