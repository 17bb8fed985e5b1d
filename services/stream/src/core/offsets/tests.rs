use super::*;

/// Returns a partition of which these offsets were delivered.
fn delivered(offsets: std::ops::Range<u64>) -> Offsets {
    let mut partition = Offsets::resume(offsets.start, "");
    for offset in offsets {
        assert_eq!(partition.arrives(offset), Seen::New);
    }
    partition
}

fn mark(position: u64, note: &str) -> Mark {
    let note = note.to_owned();
    Mark { position, note }
}

#[test]
fn without_notes_nothing_ends_before_what_is_earlier() {
    let mut partition = delivered(5..10);
    for (ending, expected) in [
        (&[6, 7][..], None),
        (&[5], Some((1, mark(6, "motet1")))),
        (&[5, 6, 8], Some((2, mark(7, "motet1")))),
        (&[5, 6, 7, 8, 9], Some((5, mark(10, "motet1")))),
        (&[], None),
    ] {
        assert_eq!(partition.ready(ending, 0), expected, "{ending:?}");
    }
    partition.end(&[5, 6]);
    assert!(partition.is_done(6) && !partition.is_done(7) && !partition.is_done(10));
    assert_eq!(partition.ready(&[7], 0), Some((1, mark(8, "motet1"))));
}

#[test]
fn a_note_has_what_is_open_before_what_has_ended() {
    let mut partition = delivered(100..110);
    let (count, found) = partition.ready(&[101, 103, 104], 100).expect("a mark");
    assert_eq!((count, &found), (3, &mark(100, "motet1 5 2")));
    partition.end(&[101, 103, 104]);
    let found = partition.ready(&[100], 100);
    assert_eq!(found, Some((1, mark(102, "motet1 3"))));
    // As much as fits.
    let found = partition.ready(&[105, 107, 109], 6);
    assert_eq!(found, Some((2, mark(100, "motet1 8 2 4"))));
}

#[test]
fn what_an_earlier_process_left_goes_on_where_it_was() {
    let mut partition = Offsets::resume(100, "motet1 5 2");
    assert_eq!(partition.next(), 105);
    let seen: Vec<Seen> = (100..107).map(|offset| partition.arrives(offset)).collect();
    let expected = [
        Seen::Before,
        Seen::Done,
        Seen::Before,
        Seen::Done,
        Seen::Done,
        Seen::New,
        Seen::New,
    ];
    assert_eq!(seen, expected);
    let all = partition.ready(&[100, 102, 105, 106], 0);
    assert_eq!(all, Some((4, mark(107, "motet1"))));
}

#[test]
fn offsets_that_are_no_more_hold_nothing_up() {
    let mut partition = Offsets::resume(100, "motet1 5 2");
    assert_eq!(partition.arrives(102), Seen::Before);
    assert_eq!(partition.arrives(110), Seen::New);
    let all = partition.ready(&[102, 110], 0);
    assert_eq!(all, Some((2, mark(111, "motet1"))));
}

#[test]
fn notes_of_others_are_as_none() {
    for note in [
        "",
        "x",
        "motet1 x",
        "motet1 2 9",
        "motet1 1 99999999999999999999",
    ] {
        let partition = Offsets::resume(7, note);
        assert_eq!(partition, Offsets::resume(7, ""), "{note}");
    }
}

#[test]
fn a_partition_that_begins_anew_is_read_anew() {
    let mut partition = Offsets::resume(100, "motet1 5 2");
    assert_eq!(partition.arrives(0), Seen::New);
    assert_eq!(partition.ready(&[0], 0), Some((1, mark(1, "motet1"))));
}

#[test]
fn what_was_given_back_holds_up_what_is_later_unless_a_note_says_so() {
    let mut partition = delivered(5..10);
    partition.give_back(7);
    for (offset, note_most, is_stuck) in [(6, 0, false), (8, 0, true), (8, 10, false)] {
        assert_eq!(partition.is_stuck(offset, note_most), is_stuck, "{offset}");
    }
    // It is delivered again, here.
    assert_eq!(partition.arrives(7), Seen::Before);
    assert!(!partition.is_stuck(8, 0));
}
