//! The key `batcher` of a model: batching of the rows of different callers. Defaults and limits of
//! the options are those of the batcher itself.

use std::time::Duration;

use motet_batcher::{OptionProblem, Options, Policy};
use motet_config::keys::{self, Field, Key, Spans};
use motet_config::values::DURATION_MAX;
use motet_config::{Diagnostic, Diagnostics, Entry, MapReader, Span};

/// Options of the batcher of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct BatcherSpec {
    /// The options of the batcher, but those that only the model's files tell.
    pub options: Options,
    /// Number of executors, which run batches at the same time.
    pub executors: usize,
    /// The key `policy`.
    policy: &'static str,
    /// The key `fixed_window`.
    fixed_window: Option<Duration>,
    spans: Spans,
}

impl Default for BatcherSpec {
    fn default() -> Self {
        let options = Options::default();
        let (policy, fixed_window) = match options.policy {
            Policy::Adaptive => (ADAPTIVE, None),
            Policy::Greedy => (GREEDY, None),
            Policy::Fixed(window) => (FIXED, Some(window)),
        };
        Self {
            options,
            executors: 1,
            policy,
            fixed_window,
            spans: Spans::new(),
        }
    }
}

impl BatcherSpec {
    /// Position of the value of `key`; `None` if the file does not set it.
    pub fn span(&self, key: &str) -> Option<Span> {
        let found = self.spans.iter().find(|(set, _)| *set == key);
        found.map(|(_, span)| *span)
    }

    /// Returns the policy that `policy` and `fixed_window` say together; `None` if `fixed` has no
    /// window.
    fn policy(&self) -> Option<Policy> {
        match self.policy {
            ADAPTIVE => Some(Policy::Adaptive),
            GREEDY => Some(Policy::Greedy),
            _ => self.fixed_window.map(Policy::Fixed),
        }
    }
}

const ADAPTIVE: &str = "adaptive";
const GREEDY: &str = "greedy";
const FIXED: &str = "fixed";

/// Longest deliberate wait.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Keys of `batcher`, in the order of the documentation.
pub(super) const KEYS: [Key<BatcherSpec>; 11] = [
    Key {
        name: "max_batch_size",
        about: "Most rows of a batch; none: `max_batch_tokens` limits a batch.",
        field: Field::Count(
            1..=Options::BATCH_ROWS_MAX,
            |s| s.options.max_batch_size,
            |s, rows| s.options.max_batch_size = Some(rows),
        ),
    },
    Key {
        name: "max_batch_tokens",
        about: "Most tokens of a batch, or of its task's own unit; a longer row runs alone.",
        field: Field::Count(
            1..=1 << 24,
            |s| usize::try_from(s.options.max_batch_tokens).ok(),
            |s, tokens| s.options.max_batch_tokens = tokens as u64,
        ),
    },
    Key {
        name: "max_latency",
        about: "Deadline of a call that has none of its own.",
        field: Field::Duration(
            Duration::from_millis(1)..=DURATION_MAX,
            |s| s.options.max_latency,
            |s, latency| s.options.max_latency = Some(latency),
        ),
    },
    Key {
        name: "max_queue_size",
        about: "Most rows in the queue; more are refused. One call takes at most a sixteenth, and \
                its other rows wait in the call.",
        field: Field::Count(
            1..=1_000_000,
            |s| Some(s.options.max_queue_size),
            |s, rows| s.options.max_queue_size = rows,
        ),
    },
    Key {
        name: "max_queue_delay",
        about: "Longest time that a free executor waits for more rows; `0s` never waits.",
        field: Field::Duration(
            Duration::ZERO..=WAIT_MAX,
            |s| Some(s.options.max_queue_delay),
            |s, delay| s.options.max_queue_delay = delay,
        ),
    },
    Key {
        name: "policy",
        about: "When a free executor waits for more rows: while recent traffic says that it pays, \
                never, or always for `fixed_window`.",
        field: Field::Word(
            &[ADAPTIVE, GREEDY, FIXED],
            |s| Some(s.policy),
            |s, policy| s.policy = policy,
        ),
    },
    Key {
        name: "fixed_window",
        about: "The wait of `policy: fixed`.",
        field: Field::Duration(
            Duration::ZERO..=WAIT_MAX,
            |s| s.fixed_window,
            |s, window| s.fixed_window = Some(window),
        ),
    },
    Key {
        name: "bulk_share",
        about: "Share of the executors' time that bulk rows get when interactive rows would take \
                all of it.",
        field: Field::Number(
            Options::BULK_SHARE,
            |s| Some(s.options.bulk_share),
            |s, share| s.options.bulk_share = share,
        ),
    },
    Key {
        name: "stuck_after",
        about: "Time after which a batch that runs, and has run ten times longer than expected, is \
                stuck: the model is not ready until it ends.",
        field: Field::Duration(
            Duration::from_secs(1)..=DURATION_MAX,
            |s| Some(s.options.stuck_after),
            |s, after| s.options.stuck_after = after,
        ),
    },
    Key {
        name: "lookahead",
        about: "Whether the batcher expects the rows that calls announce for their request.",
        field: Field::Bool(|s| s.options.lookahead, |s, on| s.options.lookahead = on),
    },
    Key {
        name: "executors",
        about: "Number of batches that are computed at the same time.",
        field: Field::Count(1..=64, |s| Some(s.executors), |s, n| s.executors = n),
    },
];

