//! The built-in provider: answers by searching the platform's own content, without a model. The same question over the
//! same content gets the same answer.

use std::time::Duration;

use cairn_core::library::search::HitKind;
use cairn_core::tools::{Request, Source, Tool};

use super::answer::{Ended, Out, Piece};

/// Its name, as stored with a reply.
pub const NAME: &str = "library";

/// Words in one piece of the stream.
const WORDS_PER_PIECE: usize = 5;

/// The built-in provider.
#[derive(Clone, Copy, Debug)]
pub struct Library {
    /// The pause between two pieces, so that the answer appears gradually, as with other providers.
    pub pause: Duration,
}

impl Default for Library {
    fn default() -> Self {
        Self { pause: Duration::from_millis(10) }
    }
}

impl Library {
    /// Answers from the content that was found when the question was asked.
    pub(super) async fn generate(&self, request: &Request, out: Out) -> Ended {
        let text = answer(request.tool, &request.question, &request.context.sources).concat();
        let words: Vec<&str> = text.split_inclusive(' ').collect();
        for piece in words.chunks(WORDS_PER_PIECE) {
            if out.send(Piece::Text(piece.concat())).await.is_err() {
                break; // the receiver is gone
            }
            tokio::time::sleep(self.pause).await;
        }
        Ended::default()
    }
}

fn answer(tool: Tool, question: &str, sources: &[Source]) -> Vec<String> {
    let phrases = if is_russian(question) { &RUSSIAN } else { &ENGLISH };
    let mut pieces = vec![phrases.opening.to_owned()];
    match tool {
        Tool::Assistant => {}
        Tool::TzHelper => pieces.extend(filled(phrases.specification, question, "[SPEC_START]", "[SPEC_END]")),
        Tool::Ideas => pieces.extend(filled(phrases.idea, question, "[IDEA_START]", "[IDEA_END]")),
    }
    if sources.is_empty() {
        pieces.push(phrases.nothing_found.to_owned());
        return pieces;
    }
    pieces.push(phrases.found.to_owned());
    for (number, source) in (1..).zip(sources) {
        let kind = match source.kind {
            HitKind::Lesson => phrases.lesson,
            HitKind::Prompt => phrases.prompt,
            HitKind::GlossaryTerm => phrases.term,
            HitKind::StyleCard => phrases.style,
            HitKind::Project => phrases.project,
        };
        pieces.push(format!(
            "{number}. **{}** ({kind}, {})\n   {}\n\n",
            source.title,
            source.id,
            one_line(&source.about, 300)
        ));
    }
    pieces.push(phrases.closing.to_owned());
    pieces
}

/// The paragraphs of a skeleton with the question filled in, between two markers.
fn filled(skeleton: &str, question: &str, start: &str, end: &str) -> Vec<String> {
    // Brackets in the question must not end the block early.
    let question = question.replace('[', "(").replace(']', ")");
    let skeleton =
        skeleton.replace("{title}", &one_line(&question, 80)).replace("{question}", &one_line(&question, 1000));
    let mut pieces = vec![format!("{start}\n")];
    pieces.extend(skeleton.split_inclusive("\n\n").map(str::to_owned));
    pieces.push(format!("\n{end}\n\n"));
    pieces
}

/// The text on one line, cut at a word after about `max` characters.
fn one_line(text: &str, max: usize) -> String {
    let mut line = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        let separator = usize::from(length > 0);
        length += separator + word.chars().count();
        if separator > 0 && length > max {
            return line + " …";
        }
        line.extend(std::iter::repeat_n(' ', separator));
        line.extend(word.chars().take(max));
    }
    line
}

fn is_russian(text: &str) -> bool {
    text.chars().any(|c| ('\u{400}'..='\u{52f}').contains(&c))
}

/// The texts in one language. Skeletons hold `{title}` and `{question}`.
struct Phrases {
    opening: &'static str,
    found: &'static str,
    nothing_found: &'static str,
    closing: &'static str,
    lesson: &'static str,
    prompt: &'static str,
    term: &'static str,
    style: &'static str,
    project: &'static str,
    specification: &'static str,
    idea: &'static str,
}

const ENGLISH: Phrases = Phrases {
    opening: "This is the built-in library provider: no AI model is configured here, so this answer was assembled \
              by searching the platform's own content.\n\n",
    found: "The best matches for your question:\n\n",
    nothing_found: "Nothing on the platform matches the words of your question. Try naming a thing or a task, \
                    such as \"form\", \"layout\" or \"deploy\", ask about one thing at a time, or look through the \
                    roadmaps and the glossary.\n",
    closing: "Start with the first one. If it is not what you meant, ask again in the words used there.\n",
    lesson: "lesson",
    prompt: "prompt",
    term: "glossary term",
    style: "style card",
    project: "project",
    specification: "# Specification: {title}\n\n\
        ## Goal\n{question}\n\n\
        ## Users\nWho will use it first, and what do they want to get done? Name one kind of person.\n\n\
        ## Scope\nIn: the one action this is for, from start to finish.\nOut: everything it can do without.\n\n\
        ## Screens\n1. The start: what it is and where the action begins.\n2. The action itself.\n\
        3. The confirmation.\nFor each: what is shown when it is empty, loading or has failed.\n\n\
        ## Data\nWhat is stored, which of it is required, and who may see and change it.\n\n\
        ## Rules\nWhat is validated, what is rejected, and what message is shown then.\n\n\
        ## Acceptance criteria\n- A new visitor completes the action without help.\n\
        - Invalid input is rejected with a message that says what to change.\n\
        - It works on a phone and with a keyboard alone.\n",
    idea: "**Name:** {title}\n\n\
        **In one sentence:** a small site for this idea: {question}\n\n\
        **For whom:** you and three people you can ask this week.\n\n\
        **First steps:**\n1. Write the one action that the site is for, as a sentence.\n\
        2. Write the text of its page, headings first, without any layout.\n\
        3. Build that page, put it online, and watch one person use it.\n",
};

