//! `motet health`: the readiness of a server, or of one pipeline or model, for health checks.

use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::runtime;
use crate::args::HealthArgs;
use crate::connection::{connect_command, refusal};
use crate::output;

/// Asks `grpc.health.v1.Health/Check`. Any answer but SERVING is an error.
pub(super) fn run(args: &HealthArgs) -> anyhow::Result<()> {
    let service = args.name.clone().unwrap_or_default();
    let check = async {
        let mut client = HealthClient::new(connect_command(&args.server).await?);
        let answer = client.check(HealthCheckRequest { service }).await;
        let answer = answer.map_err(|error| refusal(&error))?.into_inner();
        Ok(answer.status().as_str_name())
    };
    let status = runtime()?.block_on(async {
        let limited = tokio::time::timeout(args.timeout, check).await;
        limited.unwrap_or_else(|_| anyhow::bail!("no answer within {:?}", args.timeout))
    })?;
    output::print(&format!("{status}\n"))?;
    anyhow::ensure!(status == "SERVING", "not ready");
    Ok(())
}
