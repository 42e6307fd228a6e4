-- A school in which there is one of everything that an operation can be called on, and {n} rows in every list. Names are ids:
-- named('style 1') is what a row of the table calls "$style 1". What not everyone may read says
-- for whom it is: "[for admins]", "[for the learner]" (and admins) or "[for mentors]" (too).

CREATE FUNCTION pg_temp.named(text) RETURNS uuid LANGUAGE sql IMMUTABLE AS
$$ SELECT rpad(encode(convert_to($1, 'UTF8'), 'hex'), 32, '0')::uuid $$;

-- People and their sessions.

UPDATE platform_settings SET value = '"on"' WHERE key = 'projects.moderation';

INSERT INTO users (id, email, first_name, role, password_hash)
SELECT pg_temp.named(name), replace(name, ' ', '-') || '@example.test', initcap(name), role::user_role, '{password_hash}'
FROM (VALUES ('learner', 'student'), ('other', 'student'), ('mentor', 'mentor'), ('admin', 'admin'), ('substitute', 'admin'),
             ('suspended', 'student'), ('deleted', 'student'), ('user suspended', 'student'), ('user deleted', 'student'))
     AS people (name, role);

INSERT INTO users (id, email, first_name, last_active_at)
SELECT pg_temp.named('student ' || k), 'student-' || k || '@example.test', 'Student ' || k, now() - k * interval '1 minute'
FROM generate_series(1, {n}) k;

INSERT INTO users (id, email, first_name)
SELECT pg_temp.named('reset ' || caller), 'reset-' || caller || '@example.test', 'Reset'
FROM unnest('{callers}'::text[]) caller;
INSERT INTO password_resets (user_id, token_hash, expires_at)
SELECT pg_temp.named('reset ' || caller), sha256(convert_to('reset ' || caller, 'UTF8')), now() + interval '1 day'
FROM unnest('{callers}'::text[]) caller;

INSERT INTO email_verifications (user_id, email, token_hash, expires_at)
SELECT pg_temp.named('reset ' || caller), 'reset-' || caller || '@example.test', sha256(convert_to('verify ' || caller, 'UTF8')),
    now() + interval '1 day'
FROM unnest('{callers}'::text[]) caller;

INSERT INTO sessions (id, user_id, expires_at)
SELECT pg_temp.named('s ' || caller), pg_temp.named(caller), now() + interval '30 days'
FROM unnest('{callers}'::text[]) caller WHERE caller <> 'anonymous';
INSERT INTO sessions (id, user_id, user_agent, expires_at)
SELECT pg_temp.named('session ' || k), pg_temp.named('learner'), '[for the learner] browser', now() + interval '30 days'
FROM generate_series(1, {n}) k;
INSERT INTO refresh_tokens (token_hash, session_id)
SELECT sha256(convert_to('refresh ' || caller, 'UTF8')), pg_temp.named('session 1') FROM unnest('{callers}'::text[]) caller;

INSERT INTO invite_links (id, code, note, max_uses)
SELECT pg_temp.named('invite ' || k), 'the-code-of-invite-' || k, '[for admins]', 100 FROM generate_series(1, {n}) k;

-- The course: a module with {n} lessons, of which the first has {n} materials and tasks, and a roadmap with {n} stages of all
-- lessons.

INSERT INTO course_modules (id, slug, title, position, publication)
SELECT pg_temp.named('module ' || k), 'module-' || k, 'Module ' || k, k, 'published' FROM generate_series(1, {n}) k;
INSERT INTO lessons (id, module_id, slug, title, summary, body, duration_minutes, position, publication)
SELECT pg_temp.named('lesson ' || k), pg_temp.named('module 1'), 'lesson-' || k, 'Lesson ' || k, 'About colours', 'Words', 5, k,
    'published'
