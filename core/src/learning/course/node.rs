//! Reading YAML (and so JSON) into a tree in which every node has its position in the file.

use std::fmt;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_saphyr::{DuplicateKeyPolicy, Location, MergeKeyPolicy, MessageFormatter, Spanned};

use crate::schema::{Duplicates, Json, number, push};

/// The maximum length of a document, in bytes.
pub(super) const MAX_BYTES: usize = 10_000_000;
/// The maximum nesting depth; a course needs 9.
const MAX_DEPTH: usize = 32;
/// The maximum number of values in a document. Objects, lists, texts and numbers each count as one.
const MAX_NODES: usize = 1_000_000;

/// A problem in a document and its position. Lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
    /// What is wrong, on one line.
    pub message: String,
}

impl Problem {
    /// Formats the problem as `file:line:column: message`, which terminals and editors turn into a link.
    pub fn in_file(&self, file: &str) -> String {
        format!("{file}:{self}")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

/// A position in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    line: u64,
    column: u64,
}

impl At {
    const START: Self = Self { line: 1, column: 1 };

    pub(super) fn line(self) -> u64 {
        self.line
    }

    /// Creates a problem at this position.
    pub(super) fn problem(self, message: impl Into<String>) -> Problem {
        Problem { line: self.line, column: self.column, message: message.into() }
    }
}

impl From<Location> for At {
    fn from(location: Location) -> Self {
        if location == Location::UNKNOWN {
            return Self::START;
        }
        Self { line: location.line(), column: location.column() }
    }
}

/// A value and its position.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    /// The entries in the order of the file, including those with repeated keys.
    Object(Vec<(Key, Node)>),
}

#[derive(Debug)]
pub(super) struct Key {
    pub(super) at: At,
    pub(super) name: String,
}

impl Node {
    /// The value under a key of an object.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Value::Object(entries) = &self.value else { return None };
        entries.iter().find(|(k, _)| k.name == key).map(|(_, node)| node)
    }

    /// The items of the list under a key; empty if there is no such list.
    pub(super) fn items(&self, key: &str) -> &[Self] {
        match self.get(key).map(|node| &node.value) {
            Some(Value::List(items)) => items,
            _ => &[],
        }
    }

    /// The text under a key.
    pub(super) fn text(&self, key: &str) -> Option<(&str, At)> {
        let node = self.get(key)?;
        match &node.value {
            Value::Text(text) => Some((text, node.at)),
            _ => None,
        }
    }

    /// The same document without positions.
    pub(super) fn to_json(&self) -> Json {
        let mut json = Json::default();
        json.value = self.value_at(&mut String::new(), &mut json.duplicates);
        json
    }

    /// `pointer`, which leads here, grows and shrinks on the way: one for each value would take more time than the document
    /// is long, as often as it has values.
    fn value_at(&self, pointer: &mut String, duplicates: &mut Duplicates) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Integer(value) => (*value).into(),
            Value::Float(value) => number(*value),
            Value::Text(value) => value.as_str().into(),
            Value::List(items) => {
                let mut value_of = |(index, item): (usize, &Self)| {
                    let length = push(pointer, &index.to_string());
                    let value = item.value_at(pointer, duplicates);
                    pointer.truncate(length);
                    value
                };
                items.iter().enumerate().map(&mut value_of).collect()
            }
            Value::Object(entries) => {
                let mut object = serde_json::Map::new();
                for (key, node) in entries {
                    let length = push(pointer, &key.name);
                    let value = node.value_at(pointer, duplicates);
                    if object.insert(key.name.clone(), value).is_some() {
                        duplicates.add(pointer);
                    }
                    pointer.truncate(length);
                }
                object.into()
            }
        }
    }

    /// Finds the value that a pointer refers to, the position of its key, and its name in messages. If the key is
    /// repeated, that is the last value; if it is missing, the object that lacks it.
    pub(super) fn locate(&self, pointer: &str) -> Located {
        let (mut node, mut key, mut name) = (self, self.at, "the document".to_owned());
        for segment in pointer.split('/').skip(1) {
            let segment = segment.replace("~1", "/").replace("~0", "~");
            match &node.value {
                Value::Object(entries) => {
                    let entry = entries.iter().rfind(|(key, _)| key.name == segment);
                    key = entry.map_or(node.at, |(key, _)| key.at);
                    node = entry.map_or(node, |(_, node)| node);
                    name = segment;
                }
                Value::List(items) => {
                    node = segment.parse().ok().and_then(|index: usize| items.get(index)).unwrap_or(node);
                    key = node.at;
                    name = format!("an item of {name}");
                }
                _ => {}
            }
        }
        Located { at: node.at, key, name }
    }
}

