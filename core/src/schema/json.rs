//! Reading JSON text without losing what a plain JSON value cannot hold: repeated members.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::fault::{Fault, FaultCode, MAX_FAULTS, push};

/// Deepest nesting of JSON text.
const MAX_DEPTH: usize = 64;
/// Most values in one JSON text: objects, arrays, strings, numbers and so on.
const MAX_VALUES: usize = 10_000;

/// A JSON value as it was written.
#[derive(Clone, Debug, Default)]
pub struct Json {
    /// The value; of a member that is repeated, the last.
    pub value: Value,
    /// Which members are repeated.
    pub duplicates: Duplicates,
}

/// Pointers to members that are repeated, each once: at most [`MAX_FAULTS`] of them, because more are not listed, and a
/// document can have as many as it has members, with pointers as long as itself.
#[derive(Clone, Debug, Default)]
pub struct Duplicates(Vec<String>);

impl Duplicates {
    /// Notes a member that is there again.
    pub(crate) fn add(&mut self, pointer: &str) {
        if self.0.len() < MAX_FAULTS && !self.0.iter().any(|known| known == pointer) {
            self.0.push(pointer.to_owned());
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// Why a text could not be read.
#[derive(Debug)]
pub enum Unreadable {
    /// It is not JSON.
    Syntax(serde_json::Error),
    /// It is JSON with something in it that is not read.
    Refused(Fault),
}

impl Json {
    /// Reads JSON text. Reading ends early at what is nested too deeply, at too many values, and at a number that does
    /// not fit 64 bits.
    pub fn parse(text: &[u8]) -> Result<Self, Unreadable> {
        Self::parse_up_to(text, MAX_VALUES)
    }

    /// The same with another limit of the number of values.
    pub(crate) fn parse_up_to(text: &[u8], max_values: usize) -> Result<Self, Unreadable> {
        let mut reader = Reader { max_values, ..Reader::default() };
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        let read = (&mut reader).deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
        match (read, reader.refused) {
            (Ok(value), _) => Ok(Self { value, duplicates: reader.duplicates }),
            (Err(_), Some(fault)) => Err(Unreadable::Refused(fault)),
            (Err(error), None) => Err(match number_before(text, &error) {
                Some(number) if number == f64::INFINITY => Unreadable::Refused(Fault {
                    pointer: reader.pointer,
                    code: FaultCode::TooLarge,
                    message: format!("At most {:e} is allowed.", f64::MAX),
                }),
                Some(number) if number == f64::NEG_INFINITY => Unreadable::Refused(Fault {
                    pointer: reader.pointer,
                    code: FaultCode::TooSmall,
                    message: format!("At least {:e} is expected.", f64::MIN),
                }),
                _ => Unreadable::Syntax(error),
            }),
        }
    }
}

/// The number that ends where reading failed. The error itself says only in words that a number was the reason.
fn number_before(text: &[u8], error: &serde_json::Error) -> Option<f64> {
    let start_of_line = text.split_inclusive(|byte| *byte == b'\n').take(error.line().checked_sub(1)?).map(<[u8]>::len);
    let end = start_of_line.sum::<usize>() + error.column();
    let text = text.get(..end)?;
    let is_part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    let length = text.iter().rev().take_while(|byte| is_part(byte)).count();
    str::from_utf8(&text[end - length..]).ok()?.parse().ok()
}

/// A number as JSON holds it. A float without a fraction is an integer, whatever way it was written.
pub(crate) fn number(number: f64) -> Value {
    // Both bounds are powers of two, which floats hold exactly.
    const RANGE: std::ops::Range<f64> = -9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0;
    if number.fract() == 0.0 && RANGE.contains(&number) {
        #[expect(clippy::cast_possible_truncation, reason = "a whole number within the range of i64")]
        return Value::from(number as i64);
    }
    Value::from(number)
}

#[derive(Default)]
struct Reader {
    /// Where reading stands.
    pointer: String,
    depth: usize,
    values: usize,
    max_values: usize,
    duplicates: Duplicates,
    /// Why reading was ended.
    refused: Option<Fault>,
}

impl Reader {
    fn refuse<E: serde::de::Error>(&mut self, pointer: String, code: FaultCode, message: String) -> E {
        let error = E::custom(&message);
        self.refused = Some(Fault { pointer, code, message });
        error
    }

    fn enter<E: serde::de::Error>(&mut self) -> Result<(), E> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let message = format!("At most {MAX_DEPTH} levels are allowed.");
            return Err(self.refuse(self.pointer.clone(), FaultCode::TooDeep, message));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for &mut Reader {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.values += 1;
        if self.values > self.max_values {
            let message = format!("At most {} values are allowed in all.", self.max_values);
            return Err(self.refuse(String::new(), FaultCode::TooMany, message));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.enter()?;
        let length = self.pointer.len();
        let mut array = Vec::new();
        loop {
            push(&mut self.pointer, &array.len().to_string());
            let Some(item) = items.next_element_seed(&mut *self)? else { break };
            array.push(item);
            self.pointer.truncate(length);
        }
        self.pointer.truncate(length);
        self.depth -= 1;
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        self.enter()?;
        let length = self.pointer.len();
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            push(&mut self.pointer, &name);
            if object.contains_key(&name) {
                self.duplicates.add(&self.pointer);
            }
            object.insert(name, members.next_value_seed(&mut *self)?);
            self.pointer.truncate(length);
        }
        self.depth -= 1;
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Json {
        Json::parse(text.as_bytes()).unwrap()
    }

    fn refused(text: &str) -> (String, FaultCode) {
        match Json::parse(text.as_bytes()) {
            Err(Unreadable::Refused(fault)) => (fault.pointer, fault.code),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn values_are_read_as_they_are() {
        let text = r#"{"a": [1, -2, 0.5, "x", true, null, {}], "é\u0000": 18446744073709551615}"#;
        let expected = json!({"a": [1, -2, 0.5, "x", true, null, {}], "é\0": u64::MAX});
        assert_eq!(read(text).value, expected);
        assert_eq!(read("[1.0, 1e2, -0.0, 1e18]").value, json!([1, 100, 0, 1_000_000_000_000_000_000_i64]));
        assert_eq!(read("[1e19]").value, json!([1e19]));
    }

    #[test]
    fn repeated_members_are_told() {
        let json = read(r#"{"a": 1, "b/c": {"d": 1, "e": 2, "d": 3}, "a": 2, "a": 3}"#);
        assert_eq!(json.duplicates.iter().collect::<Vec<_>>(), ["/b~1c/d", "/a"]);
        assert_eq!(json.value, json!({"a": 3, "b/c": {"d": 3, "e": 2}}));
    }

    /// Each of the pointers is almost as long as the document.
    #[test]
    fn no_more_repeated_members_are_kept_than_are_listed() {
        let members = |name: fn(usize) -> String| {
            (0..5_000).map(|n| format!("\"{}\":0,", name(n % 1_000))).collect::<Vec<_>>().concat()
        };
        for members in [members(|_| "a".to_owned()), members(|n| n.to_string())] {
            let text = format!("{{\"{}\":{{{members}\"z\":0}}}}", "n".repeat(100_000));
            let json = read(&text);
            let kept: usize = json.duplicates.iter().map(str::len).sum();
            assert!(kept > 100_000 && kept <= MAX_FAULTS * 100_010, "{kept} bytes are kept of {}", text.len());
        }
    }

    #[test]
    fn what_is_not_json_is_an_error_of_syntax() {
        for text in ["", "{", "[1,]", "{} {}", "{\"a\":}", "nonsense", "-", "1e", "\u{feff}1", "[01]", "{1:2}"] {
            let read = Json::parse(text.as_bytes());
            assert!(matches!(read, Err(Unreadable::Syntax(_))), "{text}: {read:?}");
        }
    }

    #[test]
    fn numbers_that_fit_no_float_are_told_with_their_place() {
        let digits = "9".repeat(400);
        let exponent = format!("1e{}", "9".repeat(30));
        for number in ["1e400", "1E+400", "123.5e999", &digits, &exponent] {
            for (text, pointer) in [
                (number.to_owned(), ""),
                (format!("{{\"a\": {number}}}"), "/a"),
                (format!("{{\"a\": 1,\n \"b\": [0, {number} ]\n}}"), "/b/1"),
                (format!("[\n\n[{number},1]]"), "/0/0"),
            ] {
                assert_eq!(refused(&text), (pointer.to_owned(), FaultCode::TooLarge), "{text}");
                let text = text.replace(number, &format!("-{number}"));
                assert_eq!(refused(&text), (pointer.to_owned(), FaultCode::TooSmall), "{text}");
            }
        }
        assert_eq!(read("[1e-400, 0e999999999999]").value, json!([0, 0]));
    }

    #[test]
    fn depth_and_number_of_values_are_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        read(&nested(MAX_DEPTH));
        assert_eq!(refused(&nested(MAX_DEPTH + 1)), ("/0".repeat(MAX_DEPTH), FaultCode::TooDeep));
        assert_eq!(refused(&"[".repeat(200_000)).1, FaultCode::TooDeep);
        assert_eq!(refused(&"{\"a\":".repeat(100_000)).1, FaultCode::TooDeep);
        // The array is a value too.
        let many = |count: usize| format!("[{}0]", "0,".repeat(count - 2));
        read(&many(MAX_VALUES));
        assert_eq!(refused(&many(MAX_VALUES + 1)), (String::new(), FaultCode::TooMany));
    }
}
