//! Token vectors of rows that were encoded lately. A row that one model has encoded for a caller is
//! not encoded again for the same caller by another model with the same weights: a reranker finds
//! the passages that an embedder has just seen.
//!
//! Rows are kept apart by the flow of their caller, so that nobody learns from the time of an
//! answer what others asked.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use motet_models::{TokenIds, Values};
use motet_runtime::flow::Flow;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// Most bytes of token vectors that are kept for one set of weights.
const KEPT_BYTES_MAX: usize = 64 << 20;
/// Rows that are looked up at a time, while others wait.
const ROWS_AT_ONCE: usize = 256;
/// Time for which a row is kept: longer than a request takes from one model to the next.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// The token vectors of one encoder's rows, shared by the models that use the encoder.
#[derive(Debug, Default)]
pub(crate) struct TokenVectors(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// Models that share the encoder.
    members: Vec<MemberState>,
    members_so_far: usize,
    rows: HashMap<Arc<RowKey>, KeptRow>,
    /// Number of rows of each model that has encoded any.
    rows_of: HashMap<usize, usize>,
    /// The rows in the order in which they came; those that were replaced since are still in it.
    order: VecDeque<(Instant, Arc<RowKey>)>,
    bytes: usize,
    /// `true` while a task waits for the oldest row to expire.
    expires: bool,
}

#[derive(Clone, Copy, Debug)]
struct MemberState {
    number: usize,
    /// `true` if the model takes rows that others have encoded.
    takes: bool,
}

/// A row of a caller. Vectors depend on nothing else of it: what is pooled is up to the heads.
#[derive(Debug, PartialEq, Eq, Hash)]
struct RowKey {
    flow: Flow,
    ids: Box<[u32]>,
    types: Box<[u32]>,
    unattended: usize,
}

#[derive(Debug)]
struct KeptRow {
    since: Instant,
    /// Number of the model that encoded it.
    member: usize,
    vectors: Arc<Values>,
}

/// One of the models that share the token vectors of an encoder, until it is dropped.
#[derive(Debug)]
pub(crate) struct Member {
    shared: Arc<TokenVectors>,
    number: usize,
    takes: bool,
    runtime: Handle,
}

