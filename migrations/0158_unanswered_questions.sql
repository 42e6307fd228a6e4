-- Questions for which the platform has no content, by what was looked for: the stems of their words, so that the same question in
-- other words is the same. An admin sees what the course lacks. A row goes with its reply, and when the chat is cleared.
CREATE TABLE ai_unanswered_questions (
    reply_id uuid PRIMARY KEY REFERENCES ai_replies ON DELETE CASCADE,
    tool_type varchar(20) NOT NULL CHECK (tool_type IN ('assistant', 'tz_helper', 'ideas')),
    words text NOT NULL CHECK (length(words) <= 500),
    asked_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ai_unanswered_questions_asked_at_idx ON ai_unanswered_questions (asked_at);
