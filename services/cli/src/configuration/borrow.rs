//! Borrowing of a file of pipelines from another configuration: models and endpoints, and the
//! pipelines that its own pipelines call and its streams name.

use std::path::Path;

use motet_config::Diagnostics;
use motet_gateway::syntax::{self, PipelineSpec};
use motet_runtime::config::ServerSpec;

use super::{Configuration, ConfigurationErrors, load};
use crate::called::Called;

impl Configuration {
    /// Borrows from a file, or from the built-in configuration. Settings of the server are borrowed
    /// too if the file states none.
    pub(super) fn borrow(&mut self, from: Option<&Path>) -> Result<(), ConfigurationErrors> {
        let Some(lender) = load(from, &self.tasks, &mut self.sources, &mut self.diagnostics) else {
            return Err(self.errors());
        };
        // Errors in pipelines that are not borrowed do not matter here.
        let mut pipelines: Vec<(PipelineSpec, Diagnostics)> = Vec::new();
        for node in &lender.pipelines {
            let mut found = Diagnostics::new();
            let parsed = syntax::parse(node, &mut found);
            pipelines.extend(parsed.map(|pipeline| (pipeline, found)));
        }
        let mut at = 0;
        let mut called = self.streamed_pipelines();
        loop {
            for name in called {
                let own = |p: &PipelineSpec| p.name.value == name;
                if self.pipelines.iter().any(own) {
                    continue;
                }
                if let Some(lent) = pipelines.iter().position(|(p, _)| own(p)) {
                    let (pipeline, found) = pipelines.swap_remove(lent);
                    self.pipelines.push(pipeline);
                    for diagnostic in found.sorted() {
                        self.diagnostics.push(diagnostic.clone());
                    }
                }
            }
            let Some(caller) = self.pipelines.get(at) else {
                break;
            };
            called = Called::by(caller).pipelines;
            at += 1;
        }
        let models = self.pipelines.iter().flat_map(|p| Called::by(p).models);
        self.called_models = Some(models.collect());
        self.config.models = lender.models;
        self.config.models_at = lender.models_at;
        self.config.endpoints = lender.endpoints;
        if self.config.server == ServerSpec::default() {
            self.config.server = lender.server;
            self.config.server_entry = lender.server_entry;
        }
        self.models_file = from.map(Path::to_owned);
        Ok(())
    }
}
