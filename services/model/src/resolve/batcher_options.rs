//! The options of the batcher of a model.

use motet_batcher::{Layout, Options};

use crate::spec::BatcherSpec;

/// Returns the options of the configuration with those that the model tells: `max_tokens` is the
/// longest row. The number of executors is not among them, since a batcher is given its executors.
pub(super) fn options(spec: &BatcherSpec, max_tokens: usize) -> Options {
    Options {
        max_row_tokens: u32::try_from(max_tokens).ok(),
        // The encoder does not pad rows.
        layout: Layout::Packed,
        ..spec.options.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use motet_config::{Diagnostics, Sources};

    use motet_batcher::Policy;

    use super::*;
    use crate::resolve::{ModelKind, check as resolve};

    const MAX_TOKENS: u32 = 100;

    /// Returns the options and the number of executors of a model with this `batcher`.
    fn read(batcher: &str) -> (Options, usize) {
        let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
        let text = format!(
            "models:\n  m:\n    task: embed\n    source: \"builtin:all-minilm-l6-v2\"\n    \
             max_tokens: {MAX_TOKENS}\n    batcher: {{ {batcher} }}\n"
        );
        let models = crate::spec::read_text("t", &text, &mut sources, &mut diagnostics);
        let mut found = resolve(&models, &sources, &mut diagnostics);
        assert!(
            diagnostics.is_empty(),
            "{batcher}: {:?}",
            diagnostics.sorted()
        );
        match found.remove(0).kind {
            ModelKind::Encoder(model) => (model.options, model.executors),
            kind @ ModelKind::Splitter(_) => panic!("{kind:?}"),
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
    fn each_key_sets_its_option_and_no_other() {
        let ms = Duration::from_millis;
        check("", 1, |_| {});
        check("max_batch_size: 7", 1, |o| o.max_batch_size = Some(7));
        check("max_batch_tokens: 900", 1, |o| o.max_batch_tokens = 900);
        check("max_latency: 200ms", 1, |o| o.max_latency = Some(ms(200)));
        check("max_queue_size: 64", 1, |o| o.max_queue_size = 64);
        check("max_queue_size: 8", 1, |o| o.max_queue_size = 8);
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
        check("stuck_after: 2m", 1, |o| {
            o.stuck_after = Duration::from_secs(120);
        });
        check("lookahead: false", 1, |o| o.lookahead = false);
        check("executors: 3", 3, |_| {});
        check(
            "max_batch_size: 8, max_batch_tokens: 512, max_latency: 1s, max_queue_size: 16, \
             max_queue_delay: 9ms, policy: fixed, fixed_window: 2ms, bulk_share: 0, executors: 2",
            2,
            |o| {
                *o = Options {
                    max_batch_size: Some(8),
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
