//! The `batcher` of a model in the configuration, as the batcher's options.

use motet_batcher::{Layout, Options, Policy};
use motet_runtime::config::{BatchPolicy, BatcherSpec};

/// `max_tokens` is the longest row. How many executors there are is not among a batcher's options: it is given so many.
pub(super) fn options(spec: &BatcherSpec, max_tokens: usize) -> Options {
    Options {
        max_batch_size: spec.max_batch_size,
        max_batch_tokens: spec.max_batch_tokens as u64,
        max_row_tokens: u32::try_from(max_tokens).ok(),
        max_latency: spec.max_latency,
        max_queue_delay: spec.max_queue_delay,
        max_queue_size: spec.max_queue_size,
        bulk_share: spec.bulk_share,
        lookahead: spec.lookahead,
        policy: match (spec.policy, spec.fixed_window) {
            (BatchPolicy::Adaptive, _) => Policy::Adaptive,
            (BatchPolicy::Fixed, Some(window)) => Policy::Fixed(window),
            // A fixed policy without its window has been refused by the configuration's reader.
            (BatchPolicy::Greedy | BatchPolicy::Fixed, _) => Policy::Greedy,
        },
        // The encoder pads nothing.
        layout: Layout::Packed,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use motet_runtime::config::{Config, Diagnostics, Sources};

    use super::*;
    use crate::blueprint::{Plan, check as blueprints};

    const MAX_TOKENS: u32 = 100;

    /// The options and the number of executors of a model whose `batcher` is this.
    fn read(batcher: &str) -> (Options, usize) {
        let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
        let text = format!(
            "models: {{ m: {{ task: embed, source: \"builtin:all-minilm-l6-v2\", max_tokens: {MAX_TOKENS}, batcher: {{ {batcher} }} }} }}"
        );
        let config = Config::from_text("t", &text, &mut sources, &mut diagnostics).unwrap();
        let mut found = blueprints(&config.models, &sources, &mut diagnostics);
        assert!(
            diagnostics.is_empty(),
            "{batcher}: {:?}",
            diagnostics.sorted()
        );
        match found.remove(0).plan {
            Plan::Encode(plan) => (plan.options, plan.executors),
            plan @ Plan::Preprocess { .. } => panic!("{plan:?}"),
        }
    }

    fn check(batcher: &str, executors: usize, change: impl FnOnce(&mut Options)) {
        let mut expected = Options {
            max_row_tokens: Some(MAX_TOKENS),
            ..Options::default()
        };
        change(&mut expected);
        assert_eq!(expected.validate(), Ok(()), "{batcher}");
        assert_eq!(read(batcher), (expected, executors), "{batcher}");
    }

    #[test]
    fn every_option_reaches_the_batcher_and_no_other() {
        let ms = Duration::from_millis;
        // Also: the defaults of the two are the same.
        check("", 1, |_| {});
        check("max_batch_size: 7", 1, |o| o.max_batch_size = 7);
        check("max_batch_tokens: 900", 1, |o| o.max_batch_tokens = 900);
        check("max_latency: 200ms", 1, |o| o.max_latency = Some(ms(200)));
        check("max_queue_size: 64", 1, |o| o.max_queue_size = 64);
        check("max_queue_delay: 3ms", 1, |o| o.max_queue_delay = ms(3));
        check("max_queue_delay: 0s", 1, |o| {
            o.max_queue_delay = Duration::ZERO
        });
        check("policy: adaptive", 1, |o| o.policy = Policy::Adaptive);
        check("policy: greedy", 1, |o| o.policy = Policy::Greedy);
        check("policy: fixed, fixed_window: 5ms", 1, |o| {
            o.policy = Policy::Fixed(ms(5));
        });
        check("bulk_share: 0.25", 1, |o| o.bulk_share = 0.25);
        check("lookahead: false", 1, |o| o.lookahead = false);
        check("executors: 3", 3, |_| {});
        check(
            "max_batch_size: 8, max_batch_tokens: 512, max_latency: 1s, max_queue_size: 16, max_queue_delay: 9ms, policy: fixed, fixed_window: 2ms, bulk_share: 0, executors: 2",
            2,
            |o| {
                *o = Options {
                    max_batch_size: 8,
                    max_batch_tokens: 512,
                    max_latency: Some(Duration::from_secs(1)),
                    max_queue_size: 16,
                    max_queue_delay: ms(9),
                    policy: Policy::Fixed(ms(2)),
                    bulk_share: 0.0,
                    ..o.clone()
                }
            },
        );
    }
}
