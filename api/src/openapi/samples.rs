//! Samples of code for each operation, made from its path, its parameters and the example of its body.
//!
//! They use what everybody has: `curl`, `fetch`, httpx and reqwest. `API` is where the platform is, `TOKEN` an access token.

use serde_json::{Value, json};

use super::json::object_mut;

/// A request as the samples show it.
struct Request<'a> {
    method: String,
    /// The path and the query.
    path: String,
    headers: Vec<(&'a str, &'a str)>,
    has_token: bool,
    body: Option<&'a Value>,
}

/// Adds `x-codeSamples` to every operation.
pub(super) fn add(document: &mut Value) {
    let schemas = document["components"]["schemas"].clone();
    let parameters = document["components"]["parameters"].clone();
    for (path, item) in object_mut(&mut document["paths"]) {
        for (method, operation) in object_mut(item) {
            let request = Request::new(method, path, operation, &schemas, &parameters);
            let samples = json!([
                {"lang": "Shell", "label": "curl", "source": request.curl()},
                {"lang": "TypeScript", "label": "TypeScript", "source": request.typescript()},
                {"lang": "Python", "label": "Python", "source": request.python()},
                {"lang": "Rust", "label": "Rust", "source": request.rust()},
            ]);
            operation["x-codeSamples"] = samples;
        }
    }
}

impl<'a> Request<'a> {
    fn new(method: &str, path: &str, operation: &Value, schemas: &'a Value, parameters: &'a Value) -> Self {
        let (mut path, mut query, mut headers) = (path.to_owned(), Vec::new(), Vec::new());
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let parameter = resolve(parameter, parameters);
            let name = parameter["name"].as_str().unwrap_or_default();
            let value = value_of(name, resolve(&parameter["schema"], schemas));
            match parameter["in"].as_str() {
                Some("path") => path = path.replace(&format!("{{{name}}}"), &value),
                Some("query") if parameter["required"] == true => query.push(format!("{name}={value}")),
                // A parameter type may leave it to its own refusal that it is required.
                Some("header") if name == "If-Match" => headers.push(("If-Match", "\"1\"")),
                _ => {}
            }
        }
        if !query.is_empty() {
            path = format!("{path}?{}", query.join("&"));
        }
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let body = Some(&resolve_in(schema, schemas)["example"]).filter(|example| !example.is_null());
        let has_token = operation["security"].as_array().is_some_and(|security| !security.is_empty());
        Self { method: method.to_uppercase(), path, headers, has_token, body }
    }

    fn curl(&self) -> String {
        let method = if self.method == "GET" { String::new() } else { format!(" -X {}", self.method) };
        let mut parts = vec![format!("curl{method} \"$API{}\"", self.path)];
        if self.has_token {
            parts.push("-H \"Authorization: Bearer $TOKEN\"".to_owned());
        }
        parts.extend(self.headers.iter().map(|(name, value)| format!("-H '{name}: {value}'")));
        if let Some(body) = self.body {
            parts.push("-H 'Content-Type: application/json'".to_owned());
            parts.push(format!("-d '{}'", body.to_string().replace('\'', "'\\''")));
        }
        parts.join(" \\\n  ")
    }

    fn typescript(&self) -> String {
        let mut headers = Vec::new();
        if self.has_token {
            headers.push("Authorization: `Bearer ${token}`".to_owned());
        }
        headers.extend(self.headers.iter().map(|(name, value)| format!("\"{name}\": '{value}'")));
        let mut members = vec![format!("method: \"{}\"", self.method)];
        if self.body.is_some() {
            headers.push("\"Content-Type\": \"application/json\"".to_owned());
        }
        if !headers.is_empty() {
            members.push(format!("headers: {{ {} }}", headers.join(", ")));
        }
        members.extend(self.body.map(|body| format!("body: JSON.stringify({body})")));
        format!("const response = await fetch(`${{api}}{}`, {{\n  {},\n}});", self.path, members.join(",\n  "))
    }

    fn python(&self) -> String {
        let mut arguments = vec![format!("\"{}\"", self.method), format!("f\"{{api}}{}\"", self.path)];
        let token = self.has_token.then(|| "\"Authorization\": f\"Bearer {token}\"".to_owned());
        let others = self.headers.iter().map(|(name, value)| format!("\"{name}\": '{value}'"));
        let headers: Vec<String> = token.into_iter().chain(others).collect();
        if !headers.is_empty() {
            arguments.push(format!("headers={{{}}}", headers.join(", ")));
        }
        arguments.extend(self.body.map(|body| format!("json={}", python_literal(body))));
        format!("response = httpx.request(\n    {},\n)", arguments.join(",\n    "))
    }

    fn rust(&self) -> String {
        let mut calls = vec![match self.method.as_str() {
            method @ ("GET" | "POST" | "PUT" | "PATCH" | "DELETE") => {
                format!("let response = client\n    .{}(format!(\"{{api}}{}\"))", method.to_lowercase(), self.path)
            }
            method => {
                format!("let response = client\n    .request(Method::{method}, format!(\"{{api}}{}\"))", self.path)
            }
        }];
        if self.has_token {
            calls.push(".bearer_auth(&token)".to_owned());
        }
        calls.extend(self.headers.iter().map(|(name, value)| format!(".header(\"{name}\", {value:?})")));
        calls.extend(self.body.map(|body| format!(".json(&serde_json::json!({body}))")));
        calls.push(".send()\n    .await?;".to_owned());
        calls.join("\n    ")
    }
}

