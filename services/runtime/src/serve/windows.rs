//! The receive windows of connections: how many bytes each client may send before any are read.
//!
//! Bytes in a window are not counted by the budget of bytes in flight, since nobody has read it
//! yet. So windows have a part of memory of their own, which is lent to connections in ever smaller
//! shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Part of what is left that one connection may have.
const SHARE: usize = 16;
/// The least window, which HTTP/2 gives to every connection.
const WINDOW_MIN: usize = 65_535;

/// Memory for windows. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Windows {
    max: usize,
    lent: Arc<AtomicUsize>,
}

/// The window of one connection. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Window {
    bytes: usize,
    lent: Arc<AtomicUsize>,
}

impl Windows {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            lent: Arc::default(),
        }
    }

    /// Lends a window of at most `most` bytes.
    pub(super) fn lend(&self, most: u32) -> Window {
        let most = usize::try_from(most).unwrap_or(usize::MAX).max(WINDOW_MIN);
        let left = self.max.saturating_sub(self.lent.load(Ordering::Relaxed));
        let bytes = (left / SHARE).clamp(WINDOW_MIN, most);
        self.lent.fetch_add(bytes, Ordering::Relaxed);
        Window {
            bytes,
            lent: self.lent.clone(),
        }
    }
}

impl Window {
    pub(super) fn bytes(&self) -> u32 {
        u32::try_from(self.bytes).unwrap_or(u32::MAX)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.lent.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_connections_have_small_windows_and_all_have_the_least() {
        let windows = Windows::new(1 << 30);
        let lent: Vec<_> = (0..1000).map(|_| windows.lend(4 << 20)).collect();
        assert_eq!(lent[0].bytes(), 4 << 20);
        assert_eq!(lent[200].bytes(), 4 << 20);
        assert!(lent[999].bytes() < 4 << 20);
        assert!(lent.windows(2).all(|pair| pair[1].bytes <= pair[0].bytes));
        let all: usize = lent.iter().map(|window| window.bytes).sum();
        assert!(all <= (1 << 30) + 1000 * WINDOW_MIN, "{all}");
        drop(lent);
        assert_eq!(windows.lend(4 << 20).bytes(), 4 << 20);
        assert_eq!(Windows::new(0).lend(4 << 20).bytes(), 65_535);
    }
}
