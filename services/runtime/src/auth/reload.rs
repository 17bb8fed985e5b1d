//! Files that are read again when they change.

use std::path::Path;
use std::time::Duration;

use motet_config::Fingerprint;

/// Time between two looks at a file.
const INTERVAL: Duration = Duration::from_secs(1);

/// Calls `changed` after each change of a file, for ever. A file that is away for a moment, as
/// between two renames, has not changed.
pub(super) async fn on_change(path: &Path, mut changed: impl FnMut()) {
    let mut version = Fingerprint::of(path);
    loop {
        tokio::time::sleep(INTERVAL).await;
        let now = Fingerprint::of(path);
        if !now.is_empty() && now != version {
            version = now;
            changed();
        }
    }
}
