//! A page for each code of a problem, which is where its `type` leads, and a list of all.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::page::{HTML, Page};
use crate::openapi::CONTRACT;
use crate::problem::Code;

/// The pages of all codes, and their list.
pub(super) fn pages() -> Vec<Page> {
    let operations = operations_by_code();
    let mut list = String::new();
    let mut pages = Vec::with_capacity(Code::ALL.len() + 1);
    for code in Code::ALL {
        let (name, title) = (code.name(), escaped(code.title()));
        let _ = writeln!(
            list,
            "<dt><a href=\"/problems/{name}\"><code>{name}</code></a></dt><dd>{}: {title}</dd>",
            code.status().as_u16()
        );
        let senders = operations.get(name).map_or_else(
            || "<p>Any request can be answered with it.</p>".to_owned(),
            |operations| format!("<ul>\n{}</ul>", operations.concat()),
        );
        let body = format!(
            "<p><code>{name}</code>, status {}</p>\n<p>{}</p>\n<h2>Operations that send it</h2>\n{senders}\n\
             <p><a href=\"/problems\">All problems</a></p>",
            code.status(),
            escaped(&code.detail()),
        );
        pages.push(Page::new(format!("/problems/{name}"), HTML, page(&title, &body)));
    }
    let intro = "<p>Every error is a problem document (RFC 9457). Branch on its <code>code</code>; its <code>type</code> \
                 leads to one of these pages.</p>";
    pages.push(Page::new("/problems", HTML, page("Problems", &format!("{intro}\n<dl>\n{list}</dl>"))));
    pages
}

/// The operations of the document that can answer with a code, as items of a list.
fn operations_by_code() -> HashMap<String, Vec<String>> {
    let mut by_code: HashMap<String, Vec<String>> = HashMap::new();
    for (path, item) in CONTRACT.document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let anchor = format!(
                "/docs#/{}/{}",
                operation["tags"][0].as_str().unwrap_or_default(),
                operation["operationId"].as_str().unwrap_or_default()
            );
            let item = format!("<li><a href=\"{anchor}\">{} {}</a></li>\n", method.to_uppercase(), escaped(path));
            for response in operation["responses"].as_object().into_iter().flat_map(|responses| responses.values()) {
                for code in codes(response) {
                    by_code.entry(code).or_default().push(item.clone());
                }
            }
        }
    }
    by_code
}

fn codes(response: &Value) -> Vec<String> {
    if let Some(name) = response["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
        return vec![name.to_owned()];
    }
    let codes = response["x-codes"].as_array().into_iter().flatten();
    codes.filter_map(|code| code.as_str().map(str::to_owned)).collect()
}

fn page(title: &str, body: &str) -> String {
    include_str!("problem.html").replace("{title}", title).replace("{body}", body)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