FROM generate_series(1, {n}) k;
INSERT INTO lesson_materials (id, lesson_id, kind, title, url, position)
SELECT pg_temp.named('material ' || k), pg_temp.named('lesson 1'), 'link', 'Material ' || k, 'https://example.org/' || k, k
FROM generate_series(1, {n}) k;
INSERT INTO lesson_tasks (id, lesson_id, slug, title, position)
SELECT pg_temp.named('task ' || k), pg_temp.named('lesson 1'), 'task-' || k, 'Task ' || k, k FROM generate_series(1, {n}) k;
INSERT INTO roadmaps (id, slug, title, position, publication)
SELECT pg_temp.named('roadmap ' || k), 'roadmap-' || k, 'Roadmap ' || k, k, 'published' FROM generate_series(1, {n}) k;
INSERT INTO stages (id, roadmap_id, slug, title, position, publication)
SELECT pg_temp.named('stage ' || k), pg_temp.named('roadmap 1'), 'stage-' || k, 'Stage ' || k, k, 'published'
FROM generate_series(1, {n}) k;
INSERT INTO stage_lessons (stage_id, lesson_id, position)
SELECT pg_temp.named('stage ' || s), pg_temp.named('lesson ' || l), l FROM generate_series(1, {n}) s, generate_series(1, {n}) l;

INSERT INTO course_modules (id, slug, title, deleted_at) VALUES
    (pg_temp.named('draft module'), 'draft', '[for admins] module', NULL),
    (pg_temp.named('deleted module'), 'deleted', '[for admins] module', now());
INSERT INTO lessons (id, module_id, slug, title, body, duration_minutes, publication, deleted_at) VALUES
    (pg_temp.named('draft lesson'), pg_temp.named('module 1'), 'draft', '[for admins] lesson', '[for admins]', 5, 'draft', NULL),
    (pg_temp.named('deleted lesson'), pg_temp.named('module 1'), 'deleted', '[for admins] lesson', '[for admins]', 5, 'published', now());
INSERT INTO lesson_tasks (id, lesson_id, slug, title) VALUES
    (pg_temp.named('draft task'), pg_temp.named('draft lesson'), 'draft', '[for admins] task');
INSERT INTO roadmaps (id, slug, title, publication, deleted_at) VALUES
    (pg_temp.named('draft roadmap'), 'draft', '[for admins] roadmap', 'draft', NULL),
    (pg_temp.named('deleted roadmap'), 'deleted', '[for admins] roadmap', 'published', now());
INSERT INTO stages (id, roadmap_id, slug, title, publication, deleted_at) VALUES
    (pg_temp.named('draft stage'), pg_temp.named('roadmap 1'), 'draft', '[for admins] stage', 'draft', NULL),
    (pg_temp.named('deleted stage'), pg_temp.named('roadmap 1'), 'deleted', '[for admins] stage', 'published', now());

INSERT INTO user_lesson_progress (user_id, lesson_id, status, completed_at)
SELECT pg_temp.named('student ' || s), pg_temp.named('lesson ' || l), 'completed', now()
FROM generate_series(1, {n}) s, generate_series(2, {n}) l;
INSERT INTO user_lesson_progress (user_id, lesson_id, status, completed_at)
SELECT pg_temp.named('learner'), pg_temp.named('lesson ' || l), 'completed', now() FROM generate_series(2, {n}) l;

INSERT INTO course_imports (id, is_dry_run, state, objects_total, objects_done, created_count, updated_count, unchanged_count,
    deleted_count, finished_at)
SELECT pg_temp.named('import ' || k), true, 'completed', 1, 1, 1, 0, 0, 0, now() FROM generate_series(1, {n}) k;

-- The libraries.

INSERT INTO style_cards (id, slug, title, category, description, position, publication)
SELECT pg_temp.named('style ' || k), 'style-' || k, 'Style ' || k, 'minimal', 'About colours', k, 'published'
FROM generate_series(1, {n}) k;
INSERT INTO glossary_terms (id, slug, term, definition, publication)
SELECT pg_temp.named('term ' || k), 'term-' || k, 'Term ' || k, 'About colours', 'published' FROM generate_series(1, {n}) k;
INSERT INTO prompt_categories (id, slug, name, kind, position)
SELECT pg_temp.named('category ' || k), 'category-' || k, 'Category ' || k, 'design', k FROM generate_series(1, {n}) k;
INSERT INTO prompts (id, category_id, slug, title, body, position, publication)
SELECT pg_temp.named('prompt ' || k), pg_temp.named('category 1'), 'prompt-' || k, 'Prompt ' || k, 'About colours', k, 'published'
FROM generate_series(1, {n}) k;
INSERT INTO prompt_steps (id, prompt_id, title, body, position)
SELECT pg_temp.named('step ' || p || ' ' || k), pg_temp.named('prompt ' || p), 'Step ' || k, 'Words', k
FROM generate_series(1, {n}) p, generate_series(1, {n}) k;
INSERT INTO user_prompt_favorites (user_id, prompt_id)
SELECT pg_temp.named('learner'), pg_temp.named('prompt ' || k) FROM generate_series(1, {n}) k;

