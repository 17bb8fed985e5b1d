//! Bars of fairness, over fixed seeds in virtual time: no caller takes the model from others.

use std::num::NonZeroU32;
use std::time::Duration;

use motet_batcher::{Flow, Options, Policy, Priority, Time};
use motet_batcher_simulator::scenarios::machines;
use motet_batcher_simulator::{
    Callers, ClosedLoop, Machine, PolicyKind, Random, Recording, Request, RequestOutcome, Scenario,
    Summary, Traffic,
};

const SEEDS: [u64; 3] = [1, 2, 3];
/// Rows of a large call.
const LARGE: usize = 1000;
const TOKENS: f64 = 64.0;

fn play(traffic: Traffic, machine: &Machine, seed: u64) -> Recording {
    play_with(Options::default(), traffic, machine, seed)
}

fn play_with(options: Options, traffic: Traffic, machine: &Machine, seed: u64) -> Recording {
    let scenario = Scenario {
        traffic,
        machine: machine.clone(),
        executors: 1,
        options,
        policy: PolicyKind::Motet(Policy::Adaptive),
        seed,
    };
    scenario.run()
}

fn flow(key: u64) -> Flow {
    Flow::default().under(key, Flow::USUAL_SHARE)
}

/// Seconds of a batch of one row.
fn one(machine: &Machine) -> f64 {
    machine.seconds(TOKENS as u64)
}

/// Seconds of the longest batch that a large call runs in while short ones come: it spends
/// twelve times its fixed cost on its tokens, or has as many as fit.
fn one_batch(machine: &Machine) -> f64 {
    (13.0 * machine.a).min(machine.seconds(8192))
}

fn callers(callers: usize, rows: usize, think: f64, requests: usize, key: u64) -> Callers {
    Callers {
        callers: ClosedLoop {
            callers,
            think,
            requests,
            tokens: TOKENS,
            deadline: None,
        },
        rows,
        flow: flow(key),
    }
}

/// Requests of single rows that take about this share of the machine's time, each from a connection
/// of its own.
fn singles(machine: &Machine, share: f64, seconds: f64, seed: u64) -> Vec<Request> {
    let mut random = Random::new(seed ^ 0x51);
    let (mut now, mut all) = (0.0, Vec::new());
    while now < seconds {
        now += random.exponential(one(machine) / share);
        all.push(Request {
            arrival: Time::from_seconds(now),
            rows: 1,
            tokens: (TOKENS * (0.5 + random.uniform())) as u32,
            deadline: None,
            priority: Priority::Interactive,
            flow: flow(1).under(all.len() as u64, Flow::USUAL_SHARE),
            refused: 0,
        });
    }
    all
}

fn of_single(recording: &Recording) -> Summary {
    recording.of(|request| request.rows == 1)
}

/// Collects what misses its bar, so that one run shows all.
#[derive(Default)]
struct Bars(Vec<String>);

impl Bars {
    fn at_most(&mut self, bar: &str, value: f64, limit: f64, what: &str) {
        println!("{bar}: {value:.4} of at most {limit:.4} ({what})");
        if value.is_nan() || value > limit {
            self.0
                .push(format!("{bar}: {value:.4} > {limit:.4} for {what}"));
        }
    }

    fn at_least(&mut self, bar: &str, value: f64, limit: f64, what: &str) {
        println!("{bar}: {value:.4} of at least {limit:.4} ({what})");
        if value.is_nan() || value < limit {
            self.0
                .push(format!("{bar}: {value:.4} < {limit:.4} for {what}"));
        }
    }

    fn check(self) {
        assert!(self.0.is_empty(), "missed:\n{}", self.0.join("\n"));
    }
}

#[test]
fn single_rows_are_quick_beside_large_calls() {
    let mut bars = Bars::default();
    for (name, machine) in machines() {
        for seed in SEEDS {
            for think in [0.3e-3, one(&machine) * 20.0] {
                let single = || callers(1, 1, think, 400, 1);
                let alone = of_single(&play(
                    Traffic::Mixed(Vec::new(), vec![single()]),
                    &machine,
                    seed,
                ));
                for large in [1, 10] {
                    let seconds = 400.0 * (think + 3.0 * one(&machine));
                    let work = machine.seconds((TOKENS * LARGE as f64) as u64);
                    let calls = (seconds / work).ceil() as usize + large;
                    let groups = vec![single(), callers(large, LARGE, 0.3e-3, calls, 2)];
                    let beside = play(Traffic::Mixed(Vec::new(), groups), &machine, seed);
                    let beside = of_single(&beside);
                    let what = format!("{name}, {large} large, think {think:.4}, seed {seed}");
                    let batch_ms = 1e3 * one_batch(&machine);
                    assert_eq!((beside.refused, beside.expired), (0, 0), "{what}");
                    bars.at_most("p50", beside.p50_ms, 2.0 * alone.p50_ms + batch_ms, &what);
                    let most = 3.0 * alone.p99_ms + 1.02 * batch_ms;
                    bars.at_most("p99", beside.p99_ms, most, &what);
                }
            }
        }
    }
    bars.check();
}

