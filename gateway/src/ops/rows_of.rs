//! Values that belong to the rows of a list: several for a row, or none.

use super::error::{ArgumentId, OpError, OpErrorKind};
use super::op::OpCall;
use super::ports::{Arguments, OpPort, column, port_like};

/// Name of the input that is the list.
pub(super) const OF: &str = "of";

/// Returns the port of the list, which may have elements of any type: only its length counts.
pub(super) fn listed(arguments: &Arguments<'_>) -> OpPort {
    let given = arguments.inputs.iter().find(|argument| argument.name == OF);
    given.map_or_else(|| port_like(OF, None), |given| column(given, "N"))
}

/// Returns the row of the list `of` to which each value belongs, as the input `row` says. Both are
/// numbers of inputs.
///
/// # Errors
/// For a number that is no row of the list.
pub(super) fn row_numbers(call: &OpCall<'_>, row: usize, of: usize) -> Result<Vec<usize>, OpError> {
    let rows = call.input(of)?.rows();
    let numbers = call.input(row)?.values::<i32>()?;
    let number = |(at, &index): (usize, &i32)| {
        let number = usize::try_from(index).ok().filter(|number| *number < rows);
        number.ok_or_else(|| {
            let arguments = [ArgumentId::Input(row), ArgumentId::Input(of)];
            OpErrorKind::Index { at, index, rows }.caused_by(arguments)
        })
    };
    numbers.iter().enumerate().map(number).collect()
}
