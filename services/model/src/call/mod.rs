//! What a request says, checked against a model's signature, and the answer to it.

mod inputs;
mod reply;
mod settings;

pub(crate) use inputs::Inputs;
pub(crate) use reply::put_cost;
pub(crate) use reply::{Outputs, Reply};
pub(crate) use settings::{EMPTY_FINAL_RESPONSE, Settings};

use motet_runtime::config::{list_of, nearest};

/// "did you mean `x`?", or what there is.
fn there_is<'n>(name: &str, kind: &str, names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.collect();
    match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => format!("there are no {kind}s"),
        None => format!("{kind}s are {}", list_of(&names)),
    }
}
