//! The tasks that come with motet and take images: `embed_images` and `classify_images`.
//!
//! * `keys`: their keys; `check`: a configuration against the model's files.
//! * `image_task`: each of them as a [`Task`](crate::task::Task), and its ports.
//! * `image_model`: a loaded model, from images to rows and from vectors to an answer.

mod check;
mod image_model;
mod image_task;
mod keys;

use image_task::{ClassifyImages, EmbedImages};

use crate::task::{TaskKind, Tasks};
use crate::text;

impl Tasks {
    /// Returns the tasks that come with motet.
    pub fn builtin() -> Self {
        let of_images = [
            TaskKind::of::<EmbedImages>(),
            TaskKind::of::<ClassifyImages>(),
        ];
        Self::of(text::kinds().chain(of_images))
    }
}
