use std::sync::Arc;

use super::*;
use crate::config::Pooling;
use crate::device::DeviceSpec;

fn builtin() -> (ModelFiles, Device) {
    (
        ModelFiles::open(&"builtin:all-minilm-l6-v2".parse().unwrap()).unwrap(),
        DeviceSpec::Cpu.open().unwrap(),
    )
}

fn encoder() -> TextEncoder {
    let (files, device) = builtin();
    TextEncoder::load(&files, &device, Precision::F32).unwrap()
}

fn threads() -> ThreadTeam {
    ThreadTeam::current_or_default().unwrap()
}

#[test]
fn the_configuration_is_known_without_weights() {
    let config = builtin().0.config().clone();
    assert_eq!(
        (
            config.hidden_size(),
            config.max_tokens,
            config.pooling,
            config.normalize
        ),
        (384, 256, Pooling::Mean, true)
    );
}

#[test]
fn a_cpu_computes_in_f32_or_int8() {
    use Precision::{Bf16, F16, F32, Int8};
    let (files, device) = builtin();
    for (asked, given) in [(F32, F32), (F16, F32), (Bf16, F32), (Int8, Int8)] {
        if asked.check(DeviceSpec::Cpu).is_err() {
            continue;
        }
        let encoder = TextEncoder::load(&files, &device, asked).unwrap();
        assert_eq!(encoder.precision(), given);
    }
}

#[test]
fn no_rows_give_no_results() {
    assert!(encoder().encode(&[], &threads()).unwrap().is_empty());
}

#[test]
fn a_bad_row_does_not_touch_its_neighbours() {
    let encoder = encoder();
    let too_long = [7; 257];
    let ids: [&[u32]; 5] = [
        &[101, 2000, 102],
        &[],
        &[101, 30522, 102],
        &too_long,
        &[101, 2003, 2004, 102],
    ];
    let rows = ids.map(|ids| RowInput {
        ids,
        output: RowOutput::POOLED,
    });
    let results = encoder.encode(&rows, &threads()).unwrap();
    assert_eq!(results[1], Err(RowError::Empty));
    assert_eq!(
        results[2],
        Err(RowError::UnknownId {
            id: 30522,
            position: 1,
            vocabulary: 30522
        })
    );
    assert_eq!(
        results[3],
        Err(RowError::TooLong {
            tokens: 257,
            limit: 256
        })
    );
    let alone = |row| encoder.encode(&[row], &threads()).unwrap().remove(0);
    assert_eq!(
        (&results[0], &results[4]),
        (&alone(rows[0]), &alone(rows[4]))
    );
    assert!(results[0].is_ok() && results[4].is_ok());
}

#[test]
fn rows_of_one_batch_may_ask_for_different_things() {
    let encoder = encoder();
    let ids = [101, 2003, 2004, 2005, 102];
    let pooled = |pooling, normalize| RowOutput::Pooled {
        pooling: Some(pooling),
        normalize: Some(normalize),
    };
    let outputs = [
        RowOutput::Tokens { normalize: false },
        RowOutput::TOKENS,
        pooled(Pooling::Mean, false),
        pooled(Pooling::Cls, false),
        pooled(Pooling::Mean, true),
        RowOutput::POOLED,
    ];
    let rows = outputs.map(|output| RowInput { ids: &ids, output });
    let mut results = encoder
        .encode(&rows, &threads())
        .unwrap()
        .into_iter()
        .map(Result::unwrap);
    let tokens = results.next().unwrap().tokens().unwrap();
    assert_eq!((tokens.len(), tokens.size()), (5, 384));
    let units = results.next().unwrap().tokens().unwrap();
    let mut pooled = results.map(|result| result.pooled().unwrap());

    let length = |vector: &[f32]| vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    let close = |a: &[f32], b: &[f32]| {
        a.len() == b.len() && a.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-6)
    };
    let scaled = |vector: &[f32]| {
        vector
            .iter()
            .map(|x| x / length(vector))
            .collect::<Vec<_>>()
    };
    assert!(
        tokens
            .iter()
            .zip(units.iter())
            .all(|(raw, unit)| close(&scaled(raw), unit))
    );
    let mean: Vec<f32> = (0..384)
        .map(|at| tokens.iter().map(|token| token[at]).sum::<f32>() / 5.0)
        .collect();
    assert!(close(&pooled.next().unwrap(), &mean), "mean");
    assert!(
        close(&pooled.next().unwrap(), tokens.iter().next().unwrap()),
        "cls"
    );
    assert!(
        close(&pooled.next().unwrap(), &scaled(&mean)),
        "normalised mean"
    );
    assert!(
        close(&pooled.next().unwrap(), &scaled(&mean)),
        "the model's own pooling"
    );
}

