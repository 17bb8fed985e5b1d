//! Arithmetic that a model needs for a batch.

use motet_models::architecture::{Architecture, Attention, FeedForward, Layer, Linear};

/// Returns the multiplications and additions of all products of the layers, for rows of these
/// lengths.
pub(crate) fn of(architecture: &Architecture, lens: &[usize]) -> f64 {
    let layers = &architecture.layers;
    let row = |len: &usize| {
        layers
            .iter()
            .map(|layer| of_layer(layer, *len))
            .sum::<usize>()
    };
    2.0 * lens.iter().map(row).sum::<usize>() as f64
}

/// Returns the multiply-adds of a row in a layer.
fn of_layer(layer: &Layer, len: usize) -> usize {
    let attention = &layer.attention;
    let products = [
        &attention.query,
        &attention.key,
        &attention.value,
        &attention.output,
    ];
    let of_token = |linear: &Linear| linear.inputs() * linear.outputs();
    let feed_forward: usize = match &layer.feed_forward {
        FeedForward::Plain { up, down, .. } => of_token(up) + of_token(down),
        FeedForward::Gated { gate, up, down, .. } => of_token(gate) + of_token(up) + of_token(down),
    };
    let products: usize = products.into_iter().map(of_token).sum();
    len * (products + feed_forward) + of_scores(attention, len)
}

/// Returns the multiply-adds of a row's scores and of the sums of values by them.
fn of_scores(attention: &Attention, len: usize) -> usize {
    let keys = |query: usize| attention.mask.range(query, len).len();
    let pairs: usize = (0..len).map(keys).sum();
    let relative = attention.relative.as_ref().map_or(0, |products| {
        usize::from(products.key.is_some()) + usize::from(products.query.is_some())
    });
    pairs * attention.heads * attention.head_size * (2 + relative)
}
