use super::*;
use crate::check::Source;
use crate::plan;

/// Dependencies of a node, and those of its substitutes if it has any.
type Edges<'e> = (&'e [usize], Option<&'e [usize]>);

fn edges((dependencies, substitutes): &Edges<'_>) -> plan::Edges {
    plan::Edges {
        dependencies: dependencies.to_vec(),
        substitutes: substitutes.map(<[usize]>::to_vec),
    }
}

/// How a node ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Done(usize),
    Failed(usize),
}
use End::{Done, Failed};

/// Drives a progress as the executor does, and notes what happens: `+n` a node starts, `-n` it is
/// cancelled, `~n` its results are freed, `=n` its substitutes take its place, `.` all results are
/// there, `!n` the request fails with the error of a node.
struct Driver<'a> {
    progress: Progress<'a>,
    notes: Vec<String>,
    substitutes_fit: bool,
}

impl Driver<'_> {
    fn note(&mut self, sign: char, mut nodes: Vec<usize>) {
        nodes.sort_unstable();
        let notes = nodes.iter().map(|node| format!("{sign}{node}"));
        self.notes.extend(notes);
    }

    fn drop_unneeded(&mut self) {
        let cancelled = self.progress.take_cancelled();
        self.note('-', cancelled);
        let freed = std::iter::from_fn(|| self.progress.next_free()).collect();
        self.note('~', freed);
    }

    fn start_ready(&mut self) {
        while let Some(node) = self.progress.next_ready() {
            assert!(self.progress.is_running(node));
            self.note('+', vec![node]);
            self.progress.started(node);
            self.drop_unneeded();
        }
        if self.progress.is_finished() {
            self.notes.push(".".to_owned());
        }
    }

    fn end(&mut self, end: End) -> Result<(), Status> {
        let (Done(node) | Failed(node)) = end;
        if !self.progress.is_running(node) {
            return Ok(());
        }
        match end {
            Done(_) => self.progress.done(node),
            Failed(_) => self
                .progress
                .failed(node, Status::internal(node.to_string()))?,
        }
        while let Some((node, error)) = self.progress.next_substitutable() {
            if self.substitutes_fit {
                self.note('=', vec![node]);
                self.progress.done(node);
            } else {
                self.progress.lost(node, error)?;
            }
        }
        self.drop_unneeded();
        Ok(())
    }
}

