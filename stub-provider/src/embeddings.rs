//! Vectors of texts, in OpenAI's format. Texts are near to each other if they have words in common, or words that mean the same
//! to this stub.

use serde_json::{Value, json};

/// Words that have the same direction. The model `refuses` refuses every text, and `slow` takes two seconds.
const SAME: [&[&str]; 2] = [&["pelican", "waterbird"], &["пеликан", "птица"]];

/// A text with this word is refused, however short.
const REFUSED: &str = "unembeddable";

/// A request with this word in a text fails, as if it were the endpoint's own fault.
const FAILING: &str = "unspeakable";

/// A longer text is refused, in characters.
const LONGEST: usize = 3000;

/// The dimensions of a vector.
const DIMENSIONS: usize = 384;

/// The status and the body of the answer to a request, and the number of texts that got a vector.
pub(crate) fn answer(body: &Value) -> (u16, Value, usize) {
    let texts: Vec<&str> = match &body["input"] {
        Value::String(text) => vec![text],
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is_refused = body["model"] == "refuses";
    if is_refused || texts.iter().any(|text| text.contains(REFUSED) || text.chars().count() > LONGEST) {
        let error = json!({"message": "The input is longer than the context length of the model", "code": 400});
        return (400, json!({ "error": error }), 0);
    }
    if texts.iter().any(|text| text.contains(FAILING)) {
        // As Ollama does where a model computes no number (ollama/ollama#14657).
        let message = "failed to encode response: json: unsupported value: NaN";
        return (500, json!({"error": {"message": message, "type": "api_error"}}), 0);
    }
    let item =
        |(index, text): (usize, &&str)| json!({"object": "embedding", "index": index, "embedding": vector(text)});
    let data: Vec<Value> = texts.iter().enumerate().map(item).collect();
    let tokens: usize = texts.iter().map(|text| text.split_whitespace().count()).sum();
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    let answer = json!({"object": "list", "data": data, "model": body["model"], "usage": usage});
    (200, answer, texts.len())
}

/// A vector with the words of a text as directions, and one that all texts share.
fn vector(text: &str) -> Vec<f32> {
    let mut vector = vec![0.0; DIMENSIONS];
    vector[0] = 0.1;
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let word = word.to_lowercase();
        let word = SAME.iter().find(|same| same.contains(&word.as_str())).map_or(word.as_str(), |same| same[0]);
        let hash = word.bytes().fold(7_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(byte)));
        vector[1 + hash % (DIMENSIONS - 1)] += 1.0;
    }
    vector
}
