//! Files that are read again when they change.

use std::path::Path;
use std::time::{Duration, SystemTime};

/// Time between two looks at a file.
const INTERVAL: Duration = Duration::from_secs(1);

/// Version of a file. A link that leads elsewhere makes another one, too.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    modified: Option<SystemTime>,
    bytes: u64,
    target: Option<std::path::PathBuf>,
}

impl Version {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            modified: metadata.modified().ok(),
            bytes: metadata.len(),
            target: std::fs::canonicalize(path).ok(),
        })
    }
}

/// Calls `changed` after each change of a file, for ever. A file that is away for a moment, as
/// between two renames, has not changed.
pub(super) async fn on_change(path: &Path, mut changed: impl FnMut()) {
    let mut version = Version::of(path);
    loop {
        tokio::time::sleep(INTERVAL).await;
        let now = Version::of(path);
        if now.is_some() && now != version {
            version = now;
            changed();
        }
    }
}
