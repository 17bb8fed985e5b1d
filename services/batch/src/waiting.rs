//! Waiting for servers, on threads of any kind: requests run on a thread of their own, and a server
//! that is away is asked again, with longer and longer waits. One whose name no machine has is not
//! away: the name is wrong, unless a machine had it before.

use std::error::Error;
use std::io;
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::{BatchError, find};

/// The time until a name that no machine has is asked for once more.
const NAME_AGAIN: Duration = Duration::from_millis(500);
/// The beginning of errors of names, which have no kind of their own.
const LOOKUP: &str = "failed to lookup address information";
/// Parts of errors of names that say nothing of the name: no server of names answers.
const PASSING: [&str; 2] = ["emporary failure", "ry again"];
/// The first wait before another try.
const WAIT: Duration = Duration::from_millis(100);
/// The longest wait before another try.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The thread that requests run on. It is there from the first request on.
#[derive(Debug)]
pub(crate) struct Requests {
    stop: CancellationToken,
    runtime: OnceLock<Runtime>,
}

/// Means by which those without a runtime wait for requests.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) handle: Handle,
    stop: CancellationToken,
}

impl Requests {
    /// Returns a thread for requests, for which nobody waits once `stop` is cancelled.
    pub(crate) const fn new(stop: CancellationToken) -> Self {
        Self {
            stop,
            runtime: OnceLock::new(),
        }
    }

    /// Returns the means to wait for requests.
    ///
    /// # Errors
    /// A machine that has no thread for them.
    pub(crate) fn waiting(&self) -> Result<Waiting, BatchError> {
        let handle = match self.runtime.get() {
            Some(runtime) => runtime.handle().clone(),
            None => {
                let runtime = Builder::new_multi_thread()
                    .worker_threads(1)
                    .thread_name("motet-requests")
                    .enable_all()
                    .build();
                let runtime = runtime.map_err(|error| {
                    BatchError::try_again(format!("no thread for requests to servers: {error}"))
                })?;
                self.runtime.get_or_init(|| runtime).handle().clone()
            }
        };
        Ok(Waiting {
            handle,
            stop: self.stop.clone(),
        })
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        // The last one may be dropped where nothing may wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Waiting {
    /// Waits for the end of something, or until the batch is told to stop.
    ///
    /// # Errors
    /// The error of a batch that was told to stop.
    pub(crate) fn until<T: Send + 'static>(
        &self,
        doing: impl Future<Output = Result<T, BatchError>> + Send + 'static,
    ) -> Result<T, BatchError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let stop = self.stop.clone();
        self.handle.spawn(async move {
            let done = tokio::select! {
                biased;
                () = stop.cancelled() => Err(BatchError::stopped()),
                done = doing => done,
            };
            // The receiver waits until then.
            let _ = sender.send(done);
        });
        receiver
            .recv()
            .unwrap_or_else(|_| Err(BatchError::stopped()))
    }
}

/// Waits before another try, each longer than the last.
#[derive(Debug)]
pub(crate) struct Patience {
    until: Option<Instant>,
    wait: Duration,
    /// A name that no machine has was asked for.
    has_asked_name: bool,
}

impl Patience {
    /// Returns a patience that ends after this time.
    pub(crate) fn new(retry_for: Duration) -> Self {
        Self {
            until: Instant::now().checked_add(retry_for),
            wait: WAIT,
            has_asked_name: false,
        }
    }

    /// Returns the time until a name that no machine has is asked for again: once. `None` then.
    pub(crate) fn next_of_name(&mut self) -> Option<Duration> {
        let is_first = !std::mem::replace(&mut self.has_asked_name, true);
        is_first.then_some(NAME_AGAIN)
    }

    /// Returns the time until the next try; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Duration> {
        let wait = self.wait.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.wait = WAIT_MAX.min(self.wait * 2);
        match self.until {
            Some(until) if Instant::now() + wait > until => None,
            _ => Some(wait),
        }
    }
}

/// Returns whether an error says that no machine has the name of a server.
pub(crate) fn is_nameless(error: &(dyn Error + 'static)) -> bool {
    let Some(error) = find::<io::Error>(error) else {
        return false;
    };
    let told = error.to_string();
    told.starts_with(LOOKUP) && !PASSING.iter().any(|part| told.contains(part))
}

#[cfg(test)]
mod tests {
    use std::net::ToSocketAddrs;

    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_name_that_no_machine_can_have_is_known_by_its_error() {
        // Longer than a part of a name may be: nobody is asked.
        let name = format!("{}.invalid", "x".repeat(64));
        let error = (name.as_str(), 1).to_socket_addrs().unwrap_err();
        assert!(is_nameless(&error), "{error}");
        for (told, expected) in [
            ("Name or service not known", true),
            ("Temporary failure in name resolution", false),
            ("Try again", false),
        ] {
            let error = io::Error::other(format!("{LOOKUP}: {told}"));
            assert_eq!(is_nameless(&error), expected, "{told}");
        }
        assert!(!is_nameless(&io::Error::from(
            io::ErrorKind::ConnectionRefused
        )));
        let mut patience = Patience::new(Duration::from_secs(60));
        assert_eq!(patience.next_of_name(), Some(NAME_AGAIN));
        assert_eq!(patience.next_of_name(), None);
    }

    #[test]
    fn a_batch_that_is_told_to_stop_waits_for_no_server() {
        let stop = CancellationToken::new();
        let requests = Requests::new(stop.clone());
        let waiting = requests.waiting().unwrap();
        assert_eq!(waiting.until(async { Ok(7) }), Ok(7));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| waiting.until(std::future::pending::<Result<(), _>>()));
            stop.cancel();
            assert_eq!(waiter.join().unwrap(), Err(BatchError::stopped()));
        });
    }
}
