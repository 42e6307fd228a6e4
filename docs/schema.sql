-- The schema, for reading; the reasons are in the migrations. Written by `cargo xtask regen` from a freshly migrated database.
-- Not shown: the partitions of activity_log, and what apalis has besides its jobs table.

CREATE TYPE public.completion_rule AS ENUM (
    'manual',
    'tasks'
);

CREATE TYPE public.course_import_state AS ENUM (
    'queued',
    'running',
    'completed',
    'failed'
);

CREATE TYPE public.evaluation_state AS ENUM (
    'running',
    'completed',
    'failed'
);

CREATE DOMAIN public.https_url AS text
	CONSTRAINT https_url_check CHECK (((VALUE ~ '^https?://[^[:space:]]+$'::text) AND (length(VALUE) <= 2000)));

CREATE TYPE public.lesson_status AS ENUM (
    'locked',
    'available',
    'in_progress',
    'completed'
);

CREATE TYPE public.library_item_kind AS ENUM (
    'style_card',
    'prompt'
);

CREATE TYPE public.material_kind AS ENUM (
    'link',
    'video',
    'file',
    'document'
);

CREATE TYPE public.project_category AS ENUM (
    'website',
    'web_app',
    'mobile_app',
    'bot',
    'game',
    'tool',
    'design',
    'other'
);

CREATE TYPE public.project_status AS ENUM (
    'draft',
    'submitted',
    'published',
    'rejected'
);

CREATE TYPE public.prompt_category AS ENUM (
    'planning',
    'research',
    'design',
    'frontend',
    'backend',
    'content',
    'debugging',
    'deployment'
);

CREATE TYPE public.publication AS ENUM (
    'draft',
    'published',
    'archived'
);

CREATE TYPE public.reply_state AS ENUM (
    'queued',
    'streaming',
    'completed',
    'failed',
    'cancelled'
);

CREATE TYPE public.reply_thumb AS ENUM (
    'up',
    'down'
);

CREATE TYPE public.search_kind AS ENUM (
    'lesson',
    'prompt',
    'glossary_term',
    'style_card',
    'project'
);

CREATE DOMAIN public.slug AS text
	CONSTRAINT slug_check CHECK (((VALUE ~ '^[a-z0-9]+(-[a-z0-9]+)*$'::text) AND ((length(VALUE) >= 2) AND (length(VALUE) <= 80))));

CREATE TYPE public.style_category AS ENUM (
    'minimal',
    'editorial',
    'brutalist',
    'playful',
    'corporate',
    'retro',
    'futuristic',
    'organic'
);

CREATE TYPE public.tryout_state AS ENUM (
    'queued',
    'running',
    'completed',
    'failed'
);

CREATE TYPE public.user_role AS ENUM (
    'student',
    'mentor',
    'admin'
);

CREATE TYPE public.user_status AS ENUM (
    'active',
    'suspended'
);

