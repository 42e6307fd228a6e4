-- Replies that learners have put before the mentors. A mentor is shown the question and the answer of that reply, and nothing
-- else of the chat. The texts are not copied, so what is cleared or deleted is not shown to a mentor either.
CREATE TABLE mentor_questions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    -- Once for each reply.
    reply_id uuid NOT NULL REFERENCES ai_replies ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Answered once. The answer is a message of the learner's chat; its role there is `assistant`, because that column keeps its
    -- values, and this row says that a mentor wrote it.
    answered_at timestamptz,
    answered_by uuid REFERENCES users ON DELETE SET NULL,
    message_id uuid REFERENCES tool_messages ON DELETE SET NULL,
    CONSTRAINT mentor_questions_reply_key UNIQUE (reply_id),
    CONSTRAINT mentor_questions_answer CHECK (answered_at IS NOT NULL OR num_nonnulls(answered_by, message_id) = 0)
);
CREATE INDEX mentor_questions_user_idx ON mentor_questions (user_id, id);
CREATE INDEX mentor_questions_answered_by_idx ON mentor_questions (answered_by, id);
CREATE UNIQUE INDEX mentor_questions_message_key ON mentor_questions (message_id);
-- The lists of mentors.
CREATE INDEX mentor_questions_waiting_idx ON mentor_questions (created_at, id) WHERE answered_at IS NULL;
CREATE INDEX mentor_questions_answered_idx ON mentor_questions (answered_at DESC, id DESC) WHERE answered_at IS NOT NULL;
