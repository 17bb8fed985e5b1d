//! The look at the files of TLS, every few seconds and on SIGHUP.

use std::time::Duration;

use super::problem::TlsProblem;
use super::server::{Look, ServerTls};
use crate::shutdown::HangUps;

/// Time between two looks at the files.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Time after which files that do not fit are looked at once more: whoever writes them may be
/// between two of them.
const SETTLE: Duration = Duration::from_millis(300);

/// Looks at the files for as long as the process runs.
pub(super) async fn watch(tls: ServerTls) {
    let mut hang_ups = HangUps::listen();
    // A problem is told once.
    let mut told: Option<TlsProblem> = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
            () = hang_ups.next() => told = None,
        }
        let mut found = look(&tls).await;
        if found.is_err() {
            tokio::time::sleep(SETTLE).await;
            found = look(&tls).await;
        }
        let cert = tls.inner().spec.cert.value.display();
        let metrics = tls.inner().metrics.as_ref();
        match found {
            Ok(Look::Same) => told = None,
            Ok(Look::Renewed) => {
                told = None;
                tracing::info!(%cert, "TLS files changed: new connections use them");
                if let Some(metrics) = metrics {
                    metrics.read_again(true);
                }
            }
            Err(problem) if told.as_ref() == Some(&problem) => {}
            Err(problem) => {
                tracing::error!(
                    %problem,
                    "TLS files changed but cannot be used: those from before stay in use"
                );
                if let Some(metrics) = metrics {
                    metrics.read_again(false);
                }
                told = Some(problem);
            }
        }
    }
}

async fn look(tls: &ServerTls) -> Result<Look, TlsProblem> {
    let tls = tls.clone();
    let look = tokio::task::spawn_blocking(move || tls.look());
    // It does not panic; if it did, the files would be looked at again soon.
    look.await.unwrap_or(Ok(Look::Same))
}