INSERT INTO style_cards (id, slug, title, category, publication, deleted_at) VALUES
    (pg_temp.named('draft style'), 'draft', '[for admins] style', 'minimal', 'draft', NULL),
    (pg_temp.named('deleted style'), 'deleted', '[for admins] style', 'minimal', 'published', now());
INSERT INTO glossary_terms (id, slug, term, definition, publication, deleted_at) VALUES
    (pg_temp.named('draft term'), 'draft', '[for admins] term', '[for admins]', 'draft', NULL),
    (pg_temp.named('deleted term'), 'deleted', '[for admins] term', '[for admins]', 'published', now());
INSERT INTO prompt_categories (id, slug, name, kind, deleted_at) VALUES
    (pg_temp.named('empty category'), 'empty', 'Empty', 'design', NULL),
    (pg_temp.named('deleted categor'), 'deleted', '[for admins] category', 'design', now());
INSERT INTO prompts (id, category_id, slug, title, body, publication, deleted_at) VALUES
    (pg_temp.named('draft prompt'), pg_temp.named('category 1'), 'draft', '[for admins] prompt', '[for admins]', 'draft', NULL),
    (pg_temp.named('deleted prompt'), pg_temp.named('category 1'), 'deleted', '[for admins] prompt', '[for admins]', 'published', now());

-- The learner's projects, and those of others that wait as well. Each moderator has one to decide about.

INSERT INTO showcase_projects (id, user_id, title, summary, status, submitted_at, published_at)
SELECT pg_temp.named(p.kind || ' ' || k), pg_temp.named(CASE WHEN p.kind = 'project' OR k = 1 THEN 'learner' ELSE 'student ' || k END), p.title, 'About colours', p.status::project_status, now(), p.at
FROM (VALUES ('project', 'A project', 'published', now()), ('submitted', '[for mentors] project', 'submitted', NULL)) AS p (kind, title, status, at),
     generate_series(1, {n}) k;
INSERT INTO showcase_projects (id, user_id, title, status, submitted_at, published_at)
SELECT pg_temp.named(p.kind || ' ' || moderator), pg_temp.named('learner'), p.title, p.status::project_status, now(), p.at
FROM (VALUES ('shown', 'A project', 'published', now()), ('due', '[for mentors] project', 'submitted', NULL)) AS p (kind, title, status, at),
     unnest('{mentor,admin}'::text[]) moderator;
INSERT INTO showcase_projects (id, user_id, title, description, status, submitted_at, deleted_at) VALUES
    (pg_temp.named('draft project'), pg_temp.named('learner'), '[for the learner] project', '[for the learner]', 'draft', NULL, NULL),
    (pg_temp.named('deleted project'), pg_temp.named('learner'), '[for the learner] project', '[for the learner]', 'draft', NULL, now()),
    (pg_temp.named('mentor project'), pg_temp.named('mentor'), '[for mentors] project', '[for mentors]', 'submitted', now(), NULL);
INSERT INTO project_likes (project_id, user_id)
SELECT pg_temp.named('project ' || p), pg_temp.named('student ' || s) FROM generate_series(1, {n}) p, generate_series(1, {n}) s;

-- The learner's chats: {n} answered questions, one that is open, and one that failed.

INSERT INTO tool_chats (id, user_id, tool_type) VALUES
    (pg_temp.named('chat 1'), pg_temp.named('learner'), 'assistant'),
    (pg_temp.named('chat 2'), pg_temp.named('learner'), 'tz_helper'),
    (pg_temp.named('chat 3'), pg_temp.named('learner'), 'ideas');
