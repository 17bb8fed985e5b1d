//! The core's rules of partitions that are given up.

use std::time::Duration;

use motet_stream::core::{
    Action, Arrival, Arrived, Core, Fault, Letter, MessageId, Options, Order, Position, Time,
};

const START: Time = Time::ZERO;

fn taken(core: &mut Core, arrival: Arrival) -> MessageId {
    match core.arrived(START, arrival) {
        Arrived::Taken(id) => id,
        other => panic!("{other:?}"),
    }
}

fn actions(core: &mut Core, now: Time) -> Vec<Action> {
    std::iter::from_fn(|| core.next(now)).collect()
}

/// Returns a message of a partition, with a key.
fn of_partition(partition: u32, place: u64, key: u64) -> Arrival {
    Arrival {
        position: Position {
            partition,
            ..Position::of_sequence(place)
        },
        key: Some(key),
        deliveries: 1,
    }
}

#[test]
fn a_partition_that_is_revoked_is_given_back_and_no_other() {
    let options = Options {
        order: Order::Key,
        ..Options::default()
    };
    let mut core = Core::new(options);
    // The same key in two partitions has an order in each.
    let places = [(0, 1), (0, 2), (1, 1), (1, 2)];
    let [a, b, c, d] = places.map(|(of, at)| taken(&mut core, of_partition(of, at, 7)));
    let first = [Action::Attempt(vec![a]), Action::Attempt(vec![c])];
    assert_eq!(actions(&mut core, START), first);
    core.revoke(0);
    let given = [Action::Release(b, Duration::ZERO)];
    assert_eq!(actions(&mut core, START), given);
    // Messages under way end, ...
    core.answered(a);
    assert_eq!(
        actions(&mut core, START),
        [Action::Store(a, Letter::Answer)]
    );
    assert!(core.holds(0));
    core.stored(START, a, true, true);
    assert!(!core.holds(0) && core.holds(1));
    // ... and the other partition goes on.
    core.answered(c);
    actions(&mut core, START);
    core.stored(START, c, true, true);
    assert_eq!(actions(&mut core, START), [Action::Attempt(vec![d])]);
}

#[test]
fn an_attempt_that_fails_in_a_revoked_partition_is_the_last_here() {
    let mut core = Core::new(Options {
        delays: false,
        ..Options::default()
    });
    let id = taken(&mut core, of_partition(3, 1, 7));
    actions(&mut core, START);
    core.revoke(3);
    core.failed(START, id, Fault::Attempt.into());
    let given = [Action::Release(id, Duration::from_secs(1))];
    assert_eq!(actions(&mut core, START), given);
    assert!(!core.holds(3));
}

#[test]
fn a_partition_that_is_lost_is_forgotten_whatever_is_under_way() {
    let options = Options {
        order: Order::Partition,
        ..Options::default()
    };
    let mut core = Core::new(options);
    let places = [(0, 1), (0, 2), (1, 1)];
    let [a, b, c] = places.map(|(of, at)| taken(&mut core, of_partition(of, at, 7)));
    actions(&mut core, START);
    core.answered(a);
    let mut lost = core.abandon(0);
    lost.sort_unstable();
    assert_eq!(lost, [a, b]);
    // Neither is stored, nor looked at later.
    assert_eq!(actions(&mut core, START), []);
    core.stored(START, a, true, true);
    assert_eq!((core.stats().answered, core.stats().in_flight), (0, 1));
    // It comes again.
    let again = taken(&mut core, of_partition(0, 1, 7));
    assert_eq!(actions(&mut core, START), [Action::Attempt(vec![again])]);
    core.answered(c);
    assert_eq!(
        actions(&mut core, START),
        [Action::Store(c, Letter::Answer)]
    );
}

#[test]
fn a_letter_whose_message_the_source_takes_back_is_not_stored() {
    let mut core = Core::new(Options::default());
    let id = taken(&mut core, of_partition(0, 1, 7));
    actions(&mut core, START);
    core.taken_back(START, id);
    assert_eq!(core.stats().in_flight, 1, "it is not being stored");
    core.answered(id);
    actions(&mut core, START);
    core.taken_back(START, id);
    let stats = core.stats();
    assert_eq!((stats.in_flight, stats.answered), (0, 0));
    assert_eq!(actions(&mut core, START), []);
}
