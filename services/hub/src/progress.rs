//! [`Event`]: what happens while a repository is fetched.

use std::time::Duration;

/// An event of a fetch.
#[derive(Clone, Copy, Debug)]
pub enum Event<'e> {
    /// The hub is asked which files there are.
    Lists {
        /// The repository.
        repository: &'e str,
    },
    /// Files are fetched.
    Begins {
        /// The repository.
        repository: &'e str,
        /// The commit.
        commit: &'e str,
        /// Number of the files.
        files: usize,
        /// Bytes of these.
        bytes: u64,
    },
    /// A file is fetched.
    File {
        /// Its path.
        path: &'e str,
        /// Its bytes.
        bytes: u64,
        /// Bytes that an earlier fetch has left.
        kept: u64,
    },
    /// Another process fetches the file, which is waited for.
    Waits {
        /// Its path.
        path: &'e str,
    },
    /// Bytes have come, or were there.
    Bytes(u64),
    /// Bytes that had come are fetched again.
    Again(u64),
    /// A request is made again after a wait.
    Retries {
        /// Why.
        reason: &'e str,
        /// The wait.
        wait: Duration,
    },
    /// All files are there.
    Ends {
        /// The repository.
        repository: &'e str,
        /// The commit.
        commit: &'e str,
    },
}

/// Returns a number of bytes for people, in units of 1000 as those who sell disks count.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} bytes");
    }
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_the_largest_unit_that_fits() {
        for (number, expected) in [
            (0, "0 bytes"),
            (999, "999 bytes"),
            (1000, "1.0 kB"),
            (999_960, "1.0 MB"),
            (90_900_000, "90.9 MB"),
            (2_270_000_000, "2.3 GB"),
            (u64::MAX, "18446744.1 TB"),
        ] {
            assert_eq!(bytes(number), expected);
        }
    }
}
