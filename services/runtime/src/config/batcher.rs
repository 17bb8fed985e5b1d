//! `batcher:` of a model: how rows of different callers are put together.

use std::time::Duration;

use motet_config::{
    Diagnostic, Diagnostics, Entry, MapReader, Span,
    values::{DURATION_MAX, boolean, count, duration, number, word},
};

/// How rows of different callers are put together. The keys are those of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct BatcherSpec {
    /// The most rows of a batch. Default 32.
    pub max_batch_size: usize,
    /// The most tokens of a batch. Default 8192.
    pub max_batch_tokens: usize,
    /// The deadline of a call that brings none. Default: none.
    pub max_latency: Option<Duration>,
    /// The most rows that wait; more are refused. Default 1024.
    pub max_queue_size: usize,
    /// The longest deliberate wait for company. Default 20 ms.
    pub max_queue_delay: Duration,
    /// When a free executor waits for company. Default [`BatchPolicy::Adaptive`].
    pub policy: BatchPolicy,
    /// The window of [`BatchPolicy::Fixed`]; there exactly then.
    pub fixed_window: Option<Duration>,
    /// The share of the executors' time that bulk rows keep under pressure, 0 to 0.5. Default 0.1.
    pub bulk_share: f64,
    /// Whether it counts what calls announce of their request. Default true.
    pub lookahead: bool,
    /// How many executors run batches. Default 1.
    pub executors: usize,
    places: Vec<(&'static str, Span)>,
}

/// When a free executor waits for company.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchPolicy {
    /// As long as recent traffic says it pays.
    Adaptive,
    /// Never.
    Greedy,
    /// Always the same time.
    Fixed,
}

impl Default for BatcherSpec {
    fn default() -> Self {
        Self {
            max_batch_size: 32,
            max_batch_tokens: 8192,
            max_latency: None,
            max_queue_size: 1024,
            max_queue_delay: Duration::from_millis(20),
            policy: BatchPolicy::Adaptive,
            fixed_window: None,
            bulk_share: 0.1,
            lookahead: true,
            executors: 1,
            places: Vec::new(),
        }
    }
}

impl BatcherSpec {
    /// Where the file gives `option`, if it does: for messages about its value.
    pub fn place(&self, option: &str) -> Option<Span> {
        self.places
            .iter()
            .find(|(key, _)| *key == option)
            .map(|(_, span)| *span)
    }
}

/// One key of `batcher:`.
#[derive(Debug)]
pub struct BatcherKey {
    /// The key.
    pub key: &'static str,
    /// What it does, with its default and range, for people.
    pub about: &'static str,
    read: fn(&mut BatcherSpec, &Entry, &mut Diagnostics) -> Option<()>,
}

const POLICIES: [(&str, BatchPolicy); 3] = [
    ("adaptive", BatchPolicy::Adaptive),
    ("greedy", BatchPolicy::Greedy),
    ("fixed", BatchPolicy::Fixed),
];

