//! The texts in each language.

/// The texts in one language.
pub(super) struct Phrases {
    pub(super) opening: &'static str,
    pub(super) found: &'static str,
    pub(super) see_also: &'static str,
    pub(super) nothing_found: &'static str,
    pub(super) closing: &'static str,
    pub(super) lesson: &'static str,
    pub(super) prompt: &'static str,
    pub(super) term: &'static str,
    pub(super) style: &'static str,
    pub(super) project: &'static str,
    pub(super) skeleton: SkeletonPhrases,
}

/// The texts of specifications and ideas that do not depend on the question.
pub(super) struct SkeletonPhrases {
    pub(super) specification: &'static str,
    pub(super) goal: &'static str,
    pub(super) goal_measure: &'static str,
    pub(super) users: &'static str,
    pub(super) users_text: &'static str,
    pub(super) scope: &'static str,
    pub(super) left_out: &'static str,
    pub(super) admin_page: &'static str,
    pub(super) screens: &'static str,
    pub(super) start_screen: &'static str,
    pub(super) error_screen: &'static str,
    pub(super) data: &'static str,
    pub(super) personal_data: &'static str,
    pub(super) rules: &'static str,
    pub(super) acceptance: &'static str,
    pub(super) checks: [&'static str; 2],
    pub(super) questions: &'static str,
    pub(super) open_questions: [&'static str; 3],
    pub(super) read_first: &'static str,
    pub(super) name: &'static str,
    pub(super) in_one_sentence: &'static str,
    pub(super) for_whom: &'static str,
    pub(super) for_whom_text: &'static str,
    pub(super) first_steps: &'static str,
    pub(super) steps: [&'static str; 3],
}

pub(super) const ENGLISH: Phrases = Phrases {
    opening: "This is the built-in library provider: no AI model is configured here, so this answer was assembled \
              by searching the platform's own content.\n\n",
    found: "This is what it says about your question:\n\n",
    see_also: "See also",
    nothing_found: "Nothing on the platform matches the words of your question. Try naming a thing or a task, \
                    such as \"form\", \"layout\" or \"deploy\", ask about one thing at a time, or look through the \
                    roadmaps and the glossary.\n",
    closing: "Start with the first one. If it is not what you meant, ask again in the words used there.\n",
    lesson: "lesson",
    prompt: "prompt",
    term: "glossary term",
    style: "style card",
    project: "project",
    skeleton: SkeletonPhrases {
        specification: "Specification",
        goal: "Goal",
        goal_measure: "It works if, a month after its launch, people complete the main action without asking you how.",
        users: "Users",
        users_text: "First: one person as the goal describes them, on a phone, in a hurry, who came from a search or a link. \
                     Then you, who answer and keep the content current.",
        scope: "In the first version",
        left_out: "Not in this version",
        admin_page: "an admin page",
        screens: "Screens",
        start_screen: "Start: what it is, for whom, and what it costs, in two lines; then the main action.",
        error_screen: "A page for addresses that do not exist, and what each screen shows when it is empty, loading or has failed.",
        data: "Data",
        personal_data: "Nothing else about people. What is no longer needed is deleted after a term that the page names.",
        rules: "Rules",
        acceptance: "Acceptance criteria",
        checks: [
            "A new visitor completes the main action on a phone without help, and with a keyboard alone.",
            "Reloading, going back and clicking twice break and duplicate nothing.",
        ],
        questions: "Open questions",
        open_questions: [
            "Which three people will try it first, and when?",
            "Who answers, and how quickly, when somebody has completed the main action?",
            "Which number or event will show after a month that it worked?",
        ],
        read_first: "Read first",
        name: "Name",
        in_one_sentence: "In one sentence",
        for_whom: "For whom",
        for_whom_text: "you and three people you can ask this week.",
        first_steps: "First steps",
        steps: [
            "Write the text of its one page, headings first, without any layout.",
            "Build that page, put it online, and watch one person use it on a phone.",
            "Repair what stopped them, and only then add the next thing.",
        ],
    },
};

pub(super) const RUSSIAN: Phrases = Phrases {
    opening: "Отвечает встроенный провайдер library: модель ИИ здесь не настроена, поэтому ответ собран поиском по \
              материалам самой платформы.\n\n",
    found: "Вот что в них сказано об этом:\n\n",
    see_also: "Смотрите также",
    nothing_found: "На платформе нет материалов с такими словами. Попробуйте назвать предмет или задачу, например \
                    «форма», «вёрстка» или «публикация», спрашивайте об одном за раз или посмотрите дорожные карты и \
                    глоссарий.\n",
    closing: "Начните с первого. Если это не то, спросите ещё раз словами, которые там встречаются.\n",
    lesson: "урок",
    prompt: "промпт",
    term: "термин",
    style: "карточка стиля",
    project: "проект",
    skeleton: SkeletonPhrases {
        specification: "Техническое задание",
        goal: "Цель",
        goal_measure: "Получилось, если через месяц после запуска люди проходят главное действие и не спрашивают, как.",
        users: "Пользователи",
        users_text: "Сначала один человек из цели: с телефона, в спешке, пришёл из поиска или по ссылке. Потом вы: \
                     отвечаете и обновляете содержимое.",
        scope: "В первой версии",
        left_out: "Не в этой версии",
        admin_page: "панель управления",
        screens: "Экраны",
        start_screen: "Начало: что это, для кого и сколько стоит, в двух строках; затем главное действие.",
        error_screen: "Страница для несуществующих адресов и вид каждого экрана, когда пусто, идёт загрузка или случилась ошибка.",
        data: "Данные",
        personal_data: "О людях больше ничего. Ненужное удаляется через срок, названный на странице.",
        rules: "Правила",
        acceptance: "Критерии приёмки",
        checks: [
            "Новый посетитель проходит главное действие с телефона без помощи и с одной клавиатуры.",
            "Перезагрузка, возврат назад и двойное нажатие ничего не ломают и не удваивают.",
        ],
        questions: "Открытые вопросы",
        open_questions: [
            "Кто эти трое, которые попробуют первыми, и когда?",
            "Кто и как быстро отвечает, когда главное действие пройдено?",
            "Какое число или событие через месяц покажет, что всё получилось?",
        ],
        read_first: "Сначала прочитайте",
        name: "Название",
        in_one_sentence: "Одной фразой",
        for_whom: "Для кого",
        for_whom_text: "для вас и трёх людей, которых можно спросить на этой неделе.",
        first_steps: "Первые шаги",
        steps: [
            "Напишите текст единственной страницы: сначала заголовки, без вёрстки.",
            "Соберите её, опубликуйте и посмотрите, как ею пользуется один человек с телефона.",
            "Исправьте то, что его остановило, и только потом добавляйте следующее.",
        ],
    },
};
