//! What one Rust file declares, imports and mentions.

use std::collections::BTreeMap;

use super::tokens::{Token, tokens};

/// The names of modules down from the crate's root.
pub(crate) type Path = Vec<String>;

/// One `use` of one name.
#[derive(Clone, Debug)]
pub(crate) struct Import {
    /// As it is written, from the module that it stands in.
    pub(crate) path: Path,
    /// What it is called here; `*` for everything.
    pub(crate) name: String,
    pub(crate) is_public: bool,
    pub(crate) line: usize,
}

/// A module: a file, or `mod name { … }` in one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Module {
    /// Children in files of their own, and whether only tests are built with them.
    pub(crate) children: BTreeMap<String, bool>,
    pub(crate) inline: BTreeMap<String, Module>,
    pub(crate) imports: Vec<Import>,
    /// Items that are defined right here.
    pub(crate) items: Vec<String>,
    /// Paths of the code, and single names that look like types.
    pub(crate) mentions: Vec<(Path, usize)>,
    /// Whether the whole file is for tests only.
    pub(crate) is_test: bool,
}

/// Reads a file.
pub(crate) fn read(text: &str) -> Module {
    let tokens = tokens(text);
    let mut parser = Parser { tokens: &tokens, at: 0 };
    parser.module()
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
}

const ITEMS: [&str; 8] = ["fn", "struct", "enum", "trait", "const", "static", "type", "union"];