#[test]
fn a_cache_shares_what_is_in_use_and_keeps_nothing_else() {
    let (files, device) = builtin();
    let cache = EncoderCache::default();
    let first = cache.get(&files, &device, Precision::F32).unwrap();
    let second = cache.get(&files, &device, Precision::F16).unwrap();
    assert!(Arc::ptr_eq(&first, &second), "on a CPU both are f32");
    let weak = Arc::downgrade(&first);
    drop((first, second));
    assert!(weak.upgrade().is_none());
    cache.get(&files, &device, Precision::F32).unwrap();
}

/// Short batches, which all threads of a leader compute together, of several leaders at once: one
/// that took up another's work while it waits for its own could come to wait for itself.
#[test]
fn batches_of_several_leaders_come_to_an_end() {
    let encoder = encoder();
    let ids: Vec<u32> = (1000..1060).collect();
    // Few tokens are computed by all threads together, rows of one length by each for itself.
    let batches = [
        vec![5],
        vec![60, 9],
        vec![8; 2],
        vec![7, 30, 7],
        vec![16; 4],
    ];
    let lead = &|leader: usize| {
        let threads = ThreadTeam::for_current_thread(2).unwrap();
        let mut results = vec![Vec::new(); batches.len()];
        for at in 0..40 * batches.len() {
            let number = (at + leader) % batches.len();
            let rows = batches[number].iter().map(|len| RowInput {
                ids: &ids[..*len],
                output: RowOutput::POOLED,
            });
            let found = encoder.encode(&rows.collect::<Vec<_>>(), &threads).unwrap();
            let before = std::mem::replace(&mut results[number], found);
            assert!(before.is_empty() || before == results[number]);
        }
        results
    };
    // Started by a thread that leads nobody: they may run anywhere.
    std::thread::scope(|scope| {
        let leaders = [0, 1, 2].map(|leader| scope.spawn(move || lead(leader)));
        let [a, b, c] = leaders.map(|leader| leader.join().unwrap());
        assert!(a == b && b == c);
    });
}

/// The encoder for other devices, run on the CPU.
struct Other {
    engine: DeviceEncoder,
    config: ModelConfig,
}

impl Other {
    fn new(precision: Precision) -> Self {
        let (files, device) = builtin();
        let checkpoint = Checkpoint::open(&files).unwrap();
        let config = files.config().clone();
        let (architecture, dtype) = (&config.architecture, precision.dtype());
        let engine = DeviceEncoder::load(&checkpoint, architecture, &device, dtype).unwrap();
        Self { engine, config }
    }