impl TokenVectors {
    /// Adds a model. `takes` says whether it can go on from token vectors that another model has
    /// computed. Needs a tokio runtime.
    pub(crate) fn join(self: &Arc<Self>, takes: bool) -> Member {
        let mut kept = self.lock();
        let number = kept.members_so_far;
        kept.members_so_far += 1;
        kept.members.push(MemberState { number, takes });
        drop(kept);
        Member {
            shared: self.clone(),
            number,
            takes,
            runtime: Handle::current(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    /// Returns whether another model may take what this one encodes.
    pub(crate) fn has_takers(&self) -> bool {
        let takes = |other: &MemberState| other.takes && other.number != self.number;
        self.shared.lock().members.iter().any(takes)
    }

    /// Returns whether another model has encoded anything that this one may take.
    pub(crate) fn may_find(&self) -> bool {
        let is_of_other = |number: &usize| *number != self.number;
        self.takes && self.shared.lock().rows_of.keys().any(is_of_other)
    }

    /// Returns for each row its token vectors, if another model has encoded it for this caller.
    pub(crate) fn find(&self, flow: Flow, rows: &[TokenIds]) -> Vec<Option<Arc<Values>>> {
        if !self.takes {
            return vec![None; rows.len()];
        }
        let mut found = Vec::with_capacity(rows.len());
        for rows in rows.chunks(ROWS_AT_ONCE) {
            let mut kept = self.shared.lock();
            kept.expire(Instant::now());
            found.extend(rows.iter().map(|row| {
                let found = kept.rows.get(&RowKey::new(flow, row))?;
                (found.member != self.number).then(|| found.vectors.clone())
            }));
        }
        found
    }

    /// Keeps the token vectors of a row that this model has encoded for a caller.
    pub(crate) fn keep(&self, flow: Flow, ids: &TokenIds, vectors: Values) {
        let row = KeptRow {
            since: Instant::now(),
            member: self.number,
            vectors: Arc::new(vectors),
        };
        let key = RowKey::new(flow, ids);
        let mut kept = self.shared.lock();
        kept.expire(row.since);
        kept.insert(key, row);
        if !kept.rows.is_empty() && !kept.expires {
            kept.expires = true;
            self.runtime.spawn(expire(Arc::downgrade(&self.shared)));
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut kept = self.shared.lock();
        kept.members.retain(|member| member.number != self.number);
    }
}

impl RowKey {
    fn new(flow: Flow, row: &TokenIds) -> Self {
        Self {
            flow,
            ids: row.as_slice().into(),
            types: row.types().into(),
            unattended: row.unattended(),
        }
    }
}

impl Kept {
    fn insert(&mut self, key: RowKey, row: KeptRow) {
        let bytes = bytes_of(&row);
        if bytes > KEPT_BYTES_MAX {
            return;
        }
        while self.bytes + bytes > KEPT_BYTES_MAX && self.drop_oldest() {}
        let key = Arc::new(key);
        self.order.push_back((row.since, key.clone()));
        self.bytes += bytes;
        *self.rows_of.entry(row.member).or_default() += 1;
        if let Some(replaced) = self.rows.insert(key, row) {
            self.dropped(&replaced);
        }
    }

    /// Drops the rows whose time is over.
    fn expire(&mut self, now: Instant) {
        while let Some((since, _)) = self.order.front()
            && now.saturating_duration_since(*since) >= KEPT_FOR
        {
            self.drop_oldest();
        }
        if self.rows.is_empty() {
            // A burst of rows leaves no memory behind.
            self.rows = HashMap::new();
            self.order = VecDeque::new();
        }
    }

    /// Drops the oldest row, unless a newer one has replaced it. Returns `false` if there is none.
    fn drop_oldest(&mut self) -> bool {
        let Some((since, key)) = self.order.pop_front() else {
            return false;
        };
        if self.rows.get(&key).is_some_and(|row| row.since == since)
            && let Some(row) = self.rows.remove(&key)
        {
            self.dropped(&row);
        }
        true
    }

    /// Takes a row that is gone out of the counts.
    fn dropped(&mut self, row: &KeptRow) {
        self.bytes -= bytes_of(row);
        if let Some(rows) = self.rows_of.get_mut(&row.member) {
            *rows -= 1;
            if *rows == 0 {
                self.rows_of.remove(&row.member);
            }
        }
    }
}

fn bytes_of(row: &KeptRow) -> usize {
    size_of_val(row.vectors.as_slice())
}

/// Drops rows as their time is over, until none is left.
async fn expire(shared: Weak<TokenVectors>) {
    loop {
        let oldest = {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            let mut kept = shared.lock();
            kept.expire(Instant::now());
            match kept.order.front() {
                Some((since, _)) => *since,
                None => {
                    kept.expires = false;
                    return;
                }
            }
        };
        tokio::time::sleep_until(oldest + KEPT_FOR).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u32) -> TokenIds {
        TokenIds::from(vec![101, id, 102])
    }

    fn vectors(number: f32, tokens: usize) -> Values {
        Values::new(vec![number; tokens * 4], 4)
    }

    fn found(member: &Member, flow: Flow, id: u32) -> Option<f32> {
        let found = member.find(flow, &[row(id)]).remove(0);
        found.map(|vectors| vectors.as_slice()[0])
    }

    #[tokio::test(start_paused = true)]
    async fn only_another_model_finds_a_row_and_only_for_the_same_caller() {
        let shared = Arc::new(TokenVectors::default());
        let (embedder, reranker) = (shared.join(true), shared.join(true));
        let sparse = shared.join(false);
        let (one, other) = (Flow::new(&[1, 2]), Flow::new(&[1, 3]));
        assert!(!reranker.may_find());
        embedder.keep(one, &row(7), vectors(7.0, 3));
        embedder.keep(one, &row(8), vectors(8.0, 3));
        assert!(reranker.may_find() && !embedder.may_find() && !sparse.may_find());
        for (member, flow, id, expected) in [
            (&reranker, one, 7, Some(7.0)),
            (&reranker, one, 8, Some(8.0)),
            (&reranker, one, 9, None),
            (&reranker, other, 7, None),
            (&embedder, one, 7, None),
            (&sparse, one, 7, None),
        ] {
            assert_eq!(found(member, flow, id), expected, "{flow:?} {id}");
        }
        assert!(embedder.has_takers() && sparse.has_takers());
        drop(reranker);
        assert!(!embedder.has_takers());
        assert!(sparse.has_takers());
    }

    #[tokio::test(start_paused = true)]
    async fn rows_are_dropped_when_their_time_is_over_also_without_further_calls() {
        let shared = Arc::new(TokenVectors::default());
        let (embedder, reranker) = (shared.join(true), shared.join(true));
        let flow = Flow::default();
        embedder.keep(flow, &row(7), vectors(7.0, 3));
        tokio::time::sleep(KEPT_FOR / 2).await;
        embedder.keep(flow, &row(8), vectors(8.0, 3));
        tokio::time::sleep(KEPT_FOR * 3 / 4).await;
        assert_eq!(shared.lock().rows.len(), 1);
        assert_eq!(found(&reranker, flow, 7), None);
        assert_eq!(found(&reranker, flow, 8), Some(8.0));
        tokio::time::sleep(KEPT_FOR).await;
        let kept = shared.lock();
        assert_eq!((kept.rows.len(), kept.bytes, kept.expires), (0, 0, false));
        assert!(kept.rows_of.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_rows_make_room_and_a_row_that_is_kept_again_is_new() {
        let shared = Arc::new(TokenVectors::default());
        let (embedder, reranker) = (shared.join(true), shared.join(true));
        let flow = Flow::default();
        // Four rows fill the bound.
        let quarter = KEPT_BYTES_MAX / 16 / 4;
        for id in [1, 2, 3, 4, 1, 5] {
            embedder.keep(flow, &row(id), vectors(id as f32, quarter));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(shared.lock().bytes <= KEPT_BYTES_MAX);
        assert_eq!(found(&reranker, flow, 2), None);
        for id in [1, 4, 5] {
            assert_eq!(found(&reranker, flow, id), Some(id as f32));
        }
        // A row that is larger than the bound takes nothing from the others.
        embedder.keep(flow, &row(6), vectors(6.0, KEPT_BYTES_MAX / 16 + 1));
        assert_eq!(found(&reranker, flow, 6), None);
        assert_eq!(found(&reranker, flow, 5), Some(5.0));
    }
}
