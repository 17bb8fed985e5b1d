//! Models in other processes, as their services last stated them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use motet_proto::signature::Signature;

use crate::model::ModelDescription;

/// Loaded instances of one model that are remembered: each replica behind one address has its own.
const INSTANCES_MAX: usize = 64;

/// The models in other processes, by name.
#[derive(Debug, Default)]
pub(super) struct RemoteModels(BTreeMap<String, RemoteModel>);

/// One model.
#[derive(Debug, Default)]
struct RemoteModel {
    /// Signature that pipelines were checked against; if none is known, the first that is stated.
    expected: Option<Arc<Signature>>,
    /// `true` once its service has stated anything.
    was_seen: bool,
    /// `true` if a pipeline for the expected signature cannot call it.
    differs: bool,
    /// Instances that have been seen, the latest at the end.
    instances: VecDeque<String>,
}

/// Outcome of a look at a model.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// `true` if pipelines that were checked can call it.
    pub(super) suits: bool,
    /// `true` if this instance has not been seen before. Rows that were kept until now may be those
    /// of another one, also at the first look, which comes after the first calls.
    pub(super) is_new: bool,
}

impl RemoteModels {
    /// Returns models of which nothing has been seen, with the signatures that are expected.
    pub(super) fn new<'m>(models: impl Iterator<Item = (&'m str, Option<Arc<Signature>>)>) -> Self {
        let models = models.map(|(name, expected)| {
            let model = RemoteModel {
                expected,
                ..RemoteModel::default()
            };
            (name.to_owned(), model)
        });
        Self(models.collect())
    }

    /// Returns whether a model has stated anything.
    pub(super) fn was_seen(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|model| model.was_seen)
    }

    /// Returns whether a model takes or gives something else than pipelines were checked against.
    pub(super) fn differs(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|model| model.differs)
    }

    /// Compares what a model states with what it should, and with what it stated before.
    pub(super) fn see(&mut self, name: &str, stated: &ModelDescription) -> Seen {
        let model = self.0.entry(name.to_owned()).or_default();
        model.was_seen = true;
        let expected = model
            .expected
            .get_or_insert_with(|| stated.signature.clone().into());
        let difference = stated.signature.serves(expected).err();
        let differed = std::mem::replace(&mut model.differs, difference.is_some());
        match difference {
            Some(difference) if !differed => tracing::error!(
                model = name,
                difference,
                "a model in another process takes or gives something else than its pipelines were \
                 checked against: they are not served until it is as before, or until a restart \
                 (and `motet check --lock` where there is a lock file)"
            ),
            None if differed => {
                tracing::info!(model = name, "a model in another process is as before");
            }
            _ => {}
        }
        Seen {
            suits: !model.differs,
            is_new: model.add_instance(stated.instance.as_deref()),
        }
    }
}

impl RemoteModel {
    /// Remembers an instance; returns whether it was not known.
    fn add_instance(&mut self, instance: Option<&str>) -> bool {
        let Some(instance) = instance else {
            return false;
        };
        if self.instances.iter().any(|known| known == instance) {
            return false;
        }
        if self.instances.len() == INSTANCES_MAX {
            self.instances.pop_front();
        }
        self.instances.push_back(instance.to_owned());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use motet_proto::ElementType;
    use motet_proto::signature::Port;
    use motet_proto::types::{Dim, TensorType};

    fn gives(element: ElementType) -> Signature {
        Signature {
            outputs: vec![Port {
                name: "y".to_owned(),
                ty: TensorType {
                    element,
                    dims: vec![Dim::Symbol("N".to_owned())],
                },
            }],
            ..Signature::default()
        }
    }

    fn stated(element: ElementType, instance: Option<&str>) -> ModelDescription {
        ModelDescription {
            signature: gives(element),
            versions: Vec::new(),
            instance: instance.map(str::to_owned),
        }
    }

    #[test]
    fn a_model_suits_while_it_is_as_it_was_checked() {
        use ElementType::{F32, I32};
        for expected in [None, Some(Arc::new(gives(F32)))] {
            let mut models = RemoteModels::new([("m", expected)].into_iter());
            assert!(!models.was_seen("m"));
            for (element, suits) in [(F32, true), (I32, false), (I32, false), (F32, true)] {
                let seen = models.see("m", &stated(element, None));
                assert_eq!((seen.suits, seen.is_new), (suits, false), "{element:?}");
                assert_eq!(models.differs("m"), !suits);
            }
            assert!(models.was_seen("m"));
        }
    }

    #[test]
    fn instances_are_new_once_each() {
        let mut models = RemoteModels::default();
        let stated = |instance: &str| stated(ElementType::F32, Some(instance));
        for (instance, is_new) in [("a", true), ("a", false), ("b", true), ("a", false)] {
            assert_eq!(
                models.see("m", &stated(instance)).is_new,
                is_new,
                "{instance}"
            );
        }
        for number in 0..2 * INSTANCES_MAX {
            let instance = number.to_string();
            assert!(models.see("m", &stated(&instance)).is_new, "{instance}");
        }
        assert!(models.see("m", &stated("a")).is_new, "it was forgotten");
    }
}
