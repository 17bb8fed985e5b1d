//! Access of one call to pipelines and models.

use tonic::Status;

use super::grants::{Grant, Grants};
use super::principal::Principal;
use crate::audit::CallRecord;
use crate::status::{Reason, StatusBuilder};

/// Something that is called by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// A pipeline.
    Pipeline,
    /// A model, by its own name.
    Model,
    /// Nothing that there is.
    Unknown,
}

/// Access of one call: asked by whoever finds in its message which pipeline or model is meant.
/// Where nobody has to say who they are, everything may be called.
#[derive(Clone, Debug, Default)]
pub struct Access {
    principal: Option<Principal>,
    record: Option<CallRecord>,
}

impl Access {
    /// Returns the access of a call with these extensions.
    pub fn of(extensions: &http::Extensions) -> Self {
        Self {
            principal: extensions.get().cloned(),
            record: extensions.get().cloned(),
        }
    }

    /// Returns `true` where nobody has to say who they are.
    pub fn is_open(&self) -> bool {
        self.principal.is_none()
    }

    /// Permits a request to what has this name, and takes note of the name for the audit.
    ///
    /// # Errors
    /// PERMISSION_DENIED, whether there is such a thing or not.
    pub fn call(&self, name: &str, named: Named) -> Result<(), Status> {
        self.note(name);
        let Some(principal) = &self.principal else {
            return Ok(());
        };
        let grants = principal.grants();
        match permits(grants, name, named) {
            true => Ok(()),
            false if named == Named::Model => Err(not_permitted(&format!("model:{name}"))),
            false => Err(not_permitted(&format!("call:{name}"))),
        }
    }

    /// Returns `true` if the call may know of what has this name: it may call it, or change it.
    pub fn sees(&self, name: &str, named: Named) -> bool {
        self.principal.as_ref().is_none_or(|principal| {
            let grants = principal.grants();
            permits(grants, name, named) || grants.has(&Grant::Admin)
        })
    }

    /// Permits a question about what has this name.
    ///
    /// # Errors
    /// PERMISSION_DENIED, whether there is such a thing or not.
    pub fn see(&self, name: &str, named: Named) -> Result<(), Status> {
        match self.sees(name, named) {
            true => Ok(()),
            false => self.call(name, named),
        }
    }

    /// Takes note for the audit of what a call names, without asking whether it may.
    pub fn note(&self, name: &str) {
        if let Some(record) = &self.record {
            record.add_target(name);
        }
    }
}

fn permits(grants: &Grants, name: &str, named: Named) -> bool {
    match named {
        Named::Pipeline => grants.pipeline(name),
        Named::Model => grants.model(name),
        Named::Unknown => grants.pipeline(name) || grants.model(name),
    }
}

/// Returns the status of a call for which a grant is missing.
pub(super) fn not_permitted(grant: &str) -> Status {
    let text = format!("these credentials do not permit the call: the grant `{grant}` is missing");
    StatusBuilder::new(Reason::NotPermitted, text)
        .with("grant", grant)
        .into()
}
