//! The tasks of one model. Most have one; tasks that take the same texts may be those of one model,
//! whose layers are then computed once for all of them.

use std::sync::Arc;

use motet_models::Head;
use motet_proto::signature::{Port, Signature};

use super::encoder_task::EncoderTask;
use super::{BuiltTask, TextKind};

/// The tasks of a model, one at least, in the order of the configuration. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ModelTasks {
    tasks: Arc<[ModelTask]>,
    /// The numbers of all.
    all: Arc<[usize]>,
}

/// One of a model's tasks.
#[derive(Clone, Debug)]
pub(crate) struct ModelTask {
    pub(crate) task: Arc<dyn EncoderTask>,
    /// Head with which the encoder computes each row.
    pub(crate) head: Head,
    /// Values of a vector.
    pub(crate) vector_size: usize,
    /// `true` if vectors are scaled to length 1 where a call does not say.
    pub(crate) normalize: bool,
    /// Its ports, under the names that they have in the model.
    ports: Signature,
    /// Names of its outputs in the model, where they have others than in the task alone.
    names: &'static [(&'static str, &'static str)],
}

impl ModelTask {
    /// Returns a task of an encoder with vectors of `hidden` values, as the only one of its model
    /// or one of several.
    pub(crate) fn new(kind: &TextKind, built: BuiltTask, hidden: usize, is_only: bool) -> Self {
        let BuiltTask { task, mut head } = built;
        let normalize = head.is_normalized();
        let vector_size = head.size(hidden);
        if task.answers_vectors() {
            // The last step is what each call chooses.
            head = head.normalized(false);
        }
        let mut of_task = Self {
            ports: task.signature(vector_size),
            task,
            head,
            vector_size,
            normalize,
            names: if is_only {
                &[]
            } else {
                kind.names_beside_others
            },
        };
        let names = of_task.names;
        for port in &mut of_task.ports.outputs {
            if let Some((_, name)) = names.iter().find(|(own, _)| *own == port.name) {
                (*name).clone_into(&mut port.name);
            }
        }
        of_task
    }

    /// Returns the name in the model of an output of the task.
    pub(super) fn name(&self, own: &'static str) -> &'static str {
        let named = self.names.iter().find(|(name, _)| *name == own);
        named.map_or(own, |(_, name)| name)
    }
}

impl ModelTasks {
    /// # Panics
    /// Without a task.
    pub(crate) fn new(tasks: Vec<ModelTask>) -> Self {
        assert!(!tasks.is_empty(), "a model has a task");
        Self {
            all: (0..tasks.len()).collect(),
            tasks: tasks.into(),
        }
    }

    /// Returns the first task. What it says of the rows of a call holds for all.
    pub(crate) fn first(&self) -> &dyn EncoderTask {
        &*self.tasks[0].task
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, ModelTask> {
        self.tasks.iter()
    }

    /// Returns a task by its number.
    pub(super) fn get(&self, number: usize) -> &ModelTask {
        &self.tasks[number]
    }

    /// Returns the number of the task whose vectors a call may cut and scale: the first with any.
    pub(crate) fn of_vectors(&self) -> Option<usize> {
        self.iter().position(|task| task.task.answers_vectors())
    }

    /// Returns the name of the output that has those vectors, and their size if a call may ask for
    /// fewer values.
    pub(crate) fn vectors(&self) -> Option<(&str, Option<usize>)> {
        let task = &self.tasks[self.of_vectors()?];
        let output = task.ports.outputs.first()?;
        let size = task.task.has_dimensions().then_some(task.vector_size);
        Some((&output.name, size))
    }

    /// Returns whether vectors are scaled to length 1 where a call does not say.
    pub(crate) fn normalizes(&self) -> bool {
        let task = self.of_vectors().map(|number| &self.tasks[number]);
        task.is_some_and(|task| task.normalize)
    }

    /// Returns the ports of the model.
    pub(crate) fn ports(&self) -> Signature {
        let outputs = self.iter().flat_map(|task| &task.ports.outputs);
        Signature {
            inputs: self.tasks[0].ports.inputs.clone(),
            outputs: outputs.cloned().collect(),
            parameters: Vec::new(),
        }
    }

    /// Returns the numbers of the tasks with any of these outputs; of all where none is named.
    pub(super) fn wanted(&self, outputs: &[String]) -> Arc<[usize]> {
        if outputs.is_empty() || self.tasks.len() == 1 {
            return self.all.clone();
        }
        let is_wanted = |port: &Port| outputs.contains(&port.name);
        let has_wanted = |number: &usize| {
            let ports = &self.tasks[*number].ports;
            ports.outputs.iter().any(is_wanted)
        };
        (0..self.tasks.len()).filter(has_wanted).collect()
    }
}
