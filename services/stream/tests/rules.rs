//! The core's rules, one by one.

use std::time::Duration;

use motet_stream::core::{
    Action, Arrival, Arrived, Chunk, Core, Failure, Fault, Letter, MessageId, Options, Order,
    Position, Time,
};

const START: Time = Time::ZERO;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn arrival(place: u64) -> Arrival {
    Arrival {
        position: Position::of_sequence(place),
        key: None,
        deliveries: 1,
    }
}

fn taken(core: &mut Core, arrival: Arrival) -> MessageId {
    match core.arrived(START, arrival) {
        Arrived::Taken(id) => id,
        other => panic!("{other:?}"),
    }
}

fn actions(core: &mut Core, now: Time) -> Vec<Action> {
    std::iter::from_fn(|| core.next(now)).collect()
}

#[test]
fn a_message_is_acknowledged_after_its_answer_is_stored() {
    let mut core = Core::new(Options::default());
    let id = taken(&mut core, arrival(1));
    assert_eq!(actions(&mut core, START), [Action::Attempt(vec![id])]);
    core.answered(id);
    assert_eq!(
        actions(&mut core, START),
        [Action::Store(id, Letter::Answer)]
    );
    core.stored(START, id, false, false);
    assert_eq!(actions(&mut core, START), []);
    assert_eq!(
        actions(&mut core, seconds(1)),
        [Action::Store(id, Letter::Answer)]
    );
    core.stored(seconds(1), id, true, false);
    assert_eq!(actions(&mut core, seconds(1)), [Action::Acknowledge(id)]);
    core.acknowledged(seconds(1), id, false);
    // It is delivered again: its acknowledgement was lost.
    let again = Arrival {
        deliveries: 2,
        ..arrival(1)
    };
    assert_eq!(core.arrived(seconds(1), again), Arrived::Again(id));
    assert_eq!(actions(&mut core, seconds(1)), [Action::Acknowledge(id)]);
    core.acknowledged(seconds(1), id, true);
    let stats = core.stats();
    assert_eq!(
        (stats.in_flight, stats.answered, stats.redelivered),
        (0, 1, 1)
    );
}

#[test]
fn a_store_that_acknowledges_in_the_same_step_needs_no_acknowledgement() {
    let mut core = Core::new(Options::default());
    let id = taken(&mut core, arrival(1));
    actions(&mut core, START);
    core.answered(id);
    actions(&mut core, START);
    core.stored(START, id, true, true);
    assert_eq!(actions(&mut core, START), []);
    assert_eq!(core.stats().in_flight, 0);
}

#[test]
fn a_message_that_fails_leaves_its_place_to_others() {
    let options = Options {
        in_flight: 1,
        after: 3,
        ..Options::default()
    };
    let mut core = Core::new(options);
    for (deliveries, after) in [(1, 1), (2, 1)] {
        let id = taken(
            &mut core,
            Arrival {
                deliveries,
                ..arrival(1)
            },
        );
        assert_eq!(actions(&mut core, START), [Action::Attempt(vec![id])]);
        assert_eq!(core.room(), 0);
        core.failed(START, id, Fault::Attempt.into());
        assert_eq!(
            actions(&mut core, START),
            [Action::Release(id, seconds(after))]
        );
        assert_eq!(core.room(), 1);
    }
    let id = taken(
        &mut core,
        Arrival {
            deliveries: 3,
            ..arrival(1)
        },
    );
    actions(&mut core, START);
    core.failed(START, id, Fault::Attempt.into());
    assert_eq!(actions(&mut core, START), [Action::Store(id, Letter::Dead)]);
    assert_eq!(core.attempts(id), 3);
}

#[test]
fn a_source_that_cannot_delay_keeps_the_message_here() {
    let options = Options {
        delays: false,
        ..Options::default()
    };
    let mut core = Core::new(options);
    let id = taken(&mut core, arrival(1));
    let mut now = START;
    for wait in [1, 2, 4, 8] {
        assert_eq!(actions(&mut core, now), [Action::Attempt(vec![id])]);
        core.failed(now, id, Fault::Attempt.into());
        assert_eq!(
            core.wake_at(),
            Some(now + seconds(wait)).min(core.wake_at())
        );
        now += seconds(wait);
        let progress = |action: &Action| *action == Action::Progress(id);
        while core.wake_at().is_some_and(|at| at < now) {
            let at = core.wake_at().expect("a time");
            assert!(actions(&mut core, at).iter().all(progress));
        }
    }
    let last = actions(&mut core, now);
    assert!(last.contains(&Action::Attempt(vec![id])), "{last:?}");
    core.failed(now, id, Fault::Attempt.into());
    assert_eq!(actions(&mut core, now), [Action::Store(id, Letter::Dead)]);
}

#[test]
fn an_outage_is_nobodys_fault_but_that_of_who_is_always_there() {
    let options = Options {
        after: 1,
        ..Options::default()
    };
    for (others_are_answered, fault, is_dead) in [
        (false, Fault::Service, false),
        (true, Fault::Service, true),
        (true, Fault::Overload, false),
        (false, Fault::Attempt, true),
        (false, Fault::Message, true),
    ] {
        let mut core = Core::new(options);
        let id = taken(&mut core, arrival(0));
        let mut now = START;
        let mut died = false;
        for place in 1..10 {
            now += seconds(100);
            let attempts = actions(&mut core, now);
            died |= attempts.contains(&Action::Store(id, Letter::Dead));
            if died {
                break;
            }
            assert!(
                attempts.contains(&Action::Attempt(vec![id])),
                "{attempts:?}"
            );
            if others_are_answered {
                let other = taken(&mut core, arrival(place));
                assert!(actions(&mut core, now).contains(&Action::Attempt(vec![other])));
                core.answered(other);
            }
            core.failed(now, id, fault.into());
            died |= actions(&mut core, now).contains(&Action::Store(id, Letter::Dead));
        }
        assert_eq!(died, is_dead, "{others_are_answered} {fault:?}");
    }
}

