//! The guards of a process: authentication and the audit.

use motet_runtime::audit::Audit;
use motet_runtime::auth::Authenticator;
use motet_runtime::config::ServerSpec;
use motet_runtime::layers::Guards;
use motet_runtime::listener::ListenerServices;
use motet_runtime::metrics::Metrics;
use motet_runtime::shutdown::HangUps;
use tokio_util::sync::CancellationToken;

/// Guards that every listener of a process has alike.
pub(crate) struct ProcessGuards {
    auth: Option<Authenticator>,
    audit: Option<Audit>,
}

impl ProcessGuards {
    /// Reads what credentials are checked against, and opens the audit.
    ///
    /// # Errors
    /// When either cannot be used.
    pub(crate) async fn new(server: &ServerSpec, metrics: &Metrics) -> anyhow::Result<Self> {
        let auth = match &server.auth {
            Some(spec) => Some(Authenticator::new(spec, metrics.server()).await?),
            None => None,
        };
        let audit = server.audit.as_ref();
        let audit = audit
            .map(|spec| Audit::open(spec, metrics.server()))
            .transpose()?;
        Ok(Self { auth, audit })
    }

    /// Reads files again when they change, and opens the audit again on SIGHUP, until `end`.
    pub(crate) fn watch(&self, end: &CancellationToken) {
        if let Some(auth) = self.auth.clone() {
            tokio::spawn(end.child_token().run_until_cancelled_owned(auth.watch()));
        }
        if let Some(audit) = self.audit.clone() {
            let mut hang_ups = HangUps::listen();
            let reopen = async move {
                loop {
                    hang_ups.next().await;
                    audit.reopen();
                }
            };
            tokio::spawn(end.child_token().run_until_cancelled_owned(reopen));
        }
    }

    /// Returns the guards of a gRPC listener with these services.
    pub(crate) fn of(&self, services: ListenerServices) -> Guards {
        Guards {
            services,
            auth: self.auth.clone(),
            audit: self.audit.clone(),
        }
    }

    /// Returns who finds out who calls.
    pub(crate) fn auth(&self) -> Option<Authenticator> {
        self.auth.clone()
    }
}
