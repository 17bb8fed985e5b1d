//! Images to the vectors that enter the first layer.

use super::{Linear, Norm, TensorRef};

/// Number of colours of a pixel: red, green, blue.
pub(crate) const COLOURS: usize = 3;

/// An image in patches, row by row: the vector of each is a product of its values, and the vector
/// of its position. Some families have a class token before them, which has no patch.
#[derive(Clone, Debug, PartialEq)]
pub struct PatchEmbedding {
    /// Height and width of an image. Every image of the model has this size.
    pub image_size: [usize; 2],
    /// Height and width of a patch. Pixels that are left at the right and at the bottom are not
    /// seen.
    pub patch_size: [usize; 2],
    /// From a patch's values, of one colour after the other, each row by row:
    /// `[hidden, 3, height, width]`.
    pub product: Linear,
    /// The vector of the token without a patch, of `hidden` values in any shape.
    pub class: Option<TensorRef>,
    /// The vector of each token, `hidden` values in any shape.
    pub positions: TensorRef,
    /// The norm of the sum.
    pub norm: Option<Norm>,
}

impl PatchEmbedding {
    /// Returns the number of patches.
    pub fn patches(&self) -> usize {
        let [rows, columns] = self.grid();
        rows * columns
    }

    /// Returns the number of tokens of an image.
    pub fn tokens(&self) -> usize {
        usize::from(self.class.is_some()) + self.patches()
    }

    /// Returns the number of rows and of columns of patches.
    pub fn grid(&self) -> [usize; 2] {
        let ([height, width], [of_patch, wide]) = (self.image_size, self.patch_size);
        [height / of_patch, width / wide]
    }

    /// Returns the number of values of a patch.
    pub fn patch_values(&self) -> usize {
        COLOURS * self.patch_size[0] * self.patch_size[1]
    }

    pub(crate) fn tensors(&self) -> Vec<&TensorRef> {
        let tables = self.class.iter().chain([&self.positions]);
        let norms = self.norm.iter().flat_map(Norm::tensors);
        self.product.tensors().chain(tables).chain(norms).collect()
    }
}