#[test]
fn the_time_that_a_pipeline_asks_for_is_waited() {
    let mut core = Core::new(Options::default());
    let id = taken(&mut core, arrival(1));
    actions(&mut core, START);
    let failure = Failure {
        fault: Fault::Overload,
        retry_after: Some(seconds(7)),
    };
    core.failed(START, id, failure);
    assert!(!actions(&mut core, seconds(6)).contains(&Action::Attempt(vec![id])));
    assert!(actions(&mut core, seconds(7)).contains(&Action::Attempt(vec![id])));
}

#[test]
fn what_never_ended_is_not_tried_for_ever() {
    let options = Options {
        after: 2,
        ..Options::default()
    };
    for (deliveries, is_tried) in [(8, true), (9, false)] {
        let mut core = Core::new(options);
        let id = taken(
            &mut core,
            Arrival {
                deliveries,
                ..arrival(1)
            },
        );
        let expected = match is_tried {
            true => Action::Attempt(vec![id]),
            false => Action::Store(id, Letter::Dead),
        };
        assert_eq!(actions(&mut core, START), [expected], "{deliveries}");
    }
}

#[test]
fn a_chunk_goes_when_it_is_full_or_its_time_is_over() {
    let within = Duration::from_millis(20);
    let chunk = Some(Chunk { max: 2, within });
    let mut core = Core::new(Options {
        chunk,
        ..Options::default()
    });
    let [a, b, c] = [1, 2, 3].map(|place| taken(&mut core, arrival(place)));
    assert_eq!(actions(&mut core, START), [Action::Attempt(vec![a, b])]);
    assert_eq!(core.wake_at(), Some(within));
    assert_eq!(actions(&mut core, within), [Action::Attempt(vec![c])]);
    // One of the two is at fault: each has an attempt of its own.
    core.failed(within, a, Fault::Message.into());
    core.failed(within, b, Fault::Message.into());
    let alone = [Action::Attempt(vec![a]), Action::Attempt(vec![b])];
    assert_eq!(actions(&mut core, within), alone);
    core.answered(a);
    core.failed(within, b, Fault::Message.into());
    let letters = [
        Action::Store(a, Letter::Answer),
        Action::Store(b, Letter::Dead),
    ];
    assert_eq!(actions(&mut core, within), letters);
    assert_eq!(core.attempts(b), 1);
}

#[test]
fn messages_of_a_key_follow_one_another_and_hold_no_others_up() {
    let options = Options {
        order: Order::Key,
        ..Options::default()
    };
    let mut core = Core::new(options);
    let of_key = |place, key| Arrival {
        key: Some(key),
        ..arrival(place)
    };
    let [a, b, c] = [(1, 7), (2, 7), (3, 8)].map(|(at, key)| taken(&mut core, of_key(at, key)));
    let first = [Action::Attempt(vec![a]), Action::Attempt(vec![c])];
    assert_eq!(actions(&mut core, START), first);
    core.failed(START, a, Fault::Message.into());
    assert_eq!(actions(&mut core, START), [Action::Store(a, Letter::Dead)]);
    core.stored(START, a, true, false);
    let then = [Action::Acknowledge(a), Action::Attempt(vec![b])];
    assert_eq!(actions(&mut core, START), then);
}

#[test]
fn a_drain_gives_back_what_has_not_begun_and_ends_the_rest() {
    let options = Options {
        order: Order::Partition,
        ..Options::default()
    };
    let mut core = Core::new(options);
    let [a, b, c] = [1, 2, 3].map(|place| taken(&mut core, arrival(place)));
    assert_eq!(actions(&mut core, START), [Action::Attempt(vec![a])]);
    core.drain();
    let given = [
        Action::Release(b, Duration::ZERO),
        Action::Release(c, Duration::ZERO),
    ];
    assert_eq!(actions(&mut core, START), given);
    assert_eq!(core.arrived(START, arrival(4)), Arrived::Left);
    assert_eq!((core.room(), core.is_drained()), (0, false));
    core.answered(a);
    actions(&mut core, START);
    core.stored(START, a, true, false);
    actions(&mut core, START);
    core.acknowledged(START, a, true);
    assert!(core.is_drained());
}

#[test]
fn an_answer_that_can_never_be_stored_is_a_dead_letter() {
    let mut core = Core::new(Options::default());
    let id = taken(&mut core, arrival(1));
    actions(&mut core, START);
    core.answered(id);
    actions(&mut core, START);
    core.unstorable(id);
    assert_eq!(actions(&mut core, START), [Action::Store(id, Letter::Dead)]);
    core.stored(START, id, true, false);
    assert_eq!((core.stats().answered, core.stats().dead), (0, 1));
}

#[test]
fn what_is_in_flight_is_reported_in_half_of_the_time() {
    let options = Options {
        ack_wait: seconds(10),
        ..Options::default()
    };
    let mut core = Core::new(options);
    let id = taken(&mut core, arrival(1));
    actions(&mut core, START);
    for at in [5, 10, 15] {
        assert_eq!(core.wake_at(), Some(seconds(at)));
        assert_eq!(actions(&mut core, seconds(at)), [Action::Progress(id)]);
    }
}
