//! The end of a process: the signals that ask for it, and the order of what follows.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::health::Health;

/// The exit code after a second signal: that of a process ended by Ctrl-C.
const FORCED_EXIT_CODE: i32 = 130;

/// Listens for SIGTERM, SIGINT (Ctrl-C) and SIGQUIT from now on; the future returns the name of the
/// first that arrives. A second one then ends the process at once, in case a drain hangs. SIGHUP,
/// SIGUSR1 and SIGUSR2 would end the process, and do not: SIGHUP is for those who wait for
/// [`HangUps`], the others are ignored.
///
/// Call it before reporting that the process is ready: until then, a signal ends the process
/// without a drain.
///
/// # Errors
/// The future's: the process cannot listen for signals.
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

/// Takes the process out of service: health becomes NOT_SERVING, `notice` passes so that load
/// balancers see it while calls are still accepted, then `shutdown` is cancelled and the servers
/// that hold it drain.
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
    quit: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
    user_1: tokio::signal::unix::Signal,
    user_2: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hang_up: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next signal that asks the process to end.
    async fn next(&mut self) -> &'static str {
        loop {
            let ignored = tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.quit.recv() => return "SIGQUIT",
                _ = self.hang_up.recv() => {
                    tracing::info!("SIGHUP: files that may change while motet runs are read again");
                    continue;
                }
                _ = self.user_1.recv() => "SIGUSR1",
                _ = self.user_2.recv() => "SIGUSR2",
            };
            tracing::info!(
                signal = ignored,
                "a signal without a meaning here was ignored"
            );
        }
    }
}

/// SIGHUPs, which tell a process to read its files again. Every one of these gets every signal.
#[derive(Debug)]
pub struct HangUps {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl HangUps {
    /// Listens from now on. Needs a tokio runtime.
    pub fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let signal = signal(SignalKind::hangup());
        let signal = signal.inspect_err(|error| {
            tracing::warn!(%error, "the process cannot listen for SIGHUP");
        });
        Self {
            signal: signal.ok(),
        }
    }

    /// Waits for the next. Dropping the future loses none.
    pub async fn next(&mut self) {
        let received = match &mut self.signal {
            Some(signal) => signal.recv().await,
            None => None,
        };
        if received.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(not(unix))]
impl HangUps {
    /// Listens for nothing: this system has no such signal.
    pub fn listen() -> Self {
        Self {}
    }

    /// Waits for ever.
    pub async fn next(&mut self) {
        std::future::pending::<()>().await;
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
        // An error means that there is no console, so nothing ever asks the process to end.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        "Ctrl-C"
    }
}
