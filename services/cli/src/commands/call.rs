//! `motet call`: one request to a pipeline of a running gateway.

use super::runtime;
use crate::args::CallArgs;
use crate::call;

pub(super) fn run(args: &CallArgs) -> anyhow::Result<()> {
    runtime()?.block_on(call::run(args))
}