    /// Returns the vectors of each row, one after another.
    fn encode(&self, rows: &[RowInput<'_>]) -> Vec<Vec<f32>> {
        let rows: Vec<_> = rows.iter().collect();
        let embeddings = self.engine.encode(&rows, &self.config).unwrap();
        embeddings.into_iter().map(values).collect()
    }
}

fn values(embedding: RowEmbedding) -> Vec<f32> {
    match embedding {
        RowEmbedding::Pooled(vector) => vector,
        RowEmbedding::Tokens(vectors) => vectors.as_slice().to_vec(),
    }
}

fn largest_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let pairs = found.iter().zip(expected);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Ids without pattern, of rows that ask for all there is in turn.
fn rows_of(ids: &[u32], lengths: impl IntoIterator<Item = usize>) -> Vec<RowInput<'_>> {
    let pooled = |pooling, normalize| RowOutput::Pooled {
        pooling: Some(pooling),
        normalize: Some(normalize),
    };
    let outputs = [
        RowOutput::TOKENS,
        RowOutput::POOLED,
        pooled(Pooling::Cls, true),
        RowOutput::Tokens { normalize: true },
        pooled(Pooling::Mean, false),
    ];
    lengths
        .into_iter()
        .zip(outputs.into_iter().cycle())
        .enumerate()
        .map(|(at, (length, output))| RowInput {
            ids: &ids[at..at + length],
            output,
        })
        .collect()
}

fn many_ids() -> Vec<u32> {
    (0..400u32).map(|at| 1000 + at * 7919 % 28_000).collect()
}

#[test]
fn both_engines_say_the_same() {
    let (other, encoder, ids) = (Other::new(Precision::F32), encoder(), many_ids());
    let batches: [&[usize]; 8] = [
        &[1],
        &[8],
        &[11],
        &[256],
        &[1, 2, 17, 64, 200],
        &[5, 5, 5, 5, 5],
        &[
            256, 3, 9, 8, 7, 16, 1, 250, 31, 33, 64, 2, 2, 100, 12, 15, 24, 90,
        ],
        &[16, 16, 16, 16, 16, 16, 16],
    ];
    for lengths in batches {
        let rows = rows_of(&ids, lengths.iter().copied());
        let expected = encoder.encode(&rows, &threads()).unwrap();
        for (at, (found, expected)) in other.encode(&rows).iter().zip(expected).enumerate() {
            let largest = largest_difference(found, &values(expected.unwrap()));
            assert!(largest < 1e-5, "row {at} of {lengths:?}: {largest}");
        }
    }
}

/// As far as Candle's 16-bit numbers on a CPU are those of a GPU.
#[test]
fn sixteen_bits_stay_near() {
    let (encoder, ids) = (encoder(), many_ids());
    let rows = rows_of(&ids, [40, 3, 17, 24, 1, 33, 7, 8, 16]);
    let expected: Vec<_> = encoder.encode(&rows, &threads()).unwrap();
    let expected: Vec<_> = expected
        .into_iter()
        .map(|row| values(row.unwrap()))
        .collect();
    let length = |vector: &[f32]| vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    for (precision, limit) in [(Precision::F16, 0.9999), (Precision::Bf16, 0.999)] {
        let found = Other::new(precision).encode(&rows);
        let mut worst = 1.0f32;
        for (found, expected) in found.iter().zip(&expected) {
            let vectors = found.chunks_exact(384).zip(expected.chunks_exact(384));
            for (found, expected) in vectors {
                let dot: f32 = found.iter().zip(expected).map(|(x, y)| x * y).sum();
                worst = worst.min(dot / (length(found) * length(expected)));
            }
        }
        assert!(worst > limit, "{precision}: cosine {worst}");
    }
}

/// Padding counts for nothing: neighbours that make a row be padded change nothing but the order of
/// sums.
#[test]
fn other_engine_rows_do_not_touch_each_other() {
    let (other, ids) = (Other::new(Precision::F32), many_ids());
    let rows = rows_of(&ids, [40, 3, 17, 24, 1, 33]);
    let together = other.encode(&rows);
    for (row, together) in rows.into_iter().zip(&together) {
        let alone = other.encode(&[row]).remove(0);
        assert!(largest_difference(&alone, together) < 1e-5);
    }
}

#[test]
fn an_encoder_can_be_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<TextEncoder>();
    shared::<EncoderCache>();
    shared::<crate::Tokenizer>();
}
