-- A database as the replaced platform leaves it, with what is odd in it. `{id}` is the type of ids, `#7` is the seventh id, and
-- `{role}` is the type of roles.

CREATE TABLE users (
    id {id} PRIMARY KEY,
    email varchar(255) UNIQUE NOT NULL,
    password_hash varchar(255) NOT NULL,
    first_name varchar(100) NOT NULL,
    last_name varchar(100),
    avatar_url text,
    role {role} NOT NULL DEFAULT 'student',
    status varchar(20) DEFAULT 'active',
    progress_percent smallint DEFAULT 0,
    admin_notes text,
    telegram varchar(100) NOT NULL,         -- nobody knows it here
    email_verified boolean DEFAULT false,
    last_active_at timestamptz,
    created_at timestamptz,
    updated_at timestamptz,
    deleted_at timestamptz
);
INSERT INTO users (id, email, password_hash, first_name, last_name, role, status, telegram, last_active_at, created_at, deleted_at) VALUES
    (#1, 'Anna@Example.test', '{hash}', 'Анна', 'Иванова', 'student', 'active', '', '2025-03-01', '2024-01-01', NULL),
    (#2, 'anna@example.test', '{hash}', 'Анна', NULL, 'student', 'active', '', '2024-02-01', NULL, NULL),
    (#3, 'boris@example.test', '{hash}', 'Борис', NULL, 'mentor', 'stalled', '', NULL, '2024-01-03', NULL),
    (#4, 'root@example.test', '{hash}', 'Админ', NULL, 'admin', 'active', '', NULL, '2024-01-04', NULL),
    (#5, 'not an address', '{hash}', E'Вера\u202e', NULL, 'student', 'inactive', '', NULL, '2024-01-05', NULL),
    (#6, 'gone@example.test', 'plaintext', ' ', NULL, 'student', 'active', '', NULL, '2024-01-06', '2024-02-06');

CREATE TABLE course_modules (
    id {id} PRIMARY KEY, title varchar(255) NOT NULL, description text, status varchar(20), sort_order smallint,
    created_at timestamptz, updated_at timestamptz, deleted_at timestamptz
);
INSERT INTO course_modules (id, title, status, sort_order, created_at) VALUES
    (#1, 'Основы', 'available', 1, '2024-01-01'), (#2, 'Основы', 'available', 2, NULL), (#3, 'Закрытый', 'locked', 3, NULL);

CREATE TABLE lessons (
    id {id} PRIMARY KEY, module_id {id}, title text NOT NULL, description text, duration varchar(50), video_url text,
    status varchar(20), sort_order smallint, views_count integer DEFAULT 0, created_at timestamptz, updated_at timestamptz,
    deleted_at timestamptz
);
INSERT INTO lessons (id, module_id, title, duration, video_url, status, sort_order, created_at) VALUES
    (#1, #1, 'Первый урок', '15 мин', 'https://video.example.test/1', 'available', 1, '2024-01-01'),
    (#2, #1, 'Первый урок', '1 ч 30 мин', 'javascript:alert(1)', 'available', 2, NULL),
    (#3, #2, E'Тре\u200bтий', 'скоро', NULL, 'available', 1, NULL),
    (#4, #2, repeat('я', 255), NULL, NULL, 'draft', 2, NULL),
    (#5, #99, 'Сирота', NULL, NULL, 'available', 1, NULL);

CREATE TABLE lesson_materials (
    id {id} PRIMARY KEY, lesson_id {id}, title varchar(255), type varchar(20), url text, sort_order smallint, created_at timestamptz
);
INSERT INTO lesson_materials VALUES
    (#1, #1, 'Слайды', 'pdf', 'https://files.example.test/1.pdf', 1, NULL), (#2, #1, 'Файл', 'code', '/uploads/1.zip', 2, NULL),
    (#3, #5, 'У сироты', 'link', 'https://example.test', 1, NULL);

CREATE TABLE lesson_tasks (id {id} PRIMARY KEY, lesson_id {id}, text text NOT NULL, sort_order smallint, created_at timestamptz);
INSERT INTO lesson_tasks VALUES (#1, #1, 'Прочитать', 1, NULL), (#2, #1, 'Прочитать', 2, NULL), (#3, #1, repeat('длинно ', 60), 3, NULL);

CREATE TABLE roadmaps (
    id {id} PRIMARY KEY, title varchar(255), description text, category varchar(50), icon varchar(10), difficulty varchar(20),
    sort_order smallint, created_at timestamptz, updated_at timestamptz, deleted_at timestamptz
);
INSERT INTO roadmaps (id, title, description) VALUES (#1, 'Лендинг', 'Шаги'), (#2, 'Лендинг', NULL);
CREATE TABLE roadmap_steps (
    id {id} PRIMARY KEY, roadmap_id {id}, title varchar(255), description text, link_url text, link_text varchar(100),
    sort_order smallint, created_at timestamptz, deleted_at timestamptz
);
INSERT INTO roadmap_steps (id, roadmap_id, title, link_url, link_text, sort_order) VALUES
    (#1, #1, 'Шаг', 'https://example.test/step', 'Открыть', 1), (#2, #1, 'Шаг', NULL, NULL, 2), (#3, #77, 'Сирота', NULL, NULL, 1);

CREATE TABLE dashboard_stages (
    id {id} PRIMARY KEY, title varchar(100), subtitle varchar(100), sort_order smallint, created_at timestamptz, updated_at timestamptz
);
INSERT INTO dashboard_stages VALUES (#1, 'База', 'Неделя 1', 1, NULL, NULL), (#2, 'Запуск', NULL, 2, NULL, NULL);
CREATE TABLE stage_tasks (id {id} PRIMARY KEY, stage_id {id}, title varchar(255), sort_order smallint, created_at timestamptz);
INSERT INTO stage_tasks VALUES (#1, #1, 'Идея', 1, NULL), (#2, #1, 'Домен', 2, NULL), (#3, #2, 'Реклама', 1, NULL);

CREATE TABLE prompts (
    id {id} PRIMARY KEY, title varchar(255), description text, content text, usage_instruction text, category varchar(50),
    tags text[], copy_count integer DEFAULT 0, status varchar(20) DEFAULT 'published', sort_order smallint,
    created_at timestamptz, updated_at timestamptz, deleted_at timestamptz
);
INSERT INTO prompts (id, title, content, category, tags) VALUES
    (#1, 'Шапка', 'Сделай шапку', 'Лендинг', ARRAY['css', 'css', 'hero']), (#2, 'Шаги', NULL, 'Фиксы', NULL);
CREATE TABLE prompt_steps (
    id {id} PRIMARY KEY, prompt_id {id}, title varchar(255), description text, content text NOT NULL, sort_order smallint, created_at timestamptz
);
INSERT INTO prompt_steps VALUES (#1, #2, 'Первый', NULL, 'Сделай', 1, NULL), (#2, #55, 'Сирота', NULL, 'Сделай', 1, NULL);
CREATE TABLE style_cards (
    id {id} PRIMARY KEY, name varchar(100), description text, long_description text, gradient varchar(100), image_url text,
    prompt text, category varchar(50), tags text[], usage_count integer DEFAULT 0, status varchar(20), sort_order smallint,
    created_at timestamptz, updated_at timestamptz, deleted_at timestamptz
);
INSERT INTO style_cards (id, name, prompt, category, status) VALUES (#1, 'Ночь', 'тёмный', 'Тёмные', 'published'), (#2, 'Ночь', 'x', 'Яркие', 'moderation');
CREATE TABLE glossary_terms (
    id {id} PRIMARY KEY, term varchar(100), slang varchar(255), definition text, category varchar(50), sort_order smallint,
    created_at timestamptz, updated_at timestamptz, deleted_at timestamptz
);
INSERT INTO glossary_terms (id, term, slang, definition, category) VALUES (#1, 'API', 'апи, ручка', 'Интерфейс', 'Код'), (#2, 'Пусто', NULL, '', 'Код');
CREATE TABLE user_favorite_prompts (user_id {id}, prompt_id {id}, created_at timestamptz, PRIMARY KEY (user_id, prompt_id));
INSERT INTO user_favorite_prompts VALUES (#1, #1, NULL), (#1, #66, NULL);

CREATE TABLE showcase_projects (
    id {id} PRIMARY KEY, author_id {id}, title varchar(255), description text, image_url text, demo_url text,
    category varchar(50), likes_count integer DEFAULT 0, status varchar(20), moderated_at timestamptz, created_at timestamptz,
    updated_at timestamptz, deleted_at timestamptz
);
INSERT INTO showcase_projects (id, author_id, title, demo_url, category, likes_count, status, created_at) VALUES
    (#1, #1, 'Мой сайт', 'https://anna.example.test', 'Лендинг', 40, 'published', '2024-05-01'),
    (#2, #1, 'На проверке', NULL, 'Креатив', 0, 'moderation', NULL), (#3, #88, 'Сирота', NULL, 'Креатив', 0, 'published', NULL);
CREATE TABLE project_likes (id {id} PRIMARY KEY, project_id {id}, user_id {id}, created_at timestamptz);
INSERT INTO project_likes VALUES (#1, #1, #2, NULL), (#2, #1, #3, '2024-05-02'), (#3, #1, #3, NULL), (#4, #3, #1, NULL);

CREATE TABLE user_lesson_progress (
    id {id} PRIMARY KEY, user_id {id}, lesson_id {id}, status varchar(20), started_at timestamptz, completed_at timestamptz
);
INSERT INTO user_lesson_progress VALUES
    (#1, #1, #1, 'completed', '2024-02-01', '2024-02-02'), (#2, #1, #2, 'completed', NULL, NULL),
    (#3, #1, #3, 'available', '2024-02-03', NULL), (#4, #2, #1, 'available', NULL, NULL),
    (#5, #1, #5, 'completed', NULL, '2024-02-02'), (#6, #44, #1, 'completed', NULL, '2024-02-02'),
    (#7, #3, #1, 'completed', '2024-03-05', '2024-03-01');
CREATE TABLE user_lesson_task_progress (id {id} PRIMARY KEY, user_id {id}, task_id {id}, completed_at timestamptz);
INSERT INTO user_lesson_task_progress VALUES (#1, #1, #1, '2024-02-01'), (#2, #1, #45, '2024-02-01');
CREATE TABLE user_roadmap_progress (id {id} PRIMARY KEY, user_id {id}, roadmap_id {id}, started_at timestamptz, completed_at timestamptz);
INSERT INTO user_roadmap_progress VALUES (#1, #1, #1, '2024-02-01', '2024-02-03');
CREATE TABLE user_roadmap_step_progress (id {id} PRIMARY KEY, user_id {id}, step_id {id}, completed_at timestamptz);
INSERT INTO user_roadmap_step_progress VALUES (#1, #1, #1, '2024-02-01'), (#2, #1, #2, '2024-02-03'), (#3, #1, #3, '2024-02-03');
CREATE TABLE user_stage_progress (id {id} PRIMARY KEY, user_id {id}, stage_id {id}, status varchar(20), updated_at timestamptz);
INSERT INTO user_stage_progress VALUES (#1, #1, #1, 'current', NULL);
CREATE TABLE user_stage_task_progress (id {id} PRIMARY KEY, user_id {id}, task_id {id}, completed_at timestamptz);
INSERT INTO user_stage_task_progress VALUES (#1, #1, #1, '2024-02-01'), (#2, #1, #2, '2024-02-04'), (#3, #3, #1, '2024-02-05');

CREATE TABLE tool_chats (id {id} PRIMARY KEY, user_id {id}, tool_type varchar(20), created_at timestamptz, updated_at timestamptz);
INSERT INTO tool_chats VALUES (#1, #1, 'ideas', '2024-04-01', NULL), (#2, #33, 'ideas', NULL, NULL), (#3, #1, 'oracle', NULL, NULL);
CREATE TABLE tool_messages (
    id {id} PRIMARY KEY, chat_id {id}, role varchar(10), content text, has_copyable_content boolean, created_at timestamptz
);
INSERT INTO tool_messages VALUES
    (#1, #1, 'user', 'Идею!', NULL, '2024-04-02'), (#2, #1, 'assistant', '[IDEA_START]Кот[IDEA_END]', NULL, NULL),
    (#3, #1, 'system', 'x', NULL, NULL), (#4, #2, 'user', 'Сирота', NULL, NULL);
CREATE TABLE chat_messages (id {id} PRIMARY KEY, user_id {id}, role varchar(20), content text, created_at timestamptz);
INSERT INTO chat_messages VALUES (#1, #1, 'user', 'Привет', '2023-12-01'), (#2, #1, 'assistant', 'Здравствуйте', '2023-12-01 00:01');

CREATE TABLE platform_settings (id {id} PRIMARY KEY, setting_key varchar(100) UNIQUE, setting_value jsonb, updated_at timestamptz, created_at timestamptz);
INSERT INTO platform_settings VALUES (#1, 'navigation_config', '{"styles": false, "community": {"visible": false}}', NULL, NULL), (#2, 'theme', '"dark"', NULL, NULL);

CREATE TABLE admin_calls (id {id} PRIMARY KEY, topic varchar(255));
INSERT INTO admin_calls VALUES (#1, 'Созвон');
CREATE TABLE homework (id {id} PRIMARY KEY, text text);
INSERT INTO homework VALUES (#1, 'Никто не знает');
