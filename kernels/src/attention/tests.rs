use super::*;

/// Heads of queries, heads of keys, columns of a head, and in blocks of how many heads each.
#[derive(Clone, Copy, Debug)]
struct Shape {
    heads: (usize, usize),
    key_heads: (usize, usize),
    head_size: usize,
}

const fn shape(heads: (usize, usize), key_heads: (usize, usize), head_size: usize) -> Shape {
    Shape {
        heads,
        key_heads,
        head_size,
    }
}

const SHAPES: [Shape; 9] = [
    shape((3, 3), (3, 3), 32),
    shape((6, 2), (6, 2), 32),
    shape((1, 1), (1, 1), 64),
    shape((2, 2), (2, 2), 5),
    shape((2, 1), (2, 2), 1),
    shape((2, 2), (2, 1), 33),
    shape((4, 2), (2, 1), 16),
    shape((6, 4), (2, 2), 20),
    shape((4, 3), (1, 1), 96),
];

const MASKS: [Mask; 5] = [
    Mask::All,
    Mask::Causal,
    Mask::Window {
        before: 3,
        after: 3,
    },
    Mask::Window {
        before: 40,
        after: 0,
    },
    Mask::Window {
        before: 0,
        after: 17,
    },
];

struct Case {
    attention: Attention,
    bias: Option<RelativeBias>,
}

impl Case {
    fn new(shape: Shape, mask: Mask, with_bias: bool) -> Self {
        let columns = |(heads, of_block): (usize, usize)| ColumnBlocks {
            count: heads * shape.head_size,
            width: of_block * shape.head_size,
        };
        let (queries, keys) = (columns(shape.heads), columns(shape.key_heads));
        let slopes: Vec<f32> = (0..shape.heads.0)
            .map(|head| 0.1 / (head + 1) as f32)
            .collect();
        // Not the same before and after a query.
        let bias = |head: usize, distance: isize| -slopes[head] * distance as f32;
        Self {
            attention: Attention::new(queries, keys, shape.head_size).with_mask(mask),
            bias: with_bias.then(|| RelativeBias::new(shape.heads.0, 150, bias)),
        }
    }

    /// Returns queries, keys and values of some rows, in blocks. A row's values do not depend on
    /// the other rows.
    fn matrices(&self, rows: &[usize]) -> [Vec<f32>; 3] {
        let columns = [
            self.attention.queries,
            self.attention.keys,
            self.attention.keys,
        ];
        [0, 1, 2].map(|salt| {
            let columns = columns[salt];
            let blocks = 0..columns.blocks();
            let token = |block: usize, row: usize, token: usize| {
                let value = move |column: usize| {
                    let at = (row * 7 + token) * columns.count + column;
                    ((at * 37 + salt * 101) % 97) as f32 / 97.0 - 0.5
                };
                columns.columns(block).map(value)
            };
            blocks
                .flat_map(|block| {
                    let rows = rows.iter();
                    rows.flat_map(move |row| (0..*row).map(move |at| (block, *row, at)))
                })
                .flat_map(|(block, row, at)| token(block, row, at))
                .collect()
        })
    }

    fn run(&self, rows: &[usize], parallelism: Parallelism) -> Vec<f32> {
        self.run_attended(rows, None, parallelism)
    }

    fn run_attended(
        &self,
        rows: &[usize],
        attended: Option<&[usize]>,
        parallelism: Parallelism,
    ) -> Vec<f32> {
        let [mut queries, keys, values] = self.matrices(rows);
        let rows = Rows {
            tokens: rows,
            attended,
        };
        let bias = self.bias.as_ref().map(Bias::Relative);
        self.attention
            .run(&mut queries, &keys, &values, rows, bias, parallelism);
        queries
    }

    /// Returns row number `at` of the result, `[tokens, columns]`.
    fn row(&self, result: &[f32], rows: &[usize], at: usize) -> Vec<f32> {
        let columns = self.attention.queries;
        let tokens = rows.iter().sum();
        let start: usize = rows[..at].iter().sum();
        let value = |token: usize, column: usize| {
            let block = column / columns.width;
            let range = columns.columns(block);
            let values = &result[columns.elements(block, tokens)];
            values[(start + token) * range.len() + column - range.start]
        };
        (0..rows[at])
            .flat_map(|token| (0..columns.count).map(move |column| value(token, column)))
            .collect()
    }