/// Returns the notes of the start and of each end, one string each.
fn run(nodes: &[Edges<'_>], results: &[usize], ends: &[End], substitutes_fit: bool) -> Vec<String> {
    let edges = nodes.iter().map(edges).collect();
    let results: Vec<Source> = results
        .iter()
        .map(|node| Source::Node {
            node: *node,
            output: 0,
        })
        .collect();
    let topology = Topology::new(edges, results.iter());
    let mut driver = Driver {
        progress: Progress::new(&topology, &topology.liveness),
        notes: Vec::new(),
        substitutes_fit,
    };
    driver.start_ready();
    let mut steps = vec![std::mem::take(&mut driver.notes).join(" ")];
    for end in ends {
        match driver.end(*end) {
            Ok(()) => driver.start_ready(),
            Err(error) => driver.notes.push(format!("!{}", error.message())),
        }
        steps.push(std::mem::take(&mut driver.notes).join(" "));
    }
    steps
}

#[test]
fn nodes_start_when_their_arguments_are_there_and_results_are_freed_when_taken() {
    let chain: &[Edges<'_>] = &[(&[], None), (&[0], None), (&[1], None)];
    let diamond: &[Edges<'_>] = &[(&[], None), (&[0], None), (&[0], None), (&[1, 2], None)];
    for (nodes, results, ends, expected) in [
        (
            chain,
            &[2][..],
            &[Done(0), Done(1), Done(2)][..],
            &["+0", "+1 ~0", "+2 ~1", "."][..],
        ),
        (
            diamond,
            &[3],
            &[Done(0), Done(2), Done(1), Done(3)],
            &["+0", "+1 +2 ~0", "", "+3 ~1 ~2", "."],
        ),
        // Results of the graph are not freed.
        (
            chain,
            &[0, 1, 2],
            &[Done(0), Done(1), Done(2)],
            &["+0", "+1", "+2", "."],
        ),
        // Nodes that no result needs do not run.
        (diamond, &[1], &[Done(0), Done(1)], &["+0", "+1 ~0", "."]),
        (diamond, &[], &[], &["."]),
    ] {
        assert_eq!(
            run(nodes, results, ends, true),
            expected,
            "{nodes:?} {ends:?}"
        );
    }
}

#[test]
fn a_lost_result_decides_the_request() {
    let chain: &[Edges<'_>] = &[(&[], None), (&[0], None)];
    let pair: &[Edges<'_>] = &[(&[], None), (&[], None)];
    for (nodes, results, ends, expected) in [
        (chain, &[1][..], &[Failed(0)][..], &["+0", "!0"][..]),
        (chain, &[1], &[Done(0), Failed(1)], &["+0", "+1 ~0", "!1"]),
        (pair, &[0, 1], &[Done(0), Failed(1)], &["+0 +1", "", "!1"]),
    ] {
        assert_eq!(
            run(nodes, results, ends, true),
            expected,
            "{nodes:?} {ends:?}"
        );
    }
}

#[test]
fn substitutes_take_the_place_of_a_failed_node() {
    let pair: &[Edges<'_>] = &[(&[], None), (&[], Some(&[0]))];
    for (ends, fit, expected) in [
        // The substitute comes after the failure, or is there before it.
        (
            &[Failed(1), Done(0)][..],
            true,
            &["+0 +1", "", "=1 ~0 ."][..],
        ),
        (&[Done(0), Failed(1)], true, &["+0 +1", "", "=1 ~0 ."]),
        // It is not needed.
        (&[Done(0), Done(1)], true, &["+0 +1", "", "~0 ."]),
        (&[Done(1), Done(0)], true, &["+0 +1", "-0 .", "."]),
        // It fails, or does not fit: the error is that of the node itself.
        (&[Failed(1), Failed(0)], true, &["+0 +1", "", "!1"]),
        (&[Failed(0), Failed(1)], true, &["+0 +1", "", "!1"]),
        (&[Done(0), Failed(1)], false, &["+0 +1", "", "!1"]),
    ] {
        assert_eq!(run(pair, &[1], ends, fit), expected, "{ends:?}");
    }
}

#[test]
fn nodes_behind_a_lost_node_fail_or_are_substituted() {
    // 2 is a substitute for 3; 1 has none.
    let chain: &[Edges<'_>] = &[(&[], None), (&[0], None), (&[], None), (&[1], Some(&[2]))];
    // 3 needs both 0 and 1.
    let join: &[Edges<'_>] = &[(&[], None), (&[], None), (&[], None), (&[0, 1], Some(&[2]))];
    for (nodes, ends, expected) in [
        (
            chain,
            &[Failed(0), Done(2)][..],
            &["+0 +2", "", "=3 ~2 ."][..],
        ),
        (chain, &[Failed(0), Failed(2)], &["+0 +2", "", "!0"]),
        // 1 is needed for 3 alone, which cannot run any more.
        (
            join,
            &[Failed(0), Done(1), Done(2)],
            &["+0 +1 +2", "-1", "", "=3 ~2 ."],
        ),
        (
            join,
            &[Done(1), Failed(0), Done(2)],
            &["+0 +1 +2", "", "~1", "=3 ~2 ."],
        ),
    ] {
        assert_eq!(run(nodes, &[3], ends, true), expected, "{nodes:?} {ends:?}");
    }
}

#[test]
fn a_failed_node_counts_as_running_until_its_substitutes_are_there() {
    let nodes = [(&[][..], None), (&[], Some(&[0][..])), (&[1], None)];
    let edges = nodes.iter().map(edges).collect();
    let result = Source::Node { node: 2, output: 0 };
    let topology = Topology::new(edges, std::iter::once(&result));
    let mut progress = Progress::new(&topology, &topology.liveness);
    let running = |progress: &Progress<'_>| progress.running().collect::<Vec<_>>();
    for node in [0, 1] {
        assert!(progress.may_start(node));
        assert_eq!(progress.next_ready(), Some(node));
        assert!(!progress.may_start(node));
    }
    assert!(progress.may_start(2));
    progress.failed(1, Status::internal("1")).unwrap();
    assert_eq!(running(&progress), [0, 1]);
    progress.done(0);
    let (node, error) = progress.next_substitutable().unwrap();
    assert_eq!((node, error.message()), (1, "1"));
    progress.done(1);
    assert_eq!(running(&progress), [2], "ready");
}
