//! Rows of a tensor along its first dimension.

use bytes::{BufMut, BytesMut};

use super::{StringsBuilder, Tensor, TensorError, strings};

impl Tensor {
    /// Returns the rows (along the first dimension) at `index`, in its order.
    ///
    /// # Errors
    /// When the tensor is a scalar, or an index is out of range.
    pub fn gather(&self, index: &[usize]) -> Result<Self, TensorError> {
        let Some((&rows, inner)) = self.shape.split_first() else {
            return Err(TensorError::NotList);
        };
        if let Some(&bad) = index.iter().find(|i| **i >= rows) {
            return Err(TensorError::Index { index: bad, rows });
        }
        let width: usize = inner.iter().product();
        let data = match self.element.size() {
            Some(size) => {
                let stride = width * size;
                let mut out = BytesMut::with_capacity(index.len() * stride);
                for &i in index {
                    out.put_slice(&self.data[i * stride..(i + 1) * stride]);
                }
                out.freeze()
            }
            None => {
                let all: Vec<&[u8]> = self.as_strings()?.iter().collect();
                let mut out = StringsBuilder::default();
                for &i in index {
                    all[i * width..(i + 1) * width]
                        .iter()
                        .for_each(|s| out.push(s));
                }
                out.finish()
            }
        };
        let mut shape = self.shape.clone();
        shape[0] = index.len();
        Ok(Self {
            element: self.element,
            shape,
            data,
        })
    }

    /// Returns each row (along the first dimension) as a tensor over the same buffer.
    ///
    /// # Errors
    /// When the tensor is a scalar.
    pub fn to_rows(&self) -> Result<Vec<Self>, TensorError> {
        let Some((&rows, inner)) = self.shape.split_first() else {
            return Err(TensorError::NotList);
        };
        let width: usize = inner.iter().product();
        let mut ends = Vec::with_capacity(rows);
        match self.element.size() {
            Some(size) => ends.extend((1..=rows).map(|row| row * width * size)),
            None => {
                let mut texts = self.as_strings()?.iter();
                let mut end = 0;
                for _ in 0..rows {
                    let row = texts.by_ref().take(width);
                    end += row.map(|text| strings::PREFIX + text.len()).sum::<usize>();
                    ends.push(end);
                }
            }
        }
        let mut start = 0;
        let row = |end| {
            let data = self.data.slice(start..end);
            start = end;
            Self {
                element: self.element,
                shape: inner.to_vec(),
                data,
            }
        };
        Ok(ends.into_iter().map(row).collect())
    }

    /// Joins tensors of one type and shape as the rows of a tensor with one dimension more.
    ///
    /// # Errors
    /// When there is none, or types or shapes differ.
    pub fn stack(parts: Vec<Self>) -> Result<Self, TensorError> {
        let lists = parts
            .into_iter()
            .map(|part| {
                let mut shape = Vec::with_capacity(part.shape.len() + 1);
                shape.push(1);
                shape.extend_from_slice(&part.shape);
                part.reshape(shape)
            })
            .collect::<Result<Vec<_>, _>>()?;
        Self::concat(&lists.iter().collect::<Vec<_>>())
    }

    /// Joins tensors of one element type and inner shape along the first dimension.
    ///
    /// # Errors
    /// When there is none, one is a scalar, or types or inner shapes differ.
    pub fn concat(parts: &[&Self]) -> Result<Self, TensorError> {
        let first = parts.first().ok_or(TensorError::NotList)?;
        let inner = first.shape.get(1..).ok_or(TensorError::NotList)?;
        let mut rows = 0;
        for part in parts {
            if part.element != first.element {
                return Err(TensorError::Element {
                    found: part.element,
                    wanted: first.element,
                });
            }
            if part.shape.get(1..) != Some(inner) {
                return Err(TensorError::Reshape {
                    from: part.shape.clone(),
                    to: first.shape.clone(),
                });
            }
            rows += part.shape[0];
        }
        let mut data = BytesMut::with_capacity(parts.iter().map(|p| p.data.len()).sum());
        parts.iter().for_each(|p| data.put_slice(&p.data));
        let mut shape = first.shape.clone();
        shape[0] = rows;
        Ok(Self {
            element: first.element,
            shape,
            data: data.freeze(),
        })
    }

    /// Returns the raw contents of each row (along the first dimension) as slices of
    /// [`Tensor::data`], which they cover in order.
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
    fn raw_rows_are_slices_that_make_the_whole() {
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
