//! Log lines, for people or as JSON, with the trace id of their request.

use std::fmt;

use opentelemetry::Context;
use opentelemetry::trace::{TraceContextExt, TraceId};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::format::{
    FormatEvent, FormatFields, Json, JsonFields, Writer, format,
};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line, in colour on a terminal.
    #[default]
    Human,
    /// One JSON object on each line.
    Json,
}

/// A layer that writes log lines of this format to `writer`.
pub(super) fn layer<S, W>(log_format: LogFormat, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let base = tracing_subscriber::fmt::layer();
    match log_format {
        LogFormat::Human => {
            let colour = std::io::IsTerminal::is_terminal(&std::io::stderr())
                && std::env::var_os("NO_COLOR").is_none();
            Box::new(
                base.event_format(Human)
                    .with_ansi(colour)
                    .with_writer(writer),
            )
        }
        LogFormat::Json => Box::new(
            base.event_format(WithTraceId(
                format().json().flatten_event(true).with_span_list(false),
            ))
            .fmt_fields(JsonFields::new())
            .with_writer(writer),
        ),
    }
}

/// The trace of the current span. The OpenTelemetry layer makes a span's context current while it
/// is entered, so only lines that are written have a cost.
fn trace_id() -> Option<TraceId> {
    let context = Context::current();
    let span = context.span().span_context().clone();
    span.is_valid().then(|| span.trace_id())
}

/// `time LEVEL target: span: message field=value trace_id=...`
struct Human;

impl<S, N> FormatEvent<S, N> for Human
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let meta = event.metadata();
        let (dim, reset) = if writer.has_ansi_escapes() {
            ("\x1b[2m", "\x1b[0m")
        } else {
            ("", "")
        };
        let colour = match *meta.level() {
            _ if !writer.has_ansi_escapes() => "",
            Level::ERROR => "\x1b[31m",
            Level::WARN => "\x1b[33m",
            Level::INFO => "\x1b[32m",
            _ => dim,
        };
        write!(writer, "{dim}")?;
        SystemTime.format_time(&mut writer)?;
        write!(
            writer,
            "{reset} {colour}{:>5}{reset} {dim}{}:{reset} ",
            meta.level(),
            meta.target()
        )?;
        for span in ctx
            .event_scope()
            .into_iter()
            .flat_map(|scope| scope.from_root())
        {
            write!(writer, "{dim}{}:{reset} ", span.name())?;
        }
        ctx.field_format().format_fields(writer.by_ref(), event)?;
        if let Some(trace_id) = trace_id() {
            write!(writer, " {dim}trace_id={trace_id}{reset}")?;
        }
        writeln!(writer)
    }
}

/// Inserts `trace_id` as the first field of a JSON line.
struct WithTraceId(tracing_subscriber::fmt::format::Format<Json>);

impl<S, N> FormatEvent<S, N> for WithTraceId
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(trace_id) = trace_id() else {
            return self.0.format_event(ctx, writer, event);
        };
        let mut object = String::new();
        self.0.format_event(ctx, Writer::new(&mut object), event)?;
        match object.strip_prefix('{') {
            Some(rest) => write!(writer, "{{\"trace_id\":\"{trace_id}\",{rest}"),
            None => writer.write_str(&object),
        }
    }
}
