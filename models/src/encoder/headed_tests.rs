//! Rows with several heads, and heads on token vectors that are known, against each head by itself.

use super::family_tests::{CLOSE, fixtures, largest_difference, on_threads};
use super::*;

#[test]
fn rows_of_a_batch_may_have_different_heads_and_each_gives_what_it_gives_alone() {
    for fixture in fixtures() {
        let (cpu, device) = (fixture.cpu(Precision::F32), fixture.device());
        let inputs = fixture.inputs();
        let heads = fixture.heads();
        // One head, several, all, and none.
        let chosen = |row: usize| -> Vec<usize> {
            (0..heads.len())
                .filter(|head| row >> head & 1 == 1)
                .collect()
        };
        let of_rows: Vec<Vec<&LoadedHead>> = (1..=inputs.len())
            .map(|row| {
                chosen(row % 16)
                    .into_iter()
                    .map(|head| &heads[head])
                    .collect()
            })
            .collect();
        let rows: Vec<HeadedRow<'_>> = inputs
            .iter()
            .zip(&of_rows)
            .map(|(&row, heads)| HeadedRow { row, heads })
            .collect();
        let of_cpu = ThreadTeam::for_current_thread(2)
            .unwrap()
            .run(|| cpu.run(&rows, None));
        let of_device = device.run(&rows).unwrap();
        for (row, input) in inputs.iter().enumerate() {
            let heads: Vec<&LoadedHead> = rows[row].heads.to_vec();
            let alone = heads
                .iter()
                .map(|head| on_threads(&cpu, &[*input], head, 1).remove(0));
            let alone: Vec<Values> = alone.collect();
            assert_eq!(of_cpu[row], alone, "{}, row {row}", fixture.name);
            assert_eq!(of_device[row].len(), alone.len());
            for (found, alone) in of_device[row].iter().zip(&alone) {
                let far = largest_difference(found.as_slice(), alone.as_slice());
                assert!(far < CLOSE, "{}, row {row}: {far}", fixture.name);
            }
        }
    }
}

#[test]
fn a_head_gives_the_same_bits_for_token_vectors_that_are_known() {
    for fixture in fixtures() {
        let cpu = fixture.cpu(Precision::F32);
        let tokens = LoadedHead::of_tokens(fixture.files.config().hidden_size());
        for (row, input) in fixture.inputs().into_iter().enumerate() {
            let known = on_threads(&cpu, &[input], &tokens, 2).remove(0);
            for unpooled in [0, input.len() / 2] {
                let input = RowInput { unpooled, ..input };
                for (number, head) in fixture.heads().iter().enumerate() {
                    let computed = on_threads(&cpu, &[input], head, 1).remove(0);
                    let found = head.of_token_vectors(&known, input);
                    let what = format!("{}, row {row}, head {number}", fixture.name);
                    assert_eq!(found, computed, "{what}, {unpooled} unpooled");
                }
            }
        }
    }
}