CREATE FUNCTION public.folded(text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    BEGIN ATOMIC
 SELECT translate(lower(($1 COLLATE "C")), 'АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯЀЂЃЄЅІЇЈЉЊЋЌЍЎЏҐÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞЁё'::text, 'абвгдежзийклмнопрстуфхцчшщъыьэюяѐђѓєѕіїјљњћќѝўџґàáâãäåæçèéêëìíîïðñòóôõöøùúûüýþее'::text) AS translate;
END;

CREATE FUNCTION public.add_search_synonyms(words text) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 INSERT INTO public.search_synonyms (lexeme, other)  SELECT a.lexeme,
             b.lexeme
            FROM (unnest(to_tsvector('russian'::regconfig, public.folded(add_search_synonyms.words))) a(lexeme, positions, weights)
              CROSS JOIN unnest(to_tsvector('russian'::regconfig, public.folded(add_search_synonyms.words))) b(lexeme, positions, weights))
           WHERE (a.lexeme <> b.lexeme) ON CONFLICT DO NOTHING;
END;

CREATE FUNCTION public.ai_cost(of_model text, prompt bigint, completion bigint) RETURNS bigint
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT (round(((m.input_price * (ai_cost.prompt)::double precision) + (m.output_price * (ai_cost.completion)::double precision))))::bigint AS round
    FROM public.ai_models m
   WHERE
         CASE
             WHEN (ai_cost.of_model IS NULL) THEN m.is_default
             ELSE (m.model = ai_cost.of_model)
         END
  LIMIT 1;
END;

CREATE FUNCTION public.ai_stored_tokens(of_reply uuid, of_attempt integer) RETURNS integer
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT (ceil(((COALESCE(sum(length(k.content)), (0)::bigint))::numeric / 4.0)))::integer AS ceil
    FROM public.ai_reply_chunks k
   WHERE ((k.reply_id = ai_stored_tokens.of_reply) AND (k.attempt = ai_stored_tokens.of_attempt));
END;

CREATE FUNCTION public.at_least(gaps integer[], most integer) RETURNS integer[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT array_agg(counts.number ORDER BY counts.n) AS array_agg
    FROM ( SELECT n.n,
             (sum(count(g.gap)) OVER (ORDER BY n.n DESC))::integer AS number
            FROM (generate_series(1, at_least.most) n(n)
              LEFT JOIN unnest(at_least.gaps) g(gap) ON ((LEAST(g.gap, at_least.most) = n.n)))
           GROUP BY n.n) counts;
END;

CREATE FUNCTION public.attempt_wait(failures integer, free integer) RETURNS interval
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT make_interval(secs =>
         CASE
             WHEN (failures >= free) THEN LEAST((900)::double precision, power((2)::double precision, (LEAST((failures - free), 10))::double precision))
             ELSE (0)::double precision
         END) AS make_interval;
END;

CREATE FUNCTION public.attempts_forgotten(counted_at timestamp with time zone, moment timestamp with time zone, seconds double precision) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT (LEAST((1000000000)::double precision, floor(((GREATEST((0)::numeric, EXTRACT(epoch FROM (moment - counted_at))))::double precision / seconds))))::integer AS "least";
END;

CREATE FUNCTION public.bump_content_version(roadmap_ids uuid[]) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 UPDATE public.roadmaps SET content_version = (roadmaps.content_version + 1)
   WHERE (roadmaps.id IN ( SELECT roadmaps_1.id
            FROM public.roadmaps roadmaps_1
           WHERE (roadmaps_1.id = ANY (bump_content_version.roadmap_ids))
           ORDER BY roadmaps_1.id
          FOR NO KEY UPDATE OF roadmaps_1));
END;

CREATE FUNCTION public.catalog_changes_since(since pg_snapshot) RETURNS SETOF xid8
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT catalog_changes.xact
    FROM public.catalog_changes
   WHERE ((catalog_changes.xact >= pg_snapshot_xmin(catalog_changes_since.since)) AND (NOT pg_visible_in_snapshot(catalog_changes.xact, catalog_changes_since.since)) AND (pg_visible_in_snapshot(catalog_changes.xact, pg_current_snapshot()) OR (catalog_changes.xact = pg_current_xact_id_if_assigned())))
 UNION ALL
  SELECT pg_snapshot_xmax(catalog_changes_since.since) AS pg_snapshot_xmax
   WHERE (pg_snapshot_xmax(pg_current_snapshot()) < pg_snapshot_xmax(catalog_changes_since.since));
END;

CREATE FUNCTION public.fold_case(content text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT translate(lower(content), 'АБВГДЕЁЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ'::text, 'абвгдеёжзийклмнопрстуфхцчшщъыьэюя'::text) AS translate;
END;

CREATE FUNCTION public.person_words(content text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT array_to_tsvector(array_remove(regexp_split_to_array(public.fold_case(content), '[\s!-/:-@\[-`{-~]+'::text), ''::text)) AS array_to_tsvector;
END;

CREATE FUNCTION public.change_ai_spending(of_user uuid, of_tool character varying, on_day date, more_tokens bigint, more_micros bigint, more_reserved_tokens bigint, more_reserved_micros bigint) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 INSERT INTO public.ai_spending AS s (day, tool_type, tokens, cost_micros, reserved_tokens, reserved_micros)
   VALUES (change_ai_spending.on_day, change_ai_spending.of_tool, GREATEST(change_ai_spending.more_tokens, (0)::bigint), GREATEST(change_ai_spending.more_micros, (0)::bigint), GREATEST(change_ai_spending.more_reserved_tokens, (0)::bigint), GREATEST(change_ai_spending.more_reserved_micros, (0)::bigint)) ON CONFLICT(day, tool_type) DO UPDATE SET tokens = GREATEST((s.tokens + change_ai_spending.more_tokens), (0)::bigint), cost_micros = GREATEST((s.cost_micros + change_ai_spending.more_micros), (0)::bigint), reserved_tokens = GREATEST((s.reserved_tokens + change_ai_spending.more_reserved_tokens), (0)::bigint), reserved_micros = GREATEST((s.reserved_micros + change_ai_spending.more_reserved_micros), (0)::bigint);
 INSERT INTO public.ai_learner_spending AS s (user_id, day, tool_type, tokens, cost_micros, reserved_tokens, reserved_micros)  SELECT u.id,
             change_ai_spending.on_day AS on_day,
             change_ai_spending.of_tool AS of_tool,
             GREATEST(change_ai_spending.more_tokens, (0)::bigint) AS "greatest",
             GREATEST(change_ai_spending.more_micros, (0)::bigint) AS "greatest",
             GREATEST(change_ai_spending.more_reserved_tokens, (0)::bigint) AS "greatest",
             GREATEST(change_ai_spending.more_reserved_micros, (0)::bigint) AS "greatest"
            FROM public.users u
           WHERE ((u.id = change_ai_spending.of_user) AND (u.erased_at IS NULL)) ON CONFLICT(user_id, day, tool_type) DO UPDATE SET tokens = GREATEST((s.tokens + change_ai_spending.more_tokens), (0)::bigint), cost_micros = GREATEST((s.cost_micros + change_ai_spending.more_micros), (0)::bigint), reserved_tokens = GREATEST((s.reserved_tokens + change_ai_spending.more_reserved_tokens), (0)::bigint), reserved_micros = GREATEST((s.reserved_micros + change_ai_spending.more_reserved_micros), (0)::bigint);
END;

CREATE FUNCTION public.content_changed_lessons() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    PERFORM bump_content_version(roadmaps_of_lessons(array(
        SELECT n.id FROM new_rows n JOIN old_rows o USING (id)
        WHERE (n.module_id, n.publication, n.deleted_at IS NULL)
           IS DISTINCT FROM (o.module_id, o.publication, o.deleted_at IS NULL))));
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.content_changed_modules() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    PERFORM bump_content_version(roadmaps_of_lessons(array(
        SELECT l.id FROM lessons l WHERE l.module_id IN (
            SELECT n.id FROM new_rows n JOIN old_rows o USING (id)
            WHERE (n.publication, n.deleted_at IS NULL) IS DISTINCT FROM (o.publication, o.deleted_at IS NULL)))));
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.content_changed_roadmaps() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    roadmap_ids uuid[] := array(
        SELECT n.id FROM new_rows n JOIN old_rows o USING (id)
        WHERE (n.publication, n.deleted_at IS NULL, n.is_sequential)
           IS DISTINCT FROM (o.publication, o.deleted_at IS NULL, o.is_sequential));
BEGIN
    -- bump_content_version updates roadmaps and so fires this trigger again, even when it updates no row: stop here then.
    IF cardinality(roadmap_ids) > 0 THEN
        PERFORM bump_content_version(roadmap_ids);
    END IF;
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.content_changed_stage_lessons() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        -- The order of lessons inside a stage changes no number; what is required does.
        PERFORM bump_content_version(array(
            SELECT s.roadmap_id FROM stages s WHERE s.id IN (
                SELECT stage_id FROM (
                    (SELECT stage_id, lesson_id, is_required FROM new_rows EXCEPT SELECT stage_id, lesson_id, is_required FROM old_rows)
                    UNION
                    (SELECT stage_id, lesson_id, is_required FROM old_rows EXCEPT SELECT stage_id, lesson_id, is_required FROM new_rows)
                ) changed)));
    ELSE
        PERFORM bump_content_version(array(
            SELECT s.roadmap_id FROM stages s WHERE s.id IN (SELECT stage_id FROM changed_rows)));
    END IF;
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.content_changed_stages() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        PERFORM bump_content_version(array(
            SELECT unnest(array[n.roadmap_id, o.roadmap_id]) FROM new_rows n JOIN old_rows o USING (id)
            WHERE (n.roadmap_id, n.position, n.publication, n.deleted_at IS NULL)
               IS DISTINCT FROM (o.roadmap_id, o.position, o.publication, o.deleted_at IS NULL)));
    ELSE
        PERFORM bump_content_version(array(SELECT roadmap_id FROM changed_rows));
    END IF;
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.count_roadmaps(learner uuid, roadmaps uuid[]) RETURNS TABLE(roadmap_id uuid, lessons_total integer, lessons_completed integer, stages_total integer, stages_completed integer, is_started boolean, completed_at timestamp with time zone)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT s.roadmap_id,
     (sum(s.total))::integer AS sum,
     (sum(s.completed))::integer AS sum,
     (count(*) FILTER (WHERE (s.total > 0)))::integer AS count,
     (count(*) FILTER (WHERE ((s.total > 0) AND (s.completed = s.total))))::integer AS count,
     bool_or(s.is_started) AS bool_or,
         CASE
             WHEN (sum(s.completed) = sum(s.total)) THEN max(s.last_completed_at)
             ELSE NULL::timestamp with time zone
         END AS "case"
    FROM ( SELECT s_1.roadmap_id,
             s_1.id,
             count(l.id) FILTER (WHERE sl.is_required) AS total,
             count(f.lesson_id) FILTER (WHERE (sl.is_required AND (f.status = 'completed'::public.lesson_status))) AS completed,
             (count(f.lesson_id) > 0) AS is_started,
             max(f.completed_at) FILTER (WHERE sl.is_required) AS last_completed_at
            FROM ((((unnest(count_roadmaps.roadmaps) r(id)
              JOIN public.visible_stages s_1 ON ((s_1.roadmap_id = r.id)))
              LEFT JOIN public.stage_lessons sl ON ((sl.stage_id = s_1.id)))
              LEFT JOIN public.visible_lessons l ON ((l.id = sl.lesson_id)))
              LEFT JOIN public.user_lesson_progress f ON (((f.user_id = count_roadmaps.learner) AND (f.lesson_id = l.id))))
           GROUP BY s_1.roadmap_id, s_1.id) s
   GROUP BY s.roadmap_id;
END;

CREATE FUNCTION public.count_search_lexemes() RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 INSERT INTO public.search_lexemes (lexeme, objects)  SELECT search_postings.lexeme,
             count(*) AS count
            FROM public.search_postings
           GROUP BY search_postings.lexeme
         UNION ALL
          SELECT ''::text,
             count(DISTINCT search_postings.object_id) AS count
            FROM public.search_postings
          HAVING (count(*) > 0)
   ORDER BY 1 ON CONFLICT(lexeme) DO UPDATE SET objects = excluded.objects
   WHERE (search_lexemes.objects <> excluded.objects);
 DELETE FROM public.search_lexemes l
   WHERE ((l.lexeme <> ''::text) AND (NOT (EXISTS ( SELECT
            FROM public.search_postings p
           WHERE (p.lexeme = l.lexeme)))));
END;

CREATE FUNCTION public.create_activity_partitions(start timestamp with time zone, months integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO, YMD'
    AS $$
DECLARE
    lower_bound timestamptz;
    upper_bound timestamptz;
    name text;
    created integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('activity_log partitions', 0));
    FOR i IN 0..months LOOP
        -- Months in UTC, whatever the session's time zone.
        lower_bound := (date_trunc('month', start AT TIME ZONE 'UTC') + make_interval(months => i)) AT TIME ZONE 'UTC';
        upper_bound := (date_trunc('month', start AT TIME ZONE 'UTC') + make_interval(months => i + 1)) AT TIME ZONE 'UTC';
        name := 'activity_log_' || to_char(lower_bound AT TIME ZONE 'UTC', 'YYYY_MM');
        CONTINUE WHEN to_regclass(name) IS NOT NULL;
        -- Waits for transactions that are writing events of that month, so that their rows are moved too.
        LOCK TABLE activity_log_default IN ACCESS EXCLUSIVE MODE;
        EXECUTE format('CREATE TABLE %I (LIKE activity_log INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
        EXECUTE format(
            'WITH moved AS (DELETE FROM activity_log_default WHERE occurred_at >= %L AND occurred_at < %L RETURNING *)
             INSERT INTO %I SELECT * FROM moved', lower_bound, upper_bound, name);
        EXECUTE format('ALTER TABLE activity_log ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, lower_bound, upper_bound);
        created := created + 1;
    END LOOP;
    RETURN created;
END;
$$;

CREATE FUNCTION public.drop_activity_partitions(today timestamp with time zone, keep_months integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO, YMD'
    AS $_$
DECLARE
    oldest timestamp := date_trunc('month', today AT TIME ZONE 'UTC' - make_interval(months => keep_months));  -- in UTC
    partition text;
    dropped integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('activity_log partitions', 0));
    FOR partition IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'activity_log'::regclass AND c.relname ~ '^activity_log_\d{4}_\d{2}$'
          AND c.relname < 'activity_log_' || to_char(oldest, 'YYYY_MM')
    LOOP
        EXECUTE format('DROP TABLE %I', partition);
        dropped := dropped + 1;
    END LOOP;
    DELETE FROM activity_log_default WHERE occurred_at < oldest AT TIME ZONE 'UTC';
    RETURN dropped;
END;
$_$;

CREATE FUNCTION public.end_sessions() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    UPDATE sessions SET revoked_at = now(), revoke_reason = CASE
        WHEN NEW.deleted_at IS NOT NULL THEN 'deleted'
        WHEN NEW.status <> 'active' THEN 'suspended'
        ELSE 'role_changed'
    END
    WHERE user_id = NEW.id AND revoked_at IS NULL;
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.fill_created_at() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    NEW.created_at := now();
    RETURN NEW;
END;
$$;

CREATE FUNCTION public.fill_email_key() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    NEW.email_key := NEW.email;
    RETURN NEW;
END;
$$;

CREATE FUNCTION public.fill_stats(filled_to integer, before integer) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    first integer := coalesce(filled_to, quarter_of(least(
        (SELECT min(created_at) FROM users), (SELECT min(completed_at) FROM user_lesson_progress),
        (SELECT min(completed_at) FROM user_roadmap_progress), (SELECT min(published_at) FROM showcase_projects),
        (SELECT min(created_at) FROM project_likes), (SELECT min(created_at) FROM ai_replies),
        (SELECT min(occurred_at) FROM activity_log))), before);
    last integer := least(first + 671, before - 1);
BEGIN
    INSERT INTO active_quarters (quarter, user_id)
    SELECT DISTINCT quarter_of(occurred_at), actor_id FROM activity_log
    WHERE occurred_at >= quarter_start(first) AND occurred_at < quarter_start(last + 1) AND actor_id IS NOT NULL
    ORDER BY 1, 2
    ON CONFLICT DO NOTHING;
    INSERT INTO stats_marks (quarter) SELECT generate_series(first, last);
    UPDATE stats_state s SET filled_to = greatest(first, last + 1), is_filled = last + 1 >= before;
    RETURN last + 1 < before;
END;
$$;

CREATE FUNCTION public.fill_updated_at() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    NEW.updated_at := coalesce(NEW.created_at, now());
    RETURN NEW;
END;
$$;

CREATE FUNCTION public.finish_erasure() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    DELETE FROM ai_learner_spending WHERE user_id = OLD.user_id;
    DELETE FROM ai_budget_warnings WHERE user_id = OLD.user_id;
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.fold_name(name text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT translate(lower(name), 'АБВГДЕЁЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ'::text, 'абвгдеёжзийклмнопрстуфхцчшщъыьэюя'::text) AS translate;
END;

CREATE FUNCTION public.forget_verification() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    NEW.email_verified_at := NULL;
    RETURN NEW;
END;
$$;

CREATE FUNCTION public.index_changed_object() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    PERFORM index_for_search(TG_ARGV[0]::search_kind, ARRAY[NEW.id]);
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.index_changed_rows() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    ids uuid[] := array(SELECT id FROM changed_rows);
BEGIN
    IF cardinality(ids) > 0 THEN
        PERFORM index_for_search(TG_ARGV[0]::search_kind, ids);
    END IF;
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.passages_of(body text) RETURNS SETOF text
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'public', 'pg_temp'
    AS $_$
DECLARE
    soft CONSTANT integer := 600;
    hard CONSTANT integer := 1200;
    paragraph text;
    passage text := '';
    in_code boolean := false;
    cut integer;
BEGIN
    FOREACH paragraph IN ARRAY regexp_split_to_array(body, E'\n[ \t\r]*\n') LOOP
        paragraph := btrim(paragraph, E' \t\r\n');
        CONTINUE WHEN paragraph = '';
        IF passage <> '' AND (
            length(passage) + length(paragraph) + 2 > hard
            OR NOT in_code AND passage !~ '^#[^\n]*$' AND (
                paragraph ~ '^#{1,6} ' OR length(passage) + length(paragraph) > soft)
        ) THEN
            RETURN NEXT passage;
            passage := '';
        END IF;
        WHILE length(paragraph) > hard LOOP
            cut := hard - strpos(reverse(left(paragraph, hard)), ' ');
            IF cut < soft OR cut = hard THEN
                cut := hard;
            END IF;
            RETURN NEXT left(paragraph, cut);
            paragraph := ltrim(substr(paragraph, cut + 1));
        END LOOP;
        IF (length(paragraph) - length(replace(paragraph, '```', ''))) / 3 % 2 = 1 THEN
            in_code := NOT in_code;
        END IF;
        passage := passage || CASE WHEN passage = '' THEN '' ELSE E'\n\n' END || paragraph;
    END LOOP;
    IF passage <> '' THEN
        RETURN NEXT passage;
    END IF;
END;
$_$;

CREATE FUNCTION public.search_vector(title text, about text, body text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT ((setweight(to_tsvector('russian'::regconfig, translate(public.folded(title), '<>./_@:=?&#'::text, '           '::text)), 'A'::"char") || setweight(to_tsvector('russian'::regconfig, translate(public.folded(about), '<>./_@:=?&#'::text, '           '::text)), 'B'::"char")) || setweight(to_tsvector('russian'::regconfig, translate(public.folded(body), '<>./_@:=?&#'::text, '           '::text)), 'C'::"char"));
END;

CREATE FUNCTION public.index_for_search(of_kind public.search_kind, ids uuid[]) RETURNS void
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT
    FROM public.course_modules
   WHERE ((index_for_search.of_kind = 'lesson'::public.search_kind) AND (course_modules.id IN ( SELECT lessons.module_id
            FROM public.lessons
           WHERE (lessons.id = ANY (index_for_search.ids)))))
   ORDER BY course_modules.id
  FOR SHARE OF course_modules;
 SELECT
    FROM public.prompt_categories
   WHERE ((index_for_search.of_kind = 'prompt'::public.search_kind) AND (prompt_categories.id IN ( SELECT prompts.category_id
            FROM public.prompts
           WHERE (prompts.id = ANY (index_for_search.ids)))))
   ORDER BY prompt_categories.id
  FOR SHARE OF prompt_categories;
 INSERT INTO public.search_changes DEFAULT VALUES;
 DELETE FROM public.search_postings
   WHERE ((search_postings.object_id = ANY (index_for_search.ids)) AND (search_postings.kind = index_for_search.of_kind));
 INSERT INTO public.search_postings (lexeme, kind, weight, object_id)  SELECT w.lexeme,
             index_for_search.of_kind AS of_kind,
             ((2.2 * (w.frequency)::numeric) / ((w.frequency)::numeric + (1.2 * (0.25 + ((0.75 * (w.words)::numeric) / 100.0))))),
             w.id
            FROM ( SELECT s.id,
                     l.lexeme,
                     ( SELECT sum(
                                 CASE p.p
                                     WHEN 'A'::text THEN 4
                                     WHEN 'B'::text THEN 2
                                     ELSE 1
                                 END) AS sum
                            FROM unnest(l.weights) p(p)) AS frequency,
                     length(v.vector) AS words
                    FROM ((public.searchable s
                      CROSS JOIN LATERAL ( SELECT public.search_vector(s.title, s.about, ((s.text || '
'::text) || array_to_string(s.questions, '
'::text))) AS vector
                          OFFSET 0) v)
                      CROSS JOIN LATERAL unnest(v.vector) l(lexeme, positions, weights))
                   WHERE ((s.kind = index_for_search.of_kind) AND (s.id = ANY (index_for_search.ids)))) w
           ORDER BY w.id, w.lexeme ON CONFLICT(object_id, kind, lexeme) DO UPDATE SET weight = excluded.weight;
 WITH passage AS MATERIALIZED (
          SELECT s.id,
             p.nth,
             p.content,
             (md5((((s.title || '
'::text) || p.content) ||
                 CASE p.nth
                     WHEN 0 THEN ('
'::text || s.about)
                     ELSE ''::text
                 END)))::uuid AS text_digest
            FROM (public.searchable s
              CROSS JOIN LATERAL ( SELECT 0 AS nth,
                     s.title AS content
                 UNION ALL
                  SELECT p_1.nth,
                     p_1.content
                    FROM public.passages_of(s.text) WITH ORDINALITY p_1(content, nth)
                 UNION ALL
                  SELECT (- q.nth),
                     q.content
                    FROM unnest(s.questions) WITH ORDINALITY q(content, nth)) p)
           WHERE ((s.kind = index_for_search.of_kind) AND (s.id = ANY (index_for_search.ids)))
         ), written AS (
          INSERT INTO public.search_passages AS old_1 (object_id, kind, nth, content, vector, text_digest)  SELECT passage.id,
                     index_for_search.of_kind AS of_kind,
                     passage.nth,
                     passage.content,
                     public.search_vector(''::text, ''::text, passage.content) AS search_vector,
                     passage.text_digest
                    FROM passage ON CONFLICT(object_id, kind, nth) DO UPDATE SET content = excluded.content, vector = excluded.vector, text_digest = excluded.text_digest, created_at = now(), embedded_by = NULL::text, embedding = NULL::bytea, embedded_at = NULL::timestamp with time zone
           WHERE ((old_1.text_digest IS DISTINCT FROM excluded.text_digest) OR (old_1.vector <> excluded.vector))
         )
  DELETE FROM public.search_passages old
   WHERE ((old.object_id = ANY (index_for_search.ids)) AND (old.kind = index_for_search.of_kind) AND (NOT (EXISTS ( SELECT
            FROM passage p
           WHERE ((p.id = old.object_id) AND (p.nth = old.nth))))));
END;

CREATE FUNCTION public.index_lessons_of_module() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    PERFORM index_for_search('lesson', array(SELECT id FROM lessons WHERE module_id = NEW.id));
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.index_prompts_of_category() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    PERFORM index_for_search('prompt', array(SELECT id FROM prompts WHERE category_id = NEW.id));
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.invite_state(uses integer, max_uses integer, revoked_at timestamp with time zone, expires_at timestamp with time zone, moment timestamp with time zone) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (uses >= max_uses) THEN 'used_up'::text
             WHEN (revoked_at IS NOT NULL) THEN 'revoked'::text
             WHEN (expires_at <= moment) THEN 'expired'::text
             ELSE 'active'::text
         END AS "case";
END;

CREATE FUNCTION public.job_kind(job bytea) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT COALESCE("substring"(encode(substr(job, 1, 60), 'escape'::text), '^\{"kind":"([a-z0-9_-]+)"'::text), ''::text) AS "coalesce";
END;

CREATE FUNCTION public.job_state(job apalis.jobs) RETURNS text
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN ((job).status = 'Done'::text) THEN 'done'::text
             WHEN ((job).status = ANY (ARRAY['Queued'::text, 'Running'::text])) THEN 'running'::text
             WHEN (((job).status = 'Killed'::text) OR (((job).status = 'Failed'::text) AND ((job).attempts >= (job).max_attempts))) THEN
             CASE
                 WHEN (((job).metadata OPERATOR(public.->) 'discarded'::text) IS NULL) THEN 'dead'::text
                 ELSE 'discarded'::text
             END
             WHEN ((job).run_at <= now()) THEN 'due'::text
             WHEN ((job).status = 'Failed'::text) THEN 'retrying'::text
             ELSE 'scheduled'::text
         END AS "case";
END;

CREATE FUNCTION public.keep_an_admin() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('users: keep an admin', 0));
    PERFORM FROM users WHERE role = 'admin' AND status = 'active' AND deleted_at IS NULL LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the last active admin cannot be demoted, suspended or deleted'
            USING ERRCODE = 'check_violation', TABLE = 'users', CONSTRAINT = 'users_keep_an_admin';
    END IF;
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.likes_lock_key(project_id uuid) RETURNS bigint
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT hashtextextended(('likes:'::text || (project_id)::text), (0)::bigint) AS hashtextextended;
END;

CREATE FUNCTION public.lock_checked_lessons() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    PERFORM lock_lessons(array(SELECT t.lesson_id FROM changed_rows c JOIN lesson_tasks t ON t.id = c.task_id), true);
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.lock_content() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('content', 0));
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.lock_lessons(lesson_ids uuid[], shared boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF shared THEN
        PERFORM pg_advisory_xact_lock_shared(hashtext('lesson'), slot)
        FROM (SELECT DISTINCT hashtext(id::text) & 1023 AS slot FROM unnest(lesson_ids) AS l (id) ORDER BY slot) s;
    ELSE
        PERFORM pg_advisory_xact_lock(hashtext('lesson'), slot)
        FROM (SELECT DISTINCT hashtext(id::text) & 1023 AS slot FROM unnest(lesson_ids) AS l (id) ORDER BY slot) s;
    END IF;
END;
$$;

CREATE FUNCTION public.log_active_quarters() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    WITH added AS (
        INSERT INTO active_quarters (quarter, user_id)
        SELECT DISTINCT quarter_of(occurred_at), actor_id FROM new_rows
        WHERE actor_id IS NOT NULL AND quarter_of(occurred_at) IS NOT NULL
        ORDER BY 1, 2                       -- the same order in every transaction, so that two cannot deadlock
        ON CONFLICT DO NOTHING
        RETURNING quarter, user_id
    )
    INSERT INTO stats_marks (quarter, user_id)
    SELECT quarter, user_id FROM added WHERE quarter < quarter_of(clock_timestamp());
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.mark_active_user() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    INSERT INTO stats_marks (user_id) VALUES (OLD.id);
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.mark_lesson_stats() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    INSERT INTO stats_marks (lesson_id) SELECT DISTINCT lesson_id FROM changed_rows;
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.mark_lesson_tasks(lesson_ids uuid[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    PERFORM lock_lessons(lesson_ids, false);
    INSERT INTO lesson_tasks_dirty AS d (lesson_id)
    SELECT l.id FROM lessons l WHERE l.id = ANY (lesson_ids)  -- a lesson that is destroyed takes its tasks along
    ORDER BY l.id
    ON CONFLICT (lesson_id) DO UPDATE SET seq = d.seq + 1;
END;
$$;

CREATE FUNCTION public.mark_lessons_dirty(user_ids uuid[], lesson_ids uuid[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    INSERT INTO progress_dirty AS d (user_id, roadmap_id, requested_seq, done_version)
    SELECT DISTINCT c.user_id, s.roadmap_id, 1, r.content_version
    FROM unnest(user_ids, lesson_ids) AS c (user_id, lesson_id)
    JOIN stage_lessons sl ON sl.lesson_id = c.lesson_id
    JOIN stages s ON s.id = sl.stage_id
    JOIN roadmaps r ON r.id = s.roadmap_id
    WHERE EXISTS (SELECT FROM users u WHERE u.id = c.user_id)  -- a deleted user's facts cascade away: nothing to mark
    ORDER BY 1, 2                                               -- one lock order for all writers
    ON CONFLICT (user_id, roadmap_id) DO UPDATE
        SET requested_seq = d.requested_seq + 1,
            requested_at = CASE WHEN d.done_seq = d.requested_seq THEN now() ELSE d.requested_at END;
END;
$$;

CREATE FUNCTION public.mark_likes_dirty() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    project uuid;
BEGIN
    FOR project IN
        SELECT DISTINCT c.project_id FROM changed_rows c
        WHERE EXISTS (SELECT FROM showcase_projects p WHERE p.id = c.project_id)  -- deleted with its likes: no marker
        ORDER BY 1                                                                -- one lock order for all writers
    LOOP
        PERFORM pg_advisory_xact_lock_shared(likes_lock_key(project));
        INSERT INTO likes_dirty (project_id) VALUES (project) ON CONFLICT DO NOTHING;
    END LOOP;
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.mark_moved_stages() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    moved uuid[] := array(SELECT n.id FROM new_rows n JOIN old_rows o USING (id) WHERE n.roadmap_id <> o.roadmap_id);
BEGIN
    IF cardinality(moved) > 0 THEN
        PERFORM mark_placed_lessons(array_agg(stage_id), array_agg(lesson_id)) FROM stage_lessons WHERE stage_id = ANY (moved);
        PERFORM FROM progress_dirty
        WHERE roadmap_id IN (SELECT roadmap_id FROM old_rows WHERE id = ANY (moved)
                             UNION SELECT roadmap_id FROM new_rows WHERE id = ANY (moved))
        ORDER BY user_id, roadmap_id FOR UPDATE;
        INSERT INTO progress_dirty (user_id, roadmap_id, requested_seq)
        SELECT DISTINCT p.user_id, s.roadmap_id, 1
        FROM stages s JOIN user_stage_progress p ON p.stage_id = s.id
        WHERE s.id = ANY (moved)
        ORDER BY 1, 2
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.mark_placed() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    stage_ids uuid[];
    lesson_ids uuid[];
BEGIN
    IF TG_OP = 'UPDATE' THEN
        SELECT array_agg(stage_id), array_agg(lesson_id) INTO stage_ids, lesson_ids
        FROM (SELECT stage_id, lesson_id FROM new_rows EXCEPT SELECT stage_id, lesson_id FROM old_rows) placed;
    ELSE
        SELECT array_agg(stage_id), array_agg(lesson_id) INTO stage_ids, lesson_ids FROM new_rows;
    END IF;
    PERFORM mark_placed_lessons(stage_ids, lesson_ids);
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.mark_placed_lessons(stage_ids uuid[], lesson_ids uuid[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    PERFORM lock_lessons(lesson_ids, false);
    INSERT INTO progress_dirty (user_id, roadmap_id, requested_seq)
    SELECT DISTINCT f.user_id, s.roadmap_id, 1
    FROM unnest(stage_ids, lesson_ids) AS p (stage_id, lesson_id)
    JOIN stages s ON s.id = p.stage_id
    JOIN user_lesson_progress f ON f.lesson_id = p.lesson_id
    ORDER BY 1, 2
    ON CONFLICT DO NOTHING;
END;
$$;

CREATE FUNCTION public.mark_progress_dirty() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    user_ids uuid[];
    lesson_ids uuid[];
BEGIN
    IF TG_OP = 'UPDATE' THEN
        SELECT array_agg(user_id), array_agg(lesson_id) INTO user_ids, lesson_ids
        FROM (SELECT user_id, lesson_id FROM new_rows UNION SELECT user_id, lesson_id FROM old_rows) c;
    ELSE
        SELECT array_agg(user_id), array_agg(lesson_id) INTO user_ids, lesson_ids FROM changed_rows;
    END IF;
    -- An upsert fires both the insert and the update trigger, one of them with no row.
    IF user_ids IS NOT NULL THEN
        PERFORM lock_lessons(lesson_ids, true);
        PERFORM mark_lessons_dirty(user_ids, lesson_ids);
    END IF;
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.mark_released_tasks() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    lesson_ids uuid[];
BEGIN
    IF TG_OP = 'UPDATE' THEN
        lesson_ids = array(
            SELECT DISTINCT o.lesson_id FROM old_rows o JOIN new_rows n USING (id)
            WHERE o.is_required AND o.deleted_at IS NULL
              AND NOT (n.is_required AND n.deleted_at IS NULL AND n.lesson_id = o.lesson_id));
    ELSE
        lesson_ids = array(SELECT DISTINCT lesson_id FROM old_rows WHERE is_required AND deleted_at IS NULL);
    END IF;
    IF cardinality(lesson_ids) > 0 THEN
        PERFORM mark_lesson_tasks(lesson_ids);
    END IF;
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.mark_remaining_roadmaps() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    UPDATE progress_dirty d
    SET requested_seq = d.requested_seq + 1,
        requested_at = CASE WHEN d.done_seq = d.requested_seq THEN now() ELSE d.requested_at END
    FROM (
        SELECT user_id, roadmap_id FROM progress_dirty WHERE user_id IN (SELECT user_id FROM old_rows)
        ORDER BY 1, 2 FOR UPDATE
    ) r
    WHERE d.user_id = r.user_id AND d.roadmap_id = r.roadmap_id;
    UPDATE users u SET progress_percent = NULL
    WHERE u.id IN (SELECT user_id FROM old_rows) AND u.progress_percent IS NOT NULL
      AND NOT EXISTS (SELECT FROM progress_dirty d WHERE d.user_id = u.id);
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.mark_rule_changed() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    lesson_ids uuid[] := array(
        SELECT n.id FROM new_rows n JOIN old_rows o USING (id) WHERE n.completion = 'tasks' AND o.completion <> 'tasks');
BEGIN
    IF cardinality(lesson_ids) > 0 THEN
        PERFORM mark_lesson_tasks(lesson_ids);
    END IF;
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.mark_stats() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    INSERT INTO stats_marks (quarter)
    SELECT DISTINCT quarter_of(t::timestamptz)
    FROM (VALUES (to_jsonb(OLD) ->> TG_ARGV[0]), (to_jsonb(NEW) ->> TG_ARGV[0])) AS times (t)
    WHERE quarter_of(t::timestamptz) < quarter_of(clock_timestamp());
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.note_catalog_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    INSERT INTO catalog_changes DEFAULT VALUES ON CONFLICT DO NOTHING;
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.observe_sessions(OUT oldest_seconds double precision, OUT application text, OUT state text, OUT replica_lag_seconds double precision) RETURNS record
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    BEGIN ATOMIC
 SELECT o.seconds,
     o.application_name,
     o.state,
     (( SELECT max(GREATEST(EXTRACT(epoch FROM r.replay_lag), (0)::numeric)) AS max
            FROM pg_stat_replication r))::double precision AS max
    FROM (( SELECT 1 AS "?column?") one
      LEFT JOIN LATERAL ( SELECT (GREATEST(EXTRACT(epoch FROM (clock_timestamp() - a.xact_start)), (0)::numeric))::double precision AS seconds,
             a.application_name,
             a.state
            FROM pg_stat_activity a
           WHERE ((a.datname = current_database()) AND (a.backend_type = 'client backend'::text) AND (a.pid <> pg_backend_pid()) AND (a.xact_start IS NOT NULL))
           ORDER BY a.xact_start
          LIMIT 1) o ON (true));
END;

CREATE FUNCTION public.open_quarter() RETURNS timestamp with time zone
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT date_bin('00:15:00'::interval, clock_timestamp(), '1970-01-01 00:00:00+00'::timestamp with time zone) AS date_bin;
END;

CREATE FUNCTION public.progress_percent(completed integer, total integer) RETURNS smallint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT (
         CASE
             WHEN (total = 0) THEN NULL::integer
             WHEN (completed = 0) THEN 0
             ELSE GREATEST(1, ((completed * 100) / total))
         END)::smallint AS "greatest";
END;

CREATE FUNCTION public.overall_percents(learners uuid[]) RETURNS TABLE(user_id uuid, percent smallint)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 WITH place AS MATERIALIZED (
          SELECT s.roadmap_id,
             sl.lesson_id,
             sl.is_required
            FROM ((public.visible_stages s
              JOIN public.stage_lessons sl ON ((sl.stage_id = s.id)))
              JOIN public.visible_lessons l_1 ON ((l_1.id = sl.lesson_id)))
           WHERE (s.roadmap_id IN ( SELECT d.roadmap_id
                    FROM public.progress_dirty d
                   WHERE (d.user_id = ANY (overall_percents.learners))))
         ), learner AS MATERIALIZED (
          SELECT u_1.id AS user_id,
             (count(DISTINCT f.lesson_id) FILTER (WHERE (p.is_required AND (f.status = 'completed'::public.lesson_status))))::integer AS completed,
             array_agg(DISTINCT p.roadmap_id) AS started
            FROM ((( SELECT DISTINCT t_1.id
                    FROM unnest(overall_percents.learners) t_1(id)) u_1
              CROSS JOIN LATERAL ( SELECT f_1.lesson_id,
                     f_1.status
                    FROM public.user_lesson_progress f_1
                   WHERE (f_1.user_id = u_1.id)
                  OFFSET 0) f)
              JOIN place p ON ((p.lesson_id = f.lesson_id)))
           GROUP BY u_1.id
         ), total AS (
          SELECT s.started,
             ( SELECT (count(DISTINCT p.lesson_id))::integer AS count
                    FROM place p
                   WHERE (p.is_required AND (p.roadmap_id = ANY (s.started)))) AS total
            FROM ( SELECT DISTINCT learner.started
                    FROM learner) s
         )
  SELECT u.id,
     public.progress_percent(COALESCE(l.completed, 0), COALESCE(t.total, 0)) AS progress_percent
    FROM ((( SELECT DISTINCT t_1.id
            FROM unnest(overall_percents.learners) t_1(id)) u
      LEFT JOIN learner l ON ((l.user_id = u.id)))
      LEFT JOIN total t ON ((t.started = l.started)));
END;

CREATE FUNCTION public.person_query(content text) RETURNS tsquery
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT (COALESCE(string_agg(((''''::text || w.word) || ''':*'::text), ' & '::text), ''::text))::tsquery AS "coalesce"
    FROM unnest(tsvector_to_array(public.person_words(person_query.content))) w(word);
END;

CREATE FUNCTION public.prompt_category_is_live() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    PERFORM FROM prompt_categories WHERE id = NEW.category_id AND deleted_at IS NULL FOR SHARE;
    IF NOT FOUND THEN
        RAISE foreign_key_violation USING
            MESSAGE = format('the category %s of prompt %s is deleted', NEW.category_id, NEW.id),
            CONSTRAINT = TG_ARGV[0];
    END IF;
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.prompt_steps_as_json(prompt uuid) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT COALESCE(jsonb_agg(jsonb_build_object('id', prompt_steps.id, 'title', prompt_steps.title, 'body', prompt_steps.body) ORDER BY prompt_steps."position", prompt_steps.id), '[]'::jsonb) AS "coalesce"
    FROM public.prompt_steps
   WHERE ((prompt_steps.prompt_id = prompt_steps_as_json.prompt) AND (prompt_steps.deleted_at IS NULL));
END;

CREATE FUNCTION public.quarter_of(t timestamp with time zone) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN ((t >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (t < '2200-01-01 00:00:00+00'::timestamp with time zone)) THEN (floor((EXTRACT(epoch FROM (t - '1970-01-01 00:00:00+00'::timestamp with time zone)) / (900)::numeric)))::integer
             ELSE NULL::integer
         END AS "case";
END;

CREATE FUNCTION public.quarter_start(quarter integer) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    BEGIN ATOMIC
 SELECT ('1970-01-01 00:00:00+00'::timestamp with time zone + ((quarter)::double precision * '00:15:00'::interval));
END;

CREATE FUNCTION public.readable_time(t timestamp with time zone) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (t >= '0001-01-01 00:00:00+00'::timestamp with time zone) THEN LEAST(t, '9999-12-31 00:00:00+00'::timestamp with time zone)
             ELSE NULL::timestamp with time zone
         END AS "case";
END;

CREATE FUNCTION public.recompute_stats(quarters integer[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    INSERT INTO stats_quarters AS s (quarter, students, mentors, admins, completions, roadmaps_completed,
        projects_published, likes, questions, replies_failed)
    SELECT q.quarter, u.students, u.mentors, u.admins, f.completions, r.completed, p.published, k.likes, a.questions, a.failed
    FROM (SELECT DISTINCT t.quarter, quarter_start(t.quarter) AS since, quarter_start(t.quarter + 1) AS until
          FROM unnest(quarters) AS t (quarter)) q
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE role = 'student') AS students, count(*) FILTER (WHERE role = 'mentor') AS mentors,
            count(*) FILTER (WHERE role = 'admin') AS admins
        FROM users
        WHERE role = ANY (ARRAY['student', 'mentor', 'admin']::user_role[]) AND deleted_at IS NULL
          AND created_at >= q.since AND created_at < q.until) u
    CROSS JOIN LATERAL (SELECT count(*) AS completions FROM user_lesson_progress
        WHERE completed_at >= q.since AND completed_at < q.until) f
    CROSS JOIN LATERAL (SELECT count(*) AS completed FROM user_roadmap_progress
        WHERE completed_at >= q.since AND completed_at < q.until) r
    CROSS JOIN LATERAL (SELECT count(*) AS published FROM showcase_projects
        WHERE deleted_at IS NULL AND status = 'published' AND published_at >= q.since AND published_at < q.until) p
    CROSS JOIN LATERAL (SELECT count(*) AS likes FROM project_likes
        WHERE created_at >= q.since AND created_at < q.until) k
    CROSS JOIN LATERAL (SELECT count(*) AS questions, count(*) FILTER (WHERE state = 'failed') AS failed FROM ai_replies
        WHERE created_at >= q.since AND created_at < q.until) a
    WHERE u.students + u.mentors + u.admins + f.completions + r.completed + p.published + k.likes + a.questions > 0
       OR EXISTS (SELECT FROM stats_quarters e WHERE e.quarter = q.quarter)
    ORDER BY q.quarter
    ON CONFLICT (quarter) DO UPDATE SET students = excluded.students, mentors = excluded.mentors, admins = excluded.admins,
        completions = excluded.completions, roadmaps_completed = excluded.roadmaps_completed,
        projects_published = excluded.projects_published, likes = excluded.likes, questions = excluded.questions,
        replies_failed = excluded.replies_failed
        WHERE s.* IS DISTINCT FROM excluded.*;

    INSERT INTO stats_active AS s (quarter, first_of_day, first_of_week)
    SELECT q.quarter, at_least(v.quarters, 108), at_least(v.hours, 169)
    FROM (SELECT DISTINCT t.quarter FROM unnest(quarters) AS t (quarter)) q
    CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(q.quarter - coalesce(e.previous, -1000)), '{}') AS quarters,
            coalesce(array_agg(q.quarter / 4 - coalesce(e.previous, -1000) / 4), '{}') AS hours
        FROM active_quarters a
        JOIN users u ON u.id = a.user_id AND u.role = 'student' AND u.deleted_at IS NULL
        CROSS JOIN LATERAL (
            SELECT max(p.quarter) AS previous FROM active_quarters p WHERE p.user_id = a.user_id AND p.quarter < q.quarter) e
        WHERE a.quarter = q.quarter) v
    WHERE v.quarters <> '{}' OR EXISTS (SELECT FROM stats_active e WHERE e.quarter = q.quarter)
    ORDER BY q.quarter
    ON CONFLICT (quarter) DO UPDATE SET first_of_day = excluded.first_of_day, first_of_week = excluded.first_of_week
        WHERE s.* IS DISTINCT FROM excluded.*;
END;
$$;

CREATE FUNCTION public.refresh_stats() RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    state stats_state;
    present integer;
    last_mark bigint;
    is_over boolean;
    stale integer[];
    learners uuid[];
    has_more boolean := false;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('stats', 0)) THEN
        RETURN false;
    END IF;
    SELECT * INTO state FROM stats_state;
    present := quarter_of(clock_timestamp());
    is_over := state.fence IS NOT NULL AND (
        pg_snapshot_xmin(pg_current_snapshot()) >= state.fence OR pg_snapshot_xmax(pg_current_snapshot()) <= state.fence);
    IF NOT state.is_filled THEN
        has_more := fill_stats(state.filled_to, state.open_from);
    END IF;

    WITH taken AS (
        DELETE FROM stats_marks WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM stats_marks WHERE user_id IS NOT NULL ORDER BY id LIMIT 1000))
        RETURNING quarter, user_id
    )
    SELECT coalesce(array_agg(quarter), '{}'), coalesce(array_agg(user_id), '{}') INTO stale, learners FROM taken;
    INSERT INTO stats_marks (quarter)
    SELECT m.quarter FROM unnest(stale) AS m (quarter) WHERE m.quarter IS NOT NULL
    UNION
    SELECT (SELECT min(a.quarter) FROM active_quarters a WHERE a.user_id = m.user_id AND a.quarter > m.quarter)
    FROM unnest(stale, learners) AS m (quarter, user_id)
    WHERE EXISTS (SELECT FROM active_quarters a WHERE a.user_id = m.user_id AND a.quarter > m.quarter)
    UNION
    SELECT a.quarter FROM unnest(stale, learners) AS m (quarter, user_id) JOIN active_quarters a ON a.user_id = m.user_id
    WHERE m.quarter IS NULL;

    SELECT max(id) INTO last_mark FROM stats_marks;

    WITH taken AS (DELETE FROM stats_marks WHERE lesson_id IS NOT NULL RETURNING lesson_id)
    UPDATE lesson_stats s SET computed_at = NULL FROM taken t WHERE s.lesson_id = t.lesson_id;

    SELECT coalesce(array_agg(t.quarter), '{}') INTO stale FROM (
        SELECT DISTINCT quarter FROM stats_marks WHERE user_id IS NULL AND lesson_id IS NULL ORDER BY 1 DESC LIMIT 200) t;
    DELETE FROM stats_marks WHERE user_id IS NULL AND lesson_id IS NULL AND quarter = ANY (stale);
    has_more := has_more OR EXISTS (SELECT FROM stats_marks WHERE id <= last_mark);

    stale := stale || ARRAY[present - 1, present];
    IF is_over THEN
        stale := stale || ARRAY(SELECT generate_series(state.open_from, state.fenced - 1));
    END IF;
    PERFORM recompute_stats(stale);
    UPDATE stats_state SET
        open_from = CASE WHEN is_over THEN state.fenced ELSE state.open_from END,
        fenced = CASE WHEN is_over THEN NULL WHEN state.fence IS NULL AND state.open_from < present THEN present ELSE state.fenced END,
        fence = CASE WHEN is_over THEN NULL
                     WHEN state.fence IS NULL AND state.open_from < present THEN pg_current_xact_id()
                     ELSE state.fence END,
        as_of = CASE WHEN has_more THEN as_of ELSE now() END;
    RETURN has_more;
END;
$$;

CREATE FUNCTION public.release_ai_reservation() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    DELETE FROM ai_reservations WHERE reply_id = NEW.id;
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.remove_active_user() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    WITH gone AS (DELETE FROM active_quarters WHERE user_id = OLD.id RETURNING quarter)
    INSERT INTO stats_marks (quarter)
    SELECT quarter FROM gone UNION SELECT quarter_of(clock_timestamp()) - 1;
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.remove_uses() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    DELETE FROM library_uses WHERE item_kind = TG_ARGV[0]::library_item_kind AND item_id = OLD.id;
    DELETE FROM library_daily_uses WHERE item_kind = TG_ARGV[0]::library_item_kind AND item_id = OLD.id;
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.roadmap_numbers(learner uuid, roadmaps uuid[]) RETURNS TABLE(roadmap_id uuid, status public.lesson_status, percent smallint, lessons_total integer, lessons_completed integer, stages_total integer, stages_completed integer, completed_at timestamp with time zone, achieved_at timestamp with time zone, seq bigint, is_current boolean, is_recalculating boolean, is_started boolean)
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 WITH stored AS MATERIALIZED (
          SELECT r.id,
             d.requested_seq,
             d.done_seq,
             p.status,
             p.lessons_total,
             p.lessons_completed,
             p.stages_total,
             p.stages_completed,
             p.completed_at,
             p.achieved_at,
             (d.user_id IS NOT NULL) AS has_marker,
             COALESCE((d.done_version < r.content_version), false) AS is_recalculating,
             COALESCE(((p.user_id IS NOT NULL) AND (d.done_version = r.content_version)), false) AS is_stored
            FROM ((public.roadmaps r
              LEFT JOIN public.user_roadmap_progress p ON (((p.user_id = roadmap_numbers.learner) AND (p.roadmap_id = r.id))))
              LEFT JOIN public.progress_dirty d ON (((d.user_id = roadmap_numbers.learner) AND (d.roadmap_id = r.id))))
           WHERE (r.id = ANY (roadmap_numbers.roadmaps))
         ), numbers AS (
          SELECT s_1.id,
             s_1.status,
             s_1.lessons_total,
             s_1.lessons_completed,
             s_1.stages_total,
             s_1.stages_completed,
             s_1.completed_at
            FROM stored s_1
           WHERE s_1.is_stored
         UNION ALL
          SELECT s_1.id,
             (
                 CASE
                     WHEN ((c.lessons_total > 0) AND (c.lessons_completed = c.lessons_total)) THEN 'completed'::text
                     WHEN c.is_started THEN 'in_progress'::text
                     ELSE 'available'::text
                 END)::public.lesson_status AS lesson_status,
             COALESCE(c.lessons_total, 0) AS "coalesce",
             COALESCE(c.lessons_completed, 0) AS "coalesce",
             COALESCE(c.stages_total, 0) AS "coalesce",
             COALESCE(c.stages_completed, 0) AS "coalesce",
             c.completed_at
            FROM (stored s_1
              LEFT JOIN public.count_roadmaps(roadmap_numbers.learner, ARRAY( SELECT stored.id
                    FROM stored
                   WHERE (NOT stored.is_stored))) c(roadmap_id, lessons_total, lessons_completed, stages_total, stages_completed, is_started, completed_at) ON ((c.roadmap_id = s_1.id)))
           WHERE (NOT s_1.is_stored)
         )
  SELECT s.id,
     n.status,
     public.progress_percent(n.lessons_completed, n.lessons_total) AS progress_percent,
     n.lessons_total,
     n.lessons_completed,
     n.stages_total,
     n.stages_completed,
         CASE
             WHEN (n.status = 'completed'::public.lesson_status) THEN COALESCE(s.completed_at, n.completed_at)
             ELSE NULL::timestamp with time zone
         END AS "case",
     COALESCE(s.achieved_at, n.completed_at) AS "coalesce",
     COALESCE(
         CASE
             WHEN s.is_stored THEN s.done_seq
             ELSE s.requested_seq
         END, (0)::bigint) AS "coalesce",
     ((NOT s.is_stored) OR (s.done_seq = s.requested_seq)),
     s.is_recalculating,
     (s.has_marker AND (n.status = ANY (ARRAY['in_progress'::public.lesson_status, 'completed'::public.lesson_status])))
    FROM (stored s
      JOIN numbers n ON ((n.id = s.id)));
END;

CREATE FUNCTION public.roadmaps_of_lessons(lesson_ids uuid[]) RETURNS uuid[]
    LANGUAGE sql STABLE
    BEGIN ATOMIC
 SELECT COALESCE(array_agg(DISTINCT s.roadmap_id), '{}'::uuid[]) AS "coalesce"
    FROM (public.stage_lessons sl
      JOIN public.stages s ON ((s.id = sl.stage_id)))
   WHERE (sl.lesson_id = ANY (roadmaps_of_lessons.lesson_ids));
END;

CREATE FUNCTION public.roll_up_uses(kind public.library_item_kind, item uuid) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    counted integer;
    total bigint;
BEGIN
    IF kind = 'style_card' THEN
        PERFORM FROM style_cards WHERE id = item FOR NO KEY UPDATE;
    ELSE
        PERFORM FROM prompts WHERE id = item FOR NO KEY UPDATE;
    END IF;
    IF NOT FOUND THEN
        -- Used and deleted at the same time: there is nothing left to count for.
        DELETE FROM library_uses WHERE item_kind = kind AND item_id = item;
        RETURN 0;
    END IF;
    WITH taken AS (
        DELETE FROM library_uses
        WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM library_uses WHERE item_kind = kind AND item_id = item ORDER BY id LIMIT 10000
        ))
        RETURNING (used_at AT TIME ZONE 'UTC')::date AS day
    ), added AS (
        INSERT INTO library_daily_uses AS d (item_kind, item_id, day, uses)
        SELECT kind, item, day, count(*) FROM taken GROUP BY day
        ON CONFLICT (item_kind, item_id, day) DO UPDATE SET uses = d.uses + excluded.uses
    )
    SELECT count(*) INTO counted FROM taken;
    SELECT coalesce(sum(uses), 0) INTO total FROM library_daily_uses WHERE item_kind = kind AND item_id = item;
    IF kind = 'style_card' THEN
        UPDATE style_cards SET usage_count = total WHERE id = item AND usage_count <> total;
    ELSE
        UPDATE prompts SET copy_count = total WHERE id = item AND copy_count <> total;
    END IF;
    RETURN counted;
END;
$$;

CREATE FUNCTION public.sum_ai_attempts() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    of_user uuid;
    of_tool varchar;
BEGIN
    SELECT r.user_id, c.tool_type INTO of_user, of_tool
    FROM ai_replies r JOIN tool_chats c ON c.id = r.chat_id WHERE r.id = NEW.reply_id;
    PERFORM change_ai_spending(of_user, of_tool, (NEW.started_at AT TIME ZONE 'UTC')::date,
        coalesce(NEW.prompt_tokens, 0)::bigint + coalesce(NEW.completion_tokens, 0)
            - CASE TG_OP WHEN 'UPDATE' THEN coalesce(OLD.prompt_tokens, 0)::bigint + coalesce(OLD.completion_tokens, 0) ELSE 0 END,
        coalesce(NEW.cost_micros, 0) - CASE TG_OP WHEN 'UPDATE' THEN coalesce(OLD.cost_micros, 0) ELSE 0 END,
        0, 0);
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.sum_ai_evaluations() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    PERFORM change_ai_spending(NULL,
        (SELECT e.tool_type FROM ai_evaluation_runs r JOIN ai_evaluations e ON e.id = r.evaluation_id WHERE r.id = NEW.run_id),
        (NEW.created_at AT TIME ZONE 'UTC')::date,
        coalesce(NEW.prompt_tokens, 0)::bigint + coalesce(NEW.completion_tokens, 0)
            - coalesce(OLD.prompt_tokens, 0) - coalesce(OLD.completion_tokens, 0),
        coalesce(NEW.cost_micros, 0) - coalesce(OLD.cost_micros, 0), 0, 0);
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.sum_ai_reservations() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM change_ai_spending(OLD.user_id, OLD.tool_type, OLD.day, 0, 0, -OLD.tokens, -OLD.cost_micros);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM change_ai_spending(NEW.user_id, NEW.tool_type, NEW.day, 0, 0, NEW.tokens, NEW.cost_micros);
    END IF;
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.sum_ai_tryouts() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    PERFORM change_ai_spending(NULL, (SELECT tool_type FROM ai_system_instructions WHERE id = NEW.instruction_id),
        (NEW.created_at AT TIME ZONE 'UTC')::date,
        coalesce(NEW.prompt_tokens, 0)::bigint + coalesce(NEW.completion_tokens, 0)
            - coalesce(OLD.prompt_tokens, 0) - coalesce(OLD.completion_tokens, 0),
        coalesce(NEW.cost_micros, 0) - coalesce(OLD.cost_micros, 0), 0, 0);
    RETURN NULL;
END;
$$;

CREATE FUNCTION public.touch_row() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    NEW.updated_at = now();
    IF TG_ARGV[0] = 'version' THEN
        NEW.version = OLD.version + 1;
    END IF;
    RETURN NEW;
END;
$$;

ALTER TABLE public.ai_replies
    ADD CONSTRAINT ai_replies_cited CHECK ((cardinality(cited) <= 100)) NOT VALID;

ALTER TABLE public.refresh_tokens
    ADD CONSTRAINT refresh_tokens_derivation CHECK (((num_nonnulls(predecessor, nonce) = ANY (ARRAY[0, 2])) AND (length(predecessor) = 32) AND (length(nonce) = 32))) NOT VALID;

ALTER TABLE public.sessions
    ADD CONSTRAINT sessions_revoke_reason_check CHECK ((revoke_reason = ANY (ARRAY['logout'::text, 'token_reuse'::text, 'password_changed'::text, 'revoked'::text, 'suspended'::text, 'deleted'::text, 'role_changed'::text, 'session_limit'::text]))) NOT VALID;

ALTER TABLE public.showcase_projects
    ADD CONSTRAINT showcase_projects_trending_likes_range CHECK ((trending_likes >= 0)) NOT VALID;

ALTER TABLE public.users
    ADD CONSTRAINT users_erased_is_deleted CHECK (((erased_at IS NULL) OR (deleted_at IS NOT NULL))) NOT VALID;

ALTER TABLE public.users
    ADD CONSTRAINT users_suspension_reason CHECK (((suspension_reason IS NULL) OR ((status = 'suspended'::public.user_status) AND ((length(suspension_reason) >= 1) AND (length(suspension_reason) <= 500))))) NOT VALID;

CREATE TABLE apalis.jobs (
    job bytea NOT NULL,
    id text NOT NULL,
    job_type text NOT NULL,
    status text DEFAULT 'Pending'::text NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    max_attempts integer DEFAULT 25 NOT NULL,
    run_at timestamp with time zone DEFAULT now() NOT NULL,
    last_result jsonb,
    lock_at timestamp with time zone,
    lock_by text,
    done_at timestamp with time zone,
    priority integer DEFAULT 0,
    idempotency_key text,
    metadata public.hstore
)
WITH (fillfactor='70', autovacuum_vacuum_scale_factor='0.01', autovacuum_vacuum_threshold='1000', autovacuum_analyze_scale_factor='0.02', autovacuum_vacuum_cost_delay='0');
ALTER TABLE ONLY apalis.jobs
    ADD CONSTRAINT jobs_pkey PRIMARY KEY (id);
CREATE INDEX idx_apalis_jobs_fetch_partial ON apalis.jobs USING btree (job_type, priority DESC, run_at) WHERE ((status = 'Pending'::text) OR ((status = 'Failed'::text) AND (attempts < max_attempts)));
CREATE UNIQUE INDEX idx_jobs_idempotency_key ON apalis.jobs USING btree (job_type, idempotency_key) WHERE (idempotency_key IS NOT NULL);
CREATE INDEX jobs_dead_idx ON apalis.jobs USING btree (job_type, COALESCE(done_at, run_at)) WHERE ((status = 'Killed'::text) OR ((status = 'Failed'::text) AND (attempts >= max_attempts)));
CREATE INDEX jobs_done_idx ON apalis.jobs USING btree (job_type, COALESCE(done_at, run_at), public.job_kind(job) COLLATE "C") WHERE (status = 'Done'::text);
CREATE INDEX jobs_held_idx ON apalis.jobs USING btree (lock_by) WHERE ((status = ANY (ARRAY['Queued'::text, 'Running'::text])) OR (lock_by IS NOT NULL));
ALTER TABLE ONLY apalis.jobs
    ADD CONSTRAINT fk_worker_lock_by FOREIGN KEY (lock_by) REFERENCES apalis.workers(id);

CREATE TABLE public.active_quarters (
    quarter integer NOT NULL,
    user_id uuid NOT NULL
);
ALTER TABLE ONLY public.active_quarters
    ADD CONSTRAINT active_quarters_pkey PRIMARY KEY (quarter, user_id);
CREATE INDEX active_quarters_user_idx ON public.active_quarters USING btree (user_id, quarter);

CREATE TABLE public.activity_log (
    id uuid NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    actor_id uuid,
    action text NOT NULL,
    target_type text,
    target_id uuid,
    target_title text,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    ip inet,
    user_agent text,
    logged_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT activity_log_action_check CHECK (((action ~ '^[a-z_]+\.[a-z_]+$'::text) AND (length(action) <= 60))),
    CONSTRAINT activity_log_target_title_check CHECK ((length(target_title) <= 300)),
    CONSTRAINT activity_log_target_type_check CHECK ((length(target_type) <= 40)),
    CONSTRAINT activity_log_user_agent_check CHECK ((length(user_agent) <= 400))
)
PARTITION BY RANGE (occurred_at);
ALTER TABLE ONLY public.activity_log
    ADD CONSTRAINT activity_log_pkey PRIMARY KEY (id, occurred_at);
CREATE INDEX activity_log_action_idx ON ONLY public.activity_log USING btree (action, occurred_at, id);
CREATE INDEX activity_log_actor_idx ON ONLY public.activity_log USING btree (actor_id, occurred_at DESC, id DESC);
CREATE INDEX activity_log_changes_idx ON ONLY public.activity_log USING btree (target_id, occurred_at DESC, id DESC) WHERE (metadata ?| ARRAY['before'::text, 'after'::text]);
CREATE INDEX activity_log_origin_idx ON ONLY public.activity_log USING btree (occurred_at) WHERE (num_nonnulls(ip, user_agent) > 0);
CREATE INDEX activity_log_target_idx ON ONLY public.activity_log USING btree (target_id, occurred_at, id) WHERE (target_id IS NOT NULL);
CREATE INDEX activity_log_target_type_idx ON ONLY public.activity_log USING btree (target_type, occurred_at, id) WHERE (target_type IS NOT NULL);
CREATE INDEX activity_log_time_idx ON ONLY public.activity_log USING btree (occurred_at DESC, id DESC);
CREATE TRIGGER log_active_quarters AFTER INSERT ON public.activity_log REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.log_active_quarters();

CREATE TABLE public.ai_adjustments (
    endpoint text NOT NULL,
    model text NOT NULL,
    adjustment text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    learnt_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ai_adjustments_adjustment_check CHECK (((length(adjustment) >= 1) AND (length(adjustment) <= 50))),
    CONSTRAINT ai_adjustments_endpoint_check CHECK (((length(endpoint) >= 1) AND (length(endpoint) <= 2000))),
    CONSTRAINT ai_adjustments_model_check CHECK (((length(model) >= 1) AND (length(model) <= 200)))
);
ALTER TABLE ONLY public.ai_adjustments
    ADD CONSTRAINT ai_adjustments_pkey PRIMARY KEY (endpoint, model, adjustment);

CREATE TABLE public.ai_budget_warnings (
    scope text NOT NULL,
    period text NOT NULL,
    unit text NOT NULL,
    amount bigint NOT NULL,
    starts_on date NOT NULL,
    user_id uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ai_budget_warnings_period_check CHECK ((period = ANY (ARRAY['day'::text, 'month'::text]))),
    CONSTRAINT ai_budget_warnings_scope_check CHECK ((length(scope) <= 20)),
    CONSTRAINT ai_budget_warnings_unit_check CHECK ((unit = ANY (ARRAY['tokens'::text, 'cost_micros'::text])))
);

ALTER TABLE ONLY public.ai_budget_warnings REPLICA IDENTITY FULL;
CREATE UNIQUE INDEX ai_budget_warnings_key ON public.ai_budget_warnings USING btree (scope, period, unit, amount, starts_on, COALESCE(user_id, '00000000-0000-0000-0000-000000000000'::uuid));
CREATE INDEX ai_budget_warnings_starts_on_idx ON public.ai_budget_warnings USING btree (starts_on);
CREATE INDEX ai_budget_warnings_user_idx ON public.ai_budget_warnings USING btree (user_id);
ALTER TABLE ONLY public.ai_budget_warnings
    ADD CONSTRAINT ai_budget_warnings_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

CREATE TABLE public.ai_evaluation_answers (
    run_id uuid NOT NULL,
    number integer NOT NULL,
    is_candidate boolean NOT NULL,
    context jsonb,
    attempt integer DEFAULT 0 NOT NULL,
    answer text,
    is_passed boolean,
    prompt_tokens integer,
    completion_tokens integer,
    is_estimate boolean DEFAULT false NOT NULL,
    cost_micros bigint,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    CONSTRAINT ai_evaluation_answers_completion_tokens_check CHECK ((completion_tokens >= 0)),
    CONSTRAINT ai_evaluation_answers_cost_micros_check CHECK ((cost_micros >= 0)),
    CONSTRAINT ai_evaluation_answers_number_check CHECK (((number >= 1) AND (number <= 50))),
    CONSTRAINT ai_evaluation_answers_passed CHECK (((is_passed IS NULL) OR (finished_at IS NOT NULL))),
    CONSTRAINT ai_evaluation_answers_prompt_tokens_check CHECK ((prompt_tokens >= 0))
);
ALTER TABLE ONLY public.ai_evaluation_answers
    ADD CONSTRAINT ai_evaluation_answers_pkey PRIMARY KEY (run_id, number, is_candidate);
CREATE TRIGGER sum_spending AFTER UPDATE OF prompt_tokens, completion_tokens, cost_micros ON public.ai_evaluation_answers FOR EACH ROW WHEN ((((old.prompt_tokens IS DISTINCT FROM new.prompt_tokens) OR (old.completion_tokens IS DISTINCT FROM new.completion_tokens)) OR (old.cost_micros IS DISTINCT FROM new.cost_micros))) EXECUTE FUNCTION public.sum_ai_evaluations();
ALTER TABLE ONLY public.ai_evaluation_answers
    ADD CONSTRAINT ai_evaluation_answers_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.ai_evaluation_runs(id) ON DELETE CASCADE;

CREATE TABLE public.ai_evaluation_runs (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    evaluation_id uuid NOT NULL,
    cases jsonb NOT NULL,
    candidate_id uuid NOT NULL,
    baseline_id uuid NOT NULL,
    state public.evaluation_state DEFAULT 'running'::public.evaluation_state NOT NULL,
    reason text,
    candidate_passed integer,
    baseline_passed integer,
    created_by uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    CONSTRAINT ai_evaluation_runs_baseline_passed_check CHECK ((baseline_passed >= 0)),
    CONSTRAINT ai_evaluation_runs_candidate_passed_check CHECK ((candidate_passed >= 0)),
    CONSTRAINT ai_evaluation_runs_finished_at CHECK (((finished_at IS NOT NULL) = (state <> 'running'::public.evaluation_state))),
    CONSTRAINT ai_evaluation_runs_passed CHECK ((num_nonnulls(candidate_passed, baseline_passed) =
CASE state
    WHEN 'completed'::public.evaluation_state THEN 2
    ELSE 0
END)),
    CONSTRAINT ai_evaluation_runs_reason CHECK (((reason IS NOT NULL) = (state = 'failed'::public.evaluation_state))),
    CONSTRAINT ai_evaluation_runs_reason_check CHECK ((length(reason) <= 100))
);
ALTER TABLE ONLY public.ai_evaluation_runs
    ADD CONSTRAINT ai_evaluation_runs_pkey PRIMARY KEY (id);
CREATE INDEX ai_evaluation_runs_baseline_idx ON public.ai_evaluation_runs USING btree (baseline_id);
CREATE INDEX ai_evaluation_runs_candidate_idx ON public.ai_evaluation_runs USING btree (candidate_id);
CREATE INDEX ai_evaluation_runs_created_by_idx ON public.ai_evaluation_runs USING btree (created_by);
CREATE INDEX ai_evaluation_runs_evaluation_idx ON public.ai_evaluation_runs USING btree (evaluation_id, id DESC);
CREATE UNIQUE INDEX ai_evaluation_runs_open_key ON public.ai_evaluation_runs USING btree (evaluation_id) WHERE (state = 'running'::public.evaluation_state);
ALTER TABLE ONLY public.ai_evaluation_runs
    ADD CONSTRAINT ai_evaluation_runs_baseline_id_fkey FOREIGN KEY (baseline_id) REFERENCES public.ai_system_instructions(id);
ALTER TABLE ONLY public.ai_evaluation_runs
    ADD CONSTRAINT ai_evaluation_runs_candidate_id_fkey FOREIGN KEY (candidate_id) REFERENCES public.ai_system_instructions(id);
ALTER TABLE ONLY public.ai_evaluation_runs
    ADD CONSTRAINT ai_evaluation_runs_created_by_fkey FOREIGN KEY (created_by) REFERENCES public.users(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.ai_evaluation_runs
    ADD CONSTRAINT ai_evaluation_runs_evaluation_id_fkey FOREIGN KEY (evaluation_id) REFERENCES public.ai_evaluations(id);

CREATE TABLE public.ai_evaluations (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    tool_type character varying(20) NOT NULL,
    name text NOT NULL,
    is_attached boolean DEFAULT false NOT NULL,
    cases jsonb NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    CONSTRAINT ai_evaluations_cases_check CHECK (((jsonb_typeof(cases) = 'array'::text) AND ((jsonb_array_length(cases) >= 1) AND (jsonb_array_length(cases) <= 50)))),
    CONSTRAINT ai_evaluations_name_check CHECK (((length(name) >= 1) AND (length(name) <= 200))),
    CONSTRAINT ai_evaluations_tool_type_check CHECK (((tool_type)::text = ANY ((ARRAY['assistant'::character varying, 'tz_helper'::character varying, 'ideas'::character varying])::text[])))
);
ALTER TABLE ONLY public.ai_evaluations
    ADD CONSTRAINT ai_evaluations_pkey PRIMARY KEY (id);
CREATE INDEX ai_evaluations_list_idx ON public.ai_evaluations USING btree (id);
CREATE UNIQUE INDEX ai_evaluations_name_key ON public.ai_evaluations USING btree (tool_type, name) WHERE (deleted_at IS NULL);
CREATE TRIGGER touch_row BEFORE UPDATE ON public.ai_evaluations FOR EACH ROW WHEN ((old.* IS DISTINCT FROM new.*)) EXECUTE FUNCTION public.touch_row('version');

CREATE TABLE public.ai_learner_spending (
    user_id uuid NOT NULL,
    day date NOT NULL,
    tool_type character varying(20) NOT NULL,
    tokens bigint DEFAULT 0 NOT NULL,
    cost_micros bigint DEFAULT 0 NOT NULL,
    reserved_tokens bigint DEFAULT 0 NOT NULL,
    reserved_micros bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ai_learner_spending_cost_micros_check CHECK ((cost_micros >= 0)),
    CONSTRAINT ai_learner_spending_reserved_micros_check CHECK ((reserved_micros >= 0)),
    CONSTRAINT ai_learner_spending_reserved_tokens_check CHECK ((reserved_tokens >= 0)),
    CONSTRAINT ai_learner_spending_tokens_check CHECK ((tokens >= 0)),
    CONSTRAINT ai_learner_spending_tool_type_check CHECK (((tool_type)::text = ANY ((ARRAY['assistant'::character varying, 'tz_helper'::character varying, 'ideas'::character varying])::text[])))
);
ALTER TABLE ONLY public.ai_learner_spending
    ADD CONSTRAINT ai_learner_spending_pkey PRIMARY KEY (user_id, day, tool_type);
CREATE INDEX ai_learner_spending_day_idx ON public.ai_learner_spending USING btree (day);
ALTER TABLE ONLY public.ai_learner_spending
    ADD CONSTRAINT ai_learner_spending_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

CREATE TABLE public.ai_models (
    model text NOT NULL,
    is_default boolean DEFAULT false NOT NULL,
    input_price double precision,
    output_price double precision,
    context_tokens bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ai_models_context_tokens_check CHECK ((context_tokens > 0)),
    CONSTRAINT ai_models_input_price_check CHECK ((input_price >= (0)::double precision)),
    CONSTRAINT ai_models_model_check CHECK (((length(model) >= 1) AND (length(model) <= 200))),
    CONSTRAINT ai_models_output_price_check CHECK ((output_price >= (0)::double precision))
);
ALTER TABLE ONLY public.ai_models
    ADD CONSTRAINT ai_models_pkey PRIMARY KEY (model);

CREATE TABLE public.ai_replies (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    chat_id uuid NOT NULL,
    user_id uuid NOT NULL,
    question_id uuid,
    answer_id uuid,
    instruction_id uuid NOT NULL,
    question text NOT NULL,
    context jsonb DEFAULT '{}'::jsonb NOT NULL,
    state public.reply_state DEFAULT 'queued'::public.reply_state NOT NULL,
    attempt integer DEFAULT 0 NOT NULL,
    reason text,
    provider text,
    model text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    queued_at timestamp with time zone DEFAULT now() NOT NULL,
    retried_at timestamp with time zone[] DEFAULT '{}'::timestamp with time zone[] NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    chunks_removed boolean DEFAULT false NOT NULL,
    cited smallint[] DEFAULT '{}'::smallint[] NOT NULL,
    CONSTRAINT ai_replies_answer CHECK (((answer_id IS NULL) OR (state = ANY (ARRAY['completed'::public.reply_state, 'cancelled'::public.reply_state])))),
    CONSTRAINT ai_replies_finished_at CHECK (((finished_at IS NOT NULL) = (state = ANY (ARRAY['completed'::public.reply_state, 'failed'::public.reply_state, 'cancelled'::public.reply_state])))),
    CONSTRAINT ai_replies_reason CHECK (((reason IS NOT NULL) = (state = ANY (ARRAY['failed'::public.reply_state, 'cancelled'::public.reply_state])))),
    CONSTRAINT ai_replies_reason_check CHECK ((length(reason) <= 100)),
    CONSTRAINT ai_replies_retried_at CHECK ((cardinality(retried_at) <= 20))
)
WITH (fillfactor='85');
ALTER TABLE ONLY public.ai_replies
    ADD CONSTRAINT ai_replies_pkey PRIMARY KEY (id);
CREATE UNIQUE INDEX ai_replies_answer_key ON public.ai_replies USING btree (answer_id);
CREATE INDEX ai_replies_chat_idx ON public.ai_replies USING btree (chat_id, created_at DESC);
CREATE INDEX ai_replies_chunks_idx ON public.ai_replies USING btree (finished_at) WHERE ((state = ANY (ARRAY['completed'::public.reply_state, 'failed'::public.reply_state, 'cancelled'::public.reply_state])) AND (NOT chunks_removed));
CREATE INDEX ai_replies_created_at_idx ON public.ai_replies USING btree (created_at);
CREATE UNIQUE INDEX ai_replies_open_key ON public.ai_replies USING btree (chat_id) WHERE (state = ANY (ARRAY['queued'::public.reply_state, 'streaming'::public.reply_state]));
CREATE INDEX ai_replies_question_idx ON public.ai_replies USING btree (question_id);
CREATE INDEX ai_replies_stuck_idx ON public.ai_replies USING btree (updated_at) WHERE (state = ANY (ARRAY['queued'::public.reply_state, 'streaming'::public.reply_state]));
CREATE INDEX ai_replies_user_idx ON public.ai_replies USING btree (user_id, queued_at DESC);
CREATE TRIGGER mark_stats_delete AFTER DELETE ON public.ai_replies FOR EACH ROW WHEN ((old.created_at < public.open_quarter())) EXECUTE FUNCTION public.mark_stats('created_at');
CREATE TRIGGER mark_stats_insert AFTER INSERT ON public.ai_replies FOR EACH ROW WHEN ((new.created_at < public.open_quarter())) EXECUTE FUNCTION public.mark_stats('created_at');
CREATE TRIGGER mark_stats_update AFTER UPDATE ON public.ai_replies FOR EACH ROW WHEN ((((old.state = 'failed'::public.reply_state) <> (new.state = 'failed'::public.reply_state)) OR (old.created_at <> new.created_at))) EXECUTE FUNCTION public.mark_stats('created_at');
CREATE TRIGGER release_reservation AFTER UPDATE OF state ON public.ai_replies FOR EACH ROW WHEN (((old.state = ANY (ARRAY['queued'::public.reply_state, 'streaming'::public.reply_state])) AND (new.state = ANY (ARRAY['completed'::public.reply_state, 'failed'::public.reply_state, 'cancelled'::public.reply_state])))) EXECUTE FUNCTION public.release_ai_reservation();
CREATE TRIGGER touch_row BEFORE UPDATE ON public.ai_replies FOR EACH ROW WHEN ((old.* IS DISTINCT FROM new.*)) EXECUTE FUNCTION public.touch_row();
ALTER TABLE ONLY public.ai_replies
    ADD CONSTRAINT ai_replies_answer_id_fkey FOREIGN KEY (answer_id) REFERENCES public.tool_messages(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.ai_replies
    ADD CONSTRAINT ai_replies_chat_id_fkey FOREIGN KEY (chat_id) REFERENCES public.tool_chats(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.ai_replies
    ADD CONSTRAINT ai_replies_instruction_id_fkey FOREIGN KEY (instruction_id) REFERENCES public.ai_system_instructions(id);
ALTER TABLE ONLY public.ai_replies
    ADD CONSTRAINT ai_replies_question_id_fkey FOREIGN KEY (question_id) REFERENCES public.tool_messages(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.ai_replies
    ADD CONSTRAINT ai_replies_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

CREATE TABLE public.ai_reply_attempts (
    reply_id uuid NOT NULL,
    attempt integer NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    provider text,
    model text,
    reason text,
    error text,
    first_token_ms integer,
    is_cut boolean DEFAULT false NOT NULL,
    prompt_tokens integer,
    completion_tokens integer,
    cost_micros bigint,
    thinking_tokens integer,
    is_estimate boolean DEFAULT false NOT NULL,
    response_id text,
    CONSTRAINT ai_reply_attempts_attempt_check CHECK ((attempt > 0)),
    CONSTRAINT ai_reply_attempts_completion_tokens_check CHECK ((completion_tokens >= 0)),
    CONSTRAINT ai_reply_attempts_cost_micros_check CHECK ((cost_micros >= 0)),
    CONSTRAINT ai_reply_attempts_error_check CHECK ((length(error) <= 2000)),
    CONSTRAINT ai_reply_attempts_first_token_ms_check CHECK ((first_token_ms >= 0)),
    CONSTRAINT ai_reply_attempts_model_check CHECK ((length(model) <= 200)),
    CONSTRAINT ai_reply_attempts_prompt_tokens_check CHECK ((prompt_tokens >= 0)),
    CONSTRAINT ai_reply_attempts_provider_check CHECK ((length(provider) <= 300)),
    CONSTRAINT ai_reply_attempts_reason_check CHECK ((length(reason) <= 100)),
    CONSTRAINT ai_reply_attempts_response_id_check CHECK ((length(response_id) <= 500)),
    CONSTRAINT ai_reply_attempts_thinking_tokens_check CHECK ((thinking_tokens >= 0))
);
ALTER TABLE ONLY public.ai_reply_attempts
    ADD CONSTRAINT ai_reply_attempts_pkey PRIMARY KEY (reply_id, attempt);
CREATE TRIGGER sum_added_spending AFTER INSERT ON public.ai_reply_attempts FOR EACH ROW WHEN (((new.prompt_tokens IS NOT NULL) OR (new.completion_tokens IS NOT NULL) OR (new.cost_micros IS NOT NULL))) EXECUTE FUNCTION public.sum_ai_attempts();
CREATE TRIGGER sum_spending AFTER UPDATE OF prompt_tokens, completion_tokens, cost_micros ON public.ai_reply_attempts FOR EACH ROW WHEN ((((old.prompt_tokens IS DISTINCT FROM new.prompt_tokens) OR (old.completion_tokens IS DISTINCT FROM new.completion_tokens)) OR (old.cost_micros IS DISTINCT FROM new.cost_micros))) EXECUTE FUNCTION public.sum_ai_attempts();
ALTER TABLE ONLY public.ai_reply_attempts
    ADD CONSTRAINT ai_reply_attempts_reply_id_fkey FOREIGN KEY (reply_id) REFERENCES public.ai_replies(id) ON DELETE CASCADE;

CREATE TABLE public.ai_reply_chunks (
    reply_id uuid NOT NULL,
    attempt integer NOT NULL,
    seq integer NOT NULL,
    content text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    is_thinking boolean DEFAULT false NOT NULL,
    CONSTRAINT ai_reply_chunks_seq_check CHECK ((seq > 0))
);
ALTER TABLE ONLY public.ai_reply_chunks
    ADD CONSTRAINT ai_reply_chunks_pkey PRIMARY KEY (reply_id, attempt, seq);
ALTER TABLE ONLY public.ai_reply_chunks
    ADD CONSTRAINT ai_reply_chunks_reply_id_fkey FOREIGN KEY (reply_id) REFERENCES public.ai_replies(id) ON DELETE CASCADE;

CREATE TABLE public.ai_reply_ratings (
    reply_id uuid NOT NULL,
    thumb public.reply_thumb NOT NULL,
    reason text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ai_reply_ratings_reason_check CHECK (((length(reason) >= 1) AND (length(reason) <= 1000)))
);
ALTER TABLE ONLY public.ai_reply_ratings
    ADD CONSTRAINT ai_reply_ratings_pkey PRIMARY KEY (reply_id);
CREATE INDEX ai_reply_ratings_reasons_idx ON public.ai_reply_ratings USING btree (updated_at, reply_id) WHERE (reason IS NOT NULL);
CREATE TRIGGER touch_row BEFORE UPDATE ON public.ai_reply_ratings FOR EACH ROW WHEN ((old.* IS DISTINCT FROM new.*)) EXECUTE FUNCTION public.touch_row();
ALTER TABLE ONLY public.ai_reply_ratings
    ADD CONSTRAINT ai_reply_ratings_reply_id_fkey FOREIGN KEY (reply_id) REFERENCES public.ai_replies(id) ON DELETE CASCADE;

CREATE TABLE public.ai_reservations (
    reply_id uuid NOT NULL,
    user_id uuid NOT NULL,
    tool_type character varying(20) NOT NULL,
    day date NOT NULL,
    tokens bigint NOT NULL,
    cost_micros bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ai_reservations_cost_micros_check CHECK ((cost_micros >= 0)),
    CONSTRAINT ai_reservations_tokens_check CHECK ((tokens >= 0)),
    CONSTRAINT ai_reservations_tool_type_check CHECK (((tool_type)::text = ANY ((ARRAY['assistant'::character varying, 'tz_helper'::character varying, 'ideas'::character varying])::text[])))
);
ALTER TABLE ONLY public.ai_reservations
    ADD CONSTRAINT ai_reservations_pkey PRIMARY KEY (reply_id);
CREATE INDEX ai_reservations_user_idx ON public.ai_reservations USING btree (user_id);
CREATE TRIGGER sum_spending AFTER INSERT OR DELETE OR UPDATE ON public.ai_reservations FOR EACH ROW EXECUTE FUNCTION public.sum_ai_reservations();
ALTER TABLE ONLY public.ai_reservations
    ADD CONSTRAINT ai_reservations_reply_id_fkey FOREIGN KEY (reply_id) REFERENCES public.ai_replies(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.ai_reservations
    ADD CONSTRAINT ai_reservations_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

CREATE TABLE public.ai_spending (
    day date NOT NULL,
    tool_type character varying(20) NOT NULL,
    tokens bigint DEFAULT 0 NOT NULL,
    cost_micros bigint DEFAULT 0 NOT NULL,
    reserved_tokens bigint DEFAULT 0 NOT NULL,
    reserved_micros bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ai_spending_cost_micros_check CHECK ((cost_micros >= 0)),
    CONSTRAINT ai_spending_reserved_micros_check CHECK ((reserved_micros >= 0)),
    CONSTRAINT ai_spending_reserved_tokens_check CHECK ((reserved_tokens >= 0)),
    CONSTRAINT ai_spending_tokens_check CHECK ((tokens >= 0)),
    CONSTRAINT ai_spending_tool_type_check CHECK (((tool_type)::text = ANY ((ARRAY['assistant'::character varying, 'tz_helper'::character varying, 'ideas'::character varying])::text[])))
)
WITH (fillfactor='50');
ALTER TABLE ONLY public.ai_spending
    ADD CONSTRAINT ai_spending_pkey PRIMARY KEY (day, tool_type);

CREATE TABLE public.ai_system_instructions (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    tool_type character varying(20) NOT NULL,
    version integer NOT NULL,
    content text NOT NULL,
    model text,
    temperature double precision DEFAULT 0.7,
    max_tokens integer DEFAULT 1500 NOT NULL,
    include_learner boolean DEFAULT false NOT NULL,
    is_active boolean DEFAULT false NOT NULL,
    created_by uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    activated_at timestamp with time zone,
    show_thinking boolean DEFAULT false NOT NULL,
    CONSTRAINT ai_system_instructions_content_check CHECK (((length(content) >= 1) AND (length(content) <= 50000))),
    CONSTRAINT ai_system_instructions_max_tokens_check CHECK (((max_tokens >= 16) AND (max_tokens <= 32000))),
    CONSTRAINT ai_system_instructions_model_check CHECK ((length(model) <= 200)),
    CONSTRAINT ai_system_instructions_temperature_check CHECK (((temperature >= (0)::double precision) AND (temperature <= (2)::double precision))),
    CONSTRAINT ai_system_instructions_tool_type_check CHECK (((tool_type)::text = ANY ((ARRAY['assistant'::character varying, 'tz_helper'::character varying, 'ideas'::character varying])::text[]))),
    CONSTRAINT ai_system_instructions_version_check CHECK ((version > 0))
);
ALTER TABLE ONLY public.ai_system_instructions
    ADD CONSTRAINT ai_system_instructions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.ai_system_instructions
    ADD CONSTRAINT ai_system_instructions_version_key UNIQUE (tool_type, version);
CREATE UNIQUE INDEX ai_system_instructions_active_key ON public.ai_system_instructions USING btree (tool_type) WHERE is_active;
CREATE TRIGGER touch_row BEFORE UPDATE ON public.ai_system_instructions FOR EACH ROW WHEN ((old.* IS DISTINCT FROM new.*)) EXECUTE FUNCTION public.touch_row();
ALTER TABLE ONLY public.ai_system_instructions
    ADD CONSTRAINT ai_system_instructions_created_by_fkey FOREIGN KEY (created_by) REFERENCES public.users(id) ON DELETE SET NULL;

CREATE TABLE public.ai_tryouts (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    instruction_id uuid NOT NULL,
    created_by uuid NOT NULL,
    question text NOT NULL,
    context jsonb DEFAULT '{}'::jsonb NOT NULL,
    state public.tryout_state DEFAULT 'queued'::public.tryout_state NOT NULL,
    attempt integer DEFAULT 0 NOT NULL,
    answer text,
    reason text,
    error text,
    provider text,
    model text,
    is_cut boolean DEFAULT false NOT NULL,
    first_token_ms integer,
    prompt_tokens integer,
    completion_tokens integer,
    cost_micros bigint,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    thinking_tokens integer,
    is_estimate boolean DEFAULT false NOT NULL,
    CONSTRAINT ai_tryouts_answer CHECK (((state <> 'completed'::public.tryout_state) OR (answer IS NOT NULL))),
    CONSTRAINT ai_tryouts_completion_tokens_check CHECK ((completion_tokens >= 0)),
    CONSTRAINT ai_tryouts_cost_micros_check CHECK ((cost_micros >= 0)),
    CONSTRAINT ai_tryouts_error_check CHECK ((length(error) <= 2000)),
    CONSTRAINT ai_tryouts_finished_at CHECK (((finished_at IS NOT NULL) = (state = ANY (ARRAY['completed'::public.tryout_state, 'failed'::public.tryout_state])))),
    CONSTRAINT ai_tryouts_first_token_ms_check CHECK ((first_token_ms >= 0)),
    CONSTRAINT ai_tryouts_model_check CHECK ((length(model) <= 200)),
    CONSTRAINT ai_tryouts_prompt_tokens_check CHECK ((prompt_tokens >= 0)),
    CONSTRAINT ai_tryouts_provider_check CHECK ((length(provider) <= 300)),
    CONSTRAINT ai_tryouts_question_check CHECK (((length(question) >= 1) AND (length(question) <= 100000))),
    CONSTRAINT ai_tryouts_reason CHECK (((reason IS NOT NULL) = (state = 'failed'::public.tryout_state))),
    CONSTRAINT ai_tryouts_reason_check CHECK ((length(reason) <= 100)),
    CONSTRAINT ai_tryouts_thinking_tokens_check CHECK ((thinking_tokens >= 0))
);
ALTER TABLE ONLY public.ai_tryouts
    ADD CONSTRAINT ai_tryouts_pkey PRIMARY KEY (id);
CREATE INDEX ai_tryouts_created_at_idx ON public.ai_tryouts USING btree (created_at);
CREATE INDEX ai_tryouts_created_by_idx ON public.ai_tryouts USING btree (created_by);
CREATE INDEX ai_tryouts_instruction_idx ON public.ai_tryouts USING btree (instruction_id);
CREATE INDEX ai_tryouts_open_idx ON public.ai_tryouts USING btree (created_at) WHERE (state = ANY (ARRAY['queued'::public.tryout_state, 'running'::public.tryout_state]));
CREATE TRIGGER sum_spending AFTER UPDATE OF prompt_tokens, completion_tokens, cost_micros ON public.ai_tryouts FOR EACH ROW WHEN ((((old.prompt_tokens IS DISTINCT FROM new.prompt_tokens) OR (old.completion_tokens IS DISTINCT FROM new.completion_tokens)) OR (old.cost_micros IS DISTINCT FROM new.cost_micros))) EXECUTE FUNCTION public.sum_ai_tryouts();
CREATE TRIGGER touch_row BEFORE UPDATE ON public.ai_tryouts FOR EACH ROW WHEN ((old.* IS DISTINCT FROM new.*)) EXECUTE FUNCTION public.touch_row();
ALTER TABLE ONLY public.ai_tryouts
    ADD CONSTRAINT ai_tryouts_created_by_fkey FOREIGN KEY (created_by) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.ai_tryouts
    ADD CONSTRAINT ai_tryouts_instruction_id_fkey FOREIGN KEY (instruction_id) REFERENCES public.ai_system_instructions(id);

CREATE TABLE public.ai_unanswered_questions (
    reply_id uuid NOT NULL,
    tool_type character varying(20) NOT NULL,
    words text NOT NULL,
    asked_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT ai_unanswered_questions_tool_type_check CHECK (((tool_type)::text = ANY ((ARRAY['assistant'::character varying, 'tz_helper'::character varying, 'ideas'::character varying])::text[]))),
    CONSTRAINT ai_unanswered_questions_words_check CHECK ((length(words) <= 500))
);
ALTER TABLE ONLY public.ai_unanswered_questions
    ADD CONSTRAINT ai_unanswered_questions_pkey PRIMARY KEY (reply_id);
CREATE INDEX ai_unanswered_questions_asked_at_idx ON public.ai_unanswered_questions USING btree (asked_at);
ALTER TABLE ONLY public.ai_unanswered_questions
    ADD CONSTRAINT ai_unanswered_questions_reply_id_fkey FOREIGN KEY (reply_id) REFERENCES public.ai_replies(id) ON DELETE CASCADE;

CREATE TABLE public.catalog_changes (
    xact xid8 DEFAULT pg_current_xact_id() NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE ONLY public.catalog_changes
    ADD CONSTRAINT catalog_changes_pkey PRIMARY KEY (xact);
CREATE INDEX catalog_changes_changed_at_idx ON public.catalog_changes USING btree (changed_at);

CREATE TABLE public.clock_mark (
    only_row boolean DEFAULT true NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT clock_mark_only_row_check CHECK (only_row)
);
ALTER TABLE ONLY public.clock_mark
    ADD CONSTRAINT clock_mark_pkey PRIMARY KEY (only_row);

CREATE TABLE public.course_imports (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    requested_by uuid,
    is_dry_run boolean NOT NULL,
    document text,
    state public.course_import_state DEFAULT 'queued'::public.course_import_state NOT NULL,
    objects_done integer DEFAULT 0 NOT NULL,
    objects_total integer NOT NULL,
    created_count integer,
    updated_count integer,
    unchanged_count integer,
    deleted_count integer,
    error text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    CONSTRAINT course_imports_document CHECK (((document IS NULL) = (state = ANY (ARRAY['completed'::public.course_import_state, 'failed'::public.course_import_state])))),
    CONSTRAINT course_imports_document_check CHECK ((length(document) <= 10000000)),
    CONSTRAINT course_imports_error CHECK (((state = 'failed'::public.course_import_state) = (error IS NOT NULL))),
    CONSTRAINT course_imports_error_check CHECK ((length(error) <= 2000)),
    CONSTRAINT course_imports_finished CHECK (((finished_at IS NOT NULL) = (state = ANY (ARRAY['completed'::public.course_import_state, 'failed'::public.course_import_state])))),
    CONSTRAINT course_imports_progress CHECK (((0 <= objects_done) AND (objects_done <= objects_total))),
    CONSTRAINT course_imports_result CHECK (((state = 'completed'::public.course_import_state) = (num_nonnulls(created_count, updated_count, unchanged_count, deleted_count) = 4)))
);
ALTER TABLE ONLY public.course_imports
    ADD CONSTRAINT course_imports_pkey PRIMARY KEY (id);
CREATE INDEX course_imports_created_at_idx ON public.course_imports USING btree (created_at, id);
CREATE INDEX course_imports_open_idx ON public.course_imports USING btree (created_at) WHERE (state = ANY (ARRAY['queued'::public.course_import_state, 'running'::public.course_import_state]));
CREATE INDEX course_imports_requested_by_idx ON public.course_imports USING btree (requested_by);
CREATE TRIGGER touch_row BEFORE UPDATE ON public.course_imports FOR EACH ROW WHEN ((old.* IS DISTINCT FROM new.*)) EXECUTE FUNCTION public.touch_row();
ALTER TABLE ONLY public.course_imports
    ADD CONSTRAINT course_imports_requested_by_fkey FOREIGN KEY (requested_by) REFERENCES public.users(id) ON DELETE SET NULL;

CREATE TABLE public.course_modules (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    slug public.slug NOT NULL,
    title text NOT NULL,
    summary text DEFAULT ''::text NOT NULL,
    "position" integer DEFAULT 0 NOT NULL,
    publication public.publication DEFAULT 'draft'::public.publication NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    CONSTRAINT course_modules_summary_check CHECK ((length(summary) <= 1000)),
    CONSTRAINT course_modules_title_check CHECK (((length(title) >= 1) AND (length(title) <= 200)))
);
ALTER TABLE ONLY public.course_modules
    ADD CONSTRAINT course_modules_pkey PRIMARY KEY (id);
CREATE UNIQUE INDEX course_modules_slug_key ON public.course_modules USING btree (slug) WHERE (deleted_at IS NULL);
CREATE TRIGGER content_changed AFTER UPDATE ON public.course_modules REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.content_changed_modules();
CREATE TRIGGER index_lessons AFTER UPDATE ON public.course_modules FOR EACH ROW WHEN (((old.publication IS DISTINCT FROM new.publication) OR (old.deleted_at IS DISTINCT FROM new.deleted_at))) EXECUTE FUNCTION public.index_lessons_of_module();
CREATE TRIGGER lock_content BEFORE UPDATE OF publication, deleted_at ON public.course_modules FOR EACH STATEMENT EXECUTE FUNCTION public.lock_content();
CREATE TRIGGER note_catalog_change AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON public.course_modules FOR EACH STATEMENT EXECUTE FUNCTION public.note_catalog_change();
CREATE TRIGGER touch_row BEFORE UPDATE ON public.course_modules FOR EACH ROW WHEN ((old.* IS DISTINCT FROM new.*)) EXECUTE FUNCTION public.touch_row('version');

CREATE TABLE public.email_verifications (
    user_id uuid NOT NULL,
    email text NOT NULL,
    token_hash bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    delivered_at timestamp with time zone,
    CONSTRAINT email_verifications_email_check CHECK ((length(email) <= 254)),
    CONSTRAINT email_verifications_token_hash_check CHECK ((length(token_hash) = 32))
);
ALTER TABLE ONLY public.email_verifications
    ADD CONSTRAINT email_verifications_pkey PRIMARY KEY (user_id);
ALTER TABLE ONLY public.email_verifications
    ADD CONSTRAINT email_verifications_token_key UNIQUE (token_hash);
ALTER TABLE ONLY public.email_verifications
    ADD CONSTRAINT email_verifications_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

CREATE TABLE public.erasures (
    user_id uuid NOT NULL,
    requested_at timestamp with time zone DEFAULT now() NOT NULL,
    queued_at timestamp with time zone
);
ALTER TABLE ONLY public.erasures
    ADD CONSTRAINT erasures_pkey PRIMARY KEY (user_id);
CREATE TRIGGER finish_erasure AFTER DELETE ON public.erasures FOR EACH ROW EXECUTE FUNCTION public.finish_erasure();
ALTER TABLE ONLY public.erasures
    ADD CONSTRAINT erasures_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

CREATE TABLE public.glossary_terms (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    slug public.slug NOT NULL,
    term text NOT NULL,
    definition text NOT NULL,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    publication public.publication DEFAULT 'draft'::public.publication NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    search tsvector GENERATED ALWAYS AS ((setweight(to_tsvector('russian'::regconfig, term), 'A'::"char") || setweight(to_tsvector('russian'::regconfig, definition), 'B'::"char"))) STORED,
    category public.slug,
    sort_key text GENERATED ALWAYS AS (public.folded("left"(ltrim(term), 60))) STORED NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT glossary_terms_definition_check CHECK (((length(definition) >= 1) AND (length(definition) <= 5000))),
    CONSTRAINT glossary_terms_tags_check CHECK ((cardinality(tags) <= 20)),
    CONSTRAINT glossary_terms_term_check CHECK (((length(term) >= 1) AND (length(term) <= 200)))
);
ALTER TABLE ONLY public.glossary_terms
    ADD CONSTRAINT glossary_terms_pkey PRIMARY KEY (id);
CREATE INDEX glossary_terms_category_idx ON public.glossary_terms USING btree (category, sort_key, id) WHERE (deleted_at IS NULL);
CREATE INDEX glossary_terms_deleted_idx ON public.glossary_terms USING btree (((deleted_at IS NOT NULL)), sort_key, id);
CREATE INDEX glossary_terms_search_idx ON public.glossary_terms USING gin (search);
CREATE UNIQUE INDEX glossary_terms_slug_key ON public.glossary_terms USING btree (slug) WHERE (deleted_at IS NULL);
CREATE INDEX glossary_terms_sort_key_idx ON public.glossary_terms USING btree (sort_key, id) WHERE (deleted_at IS NULL);
CREATE TRIGGER index_added AFTER INSERT ON public.glossary_terms REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.index_changed_rows('glossary_term');
CREATE TRIGGER index_changed AFTER UPDATE ON public.glossary_terms FOR EACH ROW WHEN (((((old.term IS DISTINCT FROM new.term) OR (old.definition IS DISTINCT FROM new.definition)) OR (old.publication IS DISTINCT FROM new.publication)) OR (old.deleted_at IS DISTINCT FROM new.deleted_at))) EXECUTE FUNCTION public.index_changed_object('glossary_term');
CREATE TRIGGER index_removed AFTER DELETE ON public.glossary_terms REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.index_changed_rows('glossary_term');
CREATE TRIGGER touch_row BEFORE UPDATE ON public.glossary_terms FOR EACH ROW WHEN ((((((((((((old.id IS DISTINCT FROM new.id) OR ((old.slug)::text IS DISTINCT FROM (new.slug)::text)) OR (old.term IS DISTINCT FROM new.term)) OR ((old.category)::text IS DISTINCT FROM (new.category)::text)) OR (old.definition IS DISTINCT FROM new.definition)) OR (old.tags IS DISTINCT FROM new.tags)) OR (old.publication IS DISTINCT FROM new.publication)) OR (old.version IS DISTINCT FROM new.version)) OR (old.created_at IS DISTINCT FROM new.created_at)) OR (old.updated_at IS DISTINCT FROM new.updated_at)) OR (old.deleted_at IS DISTINCT FROM new.deleted_at))) EXECUTE FUNCTION public.touch_row('version');

CREATE TABLE public.idempotency_keys (
    user_id uuid NOT NULL,
    key text NOT NULL,
    operation text NOT NULL,
    request_hash bytea NOT NULL,
    response jsonb,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT idempotency_keys_key_check CHECK (((length(key) >= 1) AND (length(key) <= 200))),
    CONSTRAINT idempotency_keys_request_hash_check CHECK ((length(request_hash) = 32))
);
ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (user_id, operation, key);
CREATE INDEX idempotency_keys_created_at_idx ON public.idempotency_keys USING btree (created_at);
ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

CREATE TABLE public.invite_links (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    code text NOT NULL,
    role public.user_role DEFAULT 'student'::public.user_role NOT NULL,
    note text,
    max_uses integer DEFAULT 1 NOT NULL,
    uses integer DEFAULT 0 NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    created_by uuid,
    version bigint DEFAULT 1 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    CONSTRAINT invite_links_code_check CHECK (((length(code) >= 16) AND (length(code) <= 64))),
    CONSTRAINT invite_links_max_uses_check CHECK (((max_uses >= 1) AND (max_uses <= 100000))),
    CONSTRAINT invite_links_note_check CHECK ((length(note) <= 200)),
    CONSTRAINT invite_links_uses_range CHECK (((uses >= 0) AND (uses <= max_uses)))
);
ALTER TABLE ONLY public.invite_links
    ADD CONSTRAINT invite_links_pkey PRIMARY KEY (id);
CREATE UNIQUE INDEX invite_links_code_key ON public.invite_links USING btree (code);
CREATE INDEX invite_links_newest_idx ON public.invite_links USING btree (created_at DESC, id DESC) WHERE (deleted_at IS NULL);
CREATE TRIGGER touch_row BEFORE UPDATE ON public.invite_links FOR EACH ROW WHEN (((((((((((((old.id IS DISTINCT FROM new.id) OR (old.code IS DISTINCT FROM new.code)) OR (old.role IS DISTINCT FROM new.role)) OR (old.note IS DISTINCT FROM new.note)) OR (old.max_uses IS DISTINCT FROM new.max_uses)) OR (old.expires_at IS DISTINCT FROM new.expires_at)) OR (old.revoked_at IS DISTINCT FROM new.revoked_at)) OR (old.created_by IS DISTINCT FROM new.created_by)) OR (old.version IS DISTINCT FROM new.version)) OR (old.created_at IS DISTINCT FROM new.created_at)) OR (old.updated_at IS DISTINCT FROM new.updated_at)) OR (old.deleted_at IS DISTINCT FROM new.deleted_at))) EXECUTE FUNCTION public.touch_row('version');
ALTER TABLE ONLY public.invite_links
    ADD CONSTRAINT invite_links_created_by_fkey FOREIGN KEY (created_by) REFERENCES public.users(id) ON DELETE SET NULL;

CREATE UNLOGGED TABLE public.job_counts (
    queue text NOT NULL,
    slot timestamp with time zone DEFAULT date_bin('00:00:10'::interval, now(), '2000-01-01 00:00:00+00'::timestamp with time zone) NOT NULL,
    worker text NOT NULL,
    done bigint NOT NULL,
    failed bigint NOT NULL
)
WITH (fillfactor='50');
ALTER TABLE ONLY public.job_counts
    ADD CONSTRAINT job_counts_pkey PRIMARY KEY (queue, slot, worker);

CREATE UNLOGGED TABLE public.late_job_searches (
    queue text NOT NULL,
    begun_at timestamp with time zone NOT NULL,
    CONSTRAINT late_job_searches_queue_check CHECK (((length(queue) >= 1) AND (length(queue) <= 100)))
)
WITH (fillfactor='50');
ALTER TABLE ONLY public.late_job_searches
    ADD CONSTRAINT late_job_searches_pkey PRIMARY KEY (queue);

CREATE TABLE public.legacy_ids (
    kind text NOT NULL,
    legacy_id text NOT NULL,
    id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT legacy_ids_kind_length CHECK (((length(kind) >= 1) AND (length(kind) <= 100))),
    CONSTRAINT legacy_ids_legacy_id_length CHECK (((length(legacy_id) >= 1) AND (length(legacy_id) <= 300)))
);
ALTER TABLE ONLY public.legacy_ids
    ADD CONSTRAINT legacy_ids_pkey PRIMARY KEY (kind, legacy_id);

CREATE TABLE public.lesson_materials (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    lesson_id uuid NOT NULL,
    kind public.material_kind NOT NULL,
    title text NOT NULL,
    url public.https_url NOT NULL,
    "position" integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    CONSTRAINT lesson_materials_title_check CHECK (((length(title) >= 1) AND (length(title) <= 200)))
);
ALTER TABLE ONLY public.lesson_materials
    ADD CONSTRAINT lesson_materials_pkey PRIMARY KEY (id);
CREATE INDEX lesson_materials_lesson_id_idx ON public.lesson_materials USING btree (lesson_id, "position", id) WHERE (deleted_at IS NULL);
CREATE TRIGGER touch_row BEFORE UPDATE ON public.lesson_materials FOR EACH ROW WHEN ((old.* IS DISTINCT FROM new.*)) EXECUTE FUNCTION public.touch_row();
ALTER TABLE ONLY public.lesson_materials
    ADD CONSTRAINT lesson_materials_lesson_id_fkey FOREIGN KEY (lesson_id) REFERENCES public.lessons(id) ON DELETE CASCADE;

CREATE TABLE public.lesson_stats (
    lesson_id uuid NOT NULL,
    starts integer NOT NULL,
    completions integer NOT NULL,
    median_seconds integer,
    computed_at timestamp with time zone
);
ALTER TABLE ONLY public.lesson_stats
    ADD CONSTRAINT lesson_stats_pkey PRIMARY KEY (lesson_id);
CREATE INDEX lesson_stats_computed_at_idx ON public.lesson_stats USING btree (computed_at NULLS FIRST);
ALTER TABLE ONLY public.lesson_stats
    ADD CONSTRAINT lesson_stats_lesson_id_fkey FOREIGN KEY (lesson_id) REFERENCES public.lessons(id) ON DELETE CASCADE;

CREATE TABLE public.lesson_tasks (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    lesson_id uuid NOT NULL,
    slug public.slug NOT NULL,
    title text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    is_required boolean DEFAULT true NOT NULL,
    "position" integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    CONSTRAINT lesson_tasks_description_check CHECK ((length(description) <= 5000)),
    CONSTRAINT lesson_tasks_title_check CHECK (((length(title) >= 1) AND (length(title) <= 300)))
);
ALTER TABLE ONLY public.lesson_tasks
    ADD CONSTRAINT lesson_tasks_pkey PRIMARY KEY (id);
CREATE UNIQUE INDEX lesson_tasks_slug_key ON public.lesson_tasks USING btree (lesson_id, slug) WHERE (deleted_at IS NULL);
CREATE TRIGGER mark_released_delete AFTER DELETE ON public.lesson_tasks REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.mark_released_tasks();
CREATE TRIGGER mark_released_update AFTER UPDATE ON public.lesson_tasks REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.mark_released_tasks();
CREATE TRIGGER touch_row BEFORE UPDATE ON public.lesson_tasks FOR EACH ROW WHEN ((old.* IS DISTINCT FROM new.*)) EXECUTE FUNCTION public.touch_row();
ALTER TABLE ONLY public.lesson_tasks
    ADD CONSTRAINT lesson_tasks_lesson_id_fkey FOREIGN KEY (lesson_id) REFERENCES public.lessons(id) ON DELETE CASCADE;

CREATE TABLE public.lesson_tasks_dirty (
    lesson_id uuid NOT NULL,
    seq bigint DEFAULT 1 NOT NULL,
    marked_at timestamp with time zone DEFAULT now() NOT NULL,
    queued_at timestamp with time zone
);
ALTER TABLE ONLY public.lesson_tasks_dirty
    ADD CONSTRAINT lesson_tasks_dirty_pkey PRIMARY KEY (lesson_id);
ALTER TABLE ONLY public.lesson_tasks_dirty
    ADD CONSTRAINT lesson_tasks_dirty_lesson_id_fkey FOREIGN KEY (lesson_id) REFERENCES public.lessons(id) ON DELETE CASCADE;

CREATE TABLE public.lessons (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    module_id uuid NOT NULL,
    slug public.slug NOT NULL,
    title text NOT NULL,
    summary text DEFAULT ''::text NOT NULL,
    body text DEFAULT ''::text NOT NULL,
    video_url public.https_url,
    duration_minutes integer NOT NULL,
    completion public.completion_rule DEFAULT 'manual'::public.completion_rule NOT NULL,
    "position" integer DEFAULT 0 NOT NULL,
    publication public.publication DEFAULT 'draft'::public.publication NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    search tsvector GENERATED ALWAYS AS (((setweight(to_tsvector('russian'::regconfig, title), 'A'::"char") || setweight(to_tsvector('russian'::regconfig, summary), 'B'::"char")) || setweight(to_tsvector('russian'::regconfig, body), 'C'::"char"))) STORED,
    questions text[] DEFAULT '{}'::text[] NOT NULL,
    CONSTRAINT lessons_body_check CHECK ((length(body) <= 100000)),
    CONSTRAINT lessons_duration_minutes_check CHECK (((duration_minutes >= 1) AND (duration_minutes <= 30000))),
    CONSTRAINT lessons_questions_check CHECK ((cardinality(questions) <= 30)),
    CONSTRAINT lessons_summary_check CHECK ((length(summary) <= 1000)),
    CONSTRAINT lessons_title_check CHECK (((length(title) >= 1) AND (length(title) <= 200)))
);
ALTER TABLE ONLY public.lessons
    ADD CONSTRAINT lessons_pkey PRIMARY KEY (id);
CREATE INDEX lessons_module_id_idx ON public.lessons USING btree (module_id, "position", id);
CREATE INDEX lessons_search_idx ON public.lessons USING gin (search);
CREATE UNIQUE INDEX lessons_slug_key ON public.lessons USING btree (slug) WHERE (deleted_at IS NULL);
CREATE TRIGGER content_changed AFTER UPDATE ON public.lessons REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.content_changed_lessons();
CREATE TRIGGER index_added AFTER INSERT ON public.lessons REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.index_changed_rows('lesson');
CREATE TRIGGER index_changed AFTER UPDATE ON public.lessons FOR EACH ROW WHEN ((((((((old.title IS DISTINCT FROM new.title) OR (old.summary IS DISTINCT FROM new.summary)) OR (old.body IS DISTINCT FROM new.body)) OR (old.questions IS DISTINCT FROM new.questions)) OR (old.publication IS DISTINCT FROM new.publication)) OR (old.deleted_at IS DISTINCT FROM new.deleted_at)) OR (old.module_id IS DISTINCT FROM new.module_id))) EXECUTE FUNCTION public.index_changed_object('lesson');
CREATE TRIGGER index_removed AFTER DELETE ON public.lessons REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.index_changed_rows('lesson');
CREATE TRIGGER lock_content BEFORE DELETE OR UPDATE OF module_id, publication, deleted_at ON public.lessons FOR EACH STATEMENT EXECUTE FUNCTION public.lock_content();
CREATE TRIGGER mark_rule_changed AFTER UPDATE ON public.lessons REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.mark_rule_changed();
CREATE TRIGGER note_catalog_change AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON public.lessons FOR EACH STATEMENT EXECUTE FUNCTION public.note_catalog_change();
CREATE TRIGGER touch_row BEFORE UPDATE ON public.lessons FOR EACH ROW WHEN (((((((((((((((((old.id IS DISTINCT FROM new.id) OR (old.module_id IS DISTINCT FROM new.module_id)) OR ((old.slug)::text IS DISTINCT FROM (new.slug)::text)) OR (old.title IS DISTINCT FROM new.title)) OR (old.summary IS DISTINCT FROM new.summary)) OR (old.body IS DISTINCT FROM new.body)) OR ((old.video_url)::text IS DISTINCT FROM (new.video_url)::text)) OR (old.duration_minutes IS DISTINCT FROM new.duration_minutes)) OR (old.questions IS DISTINCT FROM new.questions)) OR (old.completion IS DISTINCT FROM new.completion)) OR (old."position" IS DISTINCT FROM new."position")) OR (old.publication IS DISTINCT FROM new.publication)) OR (old.version IS DISTINCT FROM new.version)) OR (old.created_at IS DISTINCT FROM new.created_at)) OR (old.updated_at IS DISTINCT FROM new.updated_at)) OR (old.deleted_at IS DISTINCT FROM new.deleted_at))) EXECUTE FUNCTION public.touch_row('version');
ALTER TABLE ONLY public.lessons
    ADD CONSTRAINT lessons_module_id_fkey FOREIGN KEY (module_id) REFERENCES public.course_modules(id);

CREATE TABLE public.library_daily_uses (
    item_kind public.library_item_kind NOT NULL,
    item_id uuid NOT NULL,
    day date NOT NULL,
    uses bigint NOT NULL,
    CONSTRAINT library_daily_uses_uses_check CHECK ((uses > 0))
)
WITH (fillfactor='70');
ALTER TABLE ONLY public.library_daily_uses
    ADD CONSTRAINT library_daily_uses_pkey PRIMARY KEY (item_kind, item_id, day);

CREATE TABLE public.library_uses (
    item_kind public.library_item_kind NOT NULL,
    item_id uuid NOT NULL,
    id bigint NOT NULL,
    used_at timestamp with time zone DEFAULT now() NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='5000', autovacuum_vacuum_cost_delay='0');
ALTER TABLE public.library_uses ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.library_uses_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
ALTER TABLE ONLY public.library_uses
    ADD CONSTRAINT library_uses_pkey PRIMARY KEY (item_kind, item_id, id);

CREATE TABLE public.likes_dirty (
    project_id uuid NOT NULL,
    marked_at timestamp with time zone DEFAULT now() NOT NULL,
    queued_at timestamp with time zone
);
ALTER TABLE ONLY public.likes_dirty
    ADD CONSTRAINT likes_dirty_pkey PRIMARY KEY (project_id);
ALTER TABLE ONLY public.likes_dirty
    ADD CONSTRAINT likes_dirty_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.showcase_projects(id) ON DELETE CASCADE;

CREATE TABLE public.mentor_questions (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    reply_id uuid NOT NULL,
    user_id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    answered_at timestamp with time zone,
    answered_by uuid,
    message_id uuid,
    CONSTRAINT mentor_questions_answer CHECK (((answered_at IS NOT NULL) OR (num_nonnulls(answered_by, message_id) = 0)))
);
ALTER TABLE ONLY public.mentor_questions
    ADD CONSTRAINT mentor_questions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.mentor_questions
    ADD CONSTRAINT mentor_questions_reply_key UNIQUE (reply_id);
CREATE INDEX mentor_questions_answered_by_idx ON public.mentor_questions USING btree (answered_by, id);
CREATE INDEX mentor_questions_answered_idx ON public.mentor_questions USING btree (answered_at DESC, id DESC) WHERE (answered_at IS NOT NULL);
CREATE UNIQUE INDEX mentor_questions_message_key ON public.mentor_questions USING btree (message_id);
CREATE INDEX mentor_questions_user_idx ON public.mentor_questions USING btree (user_id, id);
CREATE INDEX mentor_questions_waiting_idx ON public.mentor_questions USING btree (created_at, id) WHERE (answered_at IS NULL);
ALTER TABLE ONLY public.mentor_questions
    ADD CONSTRAINT mentor_questions_answered_by_fkey FOREIGN KEY (answered_by) REFERENCES public.users(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.mentor_questions
    ADD CONSTRAINT mentor_questions_message_id_fkey FOREIGN KEY (message_id) REFERENCES public.tool_messages(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.mentor_questions
    ADD CONSTRAINT mentor_questions_reply_id_fkey FOREIGN KEY (reply_id) REFERENCES public.ai_replies(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.mentor_questions
    ADD CONSTRAINT mentor_questions_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

CREATE TABLE public.password_resets (
    user_id uuid NOT NULL,
    token_hash bytea NOT NULL,
    created_by uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    delivered_at timestamp with time zone,
    CONSTRAINT password_resets_token_hash_check CHECK ((length(token_hash) = 32))
);
ALTER TABLE ONLY public.password_resets
    ADD CONSTRAINT password_resets_pkey PRIMARY KEY (user_id);
ALTER TABLE ONLY public.password_resets
    ADD CONSTRAINT password_resets_token_key UNIQUE (token_hash);
CREATE INDEX password_resets_created_by_idx ON public.password_resets USING btree (created_by);
ALTER TABLE ONLY public.password_resets
    ADD CONSTRAINT password_resets_created_by_fkey FOREIGN KEY (created_by) REFERENCES public.users(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.password_resets
    ADD CONSTRAINT password_resets_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

CREATE TABLE public.paused_queues (
    queue text NOT NULL,
    paused_at timestamp with time zone DEFAULT now() NOT NULL,
    paused_by uuid,
    CONSTRAINT paused_queues_queue_check CHECK (((length(queue) >= 1) AND (length(queue) <= 100)))
);
ALTER TABLE ONLY public.paused_queues
    ADD CONSTRAINT paused_queues_pkey PRIMARY KEY (queue);
ALTER TABLE ONLY public.paused_queues
    ADD CONSTRAINT paused_queues_paused_by_fkey FOREIGN KEY (paused_by) REFERENCES public.users(id) ON DELETE SET NULL;

CREATE TABLE public.platform_settings (
    key text NOT NULL,
    value jsonb NOT NULL,
    updated_by uuid,
    version bigint DEFAULT 1 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT platform_settings_key_check CHECK ((key ~ '^[a-z_]+(\.[a-z_]+)+$'::text))
);
ALTER TABLE ONLY public.platform_settings
    ADD CONSTRAINT platform_settings_pkey PRIMARY KEY (key);
CREATE TRIGGER touch_row BEFORE UPDATE ON public.platform_settings FOR EACH ROW WHEN ((old.* IS DISTINCT FROM new.*)) EXECUTE FUNCTION public.touch_row('version');
ALTER TABLE ONLY public.platform_settings
    ADD CONSTRAINT platform_settings_updated_by_fkey FOREIGN KEY (updated_by) REFERENCES public.users(id) ON DELETE SET NULL;

CREATE TABLE public.progress_dirty (
    user_id uuid NOT NULL,
    roadmap_id uuid NOT NULL,
    requested_seq bigint DEFAULT 0 NOT NULL,
    done_seq bigint DEFAULT 0 NOT NULL,
    done_version bigint DEFAULT 0 NOT NULL,
    requested_at timestamp with time zone DEFAULT now() NOT NULL,
    queued_at timestamp with time zone,
    throttled_until timestamp with time zone,
    CONSTRAINT progress_dirty_done_not_ahead CHECK ((done_seq <= requested_seq))
)
WITH (fillfactor='70');
ALTER TABLE ONLY public.progress_dirty
    ADD CONSTRAINT progress_dirty_pkey PRIMARY KEY (user_id, roadmap_id);
CREATE INDEX progress_dirty_roadmap_idx ON public.progress_dirty USING btree (roadmap_id, user_id);
CREATE INDEX progress_dirty_stale_idx ON public.progress_dirty USING btree (requested_at) WHERE (done_seq < requested_seq);
CREATE TRIGGER mark_remaining AFTER DELETE ON public.progress_dirty REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.mark_remaining_roadmaps();
ALTER TABLE ONLY public.progress_dirty
    ADD CONSTRAINT progress_dirty_roadmap_id_fkey FOREIGN KEY (roadmap_id) REFERENCES public.roadmaps(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.progress_dirty
    ADD CONSTRAINT progress_dirty_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

CREATE TABLE public.project_likes (
    project_id uuid NOT NULL,
    user_id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE ONLY public.project_likes
    ADD CONSTRAINT project_likes_pkey PRIMARY KEY (project_id, user_id);
CREATE INDEX project_likes_created_at_idx ON public.project_likes USING btree (created_at);
CREATE INDEX project_likes_recent_idx ON public.project_likes USING btree (project_id, created_at);
CREATE INDEX project_likes_user_id_idx ON public.project_likes USING btree (user_id);
CREATE TRIGGER mark_dirty_delete AFTER DELETE ON public.project_likes REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.mark_likes_dirty();
CREATE TRIGGER mark_dirty_insert AFTER INSERT ON public.project_likes REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.mark_likes_dirty();
CREATE TRIGGER mark_dirty_update_new AFTER UPDATE ON public.project_likes REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.mark_likes_dirty();
CREATE TRIGGER mark_dirty_update_old AFTER UPDATE ON public.project_likes REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.mark_likes_dirty();
CREATE TRIGGER mark_stats_delete AFTER DELETE ON public.project_likes FOR EACH ROW WHEN ((old.created_at < public.open_quarter())) EXECUTE FUNCTION public.mark_stats('created_at');
CREATE TRIGGER mark_stats_insert AFTER INSERT ON public.project_likes FOR EACH ROW WHEN ((new.created_at < public.open_quarter())) EXECUTE FUNCTION public.mark_stats('created_at');
CREATE TRIGGER mark_stats_update AFTER UPDATE ON public.project_likes FOR EACH ROW WHEN ((old.created_at <> new.created_at)) EXECUTE FUNCTION public.mark_stats('created_at');
ALTER TABLE ONLY public.project_likes
    ADD CONSTRAINT project_likes_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.showcase_projects(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.project_likes
    ADD CONSTRAINT project_likes_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

CREATE TABLE public.prompt_categories (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    slug public.slug NOT NULL,
    name text NOT NULL,
    kind public.prompt_category NOT NULL,
    color text DEFAULT '#64748b'::text NOT NULL,
    "position" integer DEFAULT 0 NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    CONSTRAINT prompt_categories_color_check CHECK ((color ~ '^#[0-9a-f]{6}$'::text)),
    CONSTRAINT prompt_categories_name_check CHECK (((length(name) >= 1) AND (length(name) <= 100)))
);
ALTER TABLE ONLY public.prompt_categories
    ADD CONSTRAINT prompt_categories_pkey PRIMARY KEY (id);
CREATE UNIQUE INDEX prompt_categories_name_key ON public.prompt_categories USING btree (public.folded(name)) WHERE (deleted_at IS NULL);
CREATE UNIQUE INDEX prompt_categories_slug_key ON public.prompt_categories USING btree (slug) WHERE (deleted_at IS NULL);
CREATE TRIGGER index_prompts AFTER UPDATE ON public.prompt_categories FOR EACH ROW WHEN ((old.deleted_at IS DISTINCT FROM new.deleted_at)) EXECUTE FUNCTION public.index_prompts_of_category();
CREATE TRIGGER touch_row BEFORE UPDATE ON public.prompt_categories FOR EACH ROW WHEN ((old.* IS DISTINCT FROM new.*)) EXECUTE FUNCTION public.touch_row('version');

CREATE TABLE public.prompt_steps (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    prompt_id uuid NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    "position" integer NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    CONSTRAINT prompt_steps_body_check CHECK (((length(body) >= 1) AND (length(body) <= 20000))),
    CONSTRAINT prompt_steps_title_check CHECK (((length(title) >= 1) AND (length(title) <= 200)))
);
ALTER TABLE ONLY public.prompt_steps
    ADD CONSTRAINT prompt_steps_pkey PRIMARY KEY (id);
CREATE INDEX prompt_steps_prompt_id_idx ON public.prompt_steps USING btree (prompt_id, "position", id) WHERE (deleted_at IS NULL);
CREATE TRIGGER touch_row BEFORE UPDATE ON public.prompt_steps FOR EACH ROW WHEN ((old.* IS DISTINCT FROM new.*)) EXECUTE FUNCTION public.touch_row();
ALTER TABLE ONLY public.prompt_steps
    ADD CONSTRAINT prompt_steps_prompt_id_fkey FOREIGN KEY (prompt_id) REFERENCES public.prompts(id) ON DELETE CASCADE;

CREATE TABLE public.prompts (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    category_id uuid NOT NULL,
    slug public.slug NOT NULL,
    title text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    body text NOT NULL,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    copy_count integer DEFAULT 0 NOT NULL,
    "position" integer DEFAULT 0 NOT NULL,
    publication public.publication DEFAULT 'draft'::public.publication NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    search tsvector GENERATED ALWAYS AS (((setweight(to_tsvector('russian'::regconfig, title), 'A'::"char") || setweight(to_tsvector('russian'::regconfig, description), 'B'::"char")) || setweight(to_tsvector('russian'::regconfig, body), 'C'::"char"))) STORED,
    CONSTRAINT prompts_body_check CHECK (((length(body) >= 1) AND (length(body) <= 50000))),
    CONSTRAINT prompts_copy_count_check CHECK ((copy_count >= 0)),
    CONSTRAINT prompts_description_check CHECK ((length(description) <= 5000)),
    CONSTRAINT prompts_tags_check CHECK ((cardinality(tags) <= 20)),
    CONSTRAINT prompts_title_check CHECK (((length(title) >= 1) AND (length(title) <= 200)))
);
ALTER TABLE ONLY public.prompts
    ADD CONSTRAINT prompts_pkey PRIMARY KEY (id);
CREATE INDEX prompts_category_id_idx ON public.prompts USING btree (category_id, "position", id) WHERE (deleted_at IS NULL);
CREATE INDEX prompts_deleted_idx ON public.prompts USING btree (((deleted_at IS NOT NULL)), "position", id);
CREATE INDEX prompts_position_idx ON public.prompts USING btree ("position", id) WHERE (deleted_at IS NULL);
CREATE INDEX prompts_search_idx ON public.prompts USING gin (search);
CREATE UNIQUE INDEX prompts_slug_key ON public.prompts USING btree (slug) WHERE (deleted_at IS NULL);
CREATE TRIGGER category_is_live AFTER INSERT ON public.prompts FOR EACH ROW WHEN ((new.deleted_at IS NULL)) EXECUTE FUNCTION public.prompt_category_is_live('prompts_category_is_live');
CREATE TRIGGER index_added AFTER INSERT ON public.prompts REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.index_changed_rows('prompt');
CREATE TRIGGER index_changed AFTER UPDATE ON public.prompts FOR EACH ROW WHEN (((((((old.title IS DISTINCT FROM new.title) OR (old.description IS DISTINCT FROM new.description)) OR (old.body IS DISTINCT FROM new.body)) OR (old.publication IS DISTINCT FROM new.publication)) OR (old.deleted_at IS DISTINCT FROM new.deleted_at)) OR (old.category_id IS DISTINCT FROM new.category_id))) EXECUTE FUNCTION public.index_changed_object('prompt');
CREATE TRIGGER index_removed AFTER DELETE ON public.prompts REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.index_changed_rows('prompt');
CREATE TRIGGER moved_to_live_category AFTER UPDATE ON public.prompts FOR EACH ROW WHEN (((new.deleted_at IS NULL) AND (old.category_id <> new.category_id))) EXECUTE FUNCTION public.prompt_category_is_live('prompts_category_is_live');
CREATE TRIGGER remove_uses AFTER DELETE ON public.prompts FOR EACH ROW EXECUTE FUNCTION public.remove_uses('prompt');
CREATE TRIGGER restored_to_live_category AFTER UPDATE ON public.prompts FOR EACH ROW WHEN (((new.deleted_at IS NULL) AND (old.deleted_at IS NOT NULL) AND (old.category_id = new.category_id))) EXECUTE FUNCTION public.prompt_category_is_live('prompts_restored_category_is_live');
CREATE TRIGGER touch_row BEFORE UPDATE ON public.prompts FOR EACH ROW WHEN ((((((((((((((old.id IS DISTINCT FROM new.id) OR (old.category_id IS DISTINCT FROM new.category_id)) OR ((old.slug)::text IS DISTINCT FROM (new.slug)::text)) OR (old.title IS DISTINCT FROM new.title)) OR (old.description IS DISTINCT FROM new.description)) OR (old.body IS DISTINCT FROM new.body)) OR (old.tags IS DISTINCT FROM new.tags)) OR (old."position" IS DISTINCT FROM new."position")) OR (old.publication IS DISTINCT FROM new.publication)) OR (old.version IS DISTINCT FROM new.version)) OR (old.created_at IS DISTINCT FROM new.created_at)) OR (old.updated_at IS DISTINCT FROM new.updated_at)) OR (old.deleted_at IS DISTINCT FROM new.deleted_at))) EXECUTE FUNCTION public.touch_row('version');
ALTER TABLE ONLY public.prompts
    ADD CONSTRAINT prompts_category_id_fkey FOREIGN KEY (category_id) REFERENCES public.prompt_categories(id);

CREATE TABLE public.refresh_tokens (
    token_hash bytea NOT NULL,
    session_id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    used_at timestamp with time zone,
    predecessor bytea,
    nonce bytea,
    CONSTRAINT refresh_tokens_token_hash_check CHECK ((length(token_hash) = 32))
);
ALTER TABLE ONLY public.refresh_tokens
    ADD CONSTRAINT refresh_tokens_pkey PRIMARY KEY (token_hash);
CREATE UNIQUE INDEX refresh_tokens_predecessor_key ON public.refresh_tokens USING btree (predecessor);
CREATE INDEX refresh_tokens_session_id_idx ON public.refresh_tokens USING btree (session_id);
CREATE INDEX refresh_tokens_used_at_idx ON public.refresh_tokens USING btree (used_at) WHERE (used_at IS NOT NULL);
ALTER TABLE ONLY public.refresh_tokens
    ADD CONSTRAINT refresh_tokens_session_id_fkey FOREIGN KEY (session_id) REFERENCES public.sessions(id) ON DELETE CASCADE;

CREATE TABLE public.roadmaps (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    slug public.slug NOT NULL,
    title text NOT NULL,
    summary text DEFAULT ''::text NOT NULL,
    is_sequential boolean DEFAULT false NOT NULL,
    "position" integer DEFAULT 0 NOT NULL,
    publication public.publication DEFAULT 'draft'::public.publication NOT NULL,
    content_version bigint DEFAULT 1 NOT NULL,
    recomputed_version bigint DEFAULT 0 NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    CONSTRAINT roadmaps_recomputed_not_ahead CHECK ((recomputed_version <= content_version)),
    CONSTRAINT roadmaps_summary_check CHECK ((length(summary) <= 1000)),
    CONSTRAINT roadmaps_title_check CHECK (((length(title) >= 1) AND (length(title) <= 200)))
);
ALTER TABLE ONLY public.roadmaps
    ADD CONSTRAINT roadmaps_pkey PRIMARY KEY (id);
CREATE UNIQUE INDEX roadmaps_slug_key ON public.roadmaps USING btree (slug) WHERE (deleted_at IS NULL);
CREATE TRIGGER content_changed AFTER UPDATE ON public.roadmaps REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.content_changed_roadmaps();
CREATE TRIGGER lock_content BEFORE UPDATE OF publication, deleted_at, is_sequential ON public.roadmaps FOR EACH STATEMENT EXECUTE FUNCTION public.lock_content();
CREATE TRIGGER note_catalog_change AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON public.roadmaps FOR EACH STATEMENT EXECUTE FUNCTION public.note_catalog_change();
CREATE TRIGGER touch_row BEFORE UPDATE ON public.roadmaps FOR EACH ROW WHEN ((((((((((((old.id IS DISTINCT FROM new.id) OR ((old.slug)::text IS DISTINCT FROM (new.slug)::text)) OR (old.title IS DISTINCT FROM new.title)) OR (old.summary IS DISTINCT FROM new.summary)) OR (old.is_sequential IS DISTINCT FROM new.is_sequential)) OR (old."position" IS DISTINCT FROM new."position")) OR (old.publication IS DISTINCT FROM new.publication)) OR (old.version IS DISTINCT FROM new.version)) OR (old.created_at IS DISTINCT FROM new.created_at)) OR (old.updated_at IS DISTINCT FROM new.updated_at)) OR (old.deleted_at IS DISTINCT FROM new.deleted_at))) EXECUTE FUNCTION public.touch_row('version');

CREATE TABLE public.schedules (
    name text NOT NULL,
    last_enqueued_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL
);
ALTER TABLE ONLY public.schedules
    ADD CONSTRAINT schedules_pkey PRIMARY KEY (name);

CREATE TABLE public.search_changes (
    at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE ONLY public.search_changes REPLICA IDENTITY FULL;

CREATE TABLE public.search_common_words (
    lexeme text NOT NULL COLLATE pg_catalog."C",
    weight real NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT search_common_words_weight_check CHECK (((weight > (0)::double precision) AND (weight < (1)::double precision)))
);
ALTER TABLE ONLY public.search_common_words
    ADD CONSTRAINT search_common_words_pkey PRIMARY KEY (lexeme);

CREATE TABLE public.search_lexemes (
    lexeme text NOT NULL COLLATE pg_catalog."C",
    objects integer NOT NULL,
    CONSTRAINT search_lexemes_objects_check CHECK ((objects > 0))
);
ALTER TABLE ONLY public.search_lexemes
    ADD CONSTRAINT search_lexemes_pkey PRIMARY KEY (lexeme);

CREATE TABLE public.search_passages (
    object_id uuid NOT NULL,
    kind public.search_kind NOT NULL,
    nth integer NOT NULL,
    content text NOT NULL,
    vector tsvector NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    text_digest uuid,
    embedded_by text COLLATE pg_catalog."C",
    embedding bytea,
    embedded_at timestamp with time zone,
    CONSTRAINT search_passages_content_check CHECK (((length(content) >= 1) AND (length(content) <= 1200)))
);
ALTER TABLE ONLY public.search_passages
    ADD CONSTRAINT search_passages_pkey PRIMARY KEY (object_id, kind, nth);
CREATE INDEX search_passages_embedded_idx ON public.search_passages USING btree (kind, embedded_by, embedded_at, object_id, nth);

CREATE TABLE public.search_postings (
    lexeme text NOT NULL COLLATE pg_catalog."C",
    kind public.search_kind NOT NULL,
    weight real NOT NULL,
    object_id uuid NOT NULL
);
CREATE UNIQUE INDEX search_postings_key ON public.search_postings USING btree (object_id, kind, lexeme);

ALTER TABLE ONLY public.search_postings REPLICA IDENTITY USING INDEX search_postings_key;
CREATE INDEX search_postings_lexeme_idx ON public.search_postings USING btree (lexeme, kind, weight DESC) INCLUDE (object_id);

CREATE TABLE public.search_synonyms (
    lexeme text NOT NULL COLLATE pg_catalog."C",
    other text NOT NULL COLLATE pg_catalog."C",
    created_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE ONLY public.search_synonyms
    ADD CONSTRAINT search_synonyms_pkey PRIMARY KEY (lexeme, other);

CREATE TABLE public.sessions (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id uuid NOT NULL,
    user_agent text,
    ip inet,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    last_used_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone,
    revoke_reason text,
    CONSTRAINT sessions_revoked_with_reason CHECK (((revoked_at IS NULL) = (revoke_reason IS NULL))),
    CONSTRAINT sessions_user_agent_check CHECK ((length(user_agent) <= 400))
);
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (id);
CREATE INDEX sessions_expires_at_idx ON public.sessions USING btree (expires_at);
CREATE INDEX sessions_open_idx ON public.sessions USING btree (user_id, last_used_at DESC, id DESC) WHERE (revoked_at IS NULL);
CREATE INDEX sessions_origin_idx ON public.sessions USING btree (last_used_at) WHERE (num_nonnulls(ip, user_agent) > 0);
CREATE INDEX sessions_user_id_idx ON public.sessions USING btree (user_id, created_at DESC);
ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

CREATE TABLE public.showcase_projects (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id uuid NOT NULL,
    title text NOT NULL,
    summary text DEFAULT ''::text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    project_url public.https_url,
    repository_url public.https_url,
    cover_url public.https_url,
    status public.project_status DEFAULT 'draft'::public.project_status NOT NULL,
    moderation_reason text,
    published_at timestamp with time zone,
    likes_count integer DEFAULT 0 NOT NULL,
    likes_counted_at timestamp with time zone,
    version bigint DEFAULT 1 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    category public.project_category DEFAULT 'other'::public.project_category NOT NULL,
    submitted_at timestamp with time zone,
    trending_likes integer DEFAULT 0 NOT NULL,
    trending_since timestamp with time zone,
    CONSTRAINT showcase_projects_description_check CHECK ((length(description) <= 20000)),
    CONSTRAINT showcase_projects_likes_count_check CHECK ((likes_count >= 0)),
    CONSTRAINT showcase_projects_moderation_reason_check CHECK ((length(moderation_reason) <= 2000)),
    CONSTRAINT showcase_projects_published_at CHECK (((status <> 'published'::public.project_status) OR (published_at IS NOT NULL))),
    CONSTRAINT showcase_projects_summary_check CHECK ((length(summary) <= 1000)),
    CONSTRAINT showcase_projects_title_check CHECK (((length(title) >= 1) AND (length(title) <= 200)))
)
WITH (fillfactor='85');
ALTER TABLE ONLY public.showcase_projects
    ADD CONSTRAINT showcase_projects_pkey PRIMARY KEY (id);
CREATE INDEX showcase_projects_category_newest_idx ON public.showcase_projects USING btree (category, published_at DESC, id DESC) WHERE ((deleted_at IS NULL) AND (status = 'published'::public.project_status));
CREATE INDEX showcase_projects_category_popular_idx ON public.showcase_projects USING btree (category, likes_count DESC, id DESC) WHERE ((deleted_at IS NULL) AND (status = 'published'::public.project_status));
CREATE INDEX showcase_projects_category_trending_idx ON public.showcase_projects USING btree (category, trending_likes DESC, id DESC) WHERE ((deleted_at IS NULL) AND (status = 'published'::public.project_status));
CREATE INDEX showcase_projects_created_idx ON public.showcase_projects USING btree (((deleted_at IS NOT NULL)), created_at DESC, id DESC);
CREATE INDEX showcase_projects_newest_idx ON public.showcase_projects USING btree (published_at DESC, id DESC) WHERE ((deleted_at IS NULL) AND (status = 'published'::public.project_status));
CREATE INDEX showcase_projects_popular_idx ON public.showcase_projects USING btree (likes_count DESC, id DESC) WHERE ((deleted_at IS NULL) AND (status = 'published'::public.project_status));
CREATE INDEX showcase_projects_queue_idx ON public.showcase_projects USING btree (COALESCE(submitted_at, created_at), id) WHERE ((deleted_at IS NULL) AND (status = 'submitted'::public.project_status));
CREATE INDEX showcase_projects_status_idx ON public.showcase_projects USING btree (((deleted_at IS NOT NULL)), status, created_at DESC, id DESC);
CREATE INDEX showcase_projects_submitted_idx ON public.showcase_projects USING btree (id) WHERE ((deleted_at IS NULL) AND (status = 'submitted'::public.project_status));
CREATE INDEX showcase_projects_trending_idx ON public.showcase_projects USING btree (trending_likes DESC, id DESC) WHERE ((deleted_at IS NULL) AND (status = 'published'::public.project_status));
CREATE INDEX showcase_projects_user_id_idx ON public.showcase_projects USING btree (user_id, created_at DESC, id DESC);
CREATE TRIGGER index_added AFTER INSERT ON public.showcase_projects REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.index_changed_rows('project');
CREATE TRIGGER index_changed AFTER UPDATE ON public.showcase_projects FOR EACH ROW WHEN ((((((old.title IS DISTINCT FROM new.title) OR (old.summary IS DISTINCT FROM new.summary)) OR (old.description IS DISTINCT FROM new.description)) OR (old.status IS DISTINCT FROM new.status)) OR (old.deleted_at IS DISTINCT FROM new.deleted_at))) EXECUTE FUNCTION public.index_changed_object('project');
CREATE TRIGGER index_removed AFTER DELETE ON public.showcase_projects REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.index_changed_rows('project');
CREATE TRIGGER mark_stats_delete AFTER DELETE ON public.showcase_projects FOR EACH ROW WHEN ((old.published_at < public.open_quarter())) EXECUTE FUNCTION public.mark_stats('published_at');
CREATE TRIGGER mark_stats_insert AFTER INSERT ON public.showcase_projects FOR EACH ROW WHEN ((new.published_at < public.open_quarter())) EXECUTE FUNCTION public.mark_stats('published_at');
CREATE TRIGGER mark_stats_update AFTER UPDATE ON public.showcase_projects FOR EACH ROW WHEN ((((old.status IS DISTINCT FROM new.status) OR (old.published_at IS DISTINCT FROM new.published_at)) OR (old.deleted_at IS DISTINCT FROM new.deleted_at))) EXECUTE FUNCTION public.mark_stats('published_at');
CREATE TRIGGER touch_row BEFORE UPDATE ON public.showcase_projects FOR EACH ROW WHEN ((((((((((((((((((old.id IS DISTINCT FROM new.id) OR (old.user_id IS DISTINCT FROM new.user_id)) OR (old.title IS DISTINCT FROM new.title)) OR (old.summary IS DISTINCT FROM new.summary)) OR (old.description IS DISTINCT FROM new.description)) OR ((old.project_url)::text IS DISTINCT FROM (new.project_url)::text)) OR ((old.repository_url)::text IS DISTINCT FROM (new.repository_url)::text)) OR ((old.cover_url)::text IS DISTINCT FROM (new.cover_url)::text)) OR (old.status IS DISTINCT FROM new.status)) OR (old.moderation_reason IS DISTINCT FROM new.moderation_reason)) OR (old.published_at IS DISTINCT FROM new.published_at)) OR (old.version IS DISTINCT FROM new.version)) OR (old.created_at IS DISTINCT FROM new.created_at)) OR (old.updated_at IS DISTINCT FROM new.updated_at)) OR (old.deleted_at IS DISTINCT FROM new.deleted_at)) OR (old.category IS DISTINCT FROM new.category)) OR (old.submitted_at IS DISTINCT FROM new.submitted_at))) EXECUTE FUNCTION public.touch_row('version');
ALTER TABLE ONLY public.showcase_projects
    ADD CONSTRAINT showcase_projects_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

CREATE TABLE public.sign_in_attempts (
    subject bytea NOT NULL,
    failures integer NOT NULL,
    counted_at timestamp with time zone NOT NULL,
    free_at timestamp with time zone NOT NULL,
    forgotten_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT sign_in_attempts_failures_check CHECK (((failures >= 0) AND (failures <= 1000))),
    CONSTRAINT sign_in_attempts_subject_check CHECK ((length(subject) = 16))
);
ALTER TABLE ONLY public.sign_in_attempts
    ADD CONSTRAINT sign_in_attempts_pkey PRIMARY KEY (subject);
CREATE INDEX sign_in_attempts_forgotten_at_idx ON public.sign_in_attempts USING btree (forgotten_at);

CREATE TABLE public.sign_in_devices (
    token_hash bytea NOT NULL,
    user_id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    CONSTRAINT sign_in_devices_token_hash_check CHECK ((length(token_hash) = 32))
);
ALTER TABLE ONLY public.sign_in_devices
    ADD CONSTRAINT sign_in_devices_pkey PRIMARY KEY (token_hash);
CREATE INDEX sign_in_devices_expires_at_idx ON public.sign_in_devices USING btree (expires_at);
CREATE INDEX sign_in_devices_user_id_idx ON public.sign_in_devices USING btree (user_id, created_at DESC);
ALTER TABLE ONLY public.sign_in_devices
    ADD CONSTRAINT sign_in_devices_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

CREATE TABLE public.stage_lessons (
    stage_id uuid NOT NULL,
    lesson_id uuid NOT NULL,
    "position" integer DEFAULT 0 NOT NULL,
    is_required boolean DEFAULT true NOT NULL
);
ALTER TABLE ONLY public.stage_lessons
    ADD CONSTRAINT stage_lessons_pkey PRIMARY KEY (stage_id, lesson_id);
CREATE INDEX stage_lessons_lesson_id_idx ON public.stage_lessons USING btree (lesson_id, stage_id);
CREATE TRIGGER content_changed_delete AFTER DELETE ON public.stage_lessons REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.content_changed_stage_lessons();
CREATE TRIGGER content_changed_insert AFTER INSERT ON public.stage_lessons REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.content_changed_stage_lessons();
CREATE TRIGGER content_changed_update AFTER UPDATE ON public.stage_lessons REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.content_changed_stage_lessons();
CREATE TRIGGER lock_content BEFORE INSERT OR DELETE OR UPDATE OF stage_id, lesson_id, is_required ON public.stage_lessons FOR EACH STATEMENT EXECUTE FUNCTION public.lock_content();
CREATE TRIGGER mark_placed_insert AFTER INSERT ON public.stage_lessons REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.mark_placed();
CREATE TRIGGER mark_placed_update AFTER UPDATE ON public.stage_lessons REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.mark_placed();
CREATE TRIGGER note_catalog_change AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON public.stage_lessons FOR EACH STATEMENT EXECUTE FUNCTION public.note_catalog_change();
ALTER TABLE ONLY public.stage_lessons
    ADD CONSTRAINT stage_lessons_lesson_id_fkey FOREIGN KEY (lesson_id) REFERENCES public.lessons(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.stage_lessons
    ADD CONSTRAINT stage_lessons_stage_id_fkey FOREIGN KEY (stage_id) REFERENCES public.stages(id) ON DELETE CASCADE;

CREATE TABLE public.stages (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    roadmap_id uuid NOT NULL,
    slug public.slug NOT NULL,
    title text NOT NULL,
    summary text DEFAULT ''::text NOT NULL,
    "position" integer DEFAULT 0 NOT NULL,
    publication public.publication DEFAULT 'draft'::public.publication NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    CONSTRAINT stages_summary_check CHECK ((length(summary) <= 1000)),
    CONSTRAINT stages_title_check CHECK (((length(title) >= 1) AND (length(title) <= 200)))
);
ALTER TABLE ONLY public.stages
    ADD CONSTRAINT stages_pkey PRIMARY KEY (id);
CREATE INDEX stages_roadmap_id_idx ON public.stages USING btree (roadmap_id, "position", id);
CREATE UNIQUE INDEX stages_slug_key ON public.stages USING btree (roadmap_id, slug) WHERE (deleted_at IS NULL);
CREATE TRIGGER content_changed_delete AFTER DELETE ON public.stages REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.content_changed_stages();
CREATE TRIGGER content_changed_insert AFTER INSERT ON public.stages REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.content_changed_stages();
CREATE TRIGGER content_changed_update AFTER UPDATE ON public.stages REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.content_changed_stages();
CREATE TRIGGER lock_content BEFORE INSERT OR DELETE OR UPDATE OF roadmap_id, "position", publication, deleted_at ON public.stages FOR EACH STATEMENT EXECUTE FUNCTION public.lock_content();
CREATE TRIGGER mark_moved AFTER UPDATE ON public.stages REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.mark_moved_stages();
CREATE TRIGGER note_catalog_change AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON public.stages FOR EACH STATEMENT EXECUTE FUNCTION public.note_catalog_change();
CREATE TRIGGER touch_row BEFORE UPDATE ON public.stages FOR EACH ROW WHEN ((old.* IS DISTINCT FROM new.*)) EXECUTE FUNCTION public.touch_row('version');
ALTER TABLE ONLY public.stages
    ADD CONSTRAINT stages_roadmap_id_fkey FOREIGN KEY (roadmap_id) REFERENCES public.roadmaps(id) ON DELETE CASCADE;

CREATE TABLE public.stats_active (
    quarter integer NOT NULL,
    first_of_day integer[] NOT NULL,
    first_of_week integer[] NOT NULL,
    CONSTRAINT stats_active_first_of_day_check CHECK ((cardinality(first_of_day) = 108)),
    CONSTRAINT stats_active_first_of_week_check CHECK ((cardinality(first_of_week) = 169))
)
WITH (fillfactor='70');
ALTER TABLE ONLY public.stats_active
    ADD CONSTRAINT stats_active_pkey PRIMARY KEY (quarter);

CREATE TABLE public.stats_marks (
    id bigint NOT NULL,
    quarter integer,
    user_id uuid,
    lesson_id uuid,
    CONSTRAINT stats_marks_target CHECK ((num_nonnulls(quarter, user_id, lesson_id) > 0))
);
ALTER TABLE public.stats_marks ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.stats_marks_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
ALTER TABLE ONLY public.stats_marks
    ADD CONSTRAINT stats_marks_pkey PRIMARY KEY (id);

CREATE TABLE public.stats_quarters (
    quarter integer NOT NULL,
    students integer NOT NULL,
    mentors integer NOT NULL,
    admins integer NOT NULL,
    completions integer NOT NULL,
    roadmaps_completed integer NOT NULL,
    projects_published integer NOT NULL,
    likes integer NOT NULL,
    questions integer NOT NULL,
    replies_failed integer NOT NULL
)
WITH (fillfactor='70');
ALTER TABLE ONLY public.stats_quarters
    ADD CONSTRAINT stats_quarters_pkey PRIMARY KEY (quarter);

CREATE TABLE public.stats_state (
    only_row boolean DEFAULT true NOT NULL,
    open_from integer NOT NULL,
    fenced integer,
    fence xid8,
    filled_to integer,
    is_filled boolean DEFAULT false NOT NULL,
    as_of timestamp with time zone,
    CONSTRAINT stats_state_fence CHECK (((fenced IS NULL) = (fence IS NULL))),
    CONSTRAINT stats_state_only_row_check CHECK (only_row)
);
ALTER TABLE ONLY public.stats_state
    ADD CONSTRAINT stats_state_pkey PRIMARY KEY (only_row);

CREATE TABLE public.style_cards (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    slug public.slug NOT NULL,
    title text NOT NULL,
    category public.style_category NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    prompt text DEFAULT ''::text NOT NULL,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    preview_url public.https_url,
    usage_count integer DEFAULT 0 NOT NULL,
    "position" integer DEFAULT 0 NOT NULL,
    publication public.publication DEFAULT 'draft'::public.publication NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    CONSTRAINT style_cards_description_check CHECK ((length(description) <= 5000)),
    CONSTRAINT style_cards_prompt_check CHECK ((length(prompt) <= 20000)),
    CONSTRAINT style_cards_tags_check CHECK ((cardinality(tags) <= 20)),
    CONSTRAINT style_cards_title_check CHECK (((length(title) >= 1) AND (length(title) <= 200))),
    CONSTRAINT style_cards_usage_count_check CHECK ((usage_count >= 0))
);
ALTER TABLE ONLY public.style_cards
    ADD CONSTRAINT style_cards_pkey PRIMARY KEY (id);
CREATE INDEX style_cards_category_idx ON public.style_cards USING btree (category, "position", id) WHERE (deleted_at IS NULL);
CREATE UNIQUE INDEX style_cards_slug_key ON public.style_cards USING btree (slug) WHERE (deleted_at IS NULL);
CREATE TRIGGER index_added AFTER INSERT ON public.style_cards REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.index_changed_rows('style_card');
CREATE TRIGGER index_changed AFTER UPDATE ON public.style_cards FOR EACH ROW WHEN (((((((old.title IS DISTINCT FROM new.title) OR (old.description IS DISTINCT FROM new.description)) OR (old.prompt IS DISTINCT FROM new.prompt)) OR (old.tags IS DISTINCT FROM new.tags)) OR (old.publication IS DISTINCT FROM new.publication)) OR (old.deleted_at IS DISTINCT FROM new.deleted_at))) EXECUTE FUNCTION public.index_changed_object('style_card');
CREATE TRIGGER index_removed AFTER DELETE ON public.style_cards REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.index_changed_rows('style_card');
CREATE TRIGGER remove_uses AFTER DELETE ON public.style_cards FOR EACH ROW EXECUTE FUNCTION public.remove_uses('style_card');
CREATE TRIGGER touch_row BEFORE UPDATE ON public.style_cards FOR EACH ROW WHEN (((((((((((((((old.id IS DISTINCT FROM new.id) OR ((old.slug)::text IS DISTINCT FROM (new.slug)::text)) OR (old.title IS DISTINCT FROM new.title)) OR (old.category IS DISTINCT FROM new.category)) OR (old.description IS DISTINCT FROM new.description)) OR (old.prompt IS DISTINCT FROM new.prompt)) OR (old.tags IS DISTINCT FROM new.tags)) OR ((old.preview_url)::text IS DISTINCT FROM (new.preview_url)::text)) OR (old."position" IS DISTINCT FROM new."position")) OR (old.publication IS DISTINCT FROM new.publication)) OR (old.version IS DISTINCT FROM new.version)) OR (old.created_at IS DISTINCT FROM new.created_at)) OR (old.updated_at IS DISTINCT FROM new.updated_at)) OR (old.deleted_at IS DISTINCT FROM new.deleted_at))) EXECUTE FUNCTION public.touch_row('version');

CREATE TABLE public.tool_chats (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id uuid NOT NULL,
    tool_type character varying(20) NOT NULL,
    created_at timestamp with time zone DEFAULT now(),
    updated_at timestamp with time zone DEFAULT now(),
    CONSTRAINT tool_chats_tool_type_check CHECK (((tool_type)::text = ANY ((ARRAY['assistant'::character varying, 'tz_helper'::character varying, 'ideas'::character varying])::text[])))
);
ALTER TABLE ONLY public.tool_chats
    ADD CONSTRAINT tool_chats_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.tool_chats
    ADD CONSTRAINT tool_chats_user_id_tool_type_key UNIQUE (user_id, tool_type);
CREATE INDEX tool_chats_tool_type_idx ON public.tool_chats USING btree (tool_type, updated_at DESC, id DESC);
CREATE INDEX tool_chats_updated_at_idx ON public.tool_chats USING btree (updated_at DESC, id DESC);
CREATE TRIGGER fill_created_at BEFORE INSERT OR UPDATE OF created_at ON public.tool_chats FOR EACH ROW WHEN ((new.created_at IS NULL)) EXECUTE FUNCTION public.fill_created_at();
CREATE TRIGGER fill_updated_at BEFORE INSERT OR UPDATE OF updated_at ON public.tool_chats FOR EACH ROW WHEN ((new.updated_at IS NULL)) EXECUTE FUNCTION public.fill_updated_at();
CREATE TRIGGER touch_row BEFORE UPDATE ON public.tool_chats FOR EACH ROW WHEN ((old.* IS DISTINCT FROM new.*)) EXECUTE FUNCTION public.touch_row();
ALTER TABLE ONLY public.tool_chats
    ADD CONSTRAINT tool_chats_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

CREATE TABLE public.tool_messages (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    chat_id uuid NOT NULL,
    role character varying(10) NOT NULL,
    content text NOT NULL,
    has_copyable_content boolean DEFAULT false,
    created_at timestamp with time zone DEFAULT now(),
    CONSTRAINT tool_messages_role_check CHECK (((role)::text = ANY ((ARRAY['user'::character varying, 'assistant'::character varying])::text[])))
);
ALTER TABLE ONLY public.tool_messages
    ADD CONSTRAINT tool_messages_pkey PRIMARY KEY (id);
CREATE INDEX idx_tool_messages_chat_id ON public.tool_messages USING btree (chat_id);
CREATE INDEX tool_messages_page_idx ON public.tool_messages USING btree (chat_id, created_at DESC, id DESC);
CREATE TRIGGER fill_created_at BEFORE INSERT OR UPDATE OF created_at ON public.tool_messages FOR EACH ROW WHEN ((new.created_at IS NULL)) EXECUTE FUNCTION public.fill_created_at();
ALTER TABLE ONLY public.tool_messages
    ADD CONSTRAINT tool_messages_chat_id_fkey FOREIGN KEY (chat_id) REFERENCES public.tool_chats(id) ON DELETE CASCADE;

CREATE TABLE public.user_event_heads (
    user_id uuid NOT NULL,
    last_seq bigint NOT NULL,
    CONSTRAINT user_event_heads_last_seq_check CHECK ((last_seq > 0))
)
WITH (fillfactor='70');
ALTER TABLE ONLY public.user_event_heads
    ADD CONSTRAINT user_event_heads_pkey PRIMARY KEY (user_id);
ALTER TABLE ONLY public.user_event_heads
    ADD CONSTRAINT user_event_heads_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

CREATE TABLE public.user_events (
    user_id uuid NOT NULL,
    seq bigint NOT NULL,
    event jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE ONLY public.user_events
    ADD CONSTRAINT user_events_pkey PRIMARY KEY (user_id, seq);
CREATE INDEX user_events_created_at_idx ON public.user_events USING btree (created_at);

CREATE TABLE public.user_lesson_progress (
    user_id uuid NOT NULL,
    lesson_id uuid NOT NULL,
    status public.lesson_status DEFAULT 'in_progress'::public.lesson_status NOT NULL,
    started_at timestamp with time zone DEFAULT now() NOT NULL,
    completed_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT user_lesson_progress_completed_at CHECK (((status = 'completed'::public.lesson_status) = (completed_at IS NOT NULL))),
    CONSTRAINT user_lesson_progress_status CHECK ((status = ANY (ARRAY['in_progress'::public.lesson_status, 'completed'::public.lesson_status])))
)
WITH (fillfactor='85');
ALTER TABLE ONLY public.user_lesson_progress
    ADD CONSTRAINT user_lesson_progress_pkey PRIMARY KEY (user_id, lesson_id);
CREATE INDEX user_lesson_progress_completed_at_idx ON public.user_lesson_progress USING btree (completed_at) WHERE (completed_at IS NOT NULL);
CREATE INDEX user_lesson_progress_lesson_id_idx ON public.user_lesson_progress USING btree (lesson_id, user_id);
CREATE TRIGGER mark_dirty_delete AFTER DELETE ON public.user_lesson_progress REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.mark_progress_dirty();
CREATE TRIGGER mark_dirty_insert AFTER INSERT ON public.user_lesson_progress REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.mark_progress_dirty();
CREATE TRIGGER mark_dirty_update AFTER UPDATE ON public.user_lesson_progress REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.mark_progress_dirty();
CREATE TRIGGER mark_lesson_stats_delete AFTER DELETE ON public.user_lesson_progress REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.mark_lesson_stats();
CREATE TRIGGER mark_stats_delete AFTER DELETE ON public.user_lesson_progress FOR EACH ROW WHEN ((old.completed_at < public.open_quarter())) EXECUTE FUNCTION public.mark_stats('completed_at');
CREATE TRIGGER mark_stats_insert AFTER INSERT ON public.user_lesson_progress FOR EACH ROW WHEN ((new.completed_at < public.open_quarter())) EXECUTE FUNCTION public.mark_stats('completed_at');
CREATE TRIGGER mark_stats_update AFTER UPDATE ON public.user_lesson_progress FOR EACH ROW WHEN (((old.completed_at IS DISTINCT FROM new.completed_at) AND (LEAST(old.completed_at, new.completed_at) < public.open_quarter()))) EXECUTE FUNCTION public.mark_stats('completed_at');
CREATE TRIGGER touch_row BEFORE UPDATE ON public.user_lesson_progress FOR EACH ROW WHEN ((old.* IS DISTINCT FROM new.*)) EXECUTE FUNCTION public.touch_row();
ALTER TABLE ONLY public.user_lesson_progress
    ADD CONSTRAINT user_lesson_progress_lesson_id_fkey FOREIGN KEY (lesson_id) REFERENCES public.lessons(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.user_lesson_progress
    ADD CONSTRAINT user_lesson_progress_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

CREATE TABLE public.user_lesson_task_progress (
    user_id uuid NOT NULL,
    task_id uuid NOT NULL,
    checked_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE ONLY public.user_lesson_task_progress
    ADD CONSTRAINT user_lesson_task_progress_pkey PRIMARY KEY (user_id, task_id);
CREATE INDEX user_lesson_task_progress_task_id_idx ON public.user_lesson_task_progress USING btree (task_id);
CREATE TRIGGER lock_lessons_delete AFTER DELETE ON public.user_lesson_task_progress REFERENCING OLD TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.lock_checked_lessons();
CREATE TRIGGER lock_lessons_insert AFTER INSERT ON public.user_lesson_task_progress REFERENCING NEW TABLE AS changed_rows FOR EACH STATEMENT EXECUTE FUNCTION public.lock_checked_lessons();
ALTER TABLE ONLY public.user_lesson_task_progress
    ADD CONSTRAINT user_lesson_task_progress_task_id_fkey FOREIGN KEY (task_id) REFERENCES public.lesson_tasks(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.user_lesson_task_progress
    ADD CONSTRAINT user_lesson_task_progress_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

CREATE TABLE public.user_prompt_favorites (
    user_id uuid NOT NULL,
    prompt_id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);
ALTER TABLE ONLY public.user_prompt_favorites
    ADD CONSTRAINT user_prompt_favorites_pkey PRIMARY KEY (user_id, prompt_id);
CREATE INDEX user_prompt_favorites_prompt_id_idx ON public.user_prompt_favorites USING btree (prompt_id, user_id);
CREATE INDEX user_prompt_favorites_user_id_idx ON public.user_prompt_favorites USING btree (user_id, created_at DESC, prompt_id DESC);
ALTER TABLE ONLY public.user_prompt_favorites
    ADD CONSTRAINT user_prompt_favorites_prompt_id_fkey FOREIGN KEY (prompt_id) REFERENCES public.prompts(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.user_prompt_favorites
    ADD CONSTRAINT user_prompt_favorites_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

CREATE TABLE public.user_roadmap_progress (
    user_id uuid NOT NULL,
    roadmap_id uuid NOT NULL,
    lessons_total integer NOT NULL,
    lessons_completed integer NOT NULL,
    stages_total integer NOT NULL,
    stages_completed integer NOT NULL,
    percent smallint GENERATED ALWAYS AS (public.progress_percent(lessons_completed, lessons_total)) STORED,
    status public.lesson_status NOT NULL,
    completed_at timestamp with time zone,
    achieved_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT user_roadmap_progress_achieved_at CHECK (((completed_at IS NULL) OR (achieved_at IS NOT NULL))),
    CONSTRAINT user_roadmap_progress_completed CHECK (((status = 'completed'::public.lesson_status) = ((lessons_total > 0) AND (lessons_completed = lessons_total)))),
    CONSTRAINT user_roadmap_progress_completed_at CHECK (((completed_at IS NOT NULL) = (status = 'completed'::public.lesson_status))),
    CONSTRAINT user_roadmap_progress_lessons CHECK (((0 <= lessons_completed) AND (lessons_completed <= lessons_total))),
    CONSTRAINT user_roadmap_progress_stages CHECK (((0 <= stages_completed) AND (stages_completed <= stages_total))),
    CONSTRAINT user_roadmap_progress_status CHECK ((status <> 'locked'::public.lesson_status))
)
WITH (fillfactor='70');
ALTER TABLE ONLY public.user_roadmap_progress
    ADD CONSTRAINT user_roadmap_progress_pkey PRIMARY KEY (user_id, roadmap_id);
CREATE INDEX user_roadmap_progress_completed_at_idx ON public.user_roadmap_progress USING btree (completed_at) WHERE (completed_at IS NOT NULL);
CREATE INDEX user_roadmap_progress_roadmap_id_idx ON public.user_roadmap_progress USING btree (roadmap_id, user_id);
CREATE TRIGGER mark_stats_delete AFTER DELETE ON public.user_roadmap_progress FOR EACH ROW WHEN ((old.completed_at < public.open_quarter())) EXECUTE FUNCTION public.mark_stats('completed_at');
CREATE TRIGGER mark_stats_insert AFTER INSERT ON public.user_roadmap_progress FOR EACH ROW WHEN ((new.completed_at < public.open_quarter())) EXECUTE FUNCTION public.mark_stats('completed_at');
CREATE TRIGGER mark_stats_update AFTER UPDATE ON public.user_roadmap_progress FOR EACH ROW WHEN (((old.completed_at IS DISTINCT FROM new.completed_at) AND (LEAST(old.completed_at, new.completed_at) < public.open_quarter()))) EXECUTE FUNCTION public.mark_stats('completed_at');
CREATE TRIGGER touch_row BEFORE UPDATE ON public.user_roadmap_progress FOR EACH ROW WHEN ((((((((((((old.user_id IS DISTINCT FROM new.user_id) OR (old.roadmap_id IS DISTINCT FROM new.roadmap_id)) OR (old.lessons_total IS DISTINCT FROM new.lessons_total)) OR (old.lessons_completed IS DISTINCT FROM new.lessons_completed)) OR (old.stages_total IS DISTINCT FROM new.stages_total)) OR (old.stages_completed IS DISTINCT FROM new.stages_completed)) OR (old.status IS DISTINCT FROM new.status)) OR (old.completed_at IS DISTINCT FROM new.completed_at)) OR (old.achieved_at IS DISTINCT FROM new.achieved_at)) OR (old.created_at IS DISTINCT FROM new.created_at)) OR (old.updated_at IS DISTINCT FROM new.updated_at))) EXECUTE FUNCTION public.touch_row();
ALTER TABLE ONLY public.user_roadmap_progress
    ADD CONSTRAINT user_roadmap_progress_roadmap_id_fkey FOREIGN KEY (roadmap_id) REFERENCES public.roadmaps(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.user_roadmap_progress
    ADD CONSTRAINT user_roadmap_progress_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

CREATE TABLE public.user_stage_progress (
    user_id uuid NOT NULL,
    stage_id uuid NOT NULL,
    lessons_total integer NOT NULL,
    lessons_completed integer NOT NULL,
    percent smallint GENERATED ALWAYS AS (public.progress_percent(lessons_completed, lessons_total)) STORED,
    status public.lesson_status NOT NULL,
    completed_at timestamp with time zone,
    achieved_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT user_stage_progress_achieved_at CHECK (((completed_at IS NULL) OR (achieved_at IS NOT NULL))),
    CONSTRAINT user_stage_progress_completed CHECK (((status = 'completed'::public.lesson_status) = ((lessons_total > 0) AND (lessons_completed = lessons_total)))),
    CONSTRAINT user_stage_progress_completed_at CHECK (((completed_at IS NOT NULL) = (status = 'completed'::public.lesson_status))),
    CONSTRAINT user_stage_progress_counts CHECK (((0 <= lessons_completed) AND (lessons_completed <= lessons_total)))
)
WITH (fillfactor='85');
ALTER TABLE ONLY public.user_stage_progress
    ADD CONSTRAINT user_stage_progress_pkey PRIMARY KEY (user_id, stage_id);
CREATE INDEX user_stage_progress_stage_id_idx ON public.user_stage_progress USING btree (stage_id, user_id);
CREATE TRIGGER touch_row BEFORE UPDATE ON public.user_stage_progress FOR EACH ROW WHEN ((((((((((old.user_id IS DISTINCT FROM new.user_id) OR (old.stage_id IS DISTINCT FROM new.stage_id)) OR (old.lessons_total IS DISTINCT FROM new.lessons_total)) OR (old.lessons_completed IS DISTINCT FROM new.lessons_completed)) OR (old.status IS DISTINCT FROM new.status)) OR (old.completed_at IS DISTINCT FROM new.completed_at)) OR (old.achieved_at IS DISTINCT FROM new.achieved_at)) OR (old.created_at IS DISTINCT FROM new.created_at)) OR (old.updated_at IS DISTINCT FROM new.updated_at))) EXECUTE FUNCTION public.touch_row();
ALTER TABLE ONLY public.user_stage_progress
    ADD CONSTRAINT user_stage_progress_stage_id_fkey FOREIGN KEY (stage_id) REFERENCES public.stages(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.user_stage_progress
    ADD CONSTRAINT user_stage_progress_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;

CREATE TABLE public.users (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    email text NOT NULL,
    password_hash text,
    first_name text NOT NULL,
    last_name text,
    avatar_url public.https_url,
    role public.user_role DEFAULT 'student'::public.user_role NOT NULL,
    status public.user_status DEFAULT 'active'::public.user_status NOT NULL,
    invite_id uuid,
    progress_percent smallint,
    last_active_at timestamp with time zone,
    version bigint DEFAULT 1 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    deleted_at timestamp with time zone,
    sort_name text GENERATED ALWAYS AS (public.fold_case((first_name || COALESCE((' '::text || last_name), ''::text)))) STORED,
    words tsvector GENERATED ALWAYS AS (public.person_words((((email || ' '::text) || first_name) || COALESCE((' '::text || last_name), ''::text)))) STORED,
    suspension_reason text,
    erased_at timestamp with time zone,
    email_key text NOT NULL,
    email_verified_at timestamp with time zone,
    CONSTRAINT users_email_key_length CHECK (((length(email_key) >= 3) AND (length(email_key) <= 254))),
    CONSTRAINT users_email_length CHECK (((length(email) >= 3) AND (length(email) <= 254))),
    CONSTRAINT users_first_name_length CHECK (((length(first_name) >= 1) AND (length(first_name) <= 100))),
    CONSTRAINT users_last_name_length CHECK ((length(last_name) <= 100)),
    CONSTRAINT users_progress_percent_range CHECK (((progress_percent >= 0) AND (progress_percent <= 100)))
);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);
CREATE UNIQUE INDEX users_email_key ON public.users USING btree (email_key) WHERE (deleted_at IS NULL);
CREATE INDEX users_erased_idx ON public.users USING btree (id) WHERE (erased_at IS NOT NULL);
CREATE INDEX users_last_active_idx ON public.users USING btree (role, status, ((deleted_at IS NULL)), COALESCE(last_active_at, '1970-01-01 00:00:00+00'::timestamp with time zone) DESC, id DESC) WHERE (erased_at IS NULL);
CREATE INDEX users_name_idx ON public.users USING btree (role, status, ((deleted_at IS NULL)), sort_name, id) WHERE (erased_at IS NULL);
CREATE INDEX users_newest_idx ON public.users USING btree (role, status, ((deleted_at IS NULL)), created_at DESC, id DESC) WHERE (erased_at IS NULL);
CREATE INDEX users_role_idx ON public.users USING btree (role, created_at, id) WHERE (deleted_at IS NULL);
CREATE INDEX users_students_activity_idx ON public.users USING btree (COALESCE(last_active_at, created_at) DESC, id DESC) WHERE ((role = 'student'::public.user_role) AND (deleted_at IS NULL));
CREATE INDEX users_students_last_name_idx ON public.users USING btree (public.fold_name(((COALESCE(last_name, ''::text) || ' '::text) || first_name)) COLLATE "C", id) WHERE ((role = 'student'::public.user_role) AND (deleted_at IS NULL));
CREATE INDEX users_students_name_idx ON public.users USING btree (public.fold_name(((first_name || ' '::text) || COALESCE(last_name, ''::text))) COLLATE "C", id) WHERE ((role = 'student'::public.user_role) AND (deleted_at IS NULL));
CREATE INDEX users_words_idx ON public.users USING gin (words) WHERE (erased_at IS NULL);
CREATE TRIGGER end_sessions AFTER UPDATE OF role, status, deleted_at ON public.users FOR EACH ROW WHEN (((new.role <> old.role) OR ((new.status <> 'active'::public.user_status) AND (old.status = 'active'::public.user_status)) OR ((new.deleted_at IS NOT NULL) AND (old.deleted_at IS NULL)))) EXECUTE FUNCTION public.end_sessions();
CREATE TRIGGER fill_email_key BEFORE INSERT ON public.users FOR EACH ROW WHEN ((new.email_key IS NULL)) EXECUTE FUNCTION public.fill_email_key();
CREATE TRIGGER forget_verification BEFORE UPDATE OF email ON public.users FOR EACH ROW WHEN ((new.email_key <> old.email_key)) EXECUTE FUNCTION public.forget_verification();
CREATE TRIGGER keep_an_admin AFTER UPDATE OF role, status, deleted_at ON public.users FOR EACH ROW WHEN (((old.role = 'admin'::public.user_role) AND (old.status = 'active'::public.user_status) AND (old.deleted_at IS NULL) AND (NOT ((new.role = 'admin'::public.user_role) AND (new.status = 'active'::public.user_status) AND (new.deleted_at IS NULL))))) EXECUTE FUNCTION public.keep_an_admin();
CREATE TRIGGER mark_active_update AFTER UPDATE ON public.users FOR EACH ROW WHEN ((((old.role = 'student'::public.user_role) AND (old.deleted_at IS NULL)) <> ((new.role = 'student'::public.user_role) AND (new.deleted_at IS NULL)))) EXECUTE FUNCTION public.mark_active_user();
CREATE TRIGGER mark_stats_delete AFTER DELETE ON public.users FOR EACH ROW WHEN ((old.created_at < public.open_quarter())) EXECUTE FUNCTION public.mark_stats('created_at');
CREATE TRIGGER mark_stats_insert AFTER INSERT ON public.users FOR EACH ROW WHEN ((new.created_at < public.open_quarter())) EXECUTE FUNCTION public.mark_stats('created_at');
CREATE TRIGGER mark_stats_update AFTER UPDATE ON public.users FOR EACH ROW WHEN ((((old.role IS DISTINCT FROM new.role) OR (old.deleted_at IS DISTINCT FROM new.deleted_at)) OR (old.created_at IS DISTINCT FROM new.created_at))) EXECUTE FUNCTION public.mark_stats('created_at');
CREATE TRIGGER remove_active_delete AFTER DELETE ON public.users FOR EACH ROW EXECUTE FUNCTION public.remove_active_user();
CREATE TRIGGER touch_row BEFORE UPDATE ON public.users FOR EACH ROW WHEN ((((((((((((((((old.id IS DISTINCT FROM new.id) OR (old.email IS DISTINCT FROM new.email)) OR (old.password_hash IS DISTINCT FROM new.password_hash)) OR (old.first_name IS DISTINCT FROM new.first_name)) OR (old.last_name IS DISTINCT FROM new.last_name)) OR ((old.avatar_url)::text IS DISTINCT FROM (new.avatar_url)::text)) OR (old.role IS DISTINCT FROM new.role)) OR (old.status IS DISTINCT FROM new.status)) OR (old.invite_id IS DISTINCT FROM new.invite_id)) OR (old.suspension_reason IS DISTINCT FROM new.suspension_reason)) OR (old.version IS DISTINCT FROM new.version)) OR (old.created_at IS DISTINCT FROM new.created_at)) OR (old.updated_at IS DISTINCT FROM new.updated_at)) OR (old.deleted_at IS DISTINCT FROM new.deleted_at)) OR (old.erased_at IS DISTINCT FROM new.erased_at))) EXECUTE FUNCTION public.touch_row('version');
ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_invite_id_fkey FOREIGN KEY (invite_id) REFERENCES public.invite_links(id) ON DELETE SET NULL;

CREATE VIEW public.visible_lessons AS
 SELECT l.id,
    l.module_id,
    l.slug,
    l.title,
    l.summary,
    l.body,
    l.video_url,
    l.duration_minutes,
    l.completion,
    l."position",
    l.publication,
    l.version,
    l.created_at,
    l.updated_at,
    l.deleted_at,
    l.search,
    l.questions
   FROM (public.lessons l
     JOIN public.course_modules m ON ((m.id = l.module_id)))
  WHERE ((l.deleted_at IS NULL) AND (l.publication = 'published'::public.publication) AND (m.deleted_at IS NULL) AND (m.publication = 'published'::public.publication));

CREATE VIEW public.visible_roadmaps AS
 SELECT id,
    slug,
    title,
    summary,
    is_sequential,
    "position",
    publication,
    content_version,
    recomputed_version,
    version,
    created_at,
    updated_at,
    deleted_at
   FROM public.roadmaps
  WHERE ((deleted_at IS NULL) AND (publication = 'published'::public.publication));

CREATE VIEW public.visible_stages AS
 SELECT s.id,
    s.roadmap_id,
    s.slug,
    s.title,
    s.summary,
    s."position",
    s.publication,
    s.version,
    s.created_at,
    s.updated_at,
    s.deleted_at
   FROM (public.stages s
     JOIN public.visible_roadmaps r ON ((r.id = s.roadmap_id)))
  WHERE ((s.deleted_at IS NULL) AND (s.publication = 'published'::public.publication));

CREATE VIEW public.visible_prompts AS
 SELECT p.id,
    p.category_id,
    p.slug,
    p.title,
    p.description,
    p.body,
    p.tags,
    p.copy_count,
    p."position",
    p.version,
    p.created_at,
    p.updated_at
   FROM (public.prompts p
     JOIN public.prompt_categories c ON ((c.id = p.category_id)))
  WHERE ((p.deleted_at IS NULL) AND (p.publication = 'published'::public.publication) AND (c.deleted_at IS NULL));

CREATE VIEW public.searchable AS
 SELECT 'lesson'::public.search_kind AS kind,
    id,
    (slug)::text AS slug,
    title,
    summary AS about,
    body AS text,
    questions
   FROM public.visible_lessons
UNION ALL
 SELECT 'prompt'::public.search_kind AS kind,
    id,
    slug,
    title,
    COALESCE(NULLIF(description, ''::text), "left"(body, 500)) AS about,
    body AS text,
    '{}'::text[] AS questions
   FROM public.visible_prompts
UNION ALL
 SELECT 'glossary_term'::public.search_kind AS kind,
    id,
    slug,
    term AS title,
    definition AS about,
    ''::text AS text,
    '{}'::text[] AS questions
   FROM public.glossary_terms
  WHERE ((publication = 'published'::public.publication) AND (deleted_at IS NULL))
UNION ALL
 SELECT 'style_card'::public.search_kind AS kind,
    id,
    slug,
    title,
    description AS about,
    ((array_to_string(tags, ' '::text) || ' '::text) || prompt) AS text,
    '{}'::text[] AS questions
   FROM public.style_cards
  WHERE ((publication = 'published'::public.publication) AND (deleted_at IS NULL))
UNION ALL
 SELECT 'project'::public.search_kind AS kind,
    id,
    (id)::text AS slug,
    title,
    summary AS about,
    description AS text,
    '{}'::text[] AS questions
   FROM public.showcase_projects
  WHERE ((status = 'published'::public.project_status) AND (deleted_at IS NULL));

CREATE VIEW public.admin_dashboard_stats AS
 SELECT t.students,
    t.mentors,
    t.admins,
    w.students_active_today,
    w.students_active_week,
    t.students_new_week,
    l.lessons_published,
    t.lessons_completed,
    t.lessons_completed_week,
    t.roadmaps_completed,
    t.projects_published,
    p.projects_waiting,
    t.likes,
    t.questions_today,
    a.replies_open,
    t.replies_failed_week,
    s.as_of
   FROM ( SELECT COALESCE(sum(stats_quarters.students), (0)::bigint) AS students,
            COALESCE(sum(stats_quarters.mentors), (0)::bigint) AS mentors,
            COALESCE(sum(stats_quarters.admins), (0)::bigint) AS admins,
            COALESCE(sum(stats_quarters.students) FILTER (WHERE (stats_quarters.quarter >= ( SELECT (public.quarter_of(now()) - 672)))), (0)::bigint) AS students_new_week,
            COALESCE(sum(stats_quarters.completions), (0)::bigint) AS lessons_completed,
            COALESCE(sum(stats_quarters.completions) FILTER (WHERE (stats_quarters.quarter >= ( SELECT (public.quarter_of(now()) - 672)))), (0)::bigint) AS lessons_completed_week,
            COALESCE(sum(stats_quarters.roadmaps_completed), (0)::bigint) AS roadmaps_completed,
            COALESCE(sum(stats_quarters.projects_published), (0)::bigint) AS projects_published,
            COALESCE(sum(stats_quarters.likes), (0)::bigint) AS likes,
            COALESCE(sum(stats_quarters.questions) FILTER (WHERE (stats_quarters.quarter >= ( SELECT (public.quarter_of(now()) - 96)))), (0)::bigint) AS questions_today,
            COALESCE(sum(stats_quarters.replies_failed) FILTER (WHERE (stats_quarters.quarter >= ( SELECT (public.quarter_of(now()) - 672)))), (0)::bigint) AS replies_failed_week
           FROM public.stats_quarters) t,
    ( SELECT COALESCE(sum(a_1.first_of_week[(((a_1.quarter / 4) - h.hour) + 25)]) FILTER (WHERE ((a_1.quarter / 4) >= (h.hour - 24))), (0)::bigint) AS students_active_today,
            COALESCE(sum(a_1.first_of_week[(((a_1.quarter / 4) - h.hour) + 169)]), (0)::bigint) AS students_active_week
           FROM ( SELECT (public.quarter_of(now()) / 4) AS hour
                 OFFSET 0) h,
            public.stats_active a_1
          WHERE ((a_1.quarter >= ((h.hour - 168) * 4)) AND (a_1.quarter < ((h.hour + 1) * 4)))) w,
    ( SELECT count(*) AS lessons_published
           FROM public.visible_lessons) l,
    ( SELECT count(*) AS projects_waiting
           FROM public.showcase_projects
          WHERE ((deleted_at IS NULL) AND (status = 'submitted'::public.project_status))) p,
    ( SELECT count(*) AS replies_open
           FROM public.ai_replies
          WHERE (state = ANY (ARRAY['queued'::public.reply_state, 'streaming'::public.reply_state]))) a,
    public.stats_state s;

CREATE VIEW public.job_queues AS
 WITH RECURSIVE names(queue) AS (
         SELECT ''::text AS "?column?"
        UNION ALL
         SELECT LEAST(( SELECT min(job_type) AS min
                   FROM apalis.jobs
                  WHERE ((job_type > names_1.queue) AND (status = 'Done'::text))), ( SELECT min(job_type) AS min
                   FROM apalis.jobs
                  WHERE ((job_type > names_1.queue) AND ((status = 'Pending'::text) OR ((status = 'Failed'::text) AND (attempts < max_attempts))))), ( SELECT min(job_type) AS min
                   FROM apalis.jobs
                  WHERE ((job_type > names_1.queue) AND ((status = 'Killed'::text) OR ((status = 'Failed'::text) AND (attempts >= max_attempts))))), ( SELECT min(job_type) AS min
                   FROM apalis.jobs
                  WHERE ((job_type > names_1.queue) AND (status = ANY (ARRAY['Queued'::text, 'Running'::text]))))) AS "least"
           FROM names names_1
          WHERE (names_1.queue IS NOT NULL)
        )
 SELECT queue
   FROM names
  WHERE (queue <> ''::text);

CREATE VIEW public.recent_student_activity AS
 SELECT a.id,
    a.occurred_at,
    a.actor_id AS user_id,
    u.email,
    u.first_name,
    u.last_name,
    a.action,
    a.target_type,
    a.target_id,
    a.target_title,
    a.metadata
   FROM (public.activity_log a
     JOIN public.users u ON ((u.id = a.actor_id)))
  WHERE ((u.role = 'student'::public.user_role) AND (u.deleted_at IS NULL));