/// Rows longer than a quantum, of large calls of many flows: what is short comes and goes between
/// two of them, many thousand times.
#[test]
fn no_single_row_starves_beside_flows_of_long_rows() {
    let mut bars = Bars::default();
    let small_fixed_cost = ("small fixed cost", Machine::new(0.3, 245.0, 0.1));
    for (name, machine) in machines().into_iter().chain([small_fixed_cost]) {
        // Others have run all large calls before many short ones have come.
        if one(&machine) < 5e-3 {
            continue;
        }
        for (flows, tokens, seed) in [(2u32, 8.0, 1), (10, 14.0, 2), (10, 14.0, 3), (30, 8.0, 4)] {
            let machine_of = flow(7);
            let of = |key| machine_of.under(key, Flow::USUAL_SHARE);
            let work = machine.seconds((TOKENS * LARGE as f64) as u64) * f64::from(flows);
            let think = (work / 2000.0).max(6.0 * one(&machine));
            let mut single = callers(1, 1, think, 2000, 1);
            single.flow = of(1);
            single.callers.tokens = tokens;
            let mut groups = vec![single];
            for key in 0..flows {
                let flow = of(100 + u64::from(key));
                groups.push(Callers {
                    flow,
                    ..callers(1, LARGE, 0.3e-3, 1, 2)
                });
            }
            let options = Options {
                max_queue_size: 100_000,
                ..Options::default()
            };
            let run = play_with(options, Traffic::Mixed(Vec::new(), groups), &machine, seed);
            let end = run
                .rows
                .iter()
                .filter(|(_, n)| run.requests[*n].rows == LARGE);
            let end = end.map(|(time, _)| *time).max().unwrap_or(Time::ZERO);
            let times = run.requests.iter().zip(&run.outcomes);
            let beside = times.filter(|(request, _)| request.rows == 1 && request.arrival < end);
            let mut times: Vec<f64> = beside
                .map(|(request, outcome)| match outcome {
                    RequestOutcome::Answered(at) => at.seconds_since(request.arrival),
                    _ => f64::INFINITY,
                })
                .collect();
            times.sort_by(f64::total_cmp);
            let what = format!(
                "{name}, {flows} flows, rows of {tokens}, {} rows",
                times.len()
            );
            assert!(times.len() > 200, "{what}");
            let (p50, longest) = (times[times.len() / 2], times[times.len() - 1]);
            let batch = one_batch(&machine).max(one(&machine));
            let alone = machine.seconds(tokens as u64);
            bars.at_most("p50", p50, 2.0 * alone + batch, &what);
            // The first parts of all large calls come at once; and before anyone knows that short
            // calls come, a batch is full.
            let begin = f64::from(flows) * batch + machine.seconds(8192);
            bars.at_most("longest", longest, begin + 3.0 * (alone + batch), &what);
        }
    }
    bars.check();
}

#[test]
fn a_large_call_is_little_slower_beside_few_single_rows() {
    let mut bars = Bars::default();
    for (name, machine) in machines() {
        for seed in SEEDS {
            let work = machine.seconds((TOKENS * LARGE as f64) as u64);
            let calls = ((50.0 / work) as usize).clamp(5, 100);
            let large = || callers(1, LARGE, 0.3e-3, calls, 2);
            let time = |singles: Vec<Request>| {
                let traffic = Traffic::Mixed(singles, vec![large()]);
                let recording = play(traffic, &machine, seed);
                recording.of(|request| request.rows == LARGE).mean_ms
            };
            let beside = time(singles(&machine, 0.05, 1.6 * calls as f64 * work, seed));
            let ratio = beside / time(Vec::new());
            let what = format!("{name}, seed {seed}");
            bars.at_most("time against alone", ratio, 1.15, &what);
        }
    }
    bars.check();
}

/// Returns the time at which the last row of the flow `key` arrives, as long as it has work.
fn last_of(recording: &Recording, key: u64) -> f64 {
    let of_flow = |request: &&Request| request.flow.levels()[0].key == key;
    let arrivals = recording.requests.iter().filter(of_flow);
    let arrivals = arrivals.map(|request| request.arrival.as_seconds());
    arrivals.fold(0.0, f64::max)
}

