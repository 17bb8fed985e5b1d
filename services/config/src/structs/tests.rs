use serde::Deserialize;

use super::*;
use crate::source::Spanned;
use crate::{Colour, Sources, parse};

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Fast,
    Exact,
    Scaled(f32),
}

#[derive(Debug, Default, Deserialize, PartialEq)]
struct Inner {
    #[serde(default)]
    depth: u8,
    #[serde(default)]
    names: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Keys {
    labels: Spanned<Vec<String>>,
    #[serde(default)]
    threshold: f32,
    mode: Option<Spanned<Mode>>,
    #[serde(default)]
    inner: Inner,
    #[serde(default, deserialize_with = "even")]
    even: u32,
}

fn even<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let value = u32::deserialize(deserializer)?;
    match value % 2 {
        0 => Ok(value),
        _ => Err(serde::de::Error::custom("must be even")),
    }
}

#[derive(Debug, Deserialize)]
struct NoKeys;

#[derive(Debug, Deserialize)]
struct EmptyKeys {}

fn check(text: &str, check: impl FnOnce(Option<Keys>, String)) {
    let (mut sources, mut diagnostics) = (Sources::new(), Diagnostics::new());
    let file = sources.add("keys.yaml", "", text);
    let root = parse(&sources, file, &mut diagnostics).unwrap();
    let keys = read(
        root.as_map().unwrap(),
        "model `m`",
        root.span,
        &mut diagnostics,
    );
    check(keys, diagnostics.render(&sources, Colour::Never));
}

#[test]
fn a_struct_is_read_with_positions() {
    let text = "labels: [a, \"5\"]\nthreshold: 2\nmode: { scaled: 0.5 }\nother: 1\n\
                inner: { depth: 3 }\neven: 4\n";
    check(text, |keys, report| {
        assert_eq!(report, "");
        let keys = keys.unwrap();
        assert_eq!(keys.labels.value, ["a", "5"]);
        let span = keys.labels.span;
        assert_eq!(&text[span.start..span.end], "[a, \"5\"]");
        assert_eq!(keys.threshold, 2.0);
        assert_eq!(keys.mode.unwrap().value, Mode::Scaled(0.5));
        assert_eq!(keys.inner.depth, 3);
        assert_eq!(keys.even, 4);
    });
    check("labels: []\nmode:\n", |keys, report| {
        assert_eq!(report, "");
        let keys = keys.unwrap();
        assert!(keys.mode.is_none());
        assert_eq!(keys.inner, Inner::default());
    });
}

#[test]
fn every_mistake_is_reported_at_its_place() {
    for (text, expected) in [
        (
            "threshold: 1\n",
            &["model `m` needs the key `labels`", "1 error\n"][..],
        ),
        (
            "labels: 5\n",
            &["`labels` must be a list, not an integer", "1 error\n"],
        ),
        (
            "labels: [a, 5]\n",
            &[
                "`labels[1]` must be a string, not an integer",
                "keys.yaml:1:13",
            ],
        ),
        (
            "labels: []\nthreshold: high\n",
            &["`threshold` must be a number, not a string"],
        ),
        (
            "labels: []\nmode: fats\n",
            &[
                "`mode` must be one of `fast`, `exact` and `scaled`, not `fats`",
                "did you mean `fast`?",
            ],
        ),
        (
            "labels: []\ninner: { depth: -1 }\n",
            &["`inner.depth` is -1, but must be an integer of 0 or more"],
        ),
        (
            "labels: []\ninner: { depth: 300 }\n",
            &["`inner.depth` is 300"],
        ),
        (
            "labels: []\ninner: { dept: 1, depth: x }\n",
            &[
                "unknown key `dept` in `inner`",
                "did you mean `depth`?",
                "`inner.depth` must be an integer of 0 or more, not a string",
                "2 errors",
            ],
        ),
        (
            "labels: []\ninner: 5\n",
            &["`inner` must be a map of keys and values, not an integer"],
        ),
        (
            "labels: []\neven: 3\n",
            &["`even` must be even", "keys.yaml:2:7"],
        ),
        (
            "labels: 1\nthreshold: x\nmode: 5\neven: 1\n",
            &["`labels`", "`threshold`", "`mode`", "4 errors"],
        ),
    ] {
        check(text, |keys, report| {
            assert!(keys.is_none(), "{text}");
            for part in expected {
                assert!(report.contains(part), "{text}\nlacks: {part}\n{report}");
            }
        });
    }
}

/// It is reported once, as an unknown key, by the reader of all keys.
#[test]
fn a_key_that_is_misspelt_is_not_missing() {
    check("lables: []\n", |keys, report| {
        assert!(keys.is_none());
        assert_eq!(report, "");
    });
}

#[test]
fn the_fields_of_a_struct_are_known_without_a_value() {
    let keys = ["labels", "threshold", "mode", "inner", "even"];
    assert_eq!(fields::<Keys>(), keys);
    for none in [
        fields::<NoKeys>(),
        fields::<EmptyKeys>(),
        fields::<String>(),
    ] {
        assert_eq!(none, [""; 0]);
    }
    let mut diagnostics = Diagnostics::new();
    let map = Map::default();
    assert!(read::<NoKeys>(&map, "it", Span::default(), &mut diagnostics).is_some());
    assert!(read::<EmptyKeys>(&map, "it", Span::default(), &mut diagnostics).is_some());
}
