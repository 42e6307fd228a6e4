//! What a browser shows: the first page, Swagger UI at `/docs`, Redoc at `/reference`, the guides, the kinds of problems, and
//! the document itself.
//!
//! Everything is put together and compressed once. Nothing is fetched from other hosts.

mod page;
mod problems;

use std::sync::LazyLock;

use poem::endpoint::make_sync;
use poem::{Route, get};
use poem_openapi::OpenApiService;

use self::page::{HTML, Page};
use crate::openapi::{CONTRACT, openapi_31_json};

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

static PAGES: LazyLock<Vec<Page>> = LazyLock::new(|| {
    let service = OpenApiService::new((), "", "");
    let (swagger, redoc) = (service.swagger_ui_html(), service.redoc_html());
    let home = include_str!("home.html").replace("{version}", env!("CARGO_PKG_VERSION"));
    let mut pages = vec![
        Page::new("/", HTML, home),
        Page::new("/pages.css", STYLE, include_str!("pages.css")),
        Page::new("/openapi.json", "application/json", CONTRACT.json.as_str()),
        Page::new("/openapi-3.1.json", "application/json", openapi_31_json()),
        Page::new("/docs", HTML, include_str!("docs.html")),
        Page::new("/docs/page.js", SCRIPT, include_str!("docs.js")),
        Page::new("/docs/swagger-ui.js", SCRIPT, element(&swagger, "script")),
        Page::new("/docs/swagger-ui.css", STYLE, element(&swagger, "style")),
        Page::new("/reference", HTML, include_str!("reference.html")),
        Page::new("/reference/page.js", SCRIPT, include_str!("reference.js")),
        Page::new("/reference/redoc.js", SCRIPT, element(&redoc, "script")),
        Page::new("/guides/clients", TEXT, include_str!("../../../docs/SDK.md")),
        Page::new("/guides/tour", TEXT, include_str!("../../../docs/TOUR.md")),
        Page::new("/guides/design", TEXT, include_str!("../../../docs/API-DESIGN.md")),
        Page::new("/guides/changes", TEXT, include_str!("../../../CHANGELOG.md")),
    ];
    pages.extend(problems::pages());
    pages
});

/// Adds all pages.
pub(crate) fn add(routes: Route) -> Route {
    PAGES.iter().fold(routes, |routes, page| routes.at(&page.path, get(make_sync(move |_| page.answer()))))
}

/// The text of the page's first element of that name. poem delivers Swagger UI and Redoc as pages that contain everything,
/// with their own settings and the document; we want the library alone.
fn element<'a>(page: &'a str, name: &str) -> &'a str {
    let text = page.split_once(&format!("<{name} charset=\"UTF-8\">")).map_or("", |(_, rest)| rest);
    text.split_once(&format!("</{name}>")).map_or("", |(text, _)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poem_delivers_the_libraries_where_we_look_for_them() {
        for (path, length, name) in [
            ("/docs/swagger-ui.js", 1_000_000, "SwaggerUIBundle"),
            ("/docs/swagger-ui.css", 100_000, ".swagger-ui"),
            ("/reference/redoc.js", 500_000, "Redoc"),
        ] {
            let page = PAGES.iter().find(|page| page.path == path).unwrap();
            let text = str::from_utf8(&page.body).unwrap();
            assert!(text.len() > length && text.contains(name), "{path}: {} bytes", text.len());
        }
    }
}
