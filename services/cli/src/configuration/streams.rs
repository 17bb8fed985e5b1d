//! Streams of a configuration, against the pipelines that answer them.

use std::collections::BTreeSet;

use motet_config::{Diagnostic, list_of, nearest};
use motet_gateway::check::CheckedPipeline;
use motet_stream::Stream;

use super::Configuration;
use crate::streams::ports;

impl Configuration {
    /// Returns the names of the pipelines that streams name.
    pub(super) fn streamed_pipelines(&self) -> BTreeSet<String> {
        let streams = self.config.streams.iter();
        streams
            .map(|stream| stream.pipeline.value.clone())
            .collect()
    }

    /// Reports streams that do not fit their pipelines. A pipeline with mistakes of its own is
    /// silent here.
    pub(super) fn check_streams(&mut self, checked: &[CheckedPipeline], offline: bool) {
        let names = self.pipelines.iter().map(|spec| spec.name.value.as_str());
        let names: Vec<&str> = names.collect();
        let mut found = Vec::new();
        for stream in &self.config.streams {
            let name = &stream.pipeline;
            if let Some(pipeline) = checked.iter().find(|p| p.name == name.value) {
                if let Err(problems) = Stream::new(stream, &ports::of_checked(pipeline)) {
                    let told = problems.into_iter();
                    found.extend(told.map(|p| Diagnostic::error(p.span, p.message)));
                }
                continue;
            }
            if names.contains(&name.value.as_str()) {
                continue;
            }
            let message = format!("no pipeline is named `{}`", name.value);
            // A file of streams alone may be for pipelines of a server.
            let diagnostic = match offline && self.own_pipelines == 0 {
                true => Diagnostic::warning(name.span, message)
                    .help("a server may have it: `motet stream --to HOST:PORT`"),
                false => Diagnostic::error(name.span, message).help(hint(&name.value, &names)),
            };
            found.push(diagnostic);
        }
        for diagnostic in found {
            self.diagnostics.push(diagnostic);
        }
    }
}

fn hint(name: &str, names: &[&str]) -> String {
    match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are: {}", list_of(names)),
    }
}
