//! Traces: which request a line of the log or a job belongs to.
//!
//! A request takes part in the trace that its W3C `traceparent` names, or begins one; the jobs that it enqueues carry the
//! request's own span on as their parent, and what they enqueue theirs. The id is a field of the spans, so that every
//! line of the log has it, whether a collector gets the spans or not.

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry::{Context, Value};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Makes a span that has not been entered yet part of the trace of `parent` (a W3C `traceparent`; anything else begins a
/// new trace), and records its `trace_id`. Returns the `traceparent` that names the span, for what it causes.
pub fn join(span: &Span, parent: Option<&str>) -> String {
    let parent = parent.and_then(parse);
    let context = exported(span, parent.as_ref()).unwrap_or_else(|| nameless(parent.as_ref()));
    span.record("trace_id", tracing::field::display(context.trace_id()));
    format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags())
}

/// The kind of span that a collector draws it as (`server`, `consumer`), for the field `otel.kind`. Logs have no use for
/// it, so without a collector there is none.
pub fn kind(kind: &'static str) -> Option<&'static str> {
    super::otlp::is_on().then_some(kind)
}

/// Names the span for the collector; logs keep its static name.
pub fn rename(span: &Span, name: String) {
    span.context().span().update_name(name);
}

/// Tells the collector about the span what logs say elsewhere.
pub fn attribute(span: &Span, key: &'static str, value: impl Into<Value>) {
    span.set_attribute(key, value);
}

/// The span as the collector will know it; `None` = it gets none.
fn exported(span: &Span, parent: Option<&SpanContext>) -> Option<SpanContext> {
    let parent = parent.map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent.clone()));
    span.set_parent(parent).ok()?;
    let context = span.context().span().span_context().clone();
    context.is_valid().then_some(context)
}

/// A name for a span that nobody collects.
fn nameless(parent: Option<&SpanContext>) -> SpanContext {
    let (trace, flags) = parent.map_or_else(
        || (TraceId::from(rand::random::<u128>()), TraceFlags::SAMPLED),
        |parent| (parent.trace_id(), parent.trace_flags()),
    );
    SpanContext::new(trace, SpanId::from(rand::random::<u64>()), flags, false, TraceState::NONE)
}

/// Reads a `traceparent` of version 00 (<https://www.w3.org/TR/trace-context/>).
fn parse(text: &str) -> Option<SpanContext> {
    let parts: Vec<&str> = text.split('-').collect();
    let ["00", trace, span, flags] = parts[..] else { return None };
    let is_hex = |part: &str, length| {
        part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    if !is_hex(trace, 32) || !is_hex(span, 16) || !is_hex(flags, 2) {
        return None;
    }
    // Of the flags, "sampled" is the only one we know, and an unknown one must not be passed on.
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    Some(SpanContext::new(trace, span, flags, true, TraceState::NONE)).filter(SpanContext::is_valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_span_joins_the_trace_under_a_name_of_its_own() {
        let own = join(&Span::none(), Some(PARENT));
        let (parent, own) = (parse(PARENT).unwrap(), parse(&own).unwrap());
        assert_eq!(own.trace_id(), parent.trace_id());
        assert_ne!(own.span_id(), parent.span_id());
        assert!(own.is_sampled());
        let unsampled = join(&Span::none(), Some(&PARENT.replace("-01", "-00")));
        assert!(unsampled.ends_with("-00"), "{unsampled}");
    }

    #[test]
    fn what_is_no_traceparent_begins_a_new_trace() {
        for bad in [
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "x",
            "",
        ] {
            let own = join(&Span::none(), Some(bad));
            assert!(parse(&own).is_some() && !own.contains("4bf92f3577b34da6a3ce929d0e0e4736"), "{bad}: {own}");
        }
        assert_ne!(join(&Span::none(), None), join(&Span::none(), None));
    }
}
