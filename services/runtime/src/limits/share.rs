//! The fair part that one connection may take of something limited.

/// How many times what is still free one connection may have.
const FREE_MULTIPLE: usize = 2;

/// `true` if a connection that has `own` may take `more`, where `taken` of `max` are taken in all.
///
/// A connection may have at most twice what is free. One alone gets two thirds, and however many
/// there are, and whatever they take, something stays free for one that has nothing yet: with
/// three that take all they may, a seventh; with a hundred, one in two hundred.
pub(super) fn fits(max: usize, taken: usize, own: usize, more: usize) -> bool {
    let free = max.saturating_sub(taken);
    more <= free && own.saturating_add(more) <= free.saturating_mul(FREE_MULTIPLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets `connections` take one after the other until none may take more.
    fn taken_by(connections: usize, max: usize) -> Vec<usize> {
        let mut own = vec![0; connections];
        loop {
            let before = own.clone();
            for at in 0..connections {
                let taken = own.iter().sum();
                if fits(max, taken, own[at], 1) {
                    own[at] += 1;
                }
            }
            if own == before {
                return own;
            }
        }
    }

    #[test]
    fn however_many_take_all_they_may_a_newcomer_finds_room() {
        for (connections, each) in [(1, 683), (2, 410), (3, 293), (16, 63), (100, 10)] {
            let own = taken_by(connections, 1024);
            let most = own.iter().copied().max().unwrap();
            assert!(most.abs_diff(each) <= 1, "{connections}: {most}");
            let taken = own.iter().sum();
            assert!(fits(1024, taken, 0, 1), "{connections}: {taken}");
        }
    }

    #[test]
    fn small_limits_can_be_used_up() {
        assert!(fits(1, 0, 0, 1));
        assert!(!fits(1, 1, 0, 1));
        assert!(fits(2, 1, 0, 1));
        assert!(
            fits(100, 0, 0, 100),
            "one that is alone may take all at once"
        );
        assert!(!fits(100, 100, 100, 0) || fits(100, 100, 0, 0));
    }
}
