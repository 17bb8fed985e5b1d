//! The objects of a unit. A store has no locks and gives no two objects their names at once, so a
//! unit is written in this order:
//!
//! 1. Its objects, under names that nobody else has.
//! 2. Its record, if there is none: of two workers one wins. From here on it is written.
//! 3. Copies under their own names; then the record again, without the names of 1, which go.
//!
//! Whoever finds a record with those names does what is left of 3. That is the same bytes, whoever
//! does it and however often.

use std::path::{Path, PathBuf};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::PutMode;

use super::bucket::{AT_ONCE, Bucket, Object};
use super::client::changed;
use crate::error::BatchError;
use crate::files::json::{json, parsed};
use crate::files::unit::StagedFiles;
use crate::files::{Place, Record, UnitPaths, Unwritten};

/// Returns the records of units that are written.
pub(super) fn records(
    bucket: &Bucket,
    units: &[UnitPaths],
) -> Result<Vec<Option<Record>>, BatchError> {
    let Some(folder) = units.first().and_then(|unit| unit.record.parent()) else {
        return Ok(Vec::new());
    };
    let names = bucket.names(folder)?;
    let mut asked = Vec::new();
    for (unit, paths) in units.iter().enumerate() {
        let name = paths.record.file_name().unwrap_or_default();
        if names.contains(&*name.to_string_lossy()) {
            asked.push((unit, bucket.object(&paths.record)?));
        }
    }
    let client = bucket.client().clone();
    let found = bucket.until(async move {
        let read = asked.into_iter().map(|(unit, Object { name, key })| {
            let client = &client;
            async move {
                let text = client.bytes(&name, &key).await?;
                let record = text
                    .map(|text| parsed(Path::new(&name), &text))
                    .transpose()?;
                Ok::<_, BatchError>((unit, record))
            }
        });
        let read = stream::iter(read).buffer_unordered(AT_ONCE);
        read.try_collect::<Vec<(usize, Option<Record>)>>().await
    })?;
    let mut records = vec![None; units.len()];
    for (unit, record) in found {
        records[unit] = record;
    }
    Ok(records)
}

/// Gives the files of a unit their names. Returns `false` where another worker did so before.
pub(super) fn commit(bucket: &Bucket, mut unit: Unwritten) -> Result<bool, BatchError> {
    unit.part.finish()?;
    if let Some(errors) = &mut unit.errors {
        errors.finish()?;
    }
    let staged = StagedFiles {
        part: unit.part.path().to_owned(),
        errors: unit.errors.map(|errors| errors.path().to_owned()),
    };
    let record = Record {
        staged: Some(staged.clone()),
        ..unit.record
    };
    let text = json(&unit.paths.record, &record)?;
    if bucket.first(&unit.paths.record, text)? {
        settle(bucket, &unit.paths, &record)?;
        return Ok(true);
    }
    remove(bucket, staged)?;
    Ok(false)
}

/// Does what is left to do of a unit that is written.
pub(super) fn settle(bucket: &Bucket, unit: &UnitPaths, record: &Record) -> Result<(), BatchError> {
    let Some(staged) = record.staged.clone() else {
        return Ok(());
    };
    if let Some(errors) = &staged.errors {
        copy(bucket, errors, &unit.errors)?;
    }
    copy(bucket, &staged.part, &unit.part)?;
    let settled = Record {
        staged: None,
        ..record.clone()
    };
    let text = json(&unit.record, &settled)?;
    let Object { name, key } = bucket.object(&unit.record)?;
    let client = bucket.client().clone();
    bucket.until(async move {
        let put = client.put(&name, &key, text.into(), PutMode::Overwrite);
        put.await?.map_err(|_| changed(&name))
    })?;
    remove(bucket, staged)
}

/// Copies an object, unless somebody else has done so and removed it.
fn copy(bucket: &Bucket, from: &Path, to: &Path) -> Result<(), BatchError> {
    let (client, from, to) = (
        bucket.client().clone(),
        bucket.object(from)?,
        bucket.object(to)?,
    );
    bucket.until(async move {
        if client.copy(&to.name, &from.key, &to.key).await?.is_ok() {
            return Ok(());
        }
        match client.is_there(&to.name, &to.key).await? {
            true => Ok(()),
            false => Err(BatchError::cannot(format!(
                "{} is gone, and it was to become {}",
                from.name, to.name
            ))),
        }
    })
}

/// Removes objects that have names of their own now, or never will.
fn remove(bucket: &Bucket, staged: StagedFiles) -> Result<(), BatchError> {
    let paths: Vec<PathBuf> = staged.errors.into_iter().chain([staged.part]).collect();
    for path in paths {
        let (client, Object { name, key }) = (bucket.client().clone(), bucket.object(&path)?);
        bucket.until(async move { client.remove(&name, &key).await })?;
    }
    Ok(())
}
