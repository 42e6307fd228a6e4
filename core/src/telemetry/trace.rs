//! Traces: which request a log line or a job belongs to.
//!
//! A request joins the trace in its W3C `traceparent`, or starts a new one. The request's span is the parent of the jobs that
//! it enqueues, and so on for the jobs that those enqueue. The trace id is a field of the spans, so that every log line has it,
//! whether or not there is a collector.

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry::{Context, Value};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Adds a span that has not been entered yet to the trace of `parent`, and records its `trace_id`. If `parent` is not a W3C
/// `traceparent`, a new trace is started. Returns the `traceparent` of the span, for the work that it causes.
pub fn join(span: &Span, parent: Option<&str>) -> String {
    let parent = parent.and_then(parse);
    let context = exported(span, parent.as_ref()).unwrap_or_else(|| unexported(parent.as_ref()));
    span.record("trace_id", tracing::field::display(context.trace_id()));
    format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags())
}

/// The kind of a span (`server`, `consumer`) for the field `otel.kind`. Only a collector uses it, so it is `None` without one.
pub fn kind(kind: &'static str) -> Option<&'static str> {
    super::otlp::is_on().then_some(kind)
}

/// Sets the name of the span for the collector. Logs keep its static name.
pub fn rename(span: &Span, name: String) {
    span.context().span().update_name(name);
}

/// Sets an attribute of the span for the collector only.
pub fn attribute(span: &Span, key: &'static str, value: impl Into<Value>) {
    span.set_attribute(key, value);
}

/// The context of the exported span; `None` if it is not exported.
fn exported(span: &Span, parent: Option<&SpanContext>) -> Option<SpanContext> {
    let parent = parent.map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent.clone()));
    span.set_parent(parent).ok()?;
    let context = span.context().span().span_context().clone();
    context.is_valid().then_some(context)
}

/// A context for a span that is not exported.
fn unexported(parent: Option<&SpanContext>) -> SpanContext {
    let (trace, flags) = parent.map_or_else(
        || (TraceId::from(rand::random::<u128>()), TraceFlags::SAMPLED),
        |parent| (parent.trace_id(), parent.trace_flags()),
    );
    SpanContext::new(trace, SpanId::from(rand::random::<u64>()), flags, false, TraceState::NONE)
}

/// Parses a `traceparent` of version 00 (<https://www.w3.org/TR/trace-context/>).
fn parse(text: &str) -> Option<SpanContext> {
    let parts: Vec<&str> = text.split('-').collect();
    let ["00", trace, span, flags] = parts[..] else { return None };
    let is_hex = |part: &str, length| {
        part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    if !is_hex(trace, 32) || !is_hex(span, 16) || !is_hex(flags, 2) {
        return None;
    }
    // "Sampled" is the only known flag, and unknown ones must not be propagated.
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    Some(SpanContext::new(trace, span, flags, true, TraceState::NONE)).filter(SpanContext::is_valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_span_joins_the_trace_with_an_id_of_its_own() {
        let own = join(&Span::none(), Some(PARENT));
        let (parent, own) = (parse(PARENT).unwrap(), parse(&own).unwrap());
        assert_eq!(own.trace_id(), parent.trace_id());
        assert_ne!(own.span_id(), parent.span_id());
        assert!(own.is_sampled());
        let unsampled = join(&Span::none(), Some(&PARENT.replace("-01", "-00")));
        assert!(unsampled.ends_with("-00"), "{unsampled}");
    }

    #[test]
    fn an_invalid_traceparent_starts_a_new_trace() {
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
