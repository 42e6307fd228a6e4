//! The words of a Rust file, without comments and literals. Enough to find paths; the compiler does the rest.

/// A word or a punctuation mark, and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

impl Token {
    /// Whether this is an identifier or a keyword.
    pub(crate) fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// Splits a file into tokens. `::` is one token, every other mark is one for itself.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut reader = Reader { rest: text, line: 1 };
    let mut tokens = Vec::new();
    while let Some(first) = reader.rest.chars().next() {
        let line = reader.line;
        if reader.skip_comment() || reader.skip_literal() {
            continue;
        }
        if first.is_alphabetic() || first == '_' {
            let word = reader.take_while(|c| c.is_alphanumeric() || c == '_');
            // A raw identifier (`r#type`) is the identifier.
            if word == "r" && reader.rest.starts_with('#') {
                reader.advance(1);
                continue;
            }
            tokens.push(Token { text: word.to_owned(), line });
        } else if first.is_ascii_digit() {
            reader.take_while(|c| c.is_alphanumeric() || c == '_');
        } else {
            let mark = if reader.rest.starts_with("::") { "::" } else { &reader.rest[..first.len_utf8()] };
            if !first.is_whitespace() {
                tokens.push(Token { text: mark.to_owned(), line });
            }
            reader.advance(mark.len());
        }
    }
    tokens
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Reader<'a> {
    fn advance(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes.min(self.rest.len()));
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        self.advance(self.rest.find(|c| !keep(c)).unwrap_or(self.rest.len()))
    }

    fn skip_comment(&mut self) -> bool {
        if self.rest.starts_with("//") {
            self.take_while(|c| c != '\n');
            return true;
        }
        if !self.rest.starts_with("/*") {
            return false;
        }
        let mut depth = 0;
        loop {
            let (step, change) = match self.rest.as_bytes() {
                [b'/', b'*', ..] => (2, 1),
                [b'*', b'/', ..] => (2, -1),
                [] => return true,
                _ => (self.rest.chars().next().map_or(1, char::len_utf8), 0),
            };
            self.advance(step);
            depth += change;
            if depth == 0 {
                return true;
            }
        }
    }

    /// Skips a string, byte string, raw string or character. A lifetime is skipped like a character: it is no path.
    fn skip_literal(&mut self) -> bool {
        let prefix = self.rest.len() - self.rest.trim_start_matches(['b', 'c', 'r']).len();
        let after = &self.rest[prefix..];
        let hashes = after.len() - after.trim_start_matches('#').len();
        if prefix <= 2 && self.rest[..prefix].contains('r') && after[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = prefix + hashes + 1;
            let length = self.rest[body..].find(&end).map_or(self.rest.len(), |at| body + at + end.len());
            self.advance(length);
            return true;
        }
        if prefix <= 1 && after.starts_with('"') {
            self.advance(prefix + 1);
            self.skip_to('"');
            return true;
        }
        if prefix <= 1 && after.starts_with('\'') {
            let mut inside = after[1..].chars();
            let (first, second) = (inside.next(), inside.next());
            self.advance(prefix + 1);
            if first == Some('\\') || second == Some('\'') {
                self.skip_to('\'');
            } else {
                self.take_while(|c| c.is_alphanumeric() || c == '_');
            }
            return true;
        }
        false
    }

    fn skip_to(&mut self, end: char) {
        while let Some(c) = self.rest.chars().next() {
            self.advance(c.len_utf8());
            if c == '\\' {
                self.advance(self.rest.chars().next().map_or(0, char::len_utf8));
            } else if c == end {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::tokens;

    fn words(text: &str) -> Vec<String> {
        tokens(text).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_literals_are_left_out() {
        assert_eq!(words("a // crate::b\n/* c /* d */ */ e"), ["a", "e"]);
        assert_eq!(words(r##"f("crate::\"x", r#"y"z"#, b"q", 'c', '\'', '"') g"##).join(" "), "f ( , , , , , ) g");
        assert_eq!(words("fn h<'a>(x: &'a str)").join(" "), "fn h < > ( x : & str )");
        assert_eq!(words("r#type::bar 1_000u32").join(" "), "type :: bar");
    }

    #[test]
    fn lines_are_counted_through_literals() {
        let found = tokens("\"a\nb\"\n/*\n*/ here");
        assert_eq!((found[0].text.as_str(), found[0].line), ("here", 4));
    }
}
