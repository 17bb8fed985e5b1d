//! Every kernel of this processor, on the same numbers.

use super::groups::Groups;
use super::kernel::Kernel;
use super::{Int8Linear, QuantizedActivations};
use crate::activation::Activation;
use crate::blocked::{ColumnBlocks, Matrix};
use crate::gemm::epilogue::{Epilogue, Init};
use crate::parallel::Parallelism;
use crate::weights::InMemory;

struct Case {
    tokens: usize,
    inputs: ColumnBlocks,
    outputs: ColumnBlocks,
    /// Row-major.
    x: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Case {
    fn new(
        (tokens, inputs, outputs): Shape,
        x: impl Fn(usize, usize) -> f32,
        weight: impl Fn(usize, usize) -> f32,
    ) -> Self {
        let columns = |(count, width)| ColumnBlocks { count, width };
        let matrix = |rows: usize, value: &dyn Fn(usize, usize) -> f32| -> Vec<f32> {
            (0..rows * inputs.0)
                .map(|at| value(at / inputs.0, at % inputs.0))
                .collect()
        };
        Self {
            tokens,
            inputs: columns(inputs),
            outputs: columns(outputs),
            x: matrix(tokens, &x),
            weight: matrix(outputs.0, &weight),
            bias: (0..outputs.0).map(|at| at as f32 - 7.0).collect(),
        }
    }

    /// Returns the product, added to `stored`.
    fn run(&self, kernel: Kernel, stored: f32, epilogue: Epilogue<'_>) -> Vec<f32> {
        let weight = InMemory {
            values: &self.weight,
            size: self.inputs.count,
        };
        let Ok(packed) =
            Int8Linear::pack_for(kernel, &weight, Some(&self.bias), self.inputs, self.outputs);
        let mut lhs = QuantizedActivations::default();
        let x = into_blocks(&self.x, self.inputs, self.tokens);
        lhs.quantize(Matrix::new(&x, self.inputs), Parallelism::WithinThread);
        let mut out = vec![stored; self.tokens * self.outputs.count];
        for block in 0..self.outputs.blocks() {
            let elements = self.outputs.elements(block, self.tokens);
            // In two parts, as two threads would.
            let half = self.tokens.div_ceil(2);
            let width = self.outputs.columns(block).len();
            for (part, out) in out[elements].chunks_mut(half * width).enumerate() {
                packed.block(block, &lhs, part * half, out, Init::Residual, epilogue);
            }
        }
        out
    }

    fn exact(&self, stored: f32) -> Vec<f64> {
        let row = |token: usize| &self.x[token * self.inputs.count..][..self.inputs.count];
        let column = |at: usize| &self.weight[at * self.inputs.count..][..self.inputs.count];
        let value = |token: usize, at: usize| {
            let products = row(token).iter().zip(column(at));
            let sum: f64 = products.map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
            sum + f64::from(self.bias[at]) + f64::from(stored)
        };
        (0..self.outputs.blocks())
            .flat_map(|block| {
                (0..self.tokens)
                    .flat_map(move |token| self.outputs.columns(block).map(move |at| (token, at)))
            })
            .map(|(token, at)| value(token, at))
            .collect()
    }
}

fn into_blocks(x: &[f32], columns: ColumnBlocks, tokens: usize) -> Vec<f32> {
    let blocks = (0..columns.blocks()).map(|block| columns.columns(block));
    let rows = blocks.flat_map(|block| {
        (0..tokens).map(move |token| {
            token * columns.count + block.start..token * columns.count + block.end
        })
    });
    rows.flat_map(|row| x[row].iter().copied()).collect()
}

/// Tokens; columns of the left side and how wide its blocks are; the same of the result.
type Shape = (usize, (usize, usize), (usize, usize));

const SHAPES: [Shape; 6] = [
    (1, (384, 96), (96, 96)),
    (9, (96, 96), (288, 96)),
    (20, (384, 96), (100, 60)),
    (3, (7, 7), (5, 5)),
    (13, (300, 140), (50, 50)),
    (8, (130, 130), (3, 2)),
];

/// Whole numbers that are in no need of rounding: every kernel must give the very product.
#[test]
fn whole_numbers_are_exact() {
    for shape in SHAPES {
        let groups = Groups::new(ColumnBlocks {
            count: shape.1.0,
            width: shape.1.1,
        });
        // The first two of each group make its scale 1.
        let in_group = |at: usize| {
            (0..groups.count())
                .find_map(|group| groups.columns(group).position(|c| c == at))
                .unwrap()
        };
        let random =
            |row: usize, at: usize, count: usize| (row * 7919 + at * 104_729 + row * at) % count;
        let x = |token: usize, at: usize| match in_group(at) {
            0 => -100.0,
            1 => 155.0,
            _ => random(token, at, 256) as f32 - 100.0,
        };
        let weight = |column: usize, at: usize| match in_group(at) {
            0 => 127.0,
            _ => random(column, at, 255) as f32 - 127.0,
        };
        let all_large = |_: usize, at: usize| if in_group(at) == 0 { 0.0 } else { 255.0 };
        for case in [
            Case::new(shape, x, weight),
            Case::new(shape, all_large, |_, _| 127.0),
            Case::new(shape, all_large, |_, _| -127.0),
        ] {
            let expected = case.exact(3.0);
            for kernel in Kernel::all() {
                let found = case.run(kernel, 3.0, Epilogue::Store);
                let wide: Vec<f64> = found.into_iter().map(f64::from).collect();
                assert_eq!(wide, expected, "{kernel:?} {shape:?}");
            }
        }
    }
}

#[test]
fn kernels_agree_to_the_bit_where_they_round_alike_and_are_close_to_the_product() {
    for shape in SHAPES {
        let wave = |row: usize, at: usize| ((row * 31 + at * 17) as f32 * 0.37).sin();
        let case = Case::new(shape, wave, |row, at| wave(at, row) * 0.1);
        let limit = 2e-3 * (shape.1.0 as f64).sqrt();
        let expected = case.exact(0.5);
        for epilogue in [
            Epilogue::Store,
            Epilogue::Activate(Activation::Gelu),
            Epilogue::Activate(Activation::Silu),
        ] {
            let found: Vec<_> = Kernel::all()
                .into_iter()
                .map(|kernel| (kernel, case.run(kernel, 0.5, epilogue)))
                .collect();
            for (kernel, other) in &found {
                let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                match kernel {
                    // Without an instruction for it, it rounds products before it adds them.
                    Kernel::Portable => {
                        for (x, y) in found[0].1.iter().zip(other) {
                            let limit = 1e-5 * (1.0 + x.abs());
                            assert!((x - y).abs() < limit, "{shape:?}: {x} {y}");
                        }
                    }
                    _ => assert_eq!(bits(&found[0].1), bits(other), "{kernel:?} {shape:?}"),
                }
            }
            for (found, expected) in found[0].1.iter().zip(&expected) {
                let far = (f64::from(*found) - expected).abs();
                assert!(
                    epilogue != Epilogue::Store || far < limit,
                    "{shape:?}: {found} {expected}"
                );
            }
        }
    }
}

#[test]
fn nothing_and_constants_have_no_scale() {
    let shape = (2, (8, 8), (4, 4));
    for (x, weight) in [(0.0, 0.0), (5.0, 0.0), (0.0, 1.0), (-2.5, 0.5)] {
        let case = Case::new(shape, |_, _| x, |_, _| weight);
        for kernel in Kernel::all() {
            let found = case.run(kernel, 0.0, Epilogue::Store);
            let pairs = found.iter().zip(case.exact(0.0));
            for (found, expected) in pairs {
                assert!((f64::from(*found) - expected).abs() < 1e-5, "{x} {weight}");
            }
        }
    }
}
