//! Errors of calls as failures of rows.

use std::error::Error;

use motet_rows::{Code, Failure};
use motet_runtime::status;
use tonic::Status;

/// Key of an error's details with the node that failed.
const NODE: &str = "node";

/// Returns a status as the failure of a row.
pub(crate) fn failure(status: &Status) -> Failure {
    let details = status::read(status);
    // A status with a cause was made on this side, of a connection that broke.
    let code = match status.source() {
        Some(_) => Code::Unavailable,
        None => Code::of_number(status.code() as i32),
    };
    Failure {
        code,
        message: status.message().to_owned(),
        node: details.metadata.get(NODE).cloned(),
        retry_after: details.retry_after,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use motet_runtime::status::{Reason, StatusBuilder};

    use super::*;

    #[test]
    fn a_status_is_a_failure_with_its_details() {
        let full: Status = StatusBuilder::new(Reason::QueueFull, "full")
            .retry_after(Duration::from_secs(2))
            .node("d")
            .into();
        let failure_of = failure(&full);
        assert_eq!(failure_of.code, Code::ResourceExhausted);
        assert_eq!(failure_of.retry_after, Some(Duration::from_secs(2)));
        assert_eq!(failure_of.node.as_deref(), Some("d"));
        let broken = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "reset");
        let broken = Status::from_error(Box::new(broken));
        assert_eq!(failure(&broken).code, Code::Unavailable);
    }
}
