use proptest::prelude::*;

use super::*;

const OPTIONS: BreakerOptions = BreakerOptions {
    failures: 3,
    pause: Duration::from_millis(100),
    pause_max: Duration::from_millis(400),
};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Opens a fresh circuit at `now`.
fn opened(now: Instant) -> Breaker {
    let mut breaker = Breaker::new(OPTIONS);
    for n in 1..=OPTIONS.failures {
        assert_eq!(breaker.admit(now), Ok(()));
        let change = breaker.record(Outcome::Failed, now, 0.0);
        assert_eq!(change, (n == OPTIONS.failures).then_some(Change::Opened));
    }
    breaker
}

#[test]
fn consecutive_failures_open_the_circuit_and_an_answer_resets_the_count() {
    use Outcome::{Answered, Dropped, Failed, Unanswered};
    let now = Instant::now();
    for (outcomes, opens) in [
        (&[Failed, Failed][..], false),
        (&[Failed, Failed, Failed], true),
        (&[Failed, Failed, Answered, Failed, Failed], false),
        (&[Failed, Dropped, Failed, Dropped, Failed], true),
        (&[Failed, Unanswered, Failed, Unanswered, Failed], true),
        (&[Unanswered; 9], false),
        (&[Dropped; 9], false),
    ] {
        let mut breaker = Breaker::new(OPTIONS);
        for outcome in outcomes {
            breaker.record(*outcome, now, 0.0);
        }
        assert_eq!(breaker.is_open(), opens, "{outcomes:?}");
        assert_eq!(breaker.admit(now).is_err(), opens, "{outcomes:?}");
    }
}

#[test]
fn a_probe_decides_what_silence_means() {
    let now = Instant::now();
    for is_answered in [true, false] {
        let mut breaker = Breaker::new(OPTIONS);
        assert!(!breaker.take_prober(), "nothing is in doubt");
        breaker.record(Outcome::Unanswered, now, 0.0);
        assert!(breaker.take_prober());
        assert!(!breaker.take_prober(), "there is one");
        assert_eq!(breaker.probe_step(now), ProbeStep::Send, "at once");
        assert_eq!(breaker.admit(now), Ok(()), "calls go on meanwhile");
        let change = breaker.probed(is_answered, now, 0.0);
        assert_eq!(change, (!is_answered).then_some(Change::Opened));
        let next = breaker.probe_step(now);
        let wait = ProbeStep::Wait(OPTIONS.pause);
        assert_eq!(next, if is_answered { ProbeStep::Stop } else { wait });
    }
}

#[test]
fn pauses_between_probes_double_up_to_the_maximum() {
    let mut now = Instant::now();
    let mut breaker = opened(now);
    assert!(breaker.take_prober());
    for pause in [100, 200, 400, 400] {
        assert_eq!(breaker.admit(now), Err(ms(pause)));
        assert_eq!(breaker.probe_step(now), ProbeStep::Wait(ms(pause)));
        now += ms(pause);
        assert_eq!(breaker.probe_step(now), ProbeStep::Send);
        assert_eq!(breaker.probed(false, now, 0.0), None);
    }
    assert_eq!(breaker.probed(false, now, 1.0), None);
    assert_eq!(breaker.admit(now), Err(ms(480)), "with jitter");
}

#[test]
fn every_answer_closes_the_circuit() {
    let now = Instant::now();
    // The answer of a call that began before the circuit opened.
    let mut breaker = opened(now);
    let change = breaker.record(Outcome::Answered, now, 0.0);
    assert_eq!(change, Some(Change::Closed));
    assert_eq!(breaker.admit(now), Ok(()));
    // The answer of a probe.
    let mut breaker = opened(now);
    assert!(breaker.take_prober());
    assert_eq!(breaker.probed(true, now, 0.0), Some(Change::Closed));
    assert_eq!(breaker.probe_step(now), ProbeStep::Stop);
    // The late failure of a probe opens nothing.
    assert_eq!(breaker.probed(false, now, 0.0), None);
    assert!(!breaker.is_open());
}

