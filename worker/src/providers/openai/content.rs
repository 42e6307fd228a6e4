//! The content of a message in its many forms: a text, a list of parts, or nothing.

use serde_json::Value;

/// The texts of a content.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) text: String,
    pub(super) thoughts: String,
    pub(super) refusal: String,
    /// Whether there is something that is neither text nor a part of a known form.
    pub(super) is_strange: bool,
}

/// How deep parts are nested.
const MAX_DEPTH: usize = 4;

impl Content {
    /// Reads a content.
    pub(super) fn read(value: &Value) -> Self {
        let mut content = Self::default();
        content.add(value, false, MAX_DEPTH);
        content
    }

    fn add(&mut self, value: &Value, is_thought: bool, depth: usize) {
        match value {
            Value::Null => {}
            Value::String(text) if is_thought => self.thoughts.push_str(text),
            Value::String(text) => self.text.push_str(text),
            Value::Array(parts) if depth > 0 => {
                for part in parts {
                    self.add(part, is_thought, depth - 1);
                }
            }
            Value::Object(part) if depth > 0 => {
                let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
                if let Some(refusal) = part.get("refusal").and_then(Value::as_str) {
                    self.refusal.push_str(refusal);
                    return;
                }
                let is_thought = is_thought || is_thought_part(kind, value);
                let fields = ["text", "thinking", "reasoning", "summary", "content", "parts", "value"];
                match fields.iter().find_map(|field| part.get(*field)) {
                    Some(inner) => self.add(inner, is_thought, depth - 1),
                    // Images, encrypted thoughts and the like have nothing to read.
                    None => self.is_strange |= kind.is_empty() && !part.is_empty(),
                }
            }
            _ => self.is_strange = true,
        }
    }
}

/// Whether a part is a thought: Mistral, Claude and OpenAI name the kind, Gemini marks it.
fn is_thought_part(kind: &str, part: &Value) -> bool {
    let marks = [&part["thought"], &part["extra_content"]["google"]["thought"]];
    marks.into_iter().any(|mark| *mark == Value::Bool(true))
        || ["think", "thought", "reason", "summary"].iter().any(|word| kind.contains(word))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn contents_of_every_form_are_read() {
        let cases = [
            (json!(null), "", "", ""),
            (json!("text"), "text", "", ""),
            (json!([]), "", "", ""),
            (json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), "ab", "", ""),
            (json!(["a", {"text": "b"}, null]), "ab", "", ""),
            (json!({"type": "output_text", "text": "a", "annotations": []}), "a", "", ""),
            (json!([{"type": "text", "text": {"value": "a", "annotations": []}}]), "a", "", ""),
            // Mistral: https://docs.mistral.ai/capabilities/reasoning/
            (
                json!([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a"}]),
                "a",
                "hm",
                "",
            ),
            // Claude through LiteLLM and OpenRouter.
            (
                json!([{"type": "thinking", "thinking": "hm", "signature": "x"}, {"type": "text", "text": "a"}]),
                "a",
                "hm",
                "",
            ),
            (json!([{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "a"}]), "a", "", ""),
            (
                json!([{"type": "reasoning.summary", "summary": "hm"}, {"type": "reasoning.text", "text": "mm"}]),
                "",
                "hmmm",
                "",
            ),
            // Gemini.
            (json!([{"text": "hm", "thought": true}, {"text": "a"}]), "a", "hm", ""),
            (json!({"parts": [{"text": "a"}]}), "a", "", ""),
            (json!([{"type": "refusal", "refusal": "no"}]), "", "", "no"),
            (json!([{"type": "image_url", "image_url": {"url": "data:"}}, {"type": "text", "text": "a"}]), "a", "", ""),
        ];
        for (value, text, thoughts, refusal) in cases {
            let expected =
                Content { text: text.into(), thoughts: thoughts.into(), refusal: refusal.into(), is_strange: false };
            assert_eq!(Content::read(&value), expected, "{value}");
        }
        for strange in [json!(7), json!(true), json!({"unknown": 1}), json!([[[[[["deep"]]]]]])] {
            assert!(Content::read(&strange).is_strange, "{strange}");
        }
    }
}
