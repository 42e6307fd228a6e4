//! The form of the table: who may call an operation, and what it costs.

use cairn_api::Code;

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Nobody is signed in.
    Anonymous,
    /// The learner whose things the calls are about.
    Learner,
    /// A learner whom they do not concern.
    Other,
    /// A mentor.
    Mentor,
    /// An admin.
    Admin,
    /// A learner whom an admin has suspended, with the access token of before.
    Suspended,
    /// A learner whom an admin has deleted, with the access token of before.
    Deleted,
}

impl Who {
    pub(super) const ALL: [Self; 7] =
        [Self::Anonymous, Self::Learner, Self::Other, Self::Mentor, Self::Admin, Self::Suspended, Self::Deleted];

    /// The name of the user in the school.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Learner => "learner",
            Self::Other => "other",
            Self::Mentor => "mentor",
            Self::Admin => "admin",
            Self::Suspended => "suspended",
            Self::Deleted => "deleted",
        }
    }
}

/// Who may call an operation. Whoever is not signed in, suspended or deleted gets `unauthorized`, except from public operations.
#[derive(Clone, Copy, Debug)]
pub(super) enum Access {
    /// Everyone. A token makes no difference.
    Public,
    /// Everyone who is signed in, each for themselves.
    Members,
    /// The learner. For all others who are signed in, what they ask for does not exist.
    Owner(Code),
    /// Nobody, because it is not published or not there any more.
    Nobody(Code),
    /// Mentors and admins. Learners get `forbidden`.
    Mentors,
    /// Admins. Learners and mentors get `forbidden`.
    Admins,
}

impl Access {
    /// The problem that the caller gets; `None` if the call succeeds.
    pub(super) const fn refusal(self, who: Who) -> Option<Code> {
        match (self, who) {
            (Self::Public, _) | (Self::Mentors, Who::Mentor | Who::Admin) | (Self::Admins, Who::Admin) => None,
            (_, Who::Anonymous | Who::Suspended | Who::Deleted) => Some(Code::Unauthorized),
            (Self::Members, _) | (Self::Owner(_), Who::Learner) => None,
            (Self::Owner(code) | Self::Nobody(code), _) => Some(code),
            (Self::Mentors | Self::Admins, _) => Some(Code::Forbidden),
        }
    }

    /// Whose call is counted.
    pub(super) const fn first(self) -> Who {
        match self {
            Self::Public => Who::Anonymous,
            Self::Members | Self::Owner(_) | Self::Nobody(_) => Who::Learner,
            Self::Mentors => Who::Mentor,
            Self::Admins => Who::Admin,
        }
    }
}

/// An operation in one situation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// The operation id.
    pub(super) operation: &'static str,
    /// Who may call it.
    pub(super) access: Access,
    /// How many statements a call takes that succeeds; 0 if nobody's does.
    pub(super) statements: usize,
    /// Parameters, where they differ from [`PARAMETERS`](super::school::PARAMETERS).
    pub(super) given: &'static [(&'static str, &'static str)],
    /// The body, as JSON.
    pub(super) body: Option<&'static str>,
    /// Callers who are refused although the class says otherwise.
    pub(super) except: &'static [(Who, Code)],
    /// Whether the response is a stream that does not end.
    pub(super) is_endless: bool,
}

/// The row of an operation. In parameters and bodies `$style 1` is the id of that name in `school.sql`, `$all styles` one of the
/// lists in `school.rs`, and `{caller}` the name of who calls.
pub(super) const fn row(operation: &'static str, access: Access, statements: usize) -> Row {
    Row { operation, access, statements, given: &[], body: None, except: &[], is_endless: false }
}

/// The row of an operation on something that nobody may see, although it is stored.
pub(super) const fn nobody(operation: &'static str, code: Code) -> Row {
    row(operation, Access::Nobody(code), 0)
}

impl Row {
    /// With these parameters of the path, the query or the header.
    pub(super) const fn given(self, given: &'static [(&'static str, &'static str)]) -> Self {
        Self { given, ..self }
    }

    /// With this body.
    pub(super) const fn body(self, body: &'static str) -> Self {
        Self { body: Some(body), ..self }
    }

    /// With these callers refused.
    pub(super) const fn except(self, except: &'static [(Who, Code)]) -> Self {
        Self { except, ..self }
    }

    /// With a stream that does not end.
    pub(super) const fn endless(self) -> Self {
        Self { is_endless: true, ..self }
    }

    /// The problem that the caller gets; `None` if the call succeeds.
    pub(super) fn refusal(&self, who: Who) -> Option<Code> {
        let exception = self.except.iter().find(|(refused, _)| *refused == who).map(|(_, code)| *code);
        exception.or(self.access.refusal(who))
    }
}