pub(super) fn read(entry: &Entry, diagnostics: &mut Diagnostics) -> BatcherSpec {
    let mut spec = BatcherSpec::default();
    if entry.node.is_null() {
        return spec;
    }
    let Some(mut map) = MapReader::new(&entry.node, "`batcher`", entry.key.span, diagnostics)
    else {
        return spec;
    };
    let (spans, all_read) = keys::read(&KEYS, &mut spec, &mut map, diagnostics);
    spec.spans = spans;
    map.finish(diagnostics);
    if let Some(policy) = spec.policy() {
        spec.options.policy = policy;
    }
    if all_read {
        check_consistency(&spec, entry.key.span, diagnostics);
    }
    spec
}

/// Reports options that contradict each other. `at` is the key `batcher`.
fn check_consistency(spec: &BatcherSpec, at: Span, diagnostics: &mut Diagnostics) {
    let span = |key| spec.span(key).unwrap_or(at);
    match (spec.policy, spec.fixed_window) {
        (FIXED, None) => {
            let message = "`policy: fixed` needs `fixed_window`";
            let help = "add for example `fixed_window: 5ms`";
            diagnostics.push(Diagnostic::error(span("policy"), message).help(help));
        }
        (FIXED, Some(_)) | (_, None) => {}
        (_, Some(_)) => diagnostics.push(
            Diagnostic::error(
                span("fixed_window"),
                "`fixed_window` works only with `policy: fixed`",
            )
            .also(span("policy"), "this policy has no window"),
        ),
    }
    for problem in spec.options.validate().err().unwrap_or_default() {
        diagnostics.push(diagnostic(spec, at, &problem));
    }
}

/// Returns the diagnostic of a problem at the option that the file sets: the option itself, or the
/// one that it contradicts.
fn diagnostic(spec: &BatcherSpec, at: Span, problem: &OptionProblem) -> Diagnostic {
    // The window is a part of the policy for the batcher, and a key of its own here.
    let key = |option| match option {
        "policy" => "fixed_window",
        option => option,
    };
    let option = key(problem.option);
    let other = problem.contradicts.map(key);
    let other_span = other.and_then(|other| spec.span(other));
    let main = spec.span(option).or(other_span).unwrap_or(at);
    let diagnostic = Diagnostic::error(main, format!("`{}` {}", problem.option, problem.reason));
    match (other, other_span) {
        (Some(other), Some(span)) => diagnostic.also(span, format!("`{other}`")),
        _ => diagnostic,
    }
}
