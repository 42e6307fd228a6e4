-- A school of a million users: 3 million facts, 2 million likes, 10 million activities in a month, and 50,000 documents to
-- search in. Triggers are disabled except for those of the search index; what they keep is written here, or counted by the
-- worker afterwards.
SET synchronous_commit = off;
SET work_mem = '128MB';
SET session_replication_role = replica;

INSERT INTO users (id, email, email_key, first_name, last_name, role, progress_percent, last_active_at, created_at)
    SELECT ('0198c2f0-7a53-7cc1-9d2e-' || lpad(to_hex(n), 12, '0'))::uuid, 'user' || n || '@example.test', 'user' || n || '@example.test',
        (ARRAY['Anna', 'Boris', 'Мария', 'Олег', 'Wei', 'Fatima', 'Ivan', 'Lucía'])[1 + n % 8], 'Name' || n % 50000,
        (CASE WHEN n <= 10 THEN 'admin' WHEN n <= 1000 THEN 'mentor' ELSE 'student' END)::user_role,
        CASE WHEN n > 1000 THEN 1 + n % 100 END, now() - n % 40 * interval '1 day' - n * interval '10 milliseconds',
        now() - interval '400 days' + n * interval '30 seconds'
    FROM generate_series(1, 1000000) n;
INSERT INTO sessions (id, user_id, expires_at)
    SELECT ('0198c2f1-7a53-7cc1-9d2e-' || lpad(to_hex(n), 12, '0'))::uuid,
        ('0198c2f0-7a53-7cc1-9d2e-' || lpad(to_hex(n), 12, '0'))::uuid, now() + interval '1 day'
    FROM generate_series(1, 3000) n;

CREATE TEMP TABLE ids AS SELECT id, row_number() OVER (ORDER BY id)::integer AS n FROM users;
CREATE UNIQUE INDEX ON ids (n);
ANALYZE ids;

-- Words as often as in a language: the nth about 1/n as often as the first.
CREATE FUNCTION pg_temp.words(count integer) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT string_agg(left(translate(md5(floor(30000 ^ random())::integer::text), '0123456789', 'аеиокнрстл'), 7), ' ')
    FROM generate_series(1, count)
$$;

SET session_replication_role = origin;
INSERT INTO course_modules (slug, title, publication) VALUES ('bench', 'Bench', 'published');
INSERT INTO lessons (module_id, slug, title, summary, body, duration_minutes, publication, position)
    SELECT m.id, 'lesson-' || n, 'Lesson ' || n || ' ' || pg_temp.words(3 + n % 2), pg_temp.words(15 + n % 2),
        pg_temp.words(150 + n % 2), 10, 'published', n
    FROM course_modules m, generate_series(1, 5000) n;
INSERT INTO prompt_categories (slug, name, kind) VALUES ('bench', 'Bench', (enum_range(NULL::prompt_category))[1]);
INSERT INTO prompts (category_id, slug, title, description, body, publication, position)
    SELECT c.id, 'prompt-' || n, 'Prompt ' || n || ' ' || pg_temp.words(3 + n % 2), pg_temp.words(10 + n % 2),
        pg_temp.words(60 + n % 2), 'published', n
    FROM prompt_categories c, generate_series(1, 10000) n;
INSERT INTO glossary_terms (slug, term, definition, publication)
    SELECT 'term-' || n, pg_temp.words(1 + n % 2) || ' ' || n, pg_temp.words(30 + n % 2), 'published'
    FROM generate_series(1, 10000) n;
INSERT INTO style_cards (slug, title, category, description, prompt, publication, position)
    SELECT 'style-' || n, 'Style ' || n || ' ' || pg_temp.words(2 + n % 2), (enum_range(NULL::style_category))[1 + n % 5],
        pg_temp.words(20 + n % 2), pg_temp.words(30 + n % 2), 'published', n
    FROM generate_series(1, 5000) n;
