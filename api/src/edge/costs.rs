//! What each operation costs of its client's budget. Most cost one unit.

use std::sync::LazyLock;

use poem::http::Method;

use crate::openapi::CONTRACT;
use crate::operation::COSTS;

/// An operation that costs more than one unit.
struct Costly {
    method: String,
    /// The segments of the path; `None` for a parameter.
    segments: Vec<Option<String>>,
    cost: u32,
}

static COSTLY: LazyLock<Vec<Costly>> = LazyLock::new(|| {
    let paths = CONTRACT.document["paths"].as_object().into_iter().flatten();
    let operations = paths.flat_map(|(path, item)| {
        item.as_object().into_iter().flatten().map(move |(method, operation)| (path, method, operation))
    });
    let costly = operations.filter_map(|(path, method, operation)| {
        let (_, cost) = COSTS.iter().find(|(id, _)| operation["operationId"] == *id)?;
        let segments = path.split('/').map(|segment| (!segment.starts_with('{')).then(|| segment.to_owned()));
        Some(Costly { method: method.to_ascii_uppercase(), segments: segments.collect(), cost: *cost })
    });
    costly.collect()
});

/// The cost of a request, before it is known to be a good one.
pub(super) fn cost_of(method: &Method, path: &str) -> u32 {
    let fits = |costly: &&Costly| {
        let mut segments = path.split('/');
        costly.method == method.as_str()
            && costly.segments.iter().all(|expected| {
                let segment = segments.next();
                expected.as_deref().map_or(segment.is_some(), |expected| segment == Some(expected))
            })
            && segments.next().is_none()
    };
    COSTLY.iter().find(fits).map_or(1, |costly| costly.cost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cost_is_that_of_an_operation() {
        assert_eq!(COSTLY.len(), COSTS.len(), "an operation of the table does not exist");
    }

    #[test]
    fn costs_are_found_by_method_and_path() {
        assert_eq!(cost_of(&Method::POST, "/v1/auth/login"), 5);
        assert_eq!(cost_of(&Method::GET, "/v1/auth/login"), 1);
        assert_eq!(cost_of(&Method::POST, "/v1/tools/ideas/messages"), 20);
        assert_eq!(cost_of(&Method::GET, "/v1/tools/ideas/messages"), 1);
        assert_eq!(cost_of(&Method::POST, "/v1/tools/ideas/messages/x"), 1);
        assert_eq!(cost_of(&Method::GET, "/v1/me"), 1);
    }
}