impl Parser<'_> {
    fn text(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", |token| token.text.as_str())
    }

    fn line(&self) -> usize {
        self.tokens.get(self.at).map_or(0, |token| token.line)
    }

    fn is_word(&self, ahead: usize) -> bool {
        self.tokens.get(self.at + ahead).is_some_and(Token::is_word)
    }

    /// Reads up to the brace that ends the module, or to the end of the file.
    fn module(&mut self) -> Module {
        let mut module = Module::default();
        let (mut depth, mut is_test, mut is_public) = (0_usize, false, false);
        while self.at < self.tokens.len() {
            match self.text(0) {
                "#" if self.text(1) == "[" || self.text(1) == "!" && self.text(2) == "[" => {
                    let inner = self.text(1) == "!";
                    let for_tests = self.attribute();
                    module.is_test |= inner && for_tests && depth == 0;
                    is_test |= !inner && for_tests;
                    continue;
                }
                "pub" => {
                    is_public = true;
                    self.at += 1;
                    if self.text(0) == "(" && matches!(self.text(1), "crate" | "super" | "self" | "in") {
                        self.skip_group();
                    }
                    continue;
                }
                "mod" if self.is_word(1) => self.child(&mut module, is_test),
                _ if is_test => self.skip_item(),
                "use" => self.import(&mut module, is_public),
                "{" => {
                    depth += 1;
                    self.at += 1;
                }
                "}" if depth == 0 => {
                    self.at += 1;
                    return module;
                }
                "}" => {
                    depth -= 1;
                    self.at += 1;
                }
                "macro_rules" if self.text(1) == "!" && self.is_word(2) => {
                    module.items.push(self.text(2).to_owned());
                    self.at += 3;
                }
                word if ITEMS.contains(&word) && self.is_word(1) => {
                    if depth == 0 {
                        module.items.push(self.text(1).to_owned());
                    }
                    self.at += 2;
                }
                _ => self.mention(&mut module),
            }
            (is_test, is_public) = (false, false);
        }
        module
    }

    /// Skips an attribute; true if it keeps what follows for tests.
    fn attribute(&mut self) -> bool {
        while self.text(0) != "[" && self.at < self.tokens.len() {
            self.at += 1;
        }
        let begin = self.at;
        self.skip_group();
        let words: Vec<&str> = self.tokens[begin..self.at].iter().map(|token| token.text.as_str()).collect();
        words.get(1) == Some(&"cfg") && words.contains(&"test") && !words.contains(&"not")
    }

    /// `mod name;` or `mod name { … }`.
    fn child(&mut self, module: &mut Module, is_test: bool) {
        let name = self.text(1).to_owned();
        self.at += 3;
        if self.tokens[self.at - 1].text == ";" {
            module.children.insert(name, is_test);
            return;
        }
        let inside = self.module();
        if !is_test {
            module.inline.insert(name, inside);
        }
    }

    fn import(&mut self, module: &mut Module, is_public: bool) {
        self.at += 1;
        self.tree(&mut Vec::new(), module, is_public);
    }

    /// One branch of a `use`, up to the mark that ends it.
    fn tree(&mut self, prefix: &mut Path, module: &mut Module, is_public: bool) {
        let (length, line) = (prefix.len(), self.line());
        loop {
            match self.text(0) {
                "::" => self.at += 1,
                "{" => {
                    self.at += 1;
                    while !matches!(self.text(0), "}" | "") {
                        let before = self.at;
                        self.tree(prefix, module, is_public);
                        if self.text(0) == "," || self.at == before {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    break;
                }
                "*" => {
                    module.imports.push(Import { path: prefix.clone(), name: "*".into(), is_public, line });
                    self.at += 1;
                    break;
                }
                _ if self.is_word(0) && self.text(0) != "as" => {
                    // `self` in a group stands for what the group belongs to.
                    if self.text(0) != "self" || prefix.is_empty() {
                        prefix.push(self.text(0).to_owned());
                    }
                    self.at += 1;
                    if self.text(0) == "::" {
                        continue;
                    }
                    let mut name = prefix.last().cloned().unwrap_or_default();
                    if self.text(0) == "as" {
                        self.text(1).clone_into(&mut name);
                        self.at += 2;
                    }
                    module.imports.push(Import { path: prefix.clone(), name, is_public, line });
                    break;
                }
                _ => break,
            }
        }
        prefix.truncate(length);
        if matches!(self.text(0), ";") && prefix.is_empty() {
            self.at += 1;
        }
    }

    /// A path, a single name, or anything else.
    fn mention(&mut self, module: &mut Module) {
        let line = self.line();
        if !self.is_word(0) {
            // What follows `::` or `.` without a word before it is no path of ours.
            self.at += if matches!(self.text(0), "::" | ".") && self.is_word(1) { 2 } else { 1 };
            return;
        }
        let mut path = vec![self.text(0).to_owned()];
        self.at += 1;
        while self.text(0) == "::" && self.is_word(1) {
            path.push(self.text(1).to_owned());
            self.at += 2;
        }
        if path.len() > 1 || path[0].starts_with(char::is_uppercase) {
            module.mentions.push((path, line));
        }
    }

    /// Skips what stands between the bracket here and the one that closes it.
    fn skip_group(&mut self) {
        let mut depth = 0_usize;
        while self.at < self.tokens.len() {
            match self.text(0) {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    /// Skips one item, to its semicolon or past its braces.
    fn skip_item(&mut self) {
        while self.at < self.tokens.len() {
            match self.text(0) {
                ";" => {
                    self.at += 1;
                    return;
                }
                "{" => return self.skip_group(),
                "(" | "[" => self.skip_group(),
                // The end of what surrounds a field or a variant.
                "}" => return,
                _ => self.at += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Module, read};

    fn imports(module: &Module) -> Vec<String> {
        module.imports.iter().map(|import| format!("{} as {}", import.path.join("::"), import.name)).collect()
    }

    #[test]
    fn trees_of_imports_are_spread_out() {
        let module = read("use crate::{a::{self, B as C}, d::*};\npub(crate) use super::e;\nuse ::std::fmt;");
        assert_eq!(
            imports(&module),
            ["crate::a as a", "crate::a::B as C", "crate::d as *", "super::e as e", "std::fmt as fmt"]
        );
        let public: Vec<bool> = module.imports.iter().map(|import| import.is_public).collect();
        assert_eq!(public, [false, false, false, true, false]);
    }

    #[test]
    fn what_is_for_tests_is_left_out() {
        let text = "#[cfg(test)]\nmod tests { use crate::a; }\n#[cfg(test)] mod more;\n#[cfg(test)] use crate::b;\n\
                    #[cfg(test)] fn f() { crate::c::g() }\n#[cfg(not(test))] use crate::d;\nmod e;";
        let module = read(text);
        assert_eq!(imports(&module), ["crate::d as d"]);
        assert_eq!(module.children.into_iter().collect::<Vec<_>>(), [("e".into(), false), ("more".into(), true)]);
        assert!(module.mentions.is_empty() && module.inline.is_empty());
        assert!(read("#![cfg(test)]\nuse crate::a;").is_test);
    }

    #[test]
    fn paths_items_and_inline_modules_are_seen() {
        let module = read(
            "pub struct A { b: super::B }\nimpl A { fn c(&self) { self.d(crate::e::F::new()) } }\nmod g { fn h() {} }",
        );
        let mentions: Vec<String> = module.mentions.iter().map(|(path, _)| path.join("::")).collect();
        assert_eq!(mentions, ["super::B", "A", "crate::e::F::new"]);
        assert_eq!(module.items, ["A"]);
        assert_eq!(module.inline["g"].items, ["h"]);
    }
}
