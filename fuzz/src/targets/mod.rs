//! The targets, each over the functions that serve.
//!
//! * `text`: configurations and pipelines, conditions, templates.
//! * `messages`: requests of both surfaces, raw tensors, descriptors.
//! * `models`: files of a model.
//! * `images`: images of a call.

mod images;
mod messages;
mod models;
mod text;

/// A function over bytes that must not panic on any.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of the folder of its corpus.
    pub name: &'static str,
    /// Runs it on one input.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target {
        name: "configuration",
        run: text::configuration,
    },
    Target {
        name: "pipeline",
        run: text::pipeline,
    },
    Target {
        name: "condition",
        run: text::condition,
    },
    Target {
        name: "template",
        run: text::template,
    },
    Target {
        name: "oip_request",
        run: messages::oip_request,
    },
    Target {
        name: "typed_request",
        run: messages::typed_request,
    },
    Target {
        name: "raw_tensor",
        run: messages::raw_tensor,
    },
    Target {
        name: "descriptors",
        run: messages::descriptors,
    },
    Target {
        name: "safetensors",
        run: models::safetensors,
    },
    Target {
        name: "tokenizer",
        run: models::tokenizer,
    },
    Target {
        name: "image",
        run: images::image,
    },
];
