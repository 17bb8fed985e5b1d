//! Bindings of a pipeline's symbols to the lengths that they have in one request.

use std::fmt;

use motet_proto::tensor::Tensor;

use crate::check::{Length, Symbol, ValueType};

/// A value for each symbol, bound by the first tensor that shows it.
#[derive(Debug, Clone)]
pub(crate) struct SymbolBindings {
    bound: Vec<Option<usize>>,
}

/// A tensor whose shape does not fit its type in the pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// Another number of dimensions.
    Rank {
        /// Dimensions found.
        found: usize,
        /// Dimensions wanted.
        wanted: usize,
    },
    /// A dimension of another length.
    Length {
        /// Which dimension.
        axis: usize,
        /// Its length.
        found: usize,
        /// The length it must have.
        wanted: usize,
        /// The symbol of that length, if it has one.
        symbol: Option<String>,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rank { found, wanted } => {
                write!(f, "has {found} dimensions, but must have {wanted}")
            }
            Self::Length {
                axis,
                found,
                wanted,
                symbol,
            } => {
                write!(
                    f,
                    "has length {found} in dimension {axis}, but must have {wanted}"
                )?;
                match symbol {
                    Some(symbol) => write!(f, ", which is {symbol} in this request"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl SymbolBindings {
    /// Returns the bindings that are known before any tensor is seen.
    pub(crate) fn new(symbols: &[Symbol]) -> Self {
        Self {
            bound: symbols.iter().map(|s| s.fixed).collect(),
        }
    }

    /// Checks a shape against a type, and learns the symbols that were not known.
    ///
    /// # Errors
    /// When the shape does not fit; nothing is learnt then.
    pub(crate) fn bind(
        &mut self,
        ty: &ValueType,
        shape: &[usize],
        symbols: &[Symbol],
    ) -> Result<(), Mismatch> {
        if shape.len() != ty.dims.len() {
            return Err(Mismatch::Rank {
                found: shape.len(),
                wanted: ty.dims.len(),
            });
        }
        for (axis, (dim, &found)) in ty.dims.iter().zip(shape).enumerate() {
            // One symbol may stand twice in a type.
            let before = ty.dims[..axis].iter().position(|d| d == dim);
            let wanted = self.get(*dim).or_else(|| before.map(|at| shape[at]));
            if let Some(wanted) = wanted
                && wanted != found
            {
                return Err(Mismatch::Length {
                    axis,
                    found,
                    wanted,
                    symbol: match dim {
                        Length::Fixed(_) => None,
                        Length::Symbol(id) => symbols.get(id.0).map(|s| s.name.clone()),
                    },
                });
            }
        }
        for (dim, &found) in ty.dims.iter().zip(shape) {
            if let Length::Symbol(id) = dim {
                self.bound[id.0] = Some(found);
            }
        }
        Ok(())
    }

    /// Returns the length of a dimension, if it is known.
    pub(crate) fn get(&self, dim: Length) -> Option<usize> {
        match dim {
            Length::Fixed(n) => Some(n),
            Length::Symbol(id) => self.bound[id.0],
        }
    }

    /// The shape of one row of a type, as far as it is known; what is not is 0.
    pub(crate) fn inner_shape(&self, ty: &ValueType) -> Vec<usize> {
        let inner = ty.dims.iter().skip(1);
        inner.map(|dim| self.get(*dim).unwrap_or(0)).collect()
    }

    /// A tensor of no rows: the first dimension is 0, the others are what they are known to be,
    /// or 0. `None` when the type has no first dimension or one that cannot be 0.
    pub(crate) fn empty(&self, ty: &ValueType) -> Option<Tensor> {
        let first = *ty.dims.first()?;
        if self.get(first).is_some_and(|n| n != 0) {
            return None;
        }
        let shape = ty
            .dims
            .iter()
            .enumerate()
            .map(|(axis, dim)| match axis {
                0 => 0,
                _ => self.get(*dim).unwrap_or(0),
            })
            .collect();
        Tensor::from_raw(ty.element, shape, bytes::Bytes::new()).ok()
    }
}

#[cfg(test)]
mod tests {
    use motet_proto::types::ElementType;

    use super::*;
    use crate::check::SymbolId;

    fn symbols() -> Vec<Symbol> {
        ["N", "M", "D"]
            .iter()
            .zip([None, None, Some(4)])
            .map(|(name, fixed)| Symbol {
                name: (*name).to_owned(),
                fixed,
            })
            .collect()
    }

    fn ty(dims: &[Length]) -> ValueType {
        ValueType {
            element: ElementType::F32,
            dims: dims.to_vec(),
        }
    }

    #[test]
    fn the_first_tensor_decides() {
        let symbols = symbols();
        let [n, m, d] = [0, 1, 2].map(|i| Length::Symbol(SymbolId(i)));
        let mut lengths = SymbolBindings::new(&symbols);
        assert_eq!(lengths.bind(&ty(&[n, d]), &[3, 4], &symbols), Ok(()));
        let error = lengths.bind(&ty(&[m, n]), &[7, 2], &symbols).unwrap_err();
        assert_eq!(
            error.to_string(),
            "has length 2 in dimension 1, but must have 3, which is N in this request"
        );
        assert_eq!(lengths.get(m), None, "a refused shape teaches nothing");
        assert_eq!(
            lengths
                .bind(&ty(&[n]), &[3, 1], &symbols)
                .unwrap_err()
                .to_string(),
            "has 2 dimensions, but must have 1"
        );
        assert_eq!(
            lengths
                .bind(&ty(&[d]), &[5], &symbols)
                .unwrap_err()
                .to_string(),
            "has length 5 in dimension 0, but must have 4, which is D in this request"
        );
        assert_eq!(
            lengths
                .bind(&ty(&[Length::Fixed(2)]), &[5], &symbols)
                .unwrap_err()
                .to_string(),
            "has length 5 in dimension 0, but must have 2"
        );
    }

    #[test]
    fn emptiness_keeps_what_is_known() {
        let symbols = symbols();
        let [n, m, d] = [0, 1, 2].map(|i| Length::Symbol(SymbolId(i)));
        let mut lengths = SymbolBindings::new(&symbols);
        assert_eq!(lengths.empty(&ty(&[m, d])).unwrap().shape(), [0, 4]);
        assert_eq!(lengths.empty(&ty(&[m, n])).unwrap().shape(), [0, 0]);
        lengths.bind(&ty(&[n]), &[3], &symbols).unwrap();
        assert_eq!(lengths.empty(&ty(&[n])), None);
        assert_eq!(lengths.empty(&ty(&[])), None);
    }
}
