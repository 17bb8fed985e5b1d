use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

use super::*;
use crate::architecture::Pooling;
use crate::device::DeviceSpec;
use crate::thread_team::{Pauses, ThreadPriority};

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

fn own_head(encoder: &TextEncoder) -> LoadedHead {
    encoder.load_head(&encoder.config().head).unwrap()
}

fn threads() -> ThreadTeam {
    ThreadTeam::current_or_default().unwrap()
}

#[test]
fn the_configuration_is_known_without_weights() {
    let config = builtin().0.config().clone();
    assert_eq!(
        (config.hidden_size(), config.max_tokens, config.head),
        (384, 256, Head::pooled(Pooling::Mean).normalized(true))
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
    let encoder = encoder();
    let head = encoder.load_head(&Head::tokens()).unwrap();
    assert!(encoder.encode(&[], &head, &threads()).unwrap().is_empty());
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
    let rows = ids.map(RowInput::new);
    let head = own_head(&encoder);
    let results = encoder.encode(&rows, &head, &threads()).unwrap();
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
    let alone = |row| encoder.encode(&[row], &head, &threads()).unwrap().remove(0);
    assert_eq!(
        (&results[0], &results[4]),
        (&alone(rows[0]), &alone(rows[4]))
    );
    assert!(results[0].is_ok() && results[4].is_ok());
}

#[test]
fn heads_make_different_things_of_the_same_tokens() {
    let encoder = encoder();
    let row = RowInput::new(&[101, 2003, 2004, 2005, 102]);
    let values = |head: &Head| {
        let head = encoder.load_head(head).unwrap();
        let mut rows = encoder.encode(&[row], &head, &threads()).unwrap();
        rows.remove(0).unwrap()
    };
    let every_token = |normalize| values(&Head::tokens().normalized(normalize));
    let (tokens, units) = (every_token(false), every_token(true));
    assert_eq!((tokens.rows(), tokens.columns()), (5, 384));

    let length = |vector: &[f32]| vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    let close = |a: &[f32], b: &[f32]| {
        a.len() == b.len() && a.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-6)
    };
    let scaled = |vector: &[f32]| {
        let length = length(vector);
        vector.iter().map(|x| x / length).collect::<Vec<_>>()
    };
    let mut pairs = tokens.iter().zip(units.iter());
    assert!(pairs.all(|(raw, unit)| close(&scaled(raw), unit)));
    let mean: Vec<f32> = (0..384)
        .map(|at| tokens.iter().map(|token| token[at]).sum::<f32>() / 5.0)
        .collect();
    let first = tokens.iter().next().unwrap();
    for (head, expected) in [
        (Head::pooled(Pooling::Mean), mean.clone()),
        (Head::pooled(Pooling::Cls), first.to_vec()),
        (Head::pooled(Pooling::Mean).normalized(true), scaled(&mean)),
        (Head::pooled(Pooling::Cls).normalized(true), scaled(first)),
        (encoder.config().head.clone(), scaled(&mean)),
    ] {
        let pooled = values(&head);
        assert_eq!(pooled.rows(), 1);
        assert!(close(pooled.as_slice(), &expected), "{head:?}");
    }
}

#[test]
fn a_cache_shares_what_is_in_use_and_keeps_nothing_else() {
    let (files, device) = builtin();
    let cache = EncoderCache::default();
    let get = |engine, precision| cache.get(engine, &files, &device, precision).unwrap();
    let first = get(EngineSpec::Auto, Precision::F32);
    let second = get(EngineSpec::Auto, Precision::F16);
    assert!(Arc::ptr_eq(&first, &second), "on a CPU both are f32");
    let other = get(EngineSpec::Candle, Precision::F32);
    assert!(!Arc::ptr_eq(&first, &other), "of another engine");
    assert!(first.is_packed() && !other.is_packed());
    let weak = Arc::downgrade(&first);
    drop((first, second));
    assert!(weak.upgrade().is_none());
    get(EngineSpec::Packed, Precision::F32);
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
        let head = own_head(&encoder);
        let mut results = vec![Vec::new(); batches.len()];
        for at in 0..40 * batches.len() {
            let number = (at + leader) % batches.len();
            let rows = batches[number]
                .iter()
                .map(|len| RowInput::new(&ids[..*len]));
            let rows: Vec<_> = rows.collect();
            let found = encoder.encode(&rows, &head, &threads).unwrap();
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

/// Returns the encoder for other devices, on the CPU.
fn other(precision: Precision) -> DeviceEncoder {
    let (files, device) = builtin();
    let checkpoint = Checkpoint::open(&files).unwrap();
    let architecture = &files.config().architecture;
    DeviceEncoder::load(&checkpoint, architecture, &device, precision.dtype()).unwrap()
}

/// Returns the vectors of each row, one after another.
fn vectors(encoder: &TextEncoder, rows: &[&[u32]], head: &Head) -> Vec<Vec<f32>> {
    let head = encoder.load_head(head).unwrap();
    let rows: Vec<_> = rows.iter().map(|ids| RowInput::new(ids)).collect();
    let values = encoder.encode(&rows, &head, &threads()).unwrap();
    values
        .into_iter()
        .map(|row| row.unwrap().into_vec())
        .collect()
}

/// Returns the vectors of each row, one after another.
fn vectors_of_other(encoder: &DeviceEncoder, rows: &[&[u32]], head: &Head) -> Vec<Vec<f32>> {
    let head = LoadedHead::load(&builtin().0, head).unwrap();
    let rows: Vec<_> = rows.iter().map(|ids| RowInput::new(ids)).collect();
    let values = encoder.encode(&rows, &head).unwrap();
    values.into_iter().map(Values::into_vec).collect()
}

/// Returns heads of every kind without weights.
fn heads() -> [Head; 4] {
    [
        Head::tokens().normalized(true),
        Head::pooled(Pooling::Mean).normalized(true),
        Head::pooled(Pooling::Cls).normalized(true),
        Head::pooled(Pooling::Mean),
    ]
}

fn largest_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let pairs = found.iter().zip(expected);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Rows of ids without pattern.
fn rows_of(ids: &[u32], lengths: impl IntoIterator<Item = usize>) -> Vec<&[u32]> {
    let lengths = lengths.into_iter().enumerate();
    lengths.map(|(at, length)| &ids[at..at + length]).collect()
}

fn many_ids() -> Vec<u32> {
    (0..400u32).map(|at| 1000 + at * 7919 % 28_000).collect()
}

#[test]
fn both_engines_say_the_same() {
    let (other, encoder, ids) = (other(Precision::F32), encoder(), many_ids());
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
        for head in heads() {
            let expected = vectors(&encoder, &rows, &head);
            let found = vectors_of_other(&other, &rows, &head);
            for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
                let largest = largest_difference(found, &expected);
                assert!(
                    largest < 1e-5,
                    "row {at} of {lengths:?}, {head:?}: {largest}"
                );
            }
        }
    }
}