INSERT INTO showcase_projects (user_id, title, summary, description, status, published_at, likes_count, created_at, submitted_at)
    SELECT i.id, 'Project ' || p || ' ' || pg_temp.words(3 + p % 2), pg_temp.words(10 + p % 2), pg_temp.words(60 + p % 2),
        (CASE WHEN p % 10 = 0 THEN 'submitted' ELSE 'published' END)::project_status, now() - p * interval '20 minutes',
        100, now() - p * interval '20 minutes', now() - p * interval '20 minutes'
    FROM generate_series(1, 20000) p JOIN ids i ON i.n = 1001 + p;
SET session_replication_role = replica;

INSERT INTO roadmaps (slug, title, is_sequential, publication, position)
    SELECT 'roadmap-' || n, 'Roadmap ' || n, true, 'published', n FROM generate_series(1, 150) n;
INSERT INTO stages (roadmap_id, slug, title, publication, position)
    SELECT r.id, 'stage-' || s, 'Stage', 'published', s FROM roadmaps r, generate_series(0, 5) s;
INSERT INTO stage_lessons (stage_id, lesson_id, position)
    SELECT s.id, l.id, l.position FROM stages s JOIN roadmaps r ON r.id = s.roadmap_id
    JOIN lessons l ON (l.position - 1) / 5 = (r.position - 1) * 6 + s.position;

INSERT INTO user_lesson_progress (user_id, lesson_id, status, started_at, completed_at)
    SELECT i.id, l.id, 'completed', t.at - interval '20 minutes', t.at
    FROM ids i
    CROSS JOIN generate_series(0, 2) k
    CROSS JOIN LATERAL (SELECT now() - (i.n * 3 + k) % 172800 * interval '15 seconds' AS at) t
    JOIN lessons l ON l.position = 1 + i.n % 10 * 30 + k;
INSERT INTO progress_dirty (user_id, roadmap_id, requested_seq, done_seq, done_version)
    SELECT i.id, r.id, 3, 3, r.content_version FROM ids i JOIN roadmaps r ON r.position = 1 + i.n % 10;
INSERT INTO user_roadmap_progress (user_id, roadmap_id, lessons_total, lessons_completed, stages_total, stages_completed, status)
    SELECT i.id, r.id, 30, 3, 6, 0, 'in_progress' FROM ids i JOIN roadmaps r ON r.position = 1 + i.n % 10;
INSERT INTO user_stage_progress (user_id, stage_id, lessons_total, lessons_completed, status)
    SELECT i.id, s.id, 5, 3, 'in_progress' FROM ids i JOIN roadmaps r ON r.position = 1 + i.n % 10
    JOIN stages s ON s.roadmap_id = r.id AND s.position = 0;
INSERT INTO project_likes (project_id, user_id, created_at)
    SELECT p.id, i.id, now() - i.n % 40000 * interval '1 minute'
    FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM showcase_projects) p
    CROSS JOIN generate_series(0, 99) k
    JOIN ids i ON i.n = 1 + (p.n * 50 + k * 9973) % 1000000;

SELECT create_activity_partitions(now() - interval '31 days', 1);
INSERT INTO activity_log (id, occurred_at, actor_id, action, target_type, target_id, target_title)
    SELECT gen_random_uuid(), now() - a * interval '0.26 seconds', i.id,
        (ARRAY['lesson.completed', 'lesson.started', 'project.liked', 'style_card.used', 'session.created'])[1 + a % 5],
        (ARRAY['lesson', 'lesson', 'project', 'style_card', NULL])[1 + a % 5], CASE WHEN a % 5 < 4 THEN i.id END, 'A title'
    FROM generate_series(1, 10000000) a JOIN ids i ON i.n = 1 + (a::bigint * 7919 % 1000000)::integer;
INSERT INTO active_quarters (quarter, user_id)
    SELECT DISTINCT quarter_of(occurred_at), actor_id FROM activity_log;
UPDATE stats_state SET is_filled = false, filled_to = NULL;
SET session_replication_role = origin;
