//! The file descriptors that the process may have, of which each connection takes one.

/// Descriptors that are kept for files, models and connections to other servers.
const RESERVE: u64 = 64;

/// Raises the limit of file descriptors as far as the process may, and returns it; `None` if there
/// is no limit.
#[cfg(unix)]
pub fn raise_descriptor_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

/// As on other systems: there is no such limit.
#[cfg(not(unix))]
pub fn raise_descriptor_limit() -> Option<u64> {
    None
}

/// Returns how many of `wanted` connections each of two ports can have with so many descriptors:
/// three quarters are for the first port, gRPC, the rest for the second.
pub fn reachable_connections(wanted: usize, descriptors: Option<u64>) -> [usize; 2] {
    let Some(descriptors) = descriptors else {
        return [wanted; 2];
    };
    let free = descriptors.saturating_sub(RESERVE.min(descriptors / 2));
    let part = |quarters: u64| {
        let part = usize::try_from(free / 4 * quarters).unwrap_or(usize::MAX);
        wanted.min(part).max(1)
    };
    [part(3), part(1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_fit_the_descriptors_with_a_reserve() {
        for (wanted, descriptors, expected) in [
            (10_000, None, [10_000, 10_000]),
            (10_000, Some(1 << 20), [10_000, 10_000]),
            (10_000, Some(1024), [720, 240]),
            (10_000, Some(256), [144, 48]),
            (100, Some(256), [100, 48]),
            (10_000, Some(20), [6, 2]),
            (10_000, Some(3), [1, 1]),
        ] {
            let found = reachable_connections(wanted, descriptors);
            assert_eq!(found, expected, "{wanted} {descriptors:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_limit_of_this_process_is_raised() {
        let raised = raise_descriptor_limit();
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        assert_eq!(limit.current, raised);
    }
}
