//! A plan: what a batch does, bound to its inputs, in units of rows.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::error::BatchError;
use crate::files::Digest;
use crate::folder::Folder;
use crate::input::{InputFormat, Place};
use crate::settings::Settings;

/// Version of the file.
const VERSION: u32 = 1;

/// A plan, as the file `_motet/plan.json` has it. It says nothing of times and machines: the same
/// batch has the same plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    version: u32,
    /// The pipeline.
    pub pipeline: PipelineParts,
    /// Settings that were asked for.
    pub settings: Settings,
    pub(crate) inputs: Vec<Input>,
    pub(crate) units: Vec<Unit>,
}

/// A pipeline, with digests of what its answers depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineParts {
    /// Name.
    pub name: String,
    /// Digests by what they are of, such as `graph` and `models`.
    pub digests: BTreeMap<String, String>,
}

/// A file of rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Input {
    pub(crate) path: String,
    pub(crate) format: InputFormat,
    pub(crate) bytes: u64,
    #[serde(flatten)]
    pub(crate) digest: Digest,
    pub(crate) rows: u64,
}

/// Rows of one file that are written together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unit {
    /// Index of the file.
    pub(crate) input: usize,
    /// Number of the first row in the file; that of the file's first is 0.
    pub(crate) first: u64,
    pub(crate) rows: u64,
    #[serde(flatten)]
    pub(crate) place: Place,
}

impl Plan {
    pub(crate) const fn new(
        pipeline: PipelineParts,
        settings: Settings,
        inputs: Vec<Input>,
        units: Vec<Unit>,
    ) -> Self {
        Self {
            version: VERSION,
            pipeline,
            settings,
            inputs,
            units,
        }
    }

    /// Reads the plan of a folder; `None` if it has none.
    ///
    /// # Errors
    /// A file that cannot be read, is damaged, or of another version.
    pub fn read(folder: &Folder) -> Result<Option<Self>, BatchError> {
        let plan: Option<Self> = folder.read(&folder.plan())?;
        match plan {
            Some(plan) if plan.version != VERSION => Err(BatchError::cannot(format!(
                "{} has version {}; this program reads version {VERSION}",
                folder.plan().display(),
                plan.version
            ))),
            plan => Ok(plan),
        }
    }

    /// Reads the plan of a folder, which must have one.
    ///
    /// # Errors
    /// As those of [`read`](Self::read), and where there is none.
    pub fn of(folder: &Folder) -> Result<Self, BatchError> {
        Self::read(folder)?.ok_or_else(|| {
            let path = folder.path().display();
            BatchError::cannot(format!("{path} is no folder of a batch: it has no plan"))
        })
    }

    /// Returns whether the columns of all files have types.
    #[cfg(feature = "parquet")]
    pub(crate) fn is_typed(&self) -> bool {
        let mut inputs = self.inputs.iter();
        inputs.all(|input| input.format == InputFormat::Parquet)
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> u64 {
        self.inputs.iter().map(|input| input.rows).sum()
    }

    /// Returns the number of units.
    pub fn units(&self) -> usize {
        self.units.len()
    }

    /// Returns the number of files.
    pub fn inputs(&self) -> usize {
        self.inputs.len()
    }

    /// Returns the differences between what is asked for now and the plan, one line each.
    pub(crate) fn differences(
        &self,
        pipeline: &PipelineParts,
        settings: &Settings,
        inputs: &[(String, InputFormat)],
    ) -> Vec<String> {
        let mut found = self.pipeline.differences(pipeline);
        found.extend(setting_differences(&self.settings, settings));
        let planned: Vec<(&str, InputFormat)> = self
            .inputs
            .iter()
            .map(|input| (input.path.as_str(), input.format))
            .collect();
        let now: Vec<(&str, InputFormat)> = inputs.iter().map(|(p, f)| (p.as_str(), *f)).collect();
        for input in planned.iter().filter(|input| !now.contains(input)) {
            found.push(format!("the input {} was planned", input.0));
        }
        for input in now.iter().filter(|input| !planned.contains(input)) {
            found.push(format!("the input {} was not planned", input.0));
        }
        if found.is_empty() && planned != now {
            found.push("the inputs are in another order".to_owned());
        }
        found
    }
}

impl PipelineParts {
    fn differences(&self, now: &Self) -> Vec<String> {
        if self.name != now.name {
            return vec![format!(
                "the pipeline is `{}`, not `{}`",
                now.name, self.name
            )];
        }
        let names: BTreeSet<&String> = self.digests.keys().chain(now.digests.keys()).collect();
        let differ = names
            .into_iter()
            .filter(|name| self.digests.get(*name) != now.digests.get(*name));
        differ
            .map(|name| format!("the {name} of pipeline `{}` changed", self.name))
            .collect()
    }
}

fn setting_differences(then: &Settings, now: &Settings) -> Vec<String> {
    let values = |settings: &Settings| match serde_json::to_value(settings) {
        Ok(serde_json::Value::Object(values)) => values,
        _ => serde_json::Map::new(),
    };
    let (then, now) = (values(then), values(now));
    let differ = then
        .iter()
        .filter_map(|(name, then)| now.get(name).map(|now| (name, then, now)));
    differ
        .filter(|(_, then, now)| then != now)
        .map(|(name, then, now)| format!("the setting `{name}` is {now}, not {then}"))
        .collect()
}