/// Returns the part of the tokens that the flow `key` gets.
fn part_of(recording: &Recording, key: u64, from: f64, to: f64) -> f64 {
    let (mut all, mut of_flow) = (0.0, 0.0);
    for (_, request) in recording
        .rows
        .iter()
        .filter(|(time, _)| (from..to).contains(&time.as_seconds()))
    {
        let request = &recording.requests[*request];
        let tokens = f64::from(request.tokens);
        all += tokens;
        if request.flow.levels()[0].key == key {
            of_flow += tokens;
        }
    }
    of_flow / all
}

#[test]
fn flows_with_endless_work_share_by_their_shares() {
    let mut bars = Bars::default();
    for (name, machine) in machines() {
        for seed in SEEDS.into_iter().take(2) {
            for share in [1, 3] {
                // Callers and rows of the first flow; those of the other.
                let kinds = [(4, 1000), (1000, 1), (64, 50)];
                for (first, second) in [(0, 0), (0, 1), (1, 0), (2, 1), (1, 1)] {
                    let share = NonZeroU32::new(share).expect("not zero");
                    // The shares decide what enters the queue, where about a full batch waits to
                    // run; a run is long against that.
                    let full_batches = 200.0 * machine.seconds(8192);
                    let seconds = full_batches.max(800.0 * one_batch(&machine));
                    let group = |(count, rows): (usize, usize), flow| {
                        let tokens = seconds / machine.seconds(8192) * 8192.0;
                        let rows_in_all = (tokens / TOKENS) as usize;
                        let requests = 2 * rows_in_all / rows + 2 * count;
                        Callers {
                            flow,
                            ..callers(count, rows, 1e-6, requests, 0)
                        }
                    };
                    let groups = vec![
                        group(kinds[first], Flow::default().under(1, share)),
                        group(kinds[second], flow(2)),
                    ];
                    // Room for all callers: one that is refused would have no work for a moment.
                    let options = Options {
                        max_queue_size: 100_000,
                        ..Options::default()
                    };
                    let traffic = Traffic::Mixed(Vec::new(), groups);
                    let run = play_with(options, traffic, &machine, seed);
                    let end = last_of(&run, 1).min(last_of(&run, 2));
                    let part = part_of(&run, 1, 0.3 * end, 0.9 * end);
                    let share = f64::from(share.get());
                    let ratio = part / (1.0 - part) / share;
                    let what = format!(
                        "{name}, share {share}, {:?} beside {:?}, seed {seed}",
                        kinds[first], kinds[second]
                    );
                    bars.at_most("tokens against the share", ratio, 1.05, &what);
                    bars.at_least("tokens against the share", ratio, 0.95, &what);
                }
            }
        }
    }
    bars.check();
}

const LENGTHS: [u32; 3] = [8, 60, 200];

/// Requests of single rows of three lengths, at a multiple of what the machine can do.
fn overload(machine: &Machine, load: f64, deadline: f64, seconds: f64, seed: u64) -> Vec<Request> {
    let mean = f64::from(LENGTHS.iter().sum::<u32>()) / 3.0;
    let rate = load * machine.saturation(&Options::default(), mean);
    let mut random = Random::new(seed ^ 0x77);
    let (mut now, mut all) = (0.0, Vec::new());
    while now < seconds {
        now += random.exponential(1.0 / rate);
        all.push(Request {
            arrival: Time::from_seconds(now),
            rows: 1,
            tokens: LENGTHS[(random.uniform() * 3.0) as usize % 3],
            deadline: Some(Duration::from_secs_f64(deadline)),
            priority: Priority::Interactive,
            flow: flow(all.len() as u64 % 50),
            refused: 0,
        });
    }
    all
}

#[test]
fn no_length_starves_in_overload() {
    let mut bars = Bars::default();
    for (name, machine) in machines() {
        for load in [2.0, 4.0] {
            for seed in SEEDS {
                let (deadline, seconds) = match machine.saturation(&Options::default(), 64.0) {
                    rate if rate < 1000.0 => (1.0, 30.0),
                    rate if rate < 50_000.0 => (1.0, 2.5),
                    _ => (0.1, 0.4),
                };
                let all = overload(&machine, load, deadline, seconds, seed);
                let run = play(Traffic::Open(all), &machine, seed);
                let answered = |tokens: u32| {
                    let of = run.of(|request| request.tokens == tokens);
                    of.completed as f64 / (of.completed + of.refused + of.expired) as f64
                };
                let [short, middle, long] = LENGTHS.map(answered);
                let what = format!("{name}, load {load}, seed {seed}: {short} {middle} {long}");
                bars.at_least("long against short", long / short, 0.5, &what);
                bars.at_least("middle against short", middle / short, 0.5, &what);
                let busy: f64 = run.batches.iter().map(|b| b.duration.as_secs_f64()).sum();
                let end = run.rows.last().map_or(0.0, |(time, _)| time.as_seconds());
                bars.at_least("use of the machine", busy / end, 0.95, &what);
            }
        }
    }
    bars.check();
}

