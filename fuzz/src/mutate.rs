//! Changed inputs: parts of the corpus's inputs that are replaced, repeated, removed and joined.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

/// Most bytes of a changed input.
const INPUT_BYTES_MAX: usize = 1 << 20;
/// Bytes and numbers at which parsers change their minds.
const SHARP: [&[u8]; 16] = [
    b"\0",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"-1",
    b"9223372036854775808",
    b"1e999",
    b"null",
    b"{",
    b"]",
    b"\"",
    b"\n",
    b": ",
    b"${",
];

/// One change of an input.
#[derive(Debug, Clone)]
enum Edit {
    /// Replaces a byte.
    Byte(Index, u8),
    /// Inserts a sharp value.
    Sharp(Index, Index),
    /// Removes a part.
    Remove(Index, Index),
    /// Repeats a part up to 1,000 times.
    Repeat(Index, Index, u16),
    /// Puts a part of another input into this one.
    Join(Index, Index, Index),
    /// Cuts the rest off.
    Cut(Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Edit::Byte(at, byte)),
        (any::<Index>(), any::<Index>()).prop_map(|(at, which)| Edit::Sharp(at, which)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Edit::Remove(from, to)),
        (any::<Index>(), any::<Index>(), 1..1000u16)
            .prop_map(|(from, to, times)| Edit::Repeat(from, to, times)),
        (any::<Index>(), any::<Index>(), any::<Index>())
            .prop_map(|(at, from, to)| Edit::Join(at, from, to)),
        any::<Index>().prop_map(Edit::Cut),
    ]
}

fn apply(mut input: Vec<u8>, other: &[u8], edits: &[Edit]) -> Vec<u8> {
    let range = |bytes: &[u8], from: &Index, to: &Index| {
        let places = bytes.len() + 1;
        let (a, b) = (from.index(places), to.index(places));
        a.min(b)..a.max(b)
    };
    for edit in edits {
        let places = input.len() + 1;
        match edit {
            Edit::Byte(at, byte) => {
                if !input.is_empty() {
                    let at = at.index(input.len());
                    input[at] = *byte;
                }
            }
            Edit::Sharp(at, which) => {
                let sharp = SHARP[which.index(SHARP.len())];
                let at = at.index(places);
                input.splice(at..at, sharp.iter().copied());
            }
            Edit::Remove(from, to) => {
                let part = range(&input, from, to);
                input.drain(part);
            }
            Edit::Repeat(from, to, times) => {
                let part = range(&input, from, to);
                let end = part.end;
                let part = input[part].repeat(usize::from(*times));
                input.splice(end..end, part);
            }
            Edit::Join(at, from, to) => {
                let part = other[range(other, from, to)].to_vec();
                let at = at.index(places);
                input.splice(at..at, part);
            }
            Edit::Cut(at) => input.truncate(at.index(places)),
        }
        input.truncate(INPUT_BYTES_MAX);
    }
    input
}

/// Runs `target` on `cases` changed inputs. Equal seeds give equal inputs.
///
/// # Errors
/// The smallest changed input that was found on which the target panics.
pub fn run(
    inputs: &[Vec<u8>],
    seed: u64,
    cases: u32,
    target: impl Fn(&[u8]) + std::panic::RefUnwindSafe,
) -> Result<(), String> {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &key);
    let changed = (any::<Index>(), any::<Index>(), vec(edit(), 0..6));
    let outcome = TestRunner::new_with_rng(config, rng).run(&changed, |(one, other, edits)| {
        let other: &Vec<u8> = other.get(inputs);
        let input = apply(one.get(inputs).clone(), other, &edits);
        std::panic::catch_unwind(|| target(&input)).map_err(|_| {
            TestCaseError::fail(format!("panics on {:?}", input.escape_ascii().to_string()))
        })
    });
    outcome.map_err(|error| error.to_string())
}
