//! What a reader of a stream gets in one read, whatever is streamed.

/// What a reader does after a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuation {
    /// Read again, because there is more.
    Read,
    /// Wait for a notification.
    Wait,
    /// Stop, because the reader has everything.
    Finished,
}

/// The result of one read, with positions `P` and updates `U`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadResult<P, U> {
    /// The updates since the reader's position, in order, each with the position after it.
    pub updates: Vec<(P, U)>,
    /// What to do next.
    pub next: Continuation,
}
