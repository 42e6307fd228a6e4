-- Questions are asked in everyday words, and what answers them is a passage of a lesson rather than the whole of it.
--
-- Texts are kept in passages, beside the postings of whole objects: the best passages of the best objects decide their order,
-- and are what answers quote. Words that say little in any text count less than their rarity in a small school suggests, and a
-- word that learners use for a thing also finds the word that lessons use.
SET LOCAL lock_timeout = '2s';

-- Parts of an address, of a file name or of a tag are words as well: who asks for "next" looks for "next.js" too.
CREATE OR REPLACE FUNCTION search_vector(title text, about text, body text) RETURNS tsvector
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT setweight(to_tsvector('pg_catalog.russian'::regconfig, translate(folded(title), '<>./_@:=?&#', '           ')), 'A')
        || setweight(to_tsvector('pg_catalog.russian'::regconfig, translate(folded(about), '<>./_@:=?&#', '           ')), 'B')
        || setweight(to_tsvector('pg_catalog.russian'::regconfig, translate(folded(body), '<>./_@:=?&#', '           ')), 'C');
END;

-- Splits a text in Markdown into passages of up to about 600 characters, at headings and blank lines. What stands in a code
-- block stays together. No passage is longer than 1200 characters.
CREATE FUNCTION passages_of(body text) RETURNS SETOF text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = public, pg_temp
AS $$
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
$$;

-- The texts of what can be found, in passages, and the titles as passages of the number 0. A passage of a lesson's text may be
-- shown only to those for whom the lesson is open.
CREATE TABLE search_passages (
    object_id uuid NOT NULL,
    kind search_kind NOT NULL,
    nth integer NOT NULL CHECK (nth >= 0),
    content text NOT NULL CHECK (length(content) BETWEEN 1 AND 1200),
    vector tsvector NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT search_passages_pkey PRIMARY KEY (object_id, kind, nth)
);

