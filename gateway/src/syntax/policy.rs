//! `deadline`, `retry`, `hedge` and `cache` of a node.

use std::time::Duration;

use motet_config::{
    Diagnostic, Diagnostics, Entry, MapReader, Spanned, list_of, nearest, truncated, values,
};
use motet_runtime::status::code_name;
use tonic::Code;

use super::node::DEADLINES;
use crate::policy::backoff::Backoff;
use crate::policy::settings::{CacheSettings, Hedge, HedgeAfter, Limit, Retry};

/// Shortest and longest pause before a first retry.
const BACKOFFS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(10));

/// `150ms` or `40%`.
pub(super) fn limit(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Spanned<Limit>> {
    if entry
        .node
        .as_str()
        .is_some_and(|t| t.trim_end().ends_with('%'))
    {
        let share = values::percent(entry, 1.0..=100.0, diagnostics)?;
        return Some(share.map(Limit::Share));
    }
    let duration = values::duration(entry, DEADLINES.0..=DEADLINES.1, diagnostics)?;
    Some(duration.map(Limit::Duration))
}

/// `retry: { max, codes, backoff }`. Gives the place of the key.
pub(super) fn retry(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Spanned<Retry>> {
    let mut map = MapReader::new(&entry.node, "`retry`", entry.key.span, diagnostics)?;
    let max = map.get("max").map_or(Some(Retry::MAX_DEFAULT), |e| {
        most(e, Retry::MAX_LIMIT, "`retry`", diagnostics)
    });
    let codes = match map.get("codes") {
        Some(e) => retry_codes(e, diagnostics).map(Some),
        None => Some(None),
    };
    let first = map
        .get("backoff")
        .map_or(Some(Retry::BACKOFF_DEFAULT), |e| {
            values::duration(e, BACKOFFS.0..=BACKOFFS.1, diagnostics).map(|d| d.value)
        });
    map.finish(diagnostics);
    let first = first?;
    let retry = Retry {
        max: max?,
        codes: codes?,
        backoff: Backoff {
            first,
            max: Retry::BACKOFF_MAX.max(first),
        },
    };
    Some(Spanned::new(retry, entry.key.span))
}

/// How often at most; 0 is a policy that does nothing.
fn most(entry: &Entry, most: u32, what: &str, diagnostics: &mut Diagnostics) -> Option<u32> {
    if matches!(entry.node.value, motet_config::Value::Int(0)) {
        diagnostics.push(
            Diagnostic::error(
                entry.node.span,
                format!("{what} with `max: 0` does nothing"),
            )
            .help(format!("leave {what} out, or allow 1 to {most}")),
        );
        return None;
    }
    let max = values::count(entry, 1..=most as usize, diagnostics)?;
    u32::try_from(max.value).ok()
}

fn retry_codes(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Vec<Code>> {
    let items = values::list(entry, diagnostics)?;
    if items.is_empty() {
        diagnostics.push(
            Diagnostic::error(entry.node.span, "`retry` after no code at all does nothing")
                .help("leave `codes` out to retry what may pass, or `retry` for none"),
        );
        return None;
    }
    let mut codes = Vec::with_capacity(items.len());
    let mut good = true;
    for item in items {
        match item.as_str().and_then(code) {
            Some(code) if Retry::CODES.contains(&code) => {
                if !codes.contains(&code) {
                    codes.push(code);
                }
                continue;
            }
            Some(code) => diagnostics.push(not_worth_it(code, item.span)),
            None => diagnostics.push(unknown_code(item)),
        }
        good = false;
    }
    good.then_some(codes)
}

fn code(name: &str) -> Option<Code> {
    (0..=16).map(Code::from_i32).find(|c| code_name(*c) == name)
}

fn unknown_code(item: &motet_config::Node) -> Diagnostic {
    let offered = Retry::CODES.map(code_name);
    let Some(name) = item.as_str() else {
        return Diagnostic::error(item.span, format!("a code is a name, not {}", item.kind()))
            .help(format!("there are {}", list_of(&offered)));
    };
    let diagnostic = Diagnostic::error(
        item.span,
        format!("no gRPC code is named `{}`", truncated(name)),
    );
    match nearest(name, (0..=16).map(|c| code_name(Code::from_i32(c)))) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help(format!("a retry can follow {}", list_of(&offered))),
    }
}

fn not_worth_it(code: Code, span: motet_config::Span) -> Diagnostic {
    let diagnostic = Diagnostic::error(
        span,
        format!("a retry after `{}` cannot help", code_name(code)),
    );
    match code {
        Code::DeadlineExceeded => diagnostic
            .note("the time is over then: retries never go past the deadline")
            .help("to call again when an answer is slow, use `hedge`"),
        Code::Ok => diagnostic.note("it is no error"),
        Code::Cancelled => diagnostic.note("nobody waits for the answer then"),
        _ => diagnostic
            .note("the same call would come to the same")
            .help(format!(
                "a retry can follow {}",
                list_of(&Retry::CODES.map(code_name))
            )),
    }
}

/// `hedge: { after, max, budget }`. Gives the place of the key.
pub(super) fn hedge(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<HedgeSpec> {
    let mut map = MapReader::new(&entry.node, "`hedge`", entry.key.span, diagnostics)?;
    let after = map.get("after");
    let after = match after {
        Some(e) => hedge_after(e, diagnostics),
        None => Some(Spanned::new(Hedge::AFTER_DEFAULT, entry.key.span)),
    };
    let max = map.get("max").map_or(Some(Hedge::MAX_DEFAULT), |e| {
        most(e, Hedge::MAX_LIMIT, "`hedge`", diagnostics)
    });
    let budget = map.get("budget").map_or(Some(Hedge::BUDGET_DEFAULT), |e| {
        values::percent(e, 0.1..=100.0, diagnostics).map(|p| p.value)
    });
    map.finish(diagnostics);
    let after = after?;
    Some(HedgeSpec {
        span: entry.key.span,
        after_span: after.span,
        hedge: Hedge {
            after: after.value,
            max: max?,
            budget: budget?,
        },
    })
}

/// `50ms` or `p95`.
fn hedge_after(entry: &Entry, diagnostics: &mut Diagnostics) -> Option<Spanned<HedgeAfter>> {
    const HELP: &str =
        "write a duration such as `50ms`, or a percentile of the latest calls such as `p95`";
    let percentile = entry
        .node
        .as_str()
        .and_then(|t| t.strip_prefix('p'))
        .and_then(|t| t.parse::<f64>().ok());
    if let Some(percentile) = percentile {
        if (50.0..100.0).contains(&percentile) {
            let after = HedgeAfter::Percentile(percentile / 100.0);
            return Some(Spanned::new(after, entry.node.span));
        }
        diagnostics.push(
            Diagnostic::error(
                entry.node.span,
                format!("`after` is p{percentile}, but must be at least p50 and less than p100"),
            )
            .note("below the median most calls would be made twice"),
        );
        return None;
    }
    let is_duration = entry
        .node
        .as_str()
        .is_some_and(|t| t.starts_with(|c: char| c.is_ascii_digit()));
    if !is_duration {
        diagnostics.push(
            Diagnostic::error(
                entry.node.span,
                "`after` must be a duration or a percentile",
            )
            .help(HELP),
        );
        return None;
    }
    let duration = values::duration(entry, DEADLINES.0..=DEADLINES.1, diagnostics)?;
    Some(duration.map(HedgeAfter::Duration))
}

/// `cache: { ttl, max }`. Gives the place of the key.
pub(super) fn cache(
    entry: &Entry,
    diagnostics: &mut Diagnostics,
) -> Option<Spanned<CacheSettings>> {
    let mut map = MapReader::new(&entry.node, "`cache`", entry.key.span, diagnostics)?;
    let ttl = map
        .get("ttl")
        .map_or(Some(CacheSettings::TTL_DEFAULT), |e| {
            values::duration(e, DEADLINES.0..=CacheSettings::TTL_MAX, diagnostics).map(|d| d.value)
        });
    let max_bytes = map
        .get("max")
        .map_or(Some(CacheSettings::BYTES_DEFAULT), |e| {
            let (least, most) = CacheSettings::BYTES_RANGE;
            values::size(e, least..=most, diagnostics).map(|b| b.value)
        });
    map.finish(diagnostics);
    let terms = CacheSettings {
        ttl: ttl?,
        max_bytes: max_bytes?,
    };
    Some(Spanned::new(terms, entry.key.span))
}

/// `hedge` as written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HedgeSpec {
    /// Where `hedge` is written.
    pub span: motet_config::Span,
    /// Where `after` is written; the key where it is not.
    pub after_span: motet_config::Span,
    /// The settings.
    pub hedge: Hedge,
}