#[test]
fn short_deadlines_are_met_beside_busy_batch_callers() {
    let mut bars = Bars::default();
    for (name, machine) in machines() {
        // Its own time does not fit.
        if 1e3 * one(&machine) > 20.0 {
            continue;
        }
        for seed in SEEDS {
            for rows in [1, 16, 64] {
                let seconds = 300.0 * one(&machine) / 0.05;
                let mut short = singles(&machine, 0.05, seconds, seed);
                for request in &mut short {
                    request.deadline = Some(Duration::from_millis(60));
                    request.flow = flow(1);
                }
                let tokens = seconds / machine.seconds(8192) * 8192.0;
                let requests = (tokens / TOKENS) as usize / rows;
                let busy = callers(64, rows, 0.3e-3, requests, 2);
                let run = play(Traffic::Mixed(short, vec![busy]), &machine, seed);
                let until = 0.8 * run.rows.last().map_or(0.0, |(time, _)| time.as_seconds());
                let of = run.of(|request| {
                    request.deadline.is_some() && request.arrival.as_seconds() < until
                });
                let answered =
                    of.completed as f64 / (of.completed + of.refused + of.expired) as f64;
                let what = format!("{name}, {rows} rows, seed {seed}");
                bars.at_least("answered in 60 ms", answered, 0.5, &what);
            }
        }
    }
    bars.check();
}

#[test]
fn callers_that_are_told_when_to_come_back_are_answered_soon() {
    let mut bars = Bars::default();
    for (name, machine) in machines() {
        let rate = machine.saturation(&Options::default(), 64.0);
        if rate > 1000.0 {
            continue;
        }
        for load in [2.0, 4.0] {
            for seed in SEEDS {
                let mut all = overload(&machine, load, 1.0, 20.0, seed);
                for request in &mut all {
                    request.deadline = Some(Duration::from_secs(20));
                }
                let originals = all.len() as f64;
                let run = play(Traffic::Patient(all), &machine, seed);
                let attempts = run.requests.len() as f64;
                let answered = |o: &&RequestOutcome| matches!(o, RequestOutcome::Answered(_));
                let answered = run.outcomes.iter().filter(answered).count() as f64;
                let what = format!("{name}, load {load}, seed {seed}");
                bars.at_most("attempts a request", attempts / originals, 3.0, &what);
                println!("{what}: {attempts} attempts of {originals}, {answered} answered");
            }
        }
    }
    bars.check();
}

/// Returns the rows answered a second while `count` callers ask again and again, all of them in
/// the same flow or each in its own, and come back when they are told to.
fn goodput(machine: &Machine, count: usize, flow: Flow, seed: u64) -> f64 {
    let seconds = 150.0 * machine.seconds(8192);
    let rows = seconds * machine.saturation(&Options::default(), TOKENS);
    let group = Callers {
        flow,
        ..callers(count, 1, 0.3e-3, rows as usize + 4 * count, 0)
    };
    let run = play(Traffic::Mixed(Vec::new(), vec![group]), machine, seed);
    // Until the first callers have no further request.
    let last = run.requests.iter().map(|request| request.arrival);
    let last = last.max().map_or(0.0, Time::as_seconds);
    let (from, to) = (0.2 * last, 0.8 * last);
    let window = from..to;
    let answered = run
        .rows
        .iter()
        .filter(|(time, _)| window.contains(&time.as_seconds()));
    answered.count() as f64 / (to - from)
}

#[test]
fn many_callers_get_as_much_done_as_few() {
    let mut bars = Bars::default();
    for (name, machine) in machines() {
        for seed in SEEDS {
            for (kind, flow) in [
                ("flows of their own", Flow::default()),
                ("one flow", flow(1)),
            ] {
                let few = goodput(&machine, 64, flow, seed);
                let many = goodput(&machine, 2000, flow, seed);
                let what = format!("{name}, {kind}, seed {seed}: {few:.0} and {many:.0} rows/s");
                bars.at_least("goodput of 2000 against 64", many / few, 0.9, &what);
            }
        }
    }
    bars.check();
}
