//! A request against the signature of its model, and the response to it.
//!
//! * `parameters`: [`Parameters`], how the call is to be treated and the task's own settings.
//! * `inputs`: [`Inputs`], the tensors, each of the type and shape of its port.
//! * `response`: [`ResponseBuilder`], which outputs are wanted and in which order.

mod inputs;
mod parameters;
mod response;

pub(crate) use inputs::Inputs;
pub(crate) use parameters::{Parameters, wants_final_response};
pub(crate) use response::{Outputs, ResponseBuilder, write_cost};

use motet_config::{list_of, nearest};

/// Returns "did you mean `x`?" where a name is close, else the list of names.
fn hint<'n>(name: &str, kind: &str, names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.collect();
    match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => format!("there are no {kind}s"),
        None => format!("{kind}s are {}", list_of(&names)),
    }
}
