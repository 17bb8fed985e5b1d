//! Properties of the order in which calls get rows into the queue.

use std::collections::HashSet;
use std::num::NonZeroU32;

use proptest::prelude::*;

use super::*;
use crate::row::Priority;

const PART: Work = Work {
    rows: 64,
    tokens: 500,
};
const ROW_TOKENS_MAX: u32 = 300;
/// The most tokens of a part: its last row may be over by half.
const PART_TOKENS_MAX: u64 = PART.tokens + ROW_TOKENS_MAX as u64;

fn first_row(call: u64, rows: usize) -> Row {
    Row {
        id: RowId(1_000_000 * call),
        call: CallId(call),
        index: 0,
        call_rows: rows,
        tokens: 1,
        group: 0,
        arrived: Time::default(),
        deadline: None,
        due: Time::default(),
        priority: Priority::Interactive,
        request: None,
    }
}

fn flow(key: u64, share: u32) -> Flow {
    Flow::default().under(key, NonZeroU32::new(share).unwrap())
}

fn of_one_group(tokens: &[u32]) -> Rows<'_> {
    Rows {
        tokens,
        groups: &[],
    }
}

/// Releases the next part, which runs at once. Returns its call and tokens.
fn release(queue: &mut FairQueue) -> Option<(CallId, u64)> {
    let call = queue.next(PART)?.call;
    let count = part_of(queue.waiting_tokens(call), PART);
    let rows = queue.release(Time::default(), call, count, PART);
    let work: Work = rows.iter().map(|row| row.tokens).collect();
    queue.leave(call, work);
    Some((call, work.tokens))
}

proptest! {
    /// The bound of start-time fair queueing: while two flows have work, what they got, divided by
    /// their shares, differs by no more than a part of each, however long their rows are.
    #[test]
    fn flows_with_work_are_never_more_than_a_part_of_each_apart(
        flows in prop::collection::vec(
            (1..=4u32, prop::collection::vec(1..=ROW_TOKENS_MAX, 100..400)),
            2..6,
        ),
    ) {
        let mut queue = FairQueue::default();
        let mut begun_tokens = vec![0u64; flows.len()];
        for (number, (share, tokens)) in flows.iter().enumerate() {
            let call = number as u64;
            let first = first_row(call, tokens.len());
            let begun = queue.insert(first, of_one_group(tokens), &flow(call, *share), 1, PART);
            begun_tokens[number] = sum(&tokens[..begun]);
            let begun: Work = tokens[..begun].iter().copied().collect();
            queue.leave(CallId(call), begun);
        }
        let mut got = vec![0u64; flows.len()];
        let has_more = |queue: &FairQueue| {
            (0..flows.len()).all(|call| !queue.waiting_tokens(CallId(call as u64)).is_empty())
        };
        let mut released = HashSet::new();
        let mut at_start = None;
        while has_more(&queue) {
            let (call, tokens) = release(&mut queue).expect("a backlog");
            got[call.0 as usize] += tokens;
            released.insert(call);
            // Whoever was alone for its first part had it for nothing: what counts begins when all
            // have had a part while all had work.
            if released.len() < flows.len() {
                continue;
            }
            let at_start = at_start.get_or_insert_with(|| got.clone());
            for (one, (share, _)) in flows.iter().enumerate() {
                for (other, (other_share, _)) in flows.iter().enumerate() {
                    let [a, b] = [(one, share), (other, other_share)]
                        .map(|(flow, share)| (got[flow] - at_start[flow], share))
                        .map(|(got, share)| got as f64 / f64::from(*share));
                    let [x, y] = [share, other_share]
                        .map(|share| PART_TOKENS_MAX as f64 / f64::from(*share));
                    prop_assert!(a - b <= x + y, "{a} and {b} tokens a share, {got:?}");
                }
            }
        }
        // Whatever is left comes, and every row once.
        while let Some((call, tokens)) = release(&mut queue) {
            got[call.0 as usize] += tokens;
        }
        let all = flows.iter().zip(begun_tokens).map(|((_, tokens), begun)| sum(tokens) - begun);
        let all: Vec<u64> = all.collect();
        prop_assert_eq!(got, all);
        prop_assert_eq!((queue.rows(), queue.places()), (0, 0));
        prop_assert_eq!(queue.backlog(), Work::default());
    }

    /// A flow that was idle is not behind those that worked meanwhile, nor ahead of them.
    #[test]
    fn a_flow_that_comes_gets_its_share_from_then_on(
        before in 1..60usize,
        rows in prop::collection::vec(1..=ROW_TOKENS_MAX, 400..500),
    ) {
        let mut queue = FairQueue::default();
        for call in 0..2 {
            queue.insert(first_row(call, rows.len()), of_one_group(&rows), &flow(call, 1), 1, PART);
        }
        for _ in 0..before {
            release(&mut queue);
        }
        queue.insert(first_row(2, rows.len()), of_one_group(&rows), &flow(2, 1), 1, PART);
        let mut got = [0u64; 3];
        while (0..3).all(|call| !queue.waiting_tokens(CallId(call)).is_empty()) {
            let (call, tokens) = release(&mut queue).expect("a backlog");
            got[call.0 as usize] += tokens;
            // Its first part has entered before, and the others may be a part ahead of each other.
            let most = got.iter().max().unwrap();
            prop_assert!(most - got[2] <= 4 * PART_TOKENS_MAX, "{got:?}");
            prop_assert!(got[2] <= got.iter().min().unwrap() + 4 * PART_TOKENS_MAX, "{got:?}");
        }
    }
    /// Calls that come and go at once take no more than they are given: whoever waits is behind the
    /// virtual time by no more than a part, and a short call waits for no more than each flow needs
    /// to be as far.
    #[test]
    fn calls_that_come_and_go_leave_the_others_their_shares(
        flows in 2..12u64,
        row in 1..=3 * PART.tokens as u32,
        // A short call of these tokens, then this many releases.
        steps in prop::collection::vec((1..=40u32, 0..3usize), 200..400),
    ) {
        let mut queue = FairQueue::default();
        let rows = vec![row; 2000];
        for call in 0..flows {
            queue.insert(first_row(call, rows.len()), of_one_group(&rows), &flow(call, 1), 1, PART);
        }
        let part_tokens = part_of(&rows, PART) as u64 * u64::from(row);
        // It may be a slack and its own tokens ahead, and each of the others a slack behind.
        let slack = PART.tokens.max(part_tokens);
        let parts = ((2 * slack + 40).div_ceil(part_tokens) + 1) * flows;
        let short_flow = flow(1_000, 1);
        for (number, (tokens, releases)) in steps.into_iter().enumerate() {
            let call = 1_000 + number as u64;
            let first = first_row(call, 1);
            let begun = queue.insert(first, of_one_group(&[tokens]), &short_flow, 1, PART);
            let work = [tokens].into_iter().collect();
            let mut waited = 0;
            // It is in the queue while others are released, and then runs.
            for _ in 0..releases {
                waited += usize::from(release(&mut queue).is_some_and(|(of, _)| of.0 != call));
            }
            if begun == 1 {
                queue.leave(CallId(call), work);
            } else {
                while queue.first_row(CallId(call)).is_some() {
                    release(&mut queue);
                    waited += 1;
                    prop_assert!(waited <= parts as usize, "{waited} of {parts} parts");
                }
            }
            let root = &queue.nodes[ROOT];
            if let Some((least, _)) = root.started.first() {
                let behind = root.virtual_time.saturating_sub(*least);
                prop_assert!(behind <= queue.slack(PART), "{} tokens behind", behind / TOKEN);
            }
        }
    }
}
