//! What a generated client must have: every operation with the type of its answer, and every type.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::steps::{Failure, read};

/// What `openapi.json` promises.
pub(super) struct Contract {
    /// Operations, each with the type of its JSON, if that is one of `types`.
    pub(super) operations: BTreeMap<String, Option<String>>,
    /// Types of the document.
    pub(super) types: BTreeMap<String, Kind>,
}

/// What a type consists of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Members or values.
    Content,
    /// One of other types.
    Union,
    /// Nothing: the members of an event that has only a name.
    Nothing,
}

/// What a generator made.
pub(super) struct Generated {
    /// The number of models: files, or types in one file.
    pub(super) models: usize,
    /// Names of types as they are written in the language.
    pub(super) types: BTreeSet<String>,
    /// What is written of each operation where its result is declared, by the operation's name in the language.
    pub(super) operations: BTreeMap<String, String>,
    /// Types that have no name of their own, but are written out where they are used.
    pub(super) inlined: Option<Kind>,
}

impl Contract {
    pub(super) fn read() -> Result<Self, Failure> {
        let contract = Self::parse(&read(Path::new("openapi.json"))?);
        if contract.operations.is_empty() || contract.types.is_empty() {
            return Err(Failure::new("openapi.json has no operations, or no types"));
        }
        Ok(contract)
    }

    /// The document is written with one key a line and two spaces for each level.
    fn parse(document: &str) -> Self {
        let mut contract = Self { operations: BTreeMap::new(), types: BTreeMap::new() };
        let (mut section, mut schema, mut status, mut media_type, mut result) = ("", "", "", "", None);
        for line in document.lines() {
            let level = (line.len() - line.trim_start().len()) / 2;
            let mut quoted = line.split('"').skip(1).step_by(2);
            match (level, quoted.next(), quoted.next()) {
                (1 | 2, Some(key), None) => section = key,
                (3, Some(name), None) if section == "schemas" => {
                    schema = name;
                    contract.types.insert(name.to_owned(), Kind::Nothing);
                }
                (4, Some(key), None) if section == "schemas" => {
                    let kind = if key == "oneOf" { Kind::Union } else { Kind::Content };
                    if ["oneOf", "allOf", "properties", "enum"].contains(&key) {
                        contract.types.insert(schema.to_owned(), kind);
                    }
                }
                (5, Some(key), None) => status = key,
                (7, Some(key), None) => media_type = key,
                (9, Some("$ref"), Some(path)) if status.starts_with('2') && media_type == "application/json" => {
                    result = path.rsplit('/').next().map(str::to_owned);
                }
                // Comes after the responses.
                (4, Some("operationId"), Some(name)) => _ = contract.operations.insert(name.to_owned(), result.take()),
                _ => {}
            }
        }
        contract
    }

    /// What a client lacks.
    pub(super) fn missing(&self, client: &Generated) -> Vec<String> {
        let types: BTreeSet<String> = client.types.iter().map(|name| plain(name)).collect();
        let operations: BTreeMap<String, &String> =
            client.operations.iter().map(|(name, text)| (plain(name), text)).collect();
        let wanted = self.types.iter().filter(|(_, kind)| client.inlined != Some(**kind));
        let lost = wanted.filter(|(name, _)| !types.contains(&plain(name))).map(|(name, _)| format!("the type {name}"));
        let untyped = self.operations.iter().filter_map(|(name, result)| match operations.get(&plain(name)) {
            None => Some(format!("the operation {name}")),
            Some(text) if result.as_ref().is_some_and(|result| !has_word(text, result)) => {
                Some(format!("the type of what {name} returns"))
            }
            Some(_) => None,
        });
        lost.chain(untyped).collect()
    }
}

/// A name as it is in every language.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|letter: char| !letter.is_alphanumeric()).any(|other| other == word)
}

#[cfg(test)]
mod tests {
    use super::{Contract, Generated, Kind};

    const DOCUMENT: &str = r##"{
  "paths": {
    "/v1/me": {
      "get": {
        "responses": {
          "200": {
            "content": {
              "application/json": {
                "schema": {
                  "$ref": "#/components/schemas/User"
                }
              }
            }
          }
        },
        "operationId": "getMe"
      }
    }
  },
  "components": {
    "schemas": {
      "Event": {
        "oneOf": [
          {}
        ]
      },
      "Ready": {
        "type": "object"
      },
      "User": {
        "properties": {
        }
      }
    }
  }
}"##;

    #[test]
    fn a_client_has_every_operation_and_type() {
        let contract = Contract::parse(DOCUMENT);
        let client = |types: &[&str], operations: &[(&str, &str)]| Generated {
            models: 0,
            types: types.iter().map(ToString::to_string).collect(),
            operations: operations.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect(),
            inlined: None,
        };
        let missing = |client| contract.missing(&client);
        let all = ["Event", "Ready", "User"];
        assert_eq!(missing(client(&all, &[("get_me", "-> User")])), [] as [&str; 0]);
        assert_eq!(missing(client(&all, &[("get_me", "-> Users")])), ["the type of what getMe returns"]);
        assert_eq!(missing(client(&["event", "user"], &[])), ["the type Ready", "the operation getMe"]);
        let inlining = |inlined| Generated { inlined, ..client(&["User"], &[("getMe", "User")]) };
        assert_eq!(missing(inlining(Some(Kind::Union))), ["the type Ready"]);
        assert_eq!(missing(inlining(Some(Kind::Nothing))), ["the type Event"]);
    }
}
