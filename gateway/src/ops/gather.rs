//! Rows by their numbers.

use motet_proto::tensor::Tensor;

use super::error::{OpError, within_limit};

/// The rows of each column that `index` names, in its order.
pub(super) fn gather(columns: &[Tensor], index: &Tensor) -> Result<Vec<Tensor>, OpError> {
    let index = index.values::<i32>()?;
    let picks = columns
        .iter()
        .map(|column| {
            let rows = column.rows();
            index
                .iter()
                .enumerate()
                .map(|(at, &index)| {
                    usize::try_from(index)
                        .ok()
                        .filter(|i| *i < rows)
                        .ok_or(OpError::Index { at, index, rows })
                })
                .collect::<Result<Vec<_>, _>>()
        })
        .collect::<Result<Vec<_>, _>>()?;
    let sizes = columns
        .iter()
        .zip(&picks)
        .map(|(column, picks)| gathered_bytes(column, picks))
        .collect::<Result<Vec<_>, _>>()?;
    within_limit(sizes.into_iter())?;
    columns
        .iter()
        .zip(&picks)
        .map(|(column, picks)| Ok(column.gather(picks)?))
        .collect()
}

/// The bytes of the rows of a column that `picks` names.
fn gathered_bytes(column: &Tensor, picks: &[usize]) -> Result<usize, OpError> {
    if picks.is_empty() {
        return Ok(0);
    }
    let (bytes, rows) = (column.data().len(), column.rows());
    if column.element().size().is_some() {
        return Ok((bytes / rows).saturating_mul(picks.len()));
    }
    let width = column.len() / rows;
    let mut texts = column.as_strings()?.iter();
    let sizes: Vec<usize> = (0..rows)
        .map(|_| {
            let row = texts.by_ref().take(width);
            row.map(|text| text.len() + size_of::<u32>()).sum()
        })
        .collect();
    let sizes = picks.iter().map(|row| sizes[*row]);
    Ok(sizes.fold(0, usize::saturating_add))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_result_is_known_before_it_is_made() {
        let short = Tensor::strings(["ab", ""]);
        assert_eq!(gathered_bytes(&short, &[0, 0, 1]), Ok(2 * (2 + 4) + 4));
        assert_eq!(gathered_bytes(&short, &[]), Ok(0));
        let numbers = Tensor::from_values(vec![2, 3], vec![0i32; 6]).unwrap();
        assert_eq!(gathered_bytes(&numbers, &[1, 1, 1]), Ok(3 * 3 * 4));
    }
}
