//! A plan: what a batch does, bound to its inputs, in units of rows.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::error::BatchError;
use crate::files::Digest;
use crate::folder::Folder;
use crate::input::{InputFormat, Origin, Place};
#[cfg(feature = "postgres")]
use crate::postgres::ColumnType;
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

/// A file of rows, or a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Input {
    pub(crate) path: String,
    pub(crate) format: InputFormat,
    pub(crate) bytes: u64,
    #[serde(flatten)]
    pub(crate) digest: Digest,
    pub(crate) rows: u64,
    /// The query, of which the digest is.
    #[cfg(feature = "postgres")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) query: Option<PlannedQuery>,
}

/// A query as the server described it.
#[cfg(feature = "postgres")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlannedQuery {
    /// The column that orders its rows.
    pub(crate) key: String,
    pub(crate) columns: Vec<ColumnType>,
}

/// Keys of the rows of a unit.
#[cfg(feature = "postgres")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Keys {
    /// That of the last row before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<String>,
    /// That of its last row.
    pub(crate) to: String,
    /// Digest of its rows.
    pub(crate) sha256: String,
}

/// Rows of one file, or of a query, that are written together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unit {
    /// Index of the file.
    pub(crate) input: usize,
    /// Number of the first row in the file; that of the file's first is 0.
    pub(crate) first: u64,
    pub(crate) rows: u64,
    #[serde(flatten)]
    pub(crate) place: Place,
    #[cfg(feature = "postgres")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keys: Option<Keys>,
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
        origins: &[Origin],
    ) -> Vec<String> {
        let mut found = self.pipeline.differences(pipeline);
        found.extend(setting_differences(&self.settings, settings));
        let planned: Vec<(&str, InputFormat)> = self
            .inputs
            .iter()
            .map(|input| (input.path.as_str(), input.format))
            .collect();
        let names: Vec<String> = origins.iter().map(Origin::name).collect();
        let now = names.iter().zip(origins);
        let now: Vec<(&str, InputFormat)> = now.map(|(n, o)| (n.as_str(), o.format())).collect();
        for input in planned.iter().filter(|input| !now.contains(input)) {
            found.push(format!("the input {} was planned", input.0));
        }
        for input in now.iter().filter(|input| !planned.contains(input)) {
            found.push(format!("the input {} was not planned", input.0));
        }
        if found.is_empty() && planned != now {
            found.push("the inputs are in another order".to_owned());
        }
        #[cfg(feature = "postgres")]
        for (input, origin) in self.inputs.iter().zip(origins) {
            if let Origin::Query(query) = origin {
                found.extend(input.differences(query));
            }
        }
        found
    }
}

#[cfg(feature = "postgres")]
impl Input {
    /// Returns the differences between a query and the one that was planned.
    fn differences(&self, now: &crate::postgres::Query) -> Vec<String> {
        let mut found = Vec::new();
        let Some(then) = &self.query else {
            return found;
        };
        if self.digest != Digest::Sha256(now.sha256()) {
            found.push("the query is another one".to_owned());
        }
        if then.key != now.key().name {
            found.push(format!(
                "the key is `{}`, not `{}`",
                now.key().name,
                then.key
            ));
        }
        let types = now.types();
        for column in &then.columns {
            match types.iter().find(|other| other.name == column.name) {
                None => found.push(format!("the column `{}` was planned", column.name)),
                Some(other) if other != column => found.push(format!(
                    "the column `{}` is of type {}, not {}",
                    column.name, other.declared, column.declared
                )),
                Some(_) => {}
            }
        }
        let is_known = |name: &String| then.columns.iter().any(|column| column.name == *name);
        for column in types.iter().filter(|column| !is_known(&column.name)) {
            found.push(format!("the column `{}` was not planned", column.name));
        }
        if found.is_empty() && types != then.columns {
            found.push("the columns are in another order".to_owned());
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
