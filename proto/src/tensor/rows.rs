//! The raw contents of a tensor, row by row.

use super::{Tensor, TensorError, strings};

impl Tensor {
    /// The raw contents of each row (along the first dimension), as slices of the tensor's own:
    /// one after another they are [`Tensor::data`].
    ///
    /// # Errors
    /// When the tensor is a scalar.
    pub fn raw_rows(&self) -> Result<Vec<&[u8]>, TensorError> {
        let Some((&rows, inner)) = self.shape.split_first() else {
            return Err(TensorError::NotList);
        };
        let width: usize = inner.iter().product();
        let mut rest: &[u8] = &self.data;
        let mut slices = Vec::with_capacity(rows);
        for _ in 0..rows {
            let length = match self.element.size() {
                Some(size) => width * size,
                None => strings::raw_length(rest, width),
            };
            let (row, tail) = rest.split_at(length);
            slices.push(row);
            rest = tail;
        }
        Ok(slices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_slices_that_make_the_whole() {
        let texts = Tensor::strings(["a", "", "bcd", "ü"]);
        let numbers = Tensor::from_values(vec![2, 3], vec![1i32, 2, 3, 4, 5, 6]).unwrap();
        let nothing = Tensor::from_values(vec![3, 0], Vec::<f32>::new()).unwrap();
        for (tensor, lengths) in [
            (texts.clone(), vec![5, 4, 7, 6]),
            (texts.reshape(vec![2, 2]).unwrap(), vec![9, 13]),
            (numbers, vec![12, 12]),
            (nothing, vec![0, 0, 0]),
            (Tensor::strings::<&str>([]), vec![]),
        ] {
            let rows = tensor.raw_rows().unwrap();
            let found: Vec<usize> = rows.iter().map(|r| r.len()).collect();
            assert_eq!(found, lengths, "{tensor:?}");
            assert_eq!(rows.concat(), tensor.data()[..], "{tensor:?}");
        }
        assert_eq!(Tensor::scalar(1i32).raw_rows(), Err(TensorError::NotList));
    }
}
