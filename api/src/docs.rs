//! Serves the document at `/openapi.json`, as OpenAPI 3.1 at `/openapi-3.1.json`, and Swagger UI with all of its assets at `/docs`.

use poem::endpoint::make_sync;
use poem::http::{HeaderValue, header};
use poem::{Response, Route, get};
use poem_openapi::OpenApiService;

use crate::openapi::{CONTRACT, openapi_31_json};

pub(crate) fn add(routes: Route) -> Route {
    let (page, derived) = (page(), openapi_31_json());
    routes
        .at("/openapi.json", get(make_sync(|_| answer("application/json", CONTRACT.json.clone()))))
        .at("/openapi-3.1.json", get(make_sync(move |_| answer("application/json", derived.clone()))))
        .at("/docs", get(make_sync(move |_| answer("text/html; charset=utf-8", page.clone()))))
}

/// poem's page with embedded assets, but with our document instead of its own.
fn page() -> String {
    let empty = OpenApiService::new((), "", "");
    // A `</script>` in a text of the document would end the script.
    empty.swagger_ui_html().replacen(&empty.spec(), &CONTRACT.json.replace("</", "<\\/"), 1)
}

fn answer(content_type: &str, body: String) -> Response {
    let mut response = Response::builder().content_type(content_type).body(body);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, no-cache"));
    response
}
