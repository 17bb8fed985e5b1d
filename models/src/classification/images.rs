//! Classifiers of images.

use super::{Classifier, read};
use crate::checkpoint::Checkpoint;
use crate::error::LoadError;
use crate::family;
use crate::source::ModelFiles;

impl ModelFiles {
    /// Returns the classifier of a model of images, by its configuration and the headers of its
    /// weights.
    ///
    /// # Errors
    /// Weights without its head, labels that do not fit the head, and values of the configuration
    /// that are not supported.
    pub fn image_classifier(&self) -> Result<Classifier, LoadError> {
        let checkpoint = Checkpoint::open(self)?;
        let architecture = &self.config().architecture;
        self.with_json(|json| {
            let head = |labels| family::images::classifier(json, architecture, labels);
            let any = head(1)?;
            // The last product has a row for each label: how many is not known before.
            for tensor in any.tensors() {
                if checkpoint.shape(tensor).is_none() {
                    checkpoint.check(tensor)?;
                }
            }
            let classifier = read(json, &checkpoint, &any, head)?;
            let tensors = classifier.head.tensors().into_iter();
            for tensor in tensors {
                checkpoint.check(tensor)?;
            }
            Ok(classifier)
        })
    }
}
