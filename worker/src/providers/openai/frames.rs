//! Splits a body into the events that it consists of.
//!
//! What a body is shows in its first character, not in its content type, which servers and proxies in between get wrong: a
//! stream of server-sent events, a single JSON object, or several of them one after the other. A stream is read leniently:
//!
//! - lines end with LF, CR or CRLF, wherever the body is split; a byte order mark is skipped;
//! - `data:` may stand without a space, and twice;
//! - the last event may lack its blank line;
//! - a line that is an object without a field name counts as an event, because servers report errors like this, and an object may
//!   be spread over several lines;
//! - the field `error` is an event of that name.

use serde::de::IgnoredAny;

/// Most bytes of a stream, far more than the longest answer needs.
const MAX_STREAM: usize = 32 * 1024 * 1024;

/// Most bytes of a line of a stream, or of the data of an event.
const MAX_LINE: usize = 1024 * 1024;

/// Most bytes of an object that goes on in the next line. It is looked at again with each line, and errors are short.
const MAX_SPREAD: usize = 8 * 1024;

/// Most bytes of an answer that is not streamed.
const MAX_WHOLE: usize = 4 * 1024 * 1024;

/// Most bytes that are kept of lines that are no events.
const MAX_STRAY: usize = 2000;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Frame {
    /// Its name; empty if it has none.
    pub(super) name: String,
    pub(super) data: String,
}

/// Why a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("the stream or one of its lines is longer than that of any answer")]
    TooLong,
    #[error("the answer is longer than 4 MB")]
    WholeTooLong,
    #[error("the stream is not UTF-8")]
    NotUtf8,
}

/// What kind of body it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    /// Nothing but white space was received.
    #[default]
    Unknown,
    Lines,
    Whole,
}

/// The state of a body that is being read.
#[derive(Debug, Default)]
pub(super) struct Frames {
    kind: Kind,
    total: usize,
    /// The line, or the whole body, that has begun.
    open: Vec<u8>,
    /// Whether the last line ended with CR, so that LF belongs to its end.
    after_cr: bool,
    name: String,
    data: Option<String>,
    stray: String,
    has_events: bool,
}

impl Frames {
    /// Reads more of the body. Returns the events that are complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Frame>, FrameError> {
        self.total += bytes.len();
        if self.total > MAX_STREAM {
            return Err(FrameError::TooLong);
        }
        let mut frames = Vec::new();
        for &byte in bytes {
            match self.kind {
                Kind::Unknown => self.begin(byte),
                Kind::Whole if self.open.len() >= MAX_WHOLE => return Err(FrameError::WholeTooLong),
                Kind::Whole => self.open.push(byte),
                Kind::Lines => self.byte(byte, &mut frames)?,
            }
        }
        Ok(frames)
    }

    /// Decides by the first character what the body is.
    fn begin(&mut self, byte: u8) {
        self.open.push(byte);
        if self.open == BYTE_ORDER_MARK || byte.is_ascii_whitespace() {
            self.open.clear();
        } else if !BYTE_ORDER_MARK.starts_with(&self.open) {
            self.kind = if matches!(byte, b'{' | b'[') { Kind::Whole } else { Kind::Lines };
        }
    }

    fn byte(&mut self, byte: u8, frames: &mut Vec<Frame>) -> Result<(), FrameError> {
        let is_rest_of_end = byte == b'\n' && std::mem::take(&mut self.after_cr);
        match byte {
            b'\n' if is_rest_of_end => Ok(()),
            b'\n' | b'\r' => {
                self.after_cr = byte == b'\r';
                self.line(frames)
            }
            _ if self.open.len() >= MAX_LINE => Err(FrameError::TooLong),
            _ => {
                self.after_cr = false;
                self.open.push(byte);
                Ok(())
            }
        }
    }

    fn line(&mut self, frames: &mut Vec<Frame>) -> Result<(), FrameError> {
        let line = String::from_utf8(std::mem::take(&mut self.open)).map_err(|_| FrameError::NotUtf8)?;
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" if line.is_empty() => self.dispatch(frames),
            "" | "id" | "retry" => {} // a comment, or a field that means nothing to us
            "event" => value.clone_into(&mut self.name),
            "data" => {
                let value = value.strip_prefix("data:").map_or(value, str::trim_start);
                let data = self.data.get_or_insert_default();
                if !data.is_empty() {
                    data.push('\n');
                }
                data.push_str(value);
                if data.len() > MAX_LINE {
                    return Err(FrameError::TooLong);
                }
            }
            // An object that is spread over several lines.
            _ if let Some(data) = self.data.as_mut().filter(|data| is_unfinished(data)) => {
                data.push('\n');
                data.push_str(&line);
                if is_whole(data) {
                    self.dispatch(frames);
                }
            }
            // llama.cpp, some builds of 2025.
            "error" => {
                self.dispatch(frames);
                (self.name, self.data) = ("error".to_owned(), Some(value.to_owned()));
                self.dispatch(frames);
            }
            _ if line.trim_start().starts_with('{') => {
                self.dispatch(frames);
                self.data = Some(line);
                if self.data.as_deref().is_some_and(is_whole) {
                    self.dispatch(frames);
                }
            }
            _ if self.stray.len() < MAX_STRAY => {
                self.stray.push_str(&line);
                self.stray.push('\n');
            }
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self, frames: &mut Vec<Frame>) {
        let name = std::mem::take(&mut self.name);
        if let Some(data) = self.data.take() {
            self.has_events = true;
            frames.push(Frame { name, data });
        }
    }

    /// Reads the end of the body. Returns the remaining events.
    pub(super) fn finish(&mut self) -> Result<Vec<Frame>, FrameError> {
        let mut frames = Vec::new();
        match self.kind {
            Kind::Unknown => {}
            Kind::Whole => {
                let data = String::from_utf8(std::mem::take(&mut self.open)).map_err(|_| FrameError::NotUtf8)?;
                self.has_events = true;
                frames.push(Frame { name: String::new(), data });
            }
            Kind::Lines => {
                self.line(&mut frames)?;
                self.dispatch(&mut frames);
            }
        }
        Ok(frames)
    }

    /// Lines that are no events: the whole body, if it is a page or a plain text.
    pub(super) fn stray(&self) -> &str {
        self.stray.trim()
    }

    /// Whether there was any event.
    pub(super) fn has_events(&self) -> bool {
        self.has_events
    }
}

