//! Windows over the tokens of a text that is longer than a row.

use std::ops::Range;

/// Part of a window that it shares with the next.
const OVERLAP: usize = 4;

/// Returns the windows of a text of this many tokens, of at most `room` tokens each: one for a text
/// that fits. Neighbours share a quarter, so that each token has tokens on both sides in one of
/// them.
///
/// # Panics
/// If there is no room.
pub fn windows(tokens: usize, room: usize) -> Vec<Range<usize>> {
    assert!(room > 0, "room for a token");
    let step = room - (room / OVERLAP).min(room - 1);
    let mut windows = Vec::new();
    let mut start = 0;
    while start + room < tokens {
        windows.push(start..start + room);
        start += step;
    }
    // The last is full, too: a token sees as much as it can.
    windows.push(tokens.saturating_sub(room)..tokens);
    windows
}

/// Returns for each token of a text the window in which it is furthest from an end, as its number
/// and the token's place in it. Ends of the text itself are no ends.
pub fn best_windows(windows: &[Range<usize>]) -> impl Iterator<Item = (usize, usize)> + '_ {
    let tokens = windows.last().map_or(0, |last| last.end);
    // The first window that has a token; those that follow begin later.
    let mut first = 0;
    (0..tokens).map(move |token| {
        while windows[first].end <= token {
            first += 1;
        }
        let margin = |window: &Range<usize>| {
            let before = match window.start {
                0 => usize::MAX,
                start => token - start,
            };
            let after = match window.end {
                end if end == tokens => usize::MAX,
                end => end - 1 - token,
            };
            before.min(after)
        };
        let mut best = first;
        for number in first + 1..windows.len() {
            if windows[number].start > token {
                break;
            }
            if margin(&windows[number]) > margin(&windows[best]) {
                best = number;
            }
        }
        (best, token - windows[best].start)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_every_token_and_share_a_quarter() {
        type Windows<'a> = &'a [(usize, usize)];
        let table: [(usize, usize, Windows<'_>); 8] = [
            (0, 8, &[(0, 0)]),
            (5, 8, &[(0, 5)]),
            (8, 8, &[(0, 8)]),
            (9, 8, &[(0, 8), (1, 9)]),
            (20, 8, &[(0, 8), (6, 14), (12, 20)]),
            (21, 8, &[(0, 8), (6, 14), (12, 20), (13, 21)]),
            (3, 1, &[(0, 1), (1, 2), (2, 3)]),
            (4, 2, &[(0, 2), (2, 4)]),
        ];
        for (tokens, room, expected) in table {
            let found = windows(tokens, room);
            let found: Vec<_> = found.iter().map(|w| (w.start, w.end)).collect();
            assert_eq!(found, expected, "{tokens} {room}");
        }
    }

    #[test]
    fn each_token_is_taken_where_it_has_most_around_it() {
        let windows = windows(20, 8);
        let best: Vec<(usize, usize)> = best_windows(&windows).collect();
        assert_eq!(best.len(), 20);
        // 6 and 7 are in both of the first two: 6 is 1 from the first's end and begins the second.
        assert_eq!(best[6], (0, 6));
        assert_eq!(best[7], (1, 1));
        assert_eq!(best[0], (0, 0));
        assert_eq!(best[19], (2, 7));
        for (token, (number, at)) in best.into_iter().enumerate() {
            assert_eq!(windows[number].start + at, token);
        }
        assert_eq!(best_windows(&super::windows(0, 8)).count(), 0);
    }
}