/// Every key of `batcher:`.
pub const BATCHER_KEYS: [BatcherKey; 10] = [
    BatcherKey {
        key: "max_batch_size",
        about: "most rows of a batch; 1 to 4096, default 32",
        read: |s, e, d| count(e, 1..=4096, d).map(|v| s.max_batch_size = v.value),
    },
    BatcherKey {
        key: "max_batch_tokens",
        about: "most tokens of a batch, a longer row runs alone; 1 to 16777216, default 8192",
        read: |s, e, d| count(e, 1..=1 << 24, d).map(|v| s.max_batch_tokens = v.value),
    },
    BatcherKey {
        key: "max_latency",
        about: "deadline of a call that brings none; default: none",
        read: |s, e, d| {
            duration(e, Duration::from_millis(1)..=DURATION_MAX, d)
                .map(|v| s.max_latency = Some(v.value))
        },
    },
    BatcherKey {
        key: "max_queue_size",
        about: "most rows that wait, more are refused; 1 to 1000000, default 1024",
        read: |s, e, d| count(e, 1..=1_000_000, d).map(|v| s.max_queue_size = v.value),
    },
    BatcherKey {
        key: "max_queue_delay",
        about: "longest deliberate wait for company, 0s to never wait; up to 10s, default 20ms",
        read: |s, e, d| {
            duration(e, Duration::ZERO..=Duration::from_secs(10), d)
                .map(|v| s.max_queue_delay = v.value)
        },
    },
    BatcherKey {
        key: "policy",
        about: "when a free executor waits: adaptive, greedy or fixed; default adaptive",
        read: |s, e, d| word(e, &POLICIES, d).map(|v| s.policy = v.value),
    },
    BatcherKey {
        key: "fixed_window",
        about: "the wait of policy fixed; up to 10s",
        read: |s, e, d| {
            duration(e, Duration::ZERO..=Duration::from_secs(10), d)
                .map(|v| s.fixed_window = Some(v.value))
        },
    },
    BatcherKey {
        key: "bulk_share",
        about: "share of the executors' time that bulk rows keep under pressure; 0 to 0.5, default 0.1",
        read: |s, e, d| number(e, 0.0..=0.5, d).map(|v| s.bulk_share = v.value),
    },
    BatcherKey {
        key: "lookahead",
        about: "whether rows that calls announce of their request are expected; default true",
        read: |s, e, d| boolean(e, d).map(|v| s.lookahead = v.value),
    },
    BatcherKey {
        key: "executors",
        about: "how many executors run batches; 1 to 64, default 1",
        read: |s, e, d| count(e, 1..=64, d).map(|v| s.executors = v.value),
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
    let mut all_read = true;
    for key in &BATCHER_KEYS {
        if let Some(entry) = map.get(key.key) {
            spec.places.push((key.key, entry.node.span));
            all_read &= (key.read)(&mut spec, entry, diagnostics).is_some();
        }
    }
    map.finish(diagnostics);
    if all_read {
        relations(&spec, entry.key.span, diagnostics);
    }
    spec
}

/// Options that are each fine but contradict each other.
fn relations(spec: &BatcherSpec, at: Span, diagnostics: &mut Diagnostics) {
    let place = |option| spec.place(option).unwrap_or(at);
    let shown = humantime::format_duration;
    if let Some(latency) = spec.max_latency
        && spec.max_queue_delay > latency
    {
        let span = spec
            .place("max_queue_delay")
            .unwrap_or_else(|| place("max_latency"));
        diagnostics.push(
            Diagnostic::error(
                span,
                format!(
                    "`max_queue_delay` ({}) is longer than `max_latency` ({})",
                    shown(spec.max_queue_delay),
                    shown(latency)
                ),
            )
            .also(place("max_latency"), "the latency asked for")
            .help("waiting alone would make every call late: shorten `max_queue_delay`"),
        );
    }
    if spec.max_queue_size < spec.max_batch_size {
        let span = spec
            .place("max_queue_size")
            .unwrap_or_else(|| place("max_batch_size"));
        diagnostics.push(
            Diagnostic::error(
                span,
                format!(
                    "`max_queue_size` ({}) is below `max_batch_size` ({}): no full batch could ever form",
                    spec.max_queue_size, spec.max_batch_size
                ),
            )
            .also(place("max_batch_size"), "the batch asked for"),
        );
    }
    match (spec.policy, spec.fixed_window) {
        (BatchPolicy::Fixed, None) => diagnostics.push(
            Diagnostic::error(place("policy"), "`policy: fixed` needs `fixed_window`")
                .help("add for example `fixed_window: 5ms`"),
        ),
        (BatchPolicy::Adaptive | BatchPolicy::Greedy, Some(_)) => diagnostics.push(
            Diagnostic::error(
                place("fixed_window"),
                "`fixed_window` works only with `policy: fixed`",
            )
            .also(place("policy"), "this policy has no window"),
        ),
        (BatchPolicy::Fixed, Some(window)) if window > spec.max_queue_delay => diagnostics.push(
            Diagnostic::error(
                place("fixed_window"),
                format!(
                    "`fixed_window` ({}) is longer than `max_queue_delay` ({})",
                    shown(window),
                    shown(spec.max_queue_delay)
                ),
            )
            .help("raise `max_queue_delay`, or shorten the window"),
        ),
        _ => {}
    }
}