/// What a pointer refers to.
pub(super) struct Located {
    pub(super) at: At,
    pub(super) key: At,
    pub(super) name: String,
}

impl From<&serde_json::Value> for Node {
    fn from(json: &serde_json::Value) -> Self {
        let value = match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Bool(*value),
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(integer), _) => Value::Integer(integer),
                (None, float) => Value::Float(float.unwrap_or_default()),
            },
            serde_json::Value::String(text) => Value::Text(text.clone()),
            serde_json::Value::Array(items) => Value::List(items.iter().map(Self::from).collect()),
            serde_json::Value::Object(members) => Value::Object(
                members
                    .iter()
                    .map(|(name, member)| (Key { at: At::START, name: name.clone() }, Self::from(member)))
                    .collect(),
            ),
        };
        Self { at: At::START, value }
    }
}

/// Reads a document as JSON; `None` if it is not an object of JSON, or too large.
pub(super) fn read_json(text: &str) -> Option<Json> {
    let is_object = text.trim_start().starts_with('{');
    (is_object && text.len() <= MAX_BYTES).then(|| Json::parse_up_to(text.as_bytes(), MAX_NODES).ok()).flatten()
}

/// Reads a document. The parser stops at the first syntax error, so there is only one problem.
pub(super) fn read(text: &str) -> Result<Node, Problem> {
    if text.len() > MAX_BYTES {
        let length = text.len();
        return Err(At::START.problem(format!("the document is {length} bytes long; at most {MAX_BYTES} are allowed")));
    }
    let options = serde_saphyr::options! {
        // The schema check reports them together with all other problems.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        // Anchors and aliases make small files huge, and JSON has none.
        merge_keys: MergeKeyPolicy::AsOrdinary,
        budget: serde_saphyr::budget! {
            max_anchors: 0,
            max_aliases: 0,
            max_depth: MAX_DEPTH,
            max_documents: 1,
            max_events: 4 * MAX_NODES,
            max_nodes: MAX_NODES,
        },
        strict_booleans: true,
        emit_comments: false,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| syntax_problem(&error))
}

fn syntax_problem(error: &serde_saphyr::Error) -> Problem {
    use serde_saphyr::budget::BudgetBreach;
    let at = error.location().map_or(At::START, At::from);
    let error = error.without_snippet();
    match error {
        serde_saphyr::Error::MultipleDocuments { .. } => at.problem("only one document is allowed: remove the `---`"),
        serde_saphyr::Error::UnknownAnchor { .. } => {
            at.problem("anchors and aliases are not supported: write the value out")
        }
        serde_saphyr::Error::Budget { breach, .. } => at.problem(match breach {
            BudgetBreach::Anchors { .. } | BudgetBreach::Aliases { .. } => {
                "anchors and aliases are not supported: write the value out".to_owned()
            }
            BudgetBreach::Documents { .. } => "only one document is allowed: remove the `---`".to_owned(),
            BudgetBreach::Depth { .. } => format!("nested too deeply: at most {MAX_DEPTH} levels are allowed"),
            BudgetBreach::Nodes { .. } | BudgetBreach::Events { .. } => format!("more than {MAX_NODES} values"),
            breach => format!("too large to read: {breach:?}"),
        }),
        error => {
            let message = serde_saphyr::DefaultMessageFormatter.format_message(error);
            let message = message.replace(char::is_control, " ");
            at.problem(format!("not readable as YAML or JSON: {message}"))
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { at: spanned.defined.into(), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        // No number in a course comes close to the limit, so one that does not fit is too large in any case.
        Ok(Value::Integer(i64::try_from(value).unwrap_or(i64::MAX)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            object.push((Key { at: key.defined.into(), name: key.value }, entries.next_value()?));
        }
        Ok(Value::Object(object))
    }
}
