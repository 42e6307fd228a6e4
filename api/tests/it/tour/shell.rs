//! Reads the shell commands of the tour: as much of a shell as the tour needs, and nothing else.

use std::collections::HashMap;
use std::iter::Peekable;
use std::str::Chars;

use poem::http::Method;
use serde_json::Value;

/// The variables of the shell.
pub(super) type Variables = HashMap<String, String>;

/// A block of commands, and the answer that is shown below it.
pub(super) struct Step {
    /// The line of the document in which the block begins.
    pub(super) line: usize,
    pub(super) commands: Vec<Command>,
    pub(super) shown: Option<String>,
}

/// A command.
pub(super) enum Command {
    Assign {
        name: String,
        value: Word,
    },
    Curl(Vec<Word>),
    /// `cargo run -- admin create`.
    CreateAdmin {
        email: String,
        first_name: String,
        password: String,
    },
    Sleep,
}

/// A word of a command, before its variables are replaced.
#[derive(Debug, Default)]
pub(super) struct Word(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(String),
    Variable(String),
    /// `$(jq -r <path> answer.json)`, as a JSON pointer.
    Answer(String),
}

impl Word {
    /// The word with its variables replaced.
    pub(super) fn text(&self, variables: &Variables, answer: &Value) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Variable(name) => variables.get(name).unwrap_or_else(|| panic!("${name} is not set")).clone(),
            Part::Answer(pointer) => match answer.pointer(pointer) {
                Some(Value::String(text)) => text.clone(),
                Some(value) if !value.is_null() => value.to_string(),
                _ => panic!("the last answer has no {pointer}: {answer:#}"),
            },
        };
        self.0.iter().map(part).collect()
    }

    /// The text of a word without variables.
    fn literal(&self) -> &str {
        match &self.0[..] {
            [Part::Text(text)] => text,
            _ => panic!("{self:?} is not a plain word"),
        }
    }
}

/// What `curl` is asked to send.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<String>,
}

impl Request {
    /// Reads the arguments of `curl`.
    pub(super) fn parse(words: &[String]) -> Self {
        let (mut method, mut path, mut headers, mut body) = (None, None, Vec::new(), None);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut next = || words.next().unwrap_or_else(|| panic!("{word} needs a value"));
            match word.as_str() {
                "-X" => method = Some(next().parse().unwrap()),
                "-H" => {
                    let (name, value) = next().split_once(": ").expect("a header has a value");
                    headers.push((name.to_owned(), value.to_owned()));
                }
                "--json" => body = Some(next().clone()),
                "--max-time" => drop(next()),
                url => {
                    let of_api = url.strip_prefix("http://127.0.0.1:8080").expect("only the API is called");
                    assert!(path.replace(of_api.to_owned()).is_none(), "{url} is the second address");
                }
            }
        }
        let default = if body.is_some() { Method::POST } else { Method::GET };
        Self { method: method.unwrap_or(default), path: path.expect("an address is called"), headers, body }
    }
}

/// The steps of a document: its blocks `sh`, each with the block `text` that follows it.
pub(super) fn steps(document: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = (1..).zip(document.lines());
    while let Some((line, text)) = lines.next() {
        let Some(language) = text.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().map(|(_, text)| text).take_while(|text| *text != "```").collect();
        let block = block.join("\n");
        match language {
            "sh" => steps.push(Step { line, commands: commands(&block), shown: None }),
            "text" => {
                let step = steps.last_mut().expect("an answer follows a call");
                assert!(step.shown.replace(block).is_none(), "line {line}: a second answer");
            }
            other => panic!("line {line}: nobody runs {other:?}"),
        }
    }
    steps
}

/// The commands of a block. How the function `curl` is defined is left out.
fn commands(block: &str) -> Vec<Command> {
    let block = match block.split_once("curl() {") {
        Some((before, _)) => before,
        None => block,
    };
    let mut chars = block.chars().peekable();
    let mut commands = Vec::new();
    while chars.peek().is_some() {
        let words = line(&mut chars);
        if !words.is_empty() {
            commands.push(command(words));
        }
    }
    commands
}

fn command(mut words: Vec<Word>) -> Command {
    if let [Word(parts)] = &mut words[..]
        && let Some(Part::Text(first)) = parts.first_mut()
        && let Some((name, rest)) = first.split_once('=')
    {
        let (name, rest) = (name.to_owned(), rest.to_owned());
        *first = rest;
        return Command::Assign { name, value: words.remove(0) };
    }
    match words[0].literal() {
        "curl" => Command::Curl(words.drain(1..).collect()),
        "sleep" => Command::Sleep,
        "cargo" => {
            let words: Vec<&str> = words.iter().map(Word::literal).collect();
            match words[..] {
                ["cargo", "run", "--", "admin", "create", "--email", email, "--first-name", name, "<<<", password] => {
                    let [email, first_name, password] = [email, name, password].map(str::to_owned);
                    Command::CreateAdmin { email, first_name, password }
                }
                _ => panic!("{words:?} is not understood"),
            }
        }
        other => panic!("{other} is not understood"),
    }
}

/// The words up to the end of the line. Quoted text may contain line breaks.
fn line(chars: &mut Peekable<Chars<'_>>) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut is_inside = false;
    while let Some(c) = chars.next() {
        match c {
            '\n' => break,
            ' ' => {
                is_inside = false;
                continue;
            }
            '#' if !is_inside => {
                let _ = chars.by_ref().take_while(|c| *c != '\n').count();
                break;
            }
            _ => {}
        }
        if !is_inside {
            words.push(Word::default());
            is_inside = true;
        }
        let Some(word) = words.last_mut() else { continue };
        match c {
            '\'' => word.0.push(Part::Text(chars.by_ref().take_while(|c| *c != '\'').collect())),
            '"' => quoted(chars, word),
            '$' => word.0.push(replaced(chars)),
            c => push(word, c),
        }
    }
    words
}

/// The rest of a text in double quotes.
fn quoted(chars: &mut Peekable<Chars<'_>>, word: &mut Word) {
    while let Some(c) = chars.next() {
        match c {
            '"' => return,
            '\\' => push(word, chars.next().expect("something is escaped")),
            '$' => word.0.push(replaced(chars)),
            c => push(word, c),
        }
    }
    panic!("a quote is not closed");
}

/// What follows a `$`.
fn replaced(chars: &mut Peekable<Chars<'_>>) -> Part {
    if chars.next_if_eq(&'(').is_some() {
        let command: String = chars.by_ref().take_while(|c| *c != ')').collect();
        let path = command.strip_prefix("jq -r ").and_then(|rest| rest.strip_suffix(" answer.json"));
        let path = path.unwrap_or_else(|| panic!("{command:?} is not understood"));
        return Part::Answer(path.trim_matches('\'').replace('[', ".").replace(']', "").replace('.', "/"));
    }
    let mut name = String::new();
    while let Some(c) = chars.next_if(|c| c.is_ascii_uppercase() || *c == '_') {
        name.push(c);
    }
    Part::Variable(name)
}

fn push(word: &mut Word, c: char) {
    match word.0.last_mut() {
        Some(Part::Text(text)) => text.push(c),
        _ => word.0.push(Part::Text(c.to_string())),
    }
}
