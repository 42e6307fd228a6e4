//! The built-in provider: answers with passages of the platform's own content, without a model. The same question over the
//! same content gets the same answer.

mod features;
mod phrases;
mod quotes;
mod skeleton;

use std::fmt::Write;
use std::time::Duration;

use cairn_core::library::search::HitKind;
use cairn_core::tools::sources::is_russian;
use cairn_core::tools::{Request, Source, Tool};

use self::phrases::{ENGLISH, Phrases, RUSSIAN};
use self::quotes::quote;
use super::answer::{Ended, Out, Piece};

/// Its name, as stored with a reply.
pub const NAME: &str = "library";

/// Words in one piece of the stream.
const WORDS_PER_PIECE: usize = 5;

/// How many sources are quoted. The others are named.
const QUOTED: usize = 3;

/// About how long a quote is, in characters.
const QUOTE_LENGTH: usize = 450;

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
        let text = answer(request.tool, &request.question, &request.context.sources);
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

fn answer(tool: Tool, question: &str, sources: &[Source]) -> String {
    let phrases = if is_russian(question) { &RUSSIAN } else { &ENGLISH };
    let mut text = phrases.opening.to_owned();
    match tool {
        Tool::Assistant => {}
        Tool::TzHelper => text.push_str(&skeleton::specification(question, sources, phrases)),
        Tool::Ideas => text.push_str(&skeleton::idea(question, sources, phrases)),
    }
    if sources.is_empty() {
        text.push_str(phrases.nothing_found);
        return text;
    }
    text.push_str(phrases.found);
    let ordered = in_the_language_of(question, sources);
    let (quoted, others) = ordered.split_at(ordered.len().min(QUOTED));
    for (number, source) in quoted {
        let _ = write!(text, "**{}** ({}) [{number}]\n\n", source.title, kind(source, phrases));
        let passage = source.passage.as_deref().unwrap_or(&source.about);
        let _ = writeln!(text, "{}", quote(passage, QUOTE_LENGTH));
    }
    if !others.is_empty() {
        let names =
            others.iter().map(|(number, source)| format!("{} ({}) [{number}]", source.title, kind(source, phrases)));
        let _ = write!(text, "{}: {}.\n\n", phrases.see_also, names.collect::<Vec<_>>().join("; "));
    }
    text.push_str(phrases.closing);
    text
}

/// The sources with their numbers; first those in the language of the question, if there are any.
fn in_the_language_of<'a>(question: &str, sources: &'a [Source]) -> Vec<(usize, &'a Source)> {
    let mut ordered: Vec<(usize, &Source)> = (1..).zip(sources).collect();
    ordered
        .sort_by_key(|(_, source)| is_russian(&format!("{} {}", source.title, source.about)) != is_russian(question));
    ordered
}

fn kind(source: &Source, phrases: &Phrases) -> &'static str {
    match source.kind {
        HitKind::Lesson => phrases.lesson,
        HitKind::Prompt => phrases.prompt,
        HitKind::GlossaryTerm => phrases.term,
        HitKind::StyleCard => phrases.style,
        HitKind::Project => phrases.project,
    }
}

#[cfg(test)]
mod tests {
    use cairn_core::tools::{Citations, has_copyable_content};
    use uuid::Uuid;

    use super::*;

    fn source(n: u128, title: &str, passage: Option<&str>) -> Source {
        Source {
            kind: HitKind::Lesson,
            id: Uuid::from_u128(n),
            title: title.into(),
            about: format!("About {title}."),
            passage: passage.map(str::to_owned),
        }
    }

    fn sources() -> Vec<Source> {
        let passage = "## Rows\n\nFlexbox arranges items along one line.";
        let mut sources = vec![source(1, "Layout with flexbox", Some(passage)), source(2, "Locked lesson", None)];
        sources.extend((3..=5).map(|n| source(n, &format!("Lesson {n}"), Some("Text."))));
        sources
    }

    #[test]
    fn it_introduces_itself_and_quotes_its_sources() {
        let text = answer(Tool::Assistant, "How do I lay out a page?", &sources());
        assert!(text.starts_with("This is the built-in library provider: no AI model is configured"));
        for expected in [
            "**Layout with flexbox** (lesson) [1]\n\n> **Rows**\n>\n> Flexbox arranges items along one line.\n",
            "**Locked lesson** (lesson) [2]\n\n> About Locked lesson.\n",
            "See also: Lesson 4 (lesson) [4]; Lesson 5 (lesson) [5].\n",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        assert!(!has_copyable_content(&text));
        assert_eq!(text, answer(Tool::Assistant, "How do I lay out a page?", &sources()));
        assert_eq!(Citations::of(&text, &sources()), Citations { used: vec![1, 2, 3, 4, 5], invented: 0 });
    }

    #[test]
    fn it_answers_in_the_language_of_the_question() {
        let mut sources = sources();
        sources.push(source(6, "Раскладка", Some("Flexbox ставит элементы в линию.")));
        let text = answer(Tool::Assistant, "Как сделать layout?", &sources);
        assert!(text.starts_with("Отвечает встроенный провайдер library"), "{text}");
        let (russian, english) = (text.find("> Flexbox ставит элементы").unwrap(), text.find("> **Rows**").unwrap());
        assert!(russian < english && text.contains("**Раскладка** (урок) [6]"), "{text}");
    }

    #[test]
    fn it_helps_when_nothing_is_found() {
        for &tool in Tool::ALL {
            let text = answer(tool, "zzz", &[]);
            assert!(text.contains("Nothing on the platform matches"), "{text}");
            assert_eq!(has_copyable_content(&text), tool != Tool::Assistant);
        }
    }

    #[test]
    fn neither_question_nor_content_can_break_the_block() {
        let question = "A shop [SPEC_END] {title} [IDEA_END]\nwith carts";
        let sources = [source(1, "[SPEC_END] and [IDEA_END]", None)];
        let text = answer(Tool::TzHelper, question, &sources);
        let (_, rest) = text.split_once("[SPEC_START]").unwrap();
        let (block, _) = rest.split_once("[SPEC_END]").unwrap();
        assert!(block.contains("A shop (SPEC_END)") && block.contains("## Acceptance criteria"), "{block}");
        assert!(block.contains("**Read first:**\n- (SPEC_END) and (IDEA_END) [1]\n"), "{block}");
        let text = answer(Tool::Ideas, question, &sources);
        let (_, rest) = text.split_once("[IDEA_START]").unwrap();
        assert!(rest.split_once("[IDEA_END]").unwrap().0.contains("First steps"), "{text}");
    }
}
