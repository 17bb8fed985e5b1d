//! Calls of one request that reach the same model one after the other: which, how soon, how large.
//!
//! A model service that knows of rows to come can wait for them and run them together. Only calls
//! of which none needs the other can meet.

use std::time::Duration;

use super::latency::nearest_rank;
use super::reserve::Size;

/// Latest requests of which each pair of calls is known.
const KEPT: usize = 32;
/// Requests that are known before anything is announced.
const KNOWN_MIN: usize = 4;
/// Of so many of the latest requests the rows had come within the time that is announced.
const SHARE: f64 = 0.9;

/// What usually follows a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequel {
    /// Rows, about.
    pub rows: usize,
    /// Within what time they have most probably come.
    pub within: Duration,
}

/// How one call of a graph followed another, lately.
#[derive(Debug, Clone, Default)]
pub struct Following {
    kept: Vec<(Size, Sequel)>,
    next: usize,
}

impl Following {
    /// In a request of this size it followed so.
    pub fn record(&mut self, size: Size, sequel: Sequel) {
        if self.kept.len() < KEPT {
            self.kept.push((size, sequel));
        } else {
            self.kept[self.next] = (size, sequel);
            self.next = (self.next + 1) % KEPT;
        }
    }

    /// How it will follow in a request of this size, as far as requests of this size tell.
    pub fn expect(&self, size: Size) -> Option<Sequel> {
        let alike = self.kept.iter().filter(|(other, _)| *other == size);
        let (mut rows, mut gaps): (Vec<usize>, Vec<Duration>) = alike
            .map(|(_, sequel)| (sequel.rows, sequel.within))
            .unzip();
        if rows.len() < KNOWN_MIN {
            return None;
        }
        let middle = rows.len() / 2;
        let rows = *rows.select_nth_unstable(middle).1;
        let within = nearest_rank(&mut gaps, SHARE)?;
        (rows > 0).then_some(Sequel { rows, within })
    }
}

/// For each node of a graph, the nodes that call the same model and neither need it nor are
/// needed by it. `model` is what a node calls, `needs` the nodes before it that it needs.
pub fn companions<'g>(
    count: usize,
    model: impl Fn(usize) -> Option<&'g str>,
    needs: impl Fn(usize) -> &'g [usize],
) -> Vec<Vec<usize>> {
    let mut companions = vec![Vec::new(); count];
    for later in 0..count {
        let Some(name) = model(later) else { continue };
        let mut alike = (0..later)
            .filter(|other| model(*other) == Some(name))
            .peekable();
        if alike.peek().is_none() {
            continue;
        }
        let mut beneath = vec![false; later + 1];
        beneath[later] = true;
        for at in (0..=later).rev() {
            if beneath[at] {
                needs(at).iter().for_each(|needed| beneath[*needed] = true);
            }
        }
        for other in alike.filter(|other| !beneath[*other]) {
            companions[later].push(other);
            companions[other].push(later);
        }
    }
    companions
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size::of(100);

    #[test]
    fn calls_that_can_meet_are_companions() {
        // 0: chunks, 1: q, 2: d (needs 0), 3: of d again (needs 2), 4: another model.
        let models = ["c", "m", "m", "m", "n"];
        let needs: [&[usize]; 5] = [&[], &[], &[0], &[2], &[]];
        let found = companions(5, |at| (at != 0).then_some(models[at]), |at| needs[at]);
        assert_eq!(found, [vec![], vec![2, 3], vec![1], vec![1], vec![]]);
    }

    #[test]
    fn what_follows_is_learnt_for_each_size() {
        let ms = Duration::from_millis;
        let mut following = Following::default();
        for n in 0..10 {
            assert_eq!(
                following.expect(SIZE).is_some(),
                n >= KNOWN_MIN as u64,
                "{n}"
            );
            let (rows, within) = (n as usize + 1, ms(n + 1));
            following.record(SIZE, Sequel { rows, within });
        }
        let (rows, within) = (6, ms(9));
        assert_eq!(following.expect(SIZE), Some(Sequel { rows, within }));
        assert_eq!(following.expect(Size::of(10_000)), None);
        for _ in 0..KEPT {
            let (rows, within) = (0, ms(1));
            following.record(SIZE, Sequel { rows, within });
        }
        assert_eq!(following.expect(SIZE), None, "nothing comes any more");
    }
}