    /// Computes one row, of which the first tokens are attended, in f64, straight from the
    /// definition.
    fn expected(&self, len: usize, attended: usize) -> Vec<f64> {
        let Attention {
            queries,
            keys,
            head_size,
            scale,
            mask,
        } = self.attention;
        let matrices = self.matrices(&[len]);
        let at = |matrix: usize, token: usize, column: usize| {
            let columns = [queries, keys, keys][matrix];
            let block = column / columns.width;
            let range = columns.columns(block);
            let values = &matrices[matrix][columns.elements(block, len)];
            f64::from(values[token * range.len() + column - range.start])
        };
        let heads = queries.count / head_size;
        let heads_per_key = queries.count / keys.count;
        let mut result = Vec::new();
        for query in 0..len {
            for head in 0..heads {
                let key_head = head / heads_per_key;
                let seen = mask.range(query, attended);
                let exponentials: Vec<f64> =
                    seen.clone()
                        .map(|key| {
                            let product: f64 = (0..head_size)
                                .map(|column| {
                                    at(0, query, head * head_size + column)
                                        * at(1, key, key_head * head_size + column)
                                })
                                .sum();
                            let bias = self.bias.as_ref().map_or(0.0, |bias| {
                                f64::from(bias.of(head, query, key..key + 1)[0])
                            });
                            (product * f64::from(scale) + bias).exp()
                        })
                        .collect();
                let all = exponentials.iter().sum::<f64>().max(f64::MIN_POSITIVE);
                for column in 0..head_size {
                    let values = seen
                        .clone()
                        .map(|key| at(2, key, key_head * head_size + column));
                    let weighted = exponentials.iter().zip(values);
                    result.push(weighted.map(|(share, value)| share / all * value).sum());
                }
            }
        }
        result
    }
}

/// Calls `check` with each shape, mask and bias.
fn for_all_cases(check: impl Fn(&Case, &str)) {
    for shape in SHAPES {
        for mask in MASKS {
            for with_bias in [false, true] {
                let name = format!("{shape:?} {mask:?}, bias: {with_bias}");
                check(&Case::new(shape, mask, with_bias), &name);
            }
        }
    }
}

#[test]
fn rows_of_any_length_and_heads_of_any_size_are_close_to_the_definition() {
    for_all_cases(|case, name| {
        for len in [1, 2, 7, 9, 48, 50, 130] {
            let found = case.run(&[len], Parallelism::WithinThread);
            let found = case.row(&found, &[len], 0);
            for (found, expected) in found.iter().zip(case.expected(len, len)) {
                assert!(
                    (f64::from(*found) - expected).abs() < 1e-6,
                    "{name}, {len} tokens: {found} {expected}"
                );
            }
        }
    });
}

#[test]
fn a_row_has_the_same_bits_in_any_batch_on_any_number_of_threads() {
    const ROWS: [usize; 6] = [1, 120, 7, 50, 2, 33];
    let bits = |values: Vec<f32>| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let pools = [1, 2, 3, 16].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap()
    });
    for_all_cases(|case, name| {
        let alone = ROWS.map(|len| {
            let result = case.run(&[len], Parallelism::WithinThread);
            bits(case.row(&result, &[len], 0))
        });
        let mut results = vec![case.run(&ROWS, Parallelism::WithinThread)];
        for pool in &pools {
            results.push(pool.install(|| case.run(&ROWS, Parallelism::AcrossThreads)));
        }
        for result in results {
            for (at, alone) in alone.iter().enumerate() {
                let row = bits(case.row(&result, &ROWS, at));
                assert_eq!(row, *alone, "{name}: row {at}");
            }
        }
    });
}

#[test]
fn tokens_that_are_not_attended_have_queries_but_no_token_sees_their_keys() {
    const ROWS: [usize; 6] = [1, 120, 7, 50, 2, 33];
    const ATTENDED: [usize; 6] = [1, 16, 7, 3, 1, 32];
    for_all_cases(|case, name| {
        let together = case.run_attended(&ROWS, Some(&ATTENDED), Parallelism::WithinThread);
        for (at, (len, attended)) in ROWS.into_iter().zip(ATTENDED).enumerate() {
            let found = case.row(&together, &ROWS, at);
            let one = (&[len][..], Some(&[attended][..]));
            let alone = case.run_attended(one.0, one.1, Parallelism::AcrossThreads);
            assert_eq!(found, case.row(&alone, &[len], 0), "{name}: row {at}");
            for (found, expected) in found.iter().zip(case.expected(len, attended)) {
                assert!(
                    (f64::from(*found) - expected).abs() < 1e-6,
                    "{name}, {attended} of {len} tokens: {found} {expected}"
                );
            }
        }
    });
}

#[test]
fn no_rows_are_nothing_to_do() {
    let case = Case::new(SHAPES[0], Mask::All, false);
    assert!(case.run(&[], Parallelism::AcrossThreads).is_empty());
}

/// Scores far apart: what a mask hides counts for nothing even where all that it shows is small.
#[test]
fn a_hidden_key_counts_for_nothing_however_large() {
    let columns = ColumnBlocks { count: 1, width: 1 };
    let attention = Attention::new(columns, columns, 1).with_mask(Mask::Causal);
    let mut queries = vec![1.0; 3];
    attention.run(
        &mut queries,
        &[-300.0, -200.0, 1e6],
        &[1.0, 2.0, 1e30],
        Rows::from(&[3][..]),
        None,
        Parallelism::WithinThread,
    );
    assert_eq!(queries, [1.0, 2.0, 1e30]);
}
