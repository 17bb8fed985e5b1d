//! Connections to Redis, the group, and what this consumer had before.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use motet_runtime::config::Secret;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, IntoConnectionInfo, TlsCertificates, cmd,
};
use tokio::time::Instant;

use crate::broker::BrokerError;
use crate::config::{Access, RedisSpec};

/// Time in which a connection is made, and a command answered.
const WAIT: Duration = Duration::from_secs(5);
/// The identity before all others.
const FIRST: &str = "0-0";

/// Connections to Redis.
pub(super) struct Session {
    /// For commands that wait for messages.
    pub(super) pulls: MultiplexedConnection,
    /// For all others.
    pub(super) commands: MultiplexedConnection,
    progress: Mutex<Progress>,
}

struct Progress {
    /// The last of what this consumer had before; `None` once all of it was delivered.
    history: Option<String>,
    /// Place from which to look on for what others have had for too long.
    claim_from: String,
    /// When to look again.
    claim_at: Instant,
}

impl Session {
    pub(super) async fn open(spec: &RedisSpec) -> Result<Self, BrokerError> {
        let access = spec.access.clone();
        // Files are read.
        let client = tokio::task::spawn_blocking(move || client(&access)).await;
        let client = client.map_err(BrokerError::of)??;
        let connect = async || {
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(WAIT))
                .set_response_timeout(Some(WAIT));
            let connection = client
                .get_multiplexed_async_connection_with_config(&config)
                .await;
            connection.map_err(|error| {
                let shown = &spec.access.shown;
                BrokerError(format!("{shown} cannot be reached: {error}"))
            })
        };
        let (pulls, mut commands) = (connect().await?, connect().await?);
        let mut create = cmd("XGROUP");
        create
            .arg("CREATE")
            .arg(&spec.key)
            .arg(&spec.group)
            .arg("0")
            .arg("MKSTREAM");
        let created: Result<(), redis::RedisError> = create.query_async(&mut commands).await;
        match created {
            Err(error) if error.code() != Some("BUSYGROUP") => {
                let (key, group) = (&spec.key, &spec.group);
                let message = format!("the group `{group}` of `{key}` cannot be used: {error}");
                return Err(BrokerError(message));
            }
            _ => {}
        }
        Ok(Self {
            pulls,
            commands,
            progress: Mutex::new(Progress {
                history: Some(FIRST.to_owned()),
                claim_from: FIRST.to_owned(),
                claim_at: Instant::now(),
            }),
        })
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns where to go on with what this consumer had before.
    pub(super) fn history(&self) -> Option<String> {
        self.progress().history.clone()
    }

    /// Takes note of the last of these that was delivered; `None` if there are no more.
    pub(super) fn passed(&self, last: Option<String>) {
        self.progress().history = last;
    }

    /// Returns where to look for what others have had for too long, if it is time for that.
    pub(super) fn claim(&self, ack_wait: Duration) -> Option<String> {
        let mut progress = self.progress();
        if Instant::now() < progress.claim_at {
            return None;
        }
        if progress.claim_from == FIRST {
            progress.claim_at = Instant::now() + ack_wait / 2;
        }
        Some(progress.claim_from.clone())
    }

    /// Takes note of where to go on.
    pub(super) fn claimed(&self, next: String) {
        let mut progress = self.progress();
        if next != FIRST {
            // There is more of it.
            progress.claim_at = Instant::now();
        }
        progress.claim_from = next;
    }
}

fn client(access: &Access) -> Result<Client, BrokerError> {
    let text = |secret: &Secret| secret.text().map_err(BrokerError::of);
    let shown = &access.shown;
    // The words of errors may have the address with its credentials.
    let unusable = |_| BrokerError(format!("{shown} is no address of Redis"));
    let mut info = text(&access.url)?
        .into_connection_info()
        .map_err(unusable)?;
    let mut settings = info.redis_settings().clone();
    if let Some(user) = &access.user {
        settings = settings.set_username(text(user)?);
    }
    if let Some(password) = &access.password {
        settings = settings.set_password(text(password)?);
    }
    info = info.set_redis_settings(settings);
    let Some(tls) = &access.tls else {
        return Client::open(info).map_err(unusable);
    };
    let read = |path: &std::path::Path| {
        let read = std::fs::read(path);
        read.map_err(|error| BrokerError(format!("{}: {error}", path.display())))
    };
    let tls = &tls.value;
    let certificates = TlsCertificates {
        root_cert: tls.ca.as_deref().map(read).transpose()?,
        client_tls: match &tls.identity {
            Some((cert, key)) => Some(ClientTlsConfig {
                client_cert: read(cert)?,
                client_key: read(key)?,
            }),
            None => None,
        },
    };
    Client::build_with_tls(info, certificates)
        .map_err(|error| BrokerError(format!("{shown}: TLS cannot be used: {error}")))
}
