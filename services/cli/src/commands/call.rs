//! `motet call`: one call of a pipeline.

use super::runtime;
use crate::args::CallArgs;
use crate::call;

pub(super) fn run(args: &CallArgs) -> anyhow::Result<()> {
    runtime()?.block_on(call::run(args))
}
