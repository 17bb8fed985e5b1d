//! A database as requests see it: a connection, which is made again when it broke.

use std::fmt::{self, Debug, Formatter};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Config, NoTls};

use super::address::{Address, SslMode};
use super::fault::Fault;
use super::passwords;
use super::tls::Tls;
use crate::error::BatchError;
use crate::waiting::{Patience, Waiting};

/// Time limit of a connection being made.
const CONNECT: Duration = Duration::from_secs(20);
/// Time without a sign of the server until it is asked for one.
const QUIET: Duration = Duration::from_secs(30);
/// Time within which what is sent must have arrived.
const ARRIVE: Duration = Duration::from_secs(60);
/// The name of this program at the server.
const APPLICATION: &str = "motet batch";
/// Settings of a session: texts of values are the same whatever the server's settings are.
const TEXTS: &str = "SET datestyle = 'ISO, YMD'; SET timezone = 'UTC'; \
                     SET intervalstyle = 'iso_8601'; SET extra_float_digits = 1; \
                     SET bytea_output = 'hex'";
/// Settings of a session that only reads.
const READ_ONLY: &str = "SET default_transaction_read_only = on";
/// Lets a commit last before it is answered, also where the server's settings are not so strict.
const LASTING: &str = "SELECT set_config('synchronous_commit', 'on', false) \
                       WHERE current_setting('synchronous_commit') = 'off'";
/// Time for which a session may be silent amid a transaction that others may wait for.
const SILENT: Duration = Duration::from_secs(60);
/// Time for which one request waits for a lock, such as that of another worker amid a unit.
const LOCKED: Duration = Duration::from_secs(30);

/// A database. Clones share its connection.
#[derive(Clone)]
pub(super) struct Server(Arc<Shared>);

struct Shared {
    address: Address,
    tls: Option<Tls>,
    is_read_only: bool,
    retry_for: Duration,
    waiting: Waiting,
    client: Mutex<Option<Arc<Client>>>,
    /// Some machine has had its name.
    is_found: Arc<AtomicBool>,
}

impl Server {
    /// Returns a database at an address.
    ///
    /// # Errors
    /// Files of certificates that cannot be used.
    pub(super) fn new(
        address: Address,
        is_read_only: bool,
        retry_for: Duration,
        waiting: Waiting,
    ) -> Result<Self, BatchError> {
        let tls = Tls::new(&address)
            .map_err(|reason| BatchError::cannot(format!("{}: {reason}", address.name())))?;
        Ok(Self(Arc::new(Shared {
            address,
            tls,
            is_read_only,
            retry_for,
            waiting,
            client: Mutex::default(),
            is_found: Arc::default(),
        })))
    }

    /// Returns the same database over a connection of its own.
    pub(super) fn beside(&self) -> Self {
        let shared = &self.0;
        Self(Arc::new(Shared {
            address: shared.address.clone(),
            tls: shared.tls.clone(),
            is_read_only: shared.is_read_only,
            retry_for: shared.retry_for,
            waiting: shared.waiting.clone(),
            client: Mutex::default(),
            is_found: shared.is_found.clone(),
        }))
    }

    /// Returns its name, which has no password.
    pub(super) fn name(&self) -> String {
        self.0.address.name()
    }

    /// Returns the means to wait for its requests.
    pub(super) fn waiting(&self) -> &Waiting {
        &self.0.waiting
    }

    /// Makes a request, and makes it again while the server is away; waits for its end. `doing`
    /// says what cannot be done, in messages.
    ///
    /// # Errors
    /// A refusal, and a server that is away for too long.
    pub(super) fn until<T, F>(
        &self,
        doing: &'static str,
        request: impl Fn(Arc<Client>) -> F + Send + 'static,
    ) -> Result<T, BatchError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Fault>> + Send,
    {
        let server = self.clone();
        let asking = async move { server.ask(doing, request).await };
        self.0.waiting.until(asking)
    }

    /// As [`until`](Self::until), for those who are on the thread of requests.
    pub(super) async fn ask<T, F>(
        &self,
        doing: &'static str,
        request: impl Fn(Arc<Client>) -> F,
    ) -> Result<T, BatchError>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let mut patience = Patience::new(self.0.retry_for);
        loop {
            let asked = match self.client().await {
                Ok(client) => request(client).await,
                Err(fault) => Err(fault),
            };
            let fault = match asked {
                Ok(answer) => {
                    self.0.is_found.store(true, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(fault) => fault,
            };
            let name = self.name();
            let is_found = !matches!(fault, Fault::Nameless(_));
            self.0.is_found.fetch_or(is_found, Ordering::Relaxed);
            match fault {
                Fault::Ended(error) => return Err(error),
                Fault::Refused(why) => {
                    let message = format!("{name} cannot be {doing}: {why}");
                    return Err(BatchError::cannot(message));
                }
                Fault::Nameless(why) if !self.0.is_found.load(Ordering::Relaxed) => {
                    let Some(wait) = patience.next_of_name() else {
                        let message = format!("{name} cannot be {doing}: {why}");
                        return Err(BatchError::cannot(message));
                    };
                    sleep(wait).await;
                }
                Fault::Away(why) | Fault::Nameless(why) => {
                    self.forget();
                    let Some(wait) = patience.next() else {
                        return Err(BatchError::try_again(format!(
                            "{name} cannot be {doing}: {why} (it was tried for {:?})",
                            self.0.retry_for
                        )));
                    };
                    sleep(wait).await;
                }
            }
        }
    }

    /// Returns the connection, a new one where there is none.
    async fn client(&self) -> Result<Arc<Client>, Fault> {
        let known = self.slot().clone();
        if let Some(client) = known.filter(|client| !client.is_closed()) {
            return Ok(client);
        }
        let connected = timeout(CONNECT, self.connect()).await;
        let away = |_| Fault::Away(format!("no connection within {CONNECT:?}"));
        let client = Arc::new(connected.map_err(away)??);
        *self.slot() = Some(client.clone());
        Ok(client)
    }

    fn forget(&self) {
        *self.slot() = None;
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<Client>>> {
        self.0.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<Client, Fault> {
        let address = &self.0.address;
        let mut config = Config::new();
        config
            .host(&address.host)
            .port(address.port)
            .user(&address.user)
            .dbname(&address.database)
            .application_name(APPLICATION)
            .keepalives_idle(QUIET)
            .keepalives_interval(QUIET / 3)
            .keepalives_retries(3)
            .tcp_user_timeout(ARRIVE)
            .ssl_mode(match address.ssl {
                SslMode::Disable => tokio_postgres::config::SslMode::Disable,
                _ => tokio_postgres::config::SslMode::Require,
            });
        if let Some(password) = passwords::find(address).map_err(Fault::Refused)? {
            config.password(password);
        }
        // The task of a connection ends with its client, and says nothing that requests do not.
        let client = match self.0.tls.clone() {
            None => {
                let (client, connection) = config.connect(NoTls).await?;
                tokio::spawn(connection);
                client
            }
            Some(tls) => {
                let (client, connection) = config.connect(tls).await?;
                tokio::spawn(connection);
                client
            }
        };
        client.batch_execute(TEXTS).await?;
        let settings = match self.0.is_read_only {
            true => READ_ONLY.to_owned(),
            false => format!(
                "{LASTING}; SET lock_timeout = {}; \
                 SET idle_in_transaction_session_timeout = {}",
                self.0.retry_for.min(LOCKED).as_millis().max(1),
                SILENT.as_millis()
            ),
        };
        client.batch_execute(&settings).await?;
        Ok(client)
    }
}

impl Debug for Server {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.name()).finish()
    }
}