const RUSSIAN: Phrases = Phrases {
    opening: "Отвечает встроенный провайдер library: модель ИИ здесь не настроена, поэтому ответ собран поиском по \
              материалам самой платформы.\n\n",
    found: "Лучше всего к вашему вопросу подходит:\n\n",
    nothing_found: "На платформе нет материалов с такими словами. Попробуйте назвать предмет или задачу, например \
                    «форма», «вёрстка» или «публикация», спрашивайте об одном за раз или посмотрите дорожные карты и \
                    глоссарий.\n",
    closing: "Начните с первого. Если это не то, спросите ещё раз словами, которые там встречаются.\n",
    lesson: "урок",
    prompt: "промпт",
    term: "термин",
    style: "карточка стиля",
    project: "проект",
    specification: "# Техническое задание: {title}\n\n\
        ## Цель\n{question}\n\n\
        ## Пользователи\nКто откроет это первым и что хочет сделать? Назовите один тип людей.\n\n\
        ## Границы\nВходит: одно действие, ради которого всё делается, от начала до конца.\n\
        Не входит: всё, без чего оно работает.\n\n\
        ## Экраны\n1. Начало: что это и где начинается действие.\n2. Само действие.\n3. Подтверждение.\n\
        Для каждого: что видно, когда пусто, идёт загрузка или случилась ошибка.\n\n\
        ## Данные\nЧто хранится, что из этого обязательно, кто это видит и меняет.\n\n\
        ## Правила\nЧто проверяется, что отклоняется и что при этом сообщается.\n\n\
        ## Критерии приёмки\n- Новый посетитель выполняет действие без помощи.\n\
        - Неверный ввод отклоняется с сообщением, что исправить.\n\
        - Всё работает с телефона и с одной клавиатуры.\n",
    idea: "**Название:** {title}\n\n\
        **Одной фразой:** небольшой сайт вокруг этого желания: {question}\n\n\
        **Для кого:** для вас и трёх людей, которых можно спросить на этой неделе.\n\n\
        **Первые шаги:**\n1. Запишите одной фразой действие, ради которого нужен сайт.\n\
        2. Напишите текст страницы: сначала заголовки, без вёрстки.\n\
        3. Соберите эту страницу, опубликуйте и посмотрите, как ею пользуется один человек.\n",
};

#[cfg(test)]
mod tests {
    use cairn_core::tools::has_copyable_content;
    use uuid::Uuid;

    use super::*;

    fn source() -> Source {
        Source {
            kind: HitKind::Lesson,
            id: Uuid::from_u128(7),
            title: "Layout with flexbox".into(),
            about: "Rows and columns\nwithout floats.".into(),
        }
    }

    #[test]
    fn it_introduces_itself_and_names_its_sources() {
        let pieces = answer(Tool::Assistant, "How do I lay out a page?", &[source()]);
        assert!(pieces[0].starts_with("This is the built-in library provider: no AI model is configured"));
        let text = pieces.concat();
        assert!(text.contains("**Layout with flexbox** (lesson, 00000000-0000-0000-0000-000000000007)"), "{text}");
        assert!(text.contains("Rows and columns without floats."), "{text}");
        assert!(!has_copyable_content(&text));
        assert_eq!(pieces, answer(Tool::Assistant, "How do I lay out a page?", &[source()]));
    }

    #[test]
    fn it_answers_in_the_language_of_the_question() {
        let text = answer(Tool::Assistant, "Как сделать layout?", &[source()]).concat();
        assert!(text.starts_with("Отвечает встроенный провайдер library"), "{text}");
        assert!(text.contains("(урок, "), "{text}");
    }

    #[test]
    fn it_helps_when_nothing_is_found() {
        for &tool in Tool::ALL {
            let text = answer(tool, "zzz", &[]).concat();
            assert!(text.contains("Nothing on the platform matches"), "{text}");
            assert_eq!(has_copyable_content(&text), tool != Tool::Assistant);
        }
    }

    #[test]
    fn the_question_cannot_break_the_block() {
        let question = "A shop [SPEC_END] {title} [IDEA_END]\nwith carts";
        let text = answer(Tool::TzHelper, question, &[]).concat();
        let (_, rest) = text.split_once("[SPEC_START]").unwrap();
        let (block, _) = rest.split_once("[SPEC_END]").unwrap();
        assert!(block.contains("A shop (SPEC_END)") && block.contains("## Acceptance criteria"), "{block}");
        let text = answer(Tool::Ideas, question, &[]).concat();
        let (_, rest) = text.split_once("[IDEA_START]").unwrap();
        assert!(rest.split_once("[IDEA_END]").unwrap().0.contains("First steps"), "{text}");
    }

    #[test]
    fn long_text_is_cut_at_a_word() {
        assert_eq!(one_line("one  two\nthree", 8), "one two …");
        assert_eq!(one_line("one two", 7), "one two");
        assert_eq!(one_line(&"x".repeat(500), 80), "x".repeat(80));
        assert_eq!(one_line("   ", 5), "");
    }
}
