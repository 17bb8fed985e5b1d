//! The core against a broker, a pipeline and a store that fail in every way, over virtual time.

mod simulation;

use motet_stream::core::{Chunk, Order};
use proptest::prelude::*;
use simulation::group::{self, GroupSetting};
use simulation::{Kind, Outcome, Setting, simulate};
use std::time::Duration;

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        8 => Just(Kind::Good),
        2 => (1u32..4).prop_map(Kind::Flaky),
        1 => Just(Kind::Poison),
        1 => Just(Kind::Broken),
    ]
}

prop_compose! {
    fn setting(order: Order)(
        messages in prop::collection::vec((0u64..5, kind()), 1..60),
        in_flight in 1usize..20,
        chunk in prop::option::of((2usize..8, 0u64..50)),
        delays in any::<bool>(),
        crashes in 0u32..6,
        drains in 0u32..3,
        lossy in any::<bool>(),
        outages in 0u32..3,
        seed in any::<u64>(),
    ) -> Setting {
        let chunk = chunk.map(|(max, within)| Chunk {
            max,
            within: Duration::from_millis(within),
        });
        Setting {
            order, messages, in_flight, chunk, delays, crashes, drains, lossy, outages, seed,
        }
    }
}

prop_compose! {
    fn group_setting()(
        partitions in prop::collection::vec(
            prop::collection::vec((0u64..3, kind()), 0..25),
            1..4,
        ),
        is_ordered in any::<bool>(),
        in_flight in 1usize..12,
        note_most in prop_oneof![Just(0usize), Just(9), Just(4000)],
        crashes in 0u32..5,
        drains in 0u32..3,
        moves in 0u32..6,
        losses in 0u32..4,
        lossy in any::<bool>(),
        seed in any::<u64>(),
    ) -> GroupSetting {
        GroupSetting {
            partitions, is_ordered, in_flight, note_most, crashes, drains, moves, losses, lossy,
            seed,
        }
    }
}

/// Every message has exactly one effect, of the kind that it deserves.
fn check(setting: &Setting, outcome: &Outcome) -> Result<(), TestCaseError> {
    prop_assert!(outcome.ended, "some messages never end: {:?}", outcome.open);
    prop_assert!(outcome.in_flight_most <= setting.in_flight);
    for (place, (_, kind)) in setting.messages.iter().enumerate() {
        let found = [outcome.effects[place].answers, outcome.effects[place].dead];
        let fits = match kind {
            Kind::Good => found == [1, 0],
            Kind::Poison | Kind::Broken => found == [0, 1],
            // A delivery that did not end counts as an attempt: some are given up.
            Kind::Flaky(_) => found != [0, 0],
        };
        prop_assert!(fits, "{place} {kind:?} has {found:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_is_lost_and_nothing_doubled(setting in setting(Order::None)) {
        check(&setting, &simulate(&setting))?;
    }

    #[test]
    fn messages_of_a_key_have_their_effects_in_order(setting in setting(Order::Key)) {
        let outcome = simulate(&setting);
        check(&setting, &outcome)?;
        for key in 0..5 {
            let of_key = outcome.first_effects.iter();
            let of_key = of_key.filter(|place| setting.messages[**place].0 == key);
            prop_assert!(of_key.is_sorted(), "{:?}", outcome.first_effects);
        }
    }

    #[test]
    fn messages_of_a_partition_have_their_effects_in_order(setting in setting(Order::Partition)) {
        let outcome = simulate(&setting);
        check(&setting, &outcome)?;
        prop_assert!(outcome.first_effects.is_sorted(), "{:?}", outcome.first_effects);
    }

    #[test]
    fn a_group_with_transactions_loses_and_doubles_nothing(setting in group_setting()) {
        let outcome = group::simulate(&setting);
        prop_assert!(outcome.ended, "some messages never end: {:?}", outcome.open);
        prop_assert!(outcome.in_flight_most <= setting.in_flight);
        for (partition, messages) in setting.partitions.iter().enumerate() {
            let of_it = outcome.effects.iter().filter(|effect| effect.partition == partition);
            let of_it: Vec<_> = of_it.collect();
            prop_assert_eq!(of_it.len(), messages.len(), "{:?}", of_it);
            for effect in &of_it {
                let fits = match messages[effect.offset].1 {
                    Kind::Good => !effect.is_dead,
                    Kind::Poison | Kind::Broken => effect.is_dead,
                    Kind::Flaky(_) => true,
                };
                prop_assert!(fits, "{effect:?}");
            }
            let offsets = of_it.iter().map(|effect| effect.offset);
            let distinct: std::collections::BTreeSet<usize> = offsets.clone().collect();
            prop_assert_eq!(distinct.len(), messages.len());
            for key in 0..3 {
                let of_key = offsets.clone().filter(|offset| messages[*offset].0 == key);
                prop_assert!(!setting.is_ordered || of_key.is_sorted(), "{:?}", of_it);
            }
        }
    }
}