/// As far as Candle's 16-bit numbers on a CPU are those of a GPU.
#[test]
fn sixteen_bits_stay_near() {
    let (encoder, ids) = (encoder(), many_ids());
    let rows = rows_of(&ids, [40, 3, 17, 24, 1, 33, 7, 8, 16]);
    let expected = heads().map(|head| vectors(&encoder, &rows, &head)).concat();
    let length = |vector: &[f32]| vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    for (precision, limit) in [(Precision::F16, 0.9999), (Precision::Bf16, 0.999)] {
        let other = other(precision);
        let found = heads()
            .map(|head| vectors_of_other(&other, &rows, &head))
            .concat();
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
    let (other, ids) = (other(Precision::F32), many_ids());
    let rows = rows_of(&ids, [40, 3, 17, 24, 1, 33]);
    for head in heads() {
        let together = vectors_of_other(&other, &rows, &head);
        for (row, together) in rows.iter().zip(&together) {
            let alone = vectors_of_other(&other, &[row], &head).remove(0);
            assert!(largest_difference(&alone, together) < 1e-5);
        }
    }
}

#[test]
fn an_encoder_can_be_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<TextEncoder>();
    shared::<EncoderCache>();
    shared::<crate::Tokenizer>();
}

/// Pauses wherever one is asked for; another thread computes in each of the first.
#[derive(Debug)]
struct Everywhere {
    encoder: Arc<TextEncoder>,
    expected: Vec<Result<Values, RowError>>,
    asked: AtomicUsize,
    /// The threads that asked.
    threads: Mutex<HashSet<ThreadId>>,
}

/// Rows that two threads compute together, and rows that each computes some of for itself.
const PAUSED_ROWS: [&[usize]; 2] = [&[200], &[90, 10, 20, 30, 60, 128, 128]];

impl Everywhere {
    fn of_others(encoder: &TextEncoder, team: &ThreadTeam) -> Vec<Result<Values, RowError>> {
        let ids: Vec<u32> = (0..33).map(|at| 2000 + at).collect();
        let rows = [RowInput::new(&ids); 3];
        encoder.encode(&rows, &own_head(encoder), team).unwrap()
    }
}

impl Pauses for Everywhere {
    fn is_due(&self) -> bool {
        true
    }

    fn pause(&self) {
        self.threads
            .lock()
            .unwrap()
            .insert(std::thread::current().id());
        if self.asked.fetch_add(1, Ordering::SeqCst) >= 10 {
            return;
        }
        let encoder = self.encoder.clone();
        let other = std::thread::spawn(move || {
            ThreadTeam::lead(2, ThreadPriority::Usual, move || {
                let team = ThreadTeam::for_current_thread(2).unwrap();
                Self::of_others(&encoder, &team)
            })
        });
        assert_eq!(other.join().unwrap(), self.expected);
    }
}

#[test]
fn pauses_change_no_bit() {
    let encoder = Arc::new(encoder());
    let team = ThreadTeam::for_current_thread(2).unwrap();
    let head = own_head(&encoder);
    for (lens, threads) in PAUSED_ROWS.into_iter().zip([1, 2]) {
        let ids: Vec<Vec<u32>> = lens
            .iter()
            .map(|len| (0..*len as u32).map(|at| 1000 + 3 * at).collect())
            .collect();
        let rows: Vec<RowInput<'_>> = ids.iter().map(|ids| RowInput::new(ids)).collect();
        let expected = encoder.encode(&rows, &head, &team).unwrap();
        let pauses = Arc::new(Everywhere {
            expected: Everywhere::of_others(&encoder, &team),
            encoder: encoder.clone(),
            asked: AtomicUsize::new(0),
            threads: Mutex::default(),
        });
        let pausing = team.with_pauses(pauses.clone());
        assert_eq!(encoder.encode(&rows, &head, &pausing).unwrap(), expected);
        // Twice in attention and in feed-forward of each of the six layers.
        assert!(pauses.asked.load(Ordering::SeqCst) >= 24, "{lens:?}");
        assert_eq!(pauses.threads.lock().unwrap().len(), threads, "{lens:?}");
        assert!(team.pauses().is_none());
    }
}