/// A value that a parameter may have.
fn value_of(name: &str, schema: &Value) -> String {
    if let Some(choice) = schema["enum"][0].as_str() {
        return choice.to_owned();
    }
    let value = match (name, schema["type"].as_str(), schema["format"].as_str()) {
        (_, _, Some("uuid")) => "0198c2f0-7a53-7cc1-9d2e-3f6b8a1c5d70",
        (_, Some("integer"), _) => "1",
        ("job_id", ..) => "01K8Q2V7W3N5R9T1X4Y6Z8A0BC",
        ("key", ..) => "ai.daily_questions",
        ("target_type", ..) => "lesson",
        ("q", ..) => "grid",
        _ => "example",
    };
    value.to_owned()
}

fn resolve<'a>(value: &'a Value, components: &'a Value) -> &'a Value {
    let reference = value["$ref"].as_str().or(value["allOf"][0]["$ref"].as_str());
    reference.and_then(|reference| reference.rsplit('/').next()).map_or(value, |name| &components[name])
}

/// As [`resolve`], for what is always a reference.
fn resolve_in<'a>(value: &Value, components: &'a Value) -> &'a Value {
    value["$ref"]
        .as_str()
        .and_then(|reference| reference.rsplit('/').next())
        .map_or(&Value::Null, |name| &components[name])
}

/// JSON as Python writes it. A text in JSON is one in Python, too.
fn python_literal(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Array(items) => format!("[{}]", items.iter().map(python_literal).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| format!("{}: {}", json!(name), python_literal(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_show_the_whole_request() {
        let mut document = json!({
            "paths": {"/v1/lessons/{lesson_id}": {"patch": {
                "parameters": [
                    {"name": "lesson_id", "in": "path", "required": true, "schema": {"type": "string", "format": "uuid"}},
                    {"name": "If-Match", "in": "header", "schema": {"type": "string"}},
                ],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Changes"}}}},
                "security": [{"bearer": []}],
            }}},
            "components": {"schemas": {"Changes": {"example": {"title": "It's", "is_required": true, "video": null}}}},
        });
        add(&mut document);
        let samples = &document["paths"]["/v1/lessons/{lesson_id}"]["patch"]["x-codeSamples"];
        let source = |number: usize| samples[number]["source"].as_str().unwrap();
        assert_eq!(
            source(0),
            "curl -X PATCH \"$API/v1/lessons/0198c2f0-7a53-7cc1-9d2e-3f6b8a1c5d70\" \\\n  \
             -H \"Authorization: Bearer $TOKEN\" \\\n  -H 'If-Match: \"1\"' \\\n  \
             -H 'Content-Type: application/json' \\\n  \
             -d '{\"title\":\"It'\\''s\",\"is_required\":true,\"video\":null}'"
        );
        assert!(source(1).contains("body: JSON.stringify({\"title\":\"It's\",\"is_required\":true,\"video\":null})"));
        assert!(
            source(2).contains("json={\"title\": \"It's\", \"is_required\": True, \"video\": None}"),
            "{}",
            source(2)
        );
        assert!(source(3).contains(".header(\"If-Match\", \"\\\"1\\\"\")"), "{}", source(3));
    }
}
