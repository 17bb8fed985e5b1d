//! Ports of signatures.

use motet_proto::signature::Port;
use motet_proto::types::{Dim, ElementType, TensorType};

/// Returns an input of a signature: a tensor with dimensions such as `"N"`, a length that is known
/// at run time and is the same wherever the name occurs, or `"384"`. Without dimensions it is a
/// scalar.
pub fn input<'d>(
    name: &str,
    element: ElementType,
    dims: impl IntoIterator<Item = &'d str>,
) -> Port {
    port(name, element, dims)
}

/// Returns an output of a signature, as [`input`] does.
pub fn output<'d>(
    name: &str,
    element: ElementType,
    dims: impl IntoIterator<Item = &'d str>,
) -> Port {
    port(name, element, dims)
}

fn port<'d>(name: &str, element: ElementType, dims: impl IntoIterator<Item = &'d str>) -> Port {
    let dims = dims.into_iter();
    let dims = dims.map(|dim| match dim.parse() {
        Ok(length) => Dim::Fixed(length),
        Err(_) => Dim::Symbol(dim.to_owned()),
    });
    Port::new(name, TensorType::new(element, dims.collect()))
}