INSERT INTO tool_chats (id, user_id, tool_type)
SELECT pg_temp.named('chat of ' || k), pg_temp.named('student ' || k), 'tz_helper' FROM generate_series(1, {n}) k;
INSERT INTO tool_messages (chat_id, role, content)
SELECT pg_temp.named('chat of ' || k), 'user', '[for admins]' FROM generate_series(1, {n}) k;
INSERT INTO tool_messages (id, chat_id, role, content, has_copyable_content, created_at)
SELECT pg_temp.named(role || ' ' || k), pg_temp.named('chat 1'), role, '[for the learner] [IDEA_START]An idea[IDEA_END]', role = 'assistant',
    now() - interval '2 days' + k * interval '1 minute' + (role = 'assistant')::integer * interval '1 second'
FROM generate_series(1, {n}) k, unnest('{user,assistant}'::text[]) role;
INSERT INTO tool_messages (id, chat_id, role, content, created_at) VALUES
    (pg_temp.named('open question'), pg_temp.named('chat 2'), 'user', '[for the learner]', now() - interval '2 days'),
    (pg_temp.named('failed question'), pg_temp.named('chat 3'), 'user', '[for the learner]', now() - interval '2 days');
INSERT INTO ai_replies (id, chat_id, user_id, question_id, answer_id, instruction_id, question, state, attempt, created_at, finished_at)
SELECT pg_temp.named('reply ' || k), pg_temp.named('chat 1'), pg_temp.named('learner'), pg_temp.named('user ' || k),
    pg_temp.named('assistant ' || k), i.id, '[for the learner]', 'completed', 1, now() - interval '2 days', now() - interval '2 days'
FROM generate_series(1, {n}) k, ai_system_instructions i WHERE i.tool_type = 'assistant';
INSERT INTO ai_replies (id, chat_id, user_id, question_id, instruction_id, question, state, reason, attempt, created_at, finished_at)
SELECT pg_temp.named(r.name || ' reply'), pg_temp.named(r.chat), pg_temp.named('learner'), pg_temp.named(r.name || ' question'), i.id,
    '[for the learner]', r.state::reply_state, r.reason, 1, now() - interval '2 days', r.finished_at
FROM (VALUES ('open', 'chat 2', 'tz_helper', 'queued', NULL, NULL),
             ('failed', 'chat 3', 'ideas', 'failed', 'provider_error', now() - interval '2 days'))
     AS r (name, chat, tool, state, reason, finished_at)
JOIN ai_system_instructions i ON i.tool_type = r.tool;
-- {n} replies of a student that mentors were asked about, the first {n} of which are answered, and one for each mentor to answer.
INSERT INTO tool_chats (id, user_id, tool_type) VALUES (pg_temp.named('chat asked'), pg_temp.named('student 1'), 'ideas');
INSERT INTO tool_messages (id, chat_id, role, content, created_at)
SELECT pg_temp.named(role || ' of ' || name), pg_temp.named('chat asked'), role, '[for mentors] ' || role, now() - interval '2 days' + n * interval '1 minute'
FROM unnest((SELECT array_agg(k::text) FROM generate_series(1, {n}) k) || '{mentor,admin}'::text[]) WITH ORDINALITY m (name, n),
     unnest('{user,assistant}'::text[]) role;
INSERT INTO ai_replies (id, chat_id, user_id, question_id, answer_id, instruction_id, question, state, attempt, created_at, finished_at)
SELECT pg_temp.named('of ' || name), pg_temp.named('chat asked'), pg_temp.named('student 1'), pg_temp.named('user of ' || name),
    pg_temp.named('assistant of ' || name), i.id, '[for mentors] question', 'completed', 1, now() - interval '2 days', now() - interval '2 days'
FROM unnest((SELECT array_agg(k::text) FROM generate_series(1, {n}) k) || '{mentor,admin}'::text[]) name, ai_system_instructions i
WHERE i.tool_type = 'ideas';
INSERT INTO mentor_questions (id, reply_id, user_id, created_at, answered_at, answered_by)
SELECT pg_temp.named('asked ' || name), pg_temp.named('of ' || name), pg_temp.named('student 1'), now() - interval '1 day',
    CASE WHEN name ~ '[0-9]' THEN now() END, CASE WHEN name ~ '[0-9]' THEN pg_temp.named('substitute') END