/// Whether data is an object or a list that goes on in the next line.
fn is_unfinished(data: &str) -> bool {
    data.len() < MAX_SPREAD && data.trim_start().starts_with(['{', '[']) && !is_whole(data)
}

fn is_whole(data: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(data).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a body that arrives in pieces of this many bytes. Returns names and data, and the lines that are no events.
    fn read(body: &[u8], size: usize) -> (Vec<(String, String)>, String) {
        let mut frames = Frames::default();
        let mut all = Vec::new();
        for piece in body.chunks(size) {
            all.extend(frames.push(piece).unwrap());
        }
        all.extend(frames.finish().unwrap());
        (all.into_iter().map(|frame| (frame.name, frame.data)).collect(), frames.stray().to_owned())
    }

    #[track_caller]
    fn check(body: &str, expected: &[(&str, &str)], stray: &str) {
        for size in [1, 2, 3, 7, body.len().max(1)] {
            let (frames, strays) = read(body.as_bytes(), size);
            let frames: Vec<(&str, &str)> = frames.iter().map(|(name, data)| (name.as_str(), data.as_str())).collect();
            assert_eq!((frames.as_slice(), strays.as_str()), (expected, stray), "{body:?} in pieces of {size}");
        }
    }

    #[test]
    fn events_are_read_wherever_they_are_split_and_however_their_lines_end() {
        for end in ["\n", "\r\n", "\r"] {
            let body = ["data: {\"a\":\"字👩🏽\u{200d}💻\"}", "", ": alive", "event: error", "data:b", "", ""].join(end);
            check(&body, &[("", "{\"a\":\"字👩🏽\u{200d}💻\"}"), ("error", "b")], "");
        }
    }

    #[test]
    fn common_deviations_are_read() {
        check("\u{feff}data: a\n\n", &[("", "a")], "");
        check("data: a\n\ndata: b", &[("", "a"), ("", "b")], "");
        check("data: a\n\ndata: b\n", &[("", "a"), ("", "b")], "");
        check("\n\n \r\ndata:a\n\n", &[("", "a")], "");
        check("data: data: a\n\n", &[("", "a")], "");
        check("id: 1\nretry: 5\ndata: a\n\n", &[("", "a")], "");
        check("data: a\ndata: b\n\n", &[("", "a\nb")], "");
        check("event: ping\n\ndata: a\n\n", &[("", "a")], "");
        check(
            "data: a\n\n{\"error\": {\"message\": \"x\"}}\n",
            &[("", "a"), ("", "{\"error\": {\"message\": \"x\"}}")],
            "",
        );
        check("data: a\n\n<html>\n502 Bad Gateway", &[("", "a")], "<html>\n502 Bad Gateway");
    }

    #[test]
    fn other_bodies_are_whole_or_no_events_at_all() {
        check(" \n{\"a\":\n\n1}", &[("", "{\"a\":\n\n1}")], "");
        check("[{\"a\":1}]", &[("", "[{\"a\":1}]")], "");
        check("Internal Server Error", &[], "Internal Server Error");
        check("", &[], "");
        check(": alive\n\n: alive\n\n", &[], "");
    }

    /// The object is parsed again with each line, so its length must be bounded.
    #[test]
    fn an_object_over_several_lines_ends_at_a_length_that_no_error_reaches() {
        let spread = |lines: usize| format!("data: a\n\n{{\"error\": [\n{}\"\"]}}\n", "\"x\",\n".repeat(lines));
        let (frames, stray) = read(spread(100).as_bytes(), 1000);
        assert!(frames.len() == 2 && is_whole(&frames[1].1) && stray.is_empty(), "{frames:?} {stray}");
        let (frames, stray) = read(spread(MAX_SPREAD).as_bytes(), 1000);
        assert!(frames[1].1.len() < MAX_SPREAD + 10 && stray.len() > 1000, "{} {}", frames[1].1.len(), stray.len());
    }

    #[test]
    fn bodies_are_bounded_and_must_be_text() {
        let mut line = Frames::default();
        line.push(b"data: ").unwrap();
        assert_eq!(line.push(&vec![b'x'; MAX_LINE + 1]).unwrap_err(), FrameError::TooLong);
        let mut lines = Frames::default();
        let many = b"data: x\n".repeat(MAX_LINE / 2 + 1);
        assert_eq!(lines.push(&many).unwrap_err(), FrameError::TooLong);
        let mut stream = Frames::default();
        let comments = b": alive\n".repeat(MAX_STREAM / 8);
        assert_eq!(stream.push(&comments), Ok(Vec::new()));
        assert_eq!(stream.push(b"data: x\n"), Err(FrameError::TooLong));
        let mut whole = Frames::default();
        assert_eq!(whole.push(&vec![b'['; MAX_WHOLE + 2]), Err(FrameError::WholeTooLong));
        let mut bytes = Frames::default();
        assert_eq!(bytes.push(b"data: \xff\xfe\n\n"), Err(FrameError::NotUtf8));
    }
}
