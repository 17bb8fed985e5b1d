//! A limit on the tokens of a batch, learnt from running out of device memory.

/// The cap grows after a batch of at least this share of it ran well.
const NEAR_CAP: f64 = 0.8;
/// Growth of the cap for each such batch: it doubles after some 70 of them.
const GROWTH: f64 = 1.01;

/// The learnt cap on the tokens of a batch; none until memory has run out once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MemoryCap {
    tokens: Option<f64>,
}

impl MemoryCap {
    /// Returns the cap in force, given the configured one.
    pub(crate) fn tokens(&self, configured: u64) -> u64 {
        self.tokens
            .map_or(configured, |tokens| configured.min(tokens as u64))
    }

    /// Halves the cap after a batch of `tokens` tokens did not fit.
    pub(crate) fn shrink(&mut self, tokens: u64) {
        let half = (tokens as f64 / 2.0).max(1.0);
        self.tokens = Some(self.tokens.map_or(half, |cap| cap.min(half)));
    }

    /// Grows the cap after a batch of `tokens` tokens ran well; the learnt cap is dropped once it
    /// reaches the configured one.
    pub(crate) fn grow(&mut self, tokens: u64, configured: u64) {
        if let Some(cap) = self.tokens
            && tokens as f64 >= NEAR_CAP * cap
        {
            let grown = (cap * GROWTH).max(cap + 1.0);
            self.tokens = (grown < configured as f64).then_some(grown);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_halves_at_once_and_grows_back_slowly() {
        let mut cap = MemoryCap::default();
        assert_eq!(cap.tokens(8192), 8192);
        cap.shrink(6000);
        assert_eq!(cap.tokens(8192), 3000);
        cap.shrink(8000); // a larger batch that was running already does not raise the cap
        assert_eq!(cap.tokens(8192), 3000);
        cap.grow(100, 8192); // far below the cap, so no evidence about it
        assert_eq!(cap.tokens(8192), 3000);
        let mut batches = 0;
        while cap.tokens(8192) < 8192 {
            cap.grow(cap.tokens(8192), 8192);
            batches += 1;
        }
        assert!(
            (60..200).contains(&batches),
            "{batches} batches to grow back"
        );
    }
}
