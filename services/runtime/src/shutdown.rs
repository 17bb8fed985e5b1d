//! How a process ends: the signals that ask for it, and the order of what then happens.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::health::Health;

/// Exit code after a second signal, as shells know it from Ctrl-C.
const FORCED_EXIT_CODE: i32 = 130;

/// Listens to SIGTERM and Ctrl-C from now on; the future gives the name of the first that comes. A second one of either
/// kind then ends the process at once, for the case that a drain hangs.
///
/// Call it before saying that the process is ready: until then, a signal ends the process without a drain.
///
/// # Errors
/// The future's: the process cannot listen to signals.
pub fn signal() -> impl Future<Output = std::io::Result<&'static str>> + Send {
    let signals = Signals::listen();
    async move {
        let mut signals = signals?;
        let first = signals.next().await;
        tokio::spawn(async move {
            let second = signals.next().await;
            tracing::warn!(signal = second, "second signal: leaving without waiting");
            std::process::exit(FORCED_EXIT_CODE);
        });
        Ok(first)
    }
}

/// Takes the process out of service: health goes NOT_SERVING, `notice` passes so that load balancers see it while calls
/// are still accepted, then `shutdown` is cancelled and the servers that hold it drain.
pub async fn drain(health: &Health, shutdown: &CancellationToken, notice: Duration) {
    health.drain();
    if !notice.is_zero() {
        tokio::time::sleep(notice).await;
    }
    shutdown.cancel();
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> &'static str {
        // An error means that there is no console to be interrupted from: then nothing ever asks to leave.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}