-- Words, as they are in the index, that say little whatever a text is about, and how much they count.
CREATE TABLE search_common_words (
    lexeme text COLLATE "C" PRIMARY KEY,
    weight real NOT NULL CHECK (weight > 0 AND weight < 1),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Who searches for the one word also finds the other. Schools of other subjects add their own.
CREATE TABLE search_synonyms (
    lexeme text COLLATE "C" NOT NULL,
    other text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT search_synonyms_pkey PRIMARY KEY (lexeme, other)
);

-- Makes the words of a text, which are separated by spaces, synonyms of each other.
CREATE FUNCTION add_search_synonyms(words text) RETURNS void LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO search_synonyms (lexeme, other)
    SELECT a.lexeme, b.lexeme
    FROM unnest(to_tsvector('pg_catalog.russian'::regconfig, folded(words))) a
    CROSS JOIN unnest(to_tsvector('pg_catalog.russian'::regconfig, folded(words))) b
    WHERE a.lexeme <> b.lexeme
    ON CONFLICT DO NOTHING;
END;

CREATE OR REPLACE FUNCTION index_for_search(of_kind search_kind, ids uuid[]) RETURNS void LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO search_changes DEFAULT VALUES;
    DELETE FROM search_postings WHERE object_id = ANY (ids) AND kind = of_kind;
    INSERT INTO search_postings (lexeme, kind, weight, object_id)
    SELECT w.lexeme, of_kind, 2.2 * w.frequency / (w.frequency + 1.2 * (0.25 + 0.75 * w.words / 100.0)), w.id
    FROM (
        SELECT s.id, l.lexeme,
            (SELECT sum(CASE p WHEN 'A' THEN 4 WHEN 'B' THEN 2 ELSE 1 END) FROM unnest(l.weights) p) AS frequency,
            length(v.vector) AS words
        FROM searchable s
        CROSS JOIN LATERAL (SELECT search_vector(s.title, s.about, s.text) AS vector OFFSET 0) v
        CROSS JOIN LATERAL unnest(v.vector) l
        WHERE s.kind = of_kind AND s.id = ANY (ids)
    ) w;
    DELETE FROM search_passages WHERE object_id = ANY (ids) AND kind = of_kind;
    INSERT INTO search_passages (object_id, kind, nth, content, vector)
    SELECT s.id, of_kind, p.nth, p.content, search_vector('', '', p.content)
    FROM searchable s
    CROSS JOIN LATERAL (
        SELECT 0 AS nth, s.title AS content
        UNION ALL
        SELECT nth, content FROM passages_of(s.text) WITH ORDINALITY AS p (content, nth)
    ) p
    WHERE s.kind = of_kind AND s.id = ANY (ids);
END;

-- The most frequent words of English and Russian that belong to no subject. Those of the first list count more.
INSERT INTO search_common_words (lexeme, weight)
SELECT l.lexeme, 0.8 FROM unnest(to_tsvector('pg_catalog.russian'::regconfig, folded($words$
    accept across act add age ago agree air alone along amount answer appear area arrive art attention baby bad base
    beautiful believe below black blood blue body book born box boy break building business buy car care carry case
    catch cause center certain chance change character check child children choice choose city class clear close club
    cold college community company complete consider continue control cost country couple course cover create cut
    dark date dead deal death deep die difference difficult dinner direct doctor dog door draw dream drive drop dry
    early earth easy eat effect effort eight energy entire event example expect experience explain eye face fair fall
    family fast father fear feel fight figure fill final fine fire fish five fly follow food foot force forget form
    forward four free friend front full fun future game general girl glad glass government green ground group grow
    half hand hang happy hard hate head health hear heart heat heavy high history hit hold home hope hot hour house
    huge human hundred hurt idea imagine increase inside interest issue job join keep key kid kill kitchen land
    language large late laugh law lead learn leg level lie life light line list listen live lose loss love low main
    major man manage mark market matter mean meet member mention middle mind minute miss modern moment money month
    morning mother mouth move movie music name national natural near necessary news night nine normal note notice
    number offer office open order paper parent pass past pay peace perfect period phone pick picture piece plan
    plant play point police poor position power prepare present president press price private problem process produce
    product program promise protect provide public pull purpose push question quick quickly quiet rain raise reach
    read reason receive recent record red remain remember remove report rest result return rich ride ring rise risk
    road rock room rule run safe save school sea season seat second section seem sell send sense separate serious
    serve service seven sex shop short shot sick sign simple single sister sit situation six size skin sleep slow
    small smile social society son sound south space speak special spend stand star state step stone story straight
    street strong student study subject success suddenly suggest summer sun support suppose surface surprise system
    table talk teach teacher team ten term test today top total touch town trade tree trip trouble true trust truth
    type usual value view visit voice wait walk wall war warm wash watch water week weight west white wife wild win
    wind window winter woman women word world worry worse worst worth write written wrote yellow young автор будущее
    быстро важно верить весело вечер взять вид видеть видит видно вижу включить вместе внимание вода возможность
    войти вопросы выбрать выглядит выйти главное главный глаз говорил голова город готов группа дверь девушка деньги
    держать дети добавить дом дорога друг друзья думать думаю ждать жизнь забыть завтра закрыть записать идет идея
    идти иду имя информация искать использовать история каждого класс книга команда купить легко лицо люблю любой
    магазин маленький мама машина место месяц мимо минута мир мнение момент музыка надеюсь найти написал написать
    начал неделя номер ночь обещать обратно общий объяснить оказаться описать опыт остаться ответ открывает открыть
    отправить очередь ошибка падает перед писал план платить поверить подумать показать показывает полный получается
    получить помнить попробовать пора порядок посмотреть поставить похоже почта правило прийти пример причина
    проблема продолжать просить просто прошлый путь рабочий развитие разговор рано рассказать результат решение
    решить рука ряд сайт свет связь слово сложно случайно слышать смотреть смысл собрать совет создать состояние
    спать список справиться спросить стоит стоять страна строка сумма сюда текст тема теряется трудно увидеть удобно
    уйти улица условие утро фильм форма хватает цель цена часть число читать школа язык
$words$))) l
ON CONFLICT DO NOTHING;
INSERT INTO search_common_words (lexeme, weight)
SELECT l.lexeme, 0.4 FROM unnest(to_tsvector('pg_catalog.russian'::regconfig, folded($words$
    able about above actually after again against all almost already also although always am an another any anybody
    anyone anything anyway are around as ask away back bad be became because become been before begin behind being
    best better between big bit both bring but buy by call came can cannot come could day did different do does doing
    done down each either else end enough even ever every everybody everyone everything exactly fact far feel few
    find first for found from get gets getting give given gives go goes going gone good got great guy had happen
    happened happens has have having he hello help her here hey hi him his how however if important in instead into
    is it its just keep kind knew know known knows last later least leave left less let like likely little long look
    looked looking looks lot made make makes making many may maybe me mean means might mine more most much must my
    myself need needed needs never new next nice no nobody none nor not nothing now of off often oh ok okay old on
    once one ones only or other others our out over own part people perhaps person place please possible pretty
    probably properly put quite rather ready real really right said same saw say says see seem seemed seems seen set
    several shall she should show shown side simple simply since so some somebody somehow someone something sometimes
    somewhere soon sort start started stay still stop stuff such sure take taken takes taking tell than thank thanks
    that the their them then there these they thing things think this those though thought three through time times
    to today together told tomorrow too took toward tried tries try trying turn two under understand until up upon us
    use used useful uses using usually various very want wanted wants was way ways we well went were what whatever
    when whenever where whether which while who whole whom whose why will wish with within without wonder work worked
    working works would wrong year years yes yesterday yet you your yours yourself без более больше будет будут бы
    был была были было быть в вам вами вас ваш ваша ваше ваши вдруг ведь весь вещь вместе вместо во вообще вопрос вот
    время все всегда всего всем всех всю всё вы где говорит говорить год давай давать давно даже дай дать делает
    делать делаю дело день для до долго должен должна должно должны другие другого другой его едва ее если есть еще
    ещё её же за зачем здесь знает знать знаю и из или имеет именно иметь иметься иногда искать их к каждая каждого
    каждое каждый как какая какие какое какой когда кого кому конец конечно которая которое которые который кто куда
    ли либо лишь лучше люблю людей люди мало меня мне много мной мог могли могу могут моего моей может можно мои моих
    мой моя моё мы на над надо найти нам например нас начало начать начинать наш наша нашел нашёл не него недавно нее
    нельзя нет неё нибудь никак никогда никто ним них ничего но новая новое новые новый ну нужен нужна нужно нужны о
    об обычно один одна однако одно одного он она они оно опять от отсюда очень первая первое первый писать плохо по
    под подскажите пожалуйста пока помогите помочь помощь понимаю понятно понять после потом потому почему почти
    правда правильно при про просто работает работать раз разве разный редко с сам сама сами само самый своего свои
    свой свою своя своё сделал сделать сделаю себе себя сегодня сейчас сильно скажите сказать сколько случай смогу
    сможет смочь сначала снова со совсем спасибо способ стал стать стоит сторона стороны существует так такая также
    такие такого такое такой там тебе тебя теперь то тоже только том тот точно три ту тут ты уж уже узнать хорошая
    хороший хорошо хотел хотеть хоть хотя хочет хочу часто чего чей человек чем через что чтобы чтото чуть штука эта
    эти этих это этого этой этом этот эту я
$words$))) l
ON CONFLICT (lexeme) DO UPDATE SET weight = excluded.weight;

-- The vocabulary of building for the web: what beginners say, and what lessons say.
SELECT count(*) FROM unnest(ARRAY[
    'picture photo photograph image photos',
    'phone mobile smartphone narrow',
    'website site webpage',
    'slow speed performance latency fast loading',
    'login signin signin login signed authentication session',
    'logout signout',
    'signup signup registration register account',
    'password passphrase credential',
    'hacker attacker attack intruder steal leak stolen',
    'broken bug fault defect error failure crash',
    'fix repair debug solve',
    'undo revert restore rollback',
    'delete remove erase',
    'url address link path',
    'button clickable control',
    'color colour palette',
    'grey gray contrast',
    'blind disability disabled accessibility screenreader',
    'keyboard tab focus mouse',
    'font typeface type lettering',
    'gap spacing margin padding whitespace',
    'layout align center centre column columns grid flexbox',
    'menu navigation nav',
    'pretty beautiful ugly style look design',
    'form field input',
    'mail email email',
    'domain hostname dns',
    'hosting host server provider',
    'publish launch release deploy deployment live',
    'https certificate ssl tls encryption secure',
    'backup copy snapshot dump',
    'database postgres postgresql sql db',
    'table row column schema',
    'query search lookup select',
    'cache cached stale old',
    'refresh reload',
    'duplicate twice double repeated repeat',
    'retry again repeat attempt',
    'payment pay charge checkout money price',
    'background job queue task worker',
    'simultaneous concurrent parallel race moment',
    'transaction atomic rollback',
    'validate validation check constraint rule',
    'api endpoint interface',
    'json format field',
    'status code response',
    'page pagination cursor next scroll',
    'assistant ai chatgpt model llm copilot gpt bot',
    'prompt instruction request ask',
    'hallucination invent invented wrong',
    'version release commit history',
    'git repository github',
    'secret key token credential env',
    'environment configuration config setting',
    'permission authorization access allowed forbidden rights',
    'owner own belongs',
    'cookie session token',
    'injection malicious script xss',
    'log logs logging trace',
    'monitor measure metric measurement',
    'visitor user customer reader client',
    'idea concept goal purpose problem',
    'feature function functionality scope',
    'mvp smallest first minimal',
    'sketch draw wireframe mockup paper',
    'text content words copy wording writing',
    'placeholder lorem ipsum dummy filler',
    'heading title headline',
    'empty blank nothing',
    'loading spinner progress waiting',
    'date calendar day',
    'timezone timezone zone clock hour utc',
    'outage down unavailable offline downtime',
    'scale load traffic',
    'replica replication standby readonly',
    'rename change alter migration',
    'upgrade update',
    'diff change review',
    'step small incremental',
    'browser chrome firefox',
    'css style stylesheet',
    'html tag element markup',
    'картинка фото фотография изображение фотка снимок',
    'телефон смартфон мобильный экран',
    'сайт страница страничка',
    'медленно долго тормозит скорость быстро грузится загрузка',
    'вход войти логин авторизация залогиниться',
    'выход выйти разлогиниться',
    'регистрация аккаунт зарегистрироваться',
    'пароль',
    'взлом взломать хакер утечка украсть украденный',
    'поломка ошибка баг сломать сломался исключение',
    'исправить починить',
    'отменить откатить вернуть восстановить назад',
    'удалить стереть',
    'адрес ссылка путь url',
    'кнопка нажать клик щелчок',
    'цвет контраст серый бледный',
    'незрячий слепой доступность дальтоник',
    'клавиатура мышь мышка tab фокус',
    'шрифт буквы кегль',
    'отступ расстояние промежуток margin padding',
    'макет раскладка верстка колонка столбец ряд сетка grid flexbox',
    'центр выровнять посередине',
    'красиво оформление стиль дизайн вид',
    'форма поле заявка анкета',
    'почта письмо email',
    'домен имя адрес dns',
    'хостинг сервер выложить разместить опубликовать публикация запуск запустить',
    'сертификат https защищено безопасно опасно',
    'копия бэкап резервный восстановление',
    'база postgres sql таблица',
    'кэш кеш старый обновить',
    'дважды повтор повторить повторный',
    'оплата платеж деньги списать оплатить',
    'фоновый очередь задача',
    'проверка проверить ограничение правило',
    'апи api запрос',
    'код статус ответ',
    'помощник ии нейросеть chatgpt модель gpt ассистент',
    'промпт запрос задание просить попросить',
    'галлюцинация выдумать выдумывает придумать верить',
    'коммит версия снимок сохранить история',
    'git гит репозиторий github',
    'ключ секрет секретный токен',
    'права разрешение доступ чужой',
    'кука cookie куки токен сессия',
    'инъекция скрипт',
    'посетитель пользователь клиент читатель покупатель человек',
    'идея задача цель замысел',
    'возможность функция фича',
    'текст слова заголовок',
    'рыба lorem случайный',
    'пусто пустой',
    'тег html разметка элемент',
    'css стиль стили',
    'браузер chrome',
    'screen display viewport',
    'responsive adaptive mobile',
    'seo google search',
    'analytics statistics measure',
    'cheap free cost price',
    'choose pick select decide compare',
    'save store persist',
    'send submit post',
    'wrong invalid incorrect error',
    'message notice warning',
    'outage incident downtime',
    'optimize optimise faster performance',
    'big large huge heavy size',
    'wait timeout hang freeze stuck slow',
    'deadlock lock block',
    'id identifier',
    'currency money amount price decimal',
    'missing null empty absent omitted',
    'relation reference foreign join connect',
    'newsletter notification mail email',
    'cron schedule scheduled',
    'leak leaked exposed stolen',
    'logged login signed',
    'remember session cookie',
    'typed input field form',
    'label placeholder hint',
    'card component widget',
    'hover disabled state',
    'ship rollout deploy release update',
    'maintenance downtime online',
    'percentile average median mean p95',
    'response answer reply',
    'outdated previous old stale',
    'guess invent hallucination',
    'explain describe',
    'tiny small narrow',
    'overflow sideways horizontal scroll',
    'accept trust review verify',
    'theme appearance style look boring',
    'screenshot sketch drawing',
    'ширина экран viewport',
    'выбрать сравнить',
    'сохранить хранить',
    'отправить послать отправка',
    'неверный неправильный ошибка',
    'тяжелый большой размер вес сжать уменьшить',
    'висит зависает ждать долго',
    'связать ссылаться связь внешний',
    'горизонтальный прокрутка вбок',
    'верить доверять проверить проверять',
    'рисовать эскиз макет',
    'бесплатно дешево цена стоит',
    'вылезать шире край',
    'откатить возврат вернуть',
    'начать начало первый'
]) words CROSS JOIN LATERAL add_search_synonyms(words);

-- What is there already.
DO $$
DECLARE
    of_kind search_kind;
BEGIN
    FOREACH of_kind IN ARRAY enum_range(NULL::search_kind) LOOP
        PERFORM index_for_search(of_kind, array(SELECT id FROM searchable WHERE kind = of_kind));
    END LOOP;
END;
$$;
SELECT count_search_lexemes();
