use super::*;

#[test]
fn sources_are_written_as_they_are_read() {
    for text in [
        "file:./weights/mine",
        "file:/var/models/a:b",
        "hf:BAAI/bge-m3@main",
        #[cfg(feature = "builtin")]
        "builtin:all-minilm-l6-v2",
    ] {
        assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
    }
}

#[test]
fn a_relative_path_is_taken_from_the_base() {
    let base = Path::new("/etc/motet");
    let resolved = |text: &str| text.parse::<Source>().unwrap().resolve(base).to_string();
    assert_eq!(resolved("file:weights"), "file:/etc/motet/weights");
    assert_eq!(resolved("file:/opt/weights"), "file:/opt/weights");
    assert_eq!(resolved("hf:org/name"), "hf:org/name");
}

#[cfg(feature = "builtin")]
#[test]
fn what_cannot_be_understood_is_explained() {
    let check = |text: &str, expected: &str| {
        assert_eq!(text.parse::<Source>().unwrap_err().to_string(), expected);
    };
    check(
        "builtin:all-minilm-l6",
        "no built-in model `all-minilm-l6`; this binary holds: all-minilm-l6-v2; did you mean `builtin:all-minilm-l6-v2`?",
    );
    check(
        "builtin:zzz",
        "no built-in model `zzz`; this binary holds: all-minilm-l6-v2",
    );
    check(
        "all-minilm-l6-v2",
        "source `all-minilm-l6-v2` has no scheme; write builtin:NAME, file:PATH or hf:ORG/NAME; did you mean `builtin:all-minilm-l6-v2`?",
    );
    check(
        "BAAI/bge-m3",
        "source `BAAI/bge-m3` has no scheme; write builtin:NAME, file:PATH or hf:ORG/NAME; did you mean `hf:BAAI/bge-m3`?",
    );
    check(
        "./weights",
        "source `./weights` has no scheme; write builtin:NAME, file:PATH or hf:ORG/NAME; did you mean `file:./weights`?",
    );
    check(
        "fille:./weights",
        "source `fille:./weights`: unknown scheme `fille`; known are builtin:NAME, file:PATH and hf:ORG/NAME; did you mean `file:./weights`?",
    );
    check(
        "s3:x",
        "source `s3:x`: unknown scheme `s3`; known are builtin:NAME, file:PATH and hf:ORG/NAME",
    );
    check(
        "file:",
        "source `file:` names nothing after the scheme; write builtin:NAME, file:PATH or hf:ORG/NAME",
    );
}