FROM unnest((SELECT array_agg(k::text) FROM generate_series(1, {n}) k) || '{mentor,admin}'::text[]) name;
INSERT INTO ai_unanswered_questions (reply_id, tool_type, words)
SELECT pg_temp.named('reply ' || k), 'assistant', 'word ' || k FROM generate_series(1, {n}) k;
INSERT INTO ai_reply_ratings (reply_id, thumb, reason)
SELECT pg_temp.named('reply ' || k), 'down', 'reason ' || k FROM generate_series(1, {n}) k;
INSERT INTO ai_reply_attempts (reply_id, attempt, finished_at, model, prompt_tokens, completion_tokens)
SELECT id, 1, created_at, 'm', 1, 1 FROM ai_replies WHERE state <> 'queued';
INSERT INTO ai_system_instructions (tool_type, version, content)
SELECT 'assistant', 1 + k, '[for admins] instruction' FROM generate_series(1, {n}) k;
-- A version of another tool that can be rolled back, and evaluations with runs and answers.
UPDATE ai_system_instructions SET is_active = false, activated_at = now() - interval '1 day' WHERE tool_type = 'tz_helper';
INSERT INTO ai_system_instructions (tool_type, version, content, is_active, activated_at)
VALUES ('tz_helper', 2, '[for admins] instruction', true, now());
INSERT INTO ai_evaluations (id, tool_type, name, cases, deleted_at)
SELECT pg_temp.named(CASE WHEN k = 0 THEN 'gone evaluation' ELSE 'evaluation ' || k END), 'assistant', '[for admins] ' || k,
    (SELECT jsonb_agg(jsonb_build_object('question', '[for admins] ' || n, 'contains', '[]'::jsonb, 'excludes', '[]'::jsonb))
     FROM generate_series(1, {n}) n), CASE WHEN k = 0 THEN now() END
FROM generate_series(0, {n}) k;
INSERT INTO ai_evaluation_runs (id, evaluation_id, cases, candidate_id, baseline_id, state, candidate_passed, baseline_passed, finished_at)
SELECT pg_temp.named('run ' || k), e.id, e.cases, i.id, i.id, 'completed', 1, 1, now()
FROM generate_series(1, {n}) k, ai_evaluations e, ai_system_instructions i
WHERE e.id = pg_temp.named('evaluation 1') AND i.tool_type = 'assistant' AND i.version = 1;
INSERT INTO ai_evaluation_answers (run_id, number, is_candidate, context, answer, is_passed, finished_at)
SELECT pg_temp.named('run 1'), n, side, '{}', '[for admins] answer', true, now()
FROM generate_series(1, {n}) n, unnest(ARRAY[true, false]) side;
INSERT INTO ai_tryouts (id, instruction_id, created_by, question)
SELECT pg_temp.named('tryout 1'), id, pg_temp.named('admin'), '[for admins]' FROM ai_system_instructions
WHERE tool_type = 'assistant' AND version = 2;

-- What happened, and what is to be done.

INSERT INTO activity_log (id, occurred_at, actor_id, action, target_type, target_id, target_title)
SELECT pg_temp.named('activity ' || k), now() - k * interval '1 second', pg_temp.named('learner'), 'lesson.completed', 'lesson',
    pg_temp.named('lesson 1'), '[for mentors] activity'
FROM generate_series(1, {n}) k;
INSERT INTO apalis.workers (id, worker_type, storage_name, started_at, last_seen)
SELECT 'worker-' || k, 'likes', 'cairn', now(), now() FROM generate_series(1, {n}) k;
INSERT INTO apalis.jobs (id, job_type, job, status, attempts, lock_at, done_at, last_result)
SELECT 'dead-' || k, 'likes', '{"kind":"count_likes","v":1,"data":{}}', 'Killed', 25, now(), now(), '{"Err": "[for admins] error"}'
FROM generate_series(1, {n}) k;