/// One step of an interleaving.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A node's call, or its sibling's, asks for admission.
    Call,
    /// One of the calls in flight ends.
    End(Outcome),
    /// Someone who was refused or left in doubt offers to probe.
    TakeProber,
    /// The prober looks what to do.
    Step,
    /// The probe in flight ends.
    Probed(bool),
    /// The prober is dropped, whatever it does.
    DropProber,
    /// Time passes.
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let outcome = prop::sample::select(vec![
        Outcome::Answered,
        Outcome::Failed,
        Outcome::Failed,
        Outcome::Unanswered,
        Outcome::Dropped,
    ]);
    prop_oneof![
        3 => Just(Event::Call),
        3 => outcome.prop_map(Event::End),
        2 => Just(Event::TakeProber),
        3 => Just(Event::Step),
        2 => any::<bool>().prop_map(Event::Probed),
        1 => Just(Event::DropProber),
        2 => (0u64..600).prop_map(Event::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Over all interleavings of calls, siblings, probes and drops: one probe at a time is in
    /// flight, an answer closes the circuit, nothing opens it but failures in a row or a probe
    /// without an answer; and whatever happened, a service that answers again is called again
    /// within a second.
    #[test]
    fn a_circuit_recovers_from_every_interleaving(
        events in prop::collection::vec(event(), 0..200),
        random in 0.0..1.0f64,
    ) {
        let mut now = Instant::now();
        let mut breaker = Breaker::new(OPTIONS);
        let mut calls = 0usize;
        // `None` while nobody probes, else whether a probe is in flight.
        let mut prober: Option<bool> = None;
        let mut failures = 0u32;
        for event in events {
            let was_open = breaker.is_open();
            let mut probe_failed = false;
            match event {
                Event::Call => calls += usize::from(breaker.admit(now).is_ok()),
                Event::End(_) if calls == 0 => continue,
                Event::End(outcome) => {
                    calls -= 1;
                    breaker.record(outcome, now, random);
                    match outcome {
                        Outcome::Answered => failures = 0,
                        Outcome::Failed => failures += 1,
                        Outcome::Unanswered | Outcome::Dropped => {}
                    }
                    if outcome == Outcome::Answered {
                        prop_assert_eq!(breaker.admit(now), Ok(()));
                    }
                }
                Event::TakeProber => {
                    let taken = breaker.take_prober();
                    prop_assert!(!(taken && prober.is_some()), "two probers");
                    if taken {
                        prober = Some(false);
                    }
                }
                Event::Step if prober == Some(false) => match breaker.probe_step(now) {
                    ProbeStep::Send => prober = Some(true),
                    ProbeStep::Wait(wait) => prop_assert!(wait <= ms(480) && was_open),
                    ProbeStep::Stop => prober = None,
                },
                Event::Probed(answered) if prober == Some(true) => {
                    prober = Some(false);
                    breaker.probed(answered, now, random);
                    probe_failed = !answered;
                    if answered {
                        failures = 0;
                        prop_assert_eq!(breaker.admit(now), Ok(()));
                    }
                }
                Event::DropProber if prober.is_some() => {
                    prober = None;
                    breaker.leave_prober();
                }
                Event::Step | Event::Probed(_) | Event::DropProber => {}
                Event::Pass(pause) => now += ms(pause),
            }
            if breaker.is_open() && !was_open {
                prop_assert!(failures >= OPTIONS.failures || probe_failed);
            }
        }
        // From here on the service answers, and calls come every 50 ms.
        let back = now;
        while breaker.admit(now).is_err() {
            prop_assert!(now - back < ms(1000), "still open after {:?}", now - back);
            if prober.is_none() && breaker.take_prober() {
                prober = Some(false);
            }
            if prober == Some(false) && breaker.probe_step(now) == ProbeStep::Send {
                prober = Some(true);
            }
            if prober == Some(true) {
                breaker.probed(true, now, random);
                prober = Some(false);
            }
            now += ms(50);
        }
    }
}
