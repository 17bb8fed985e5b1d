//! Graphs deep inside each other: what the check accepts runs on the stack of a worker.

use motet_config::{Diagnostics, Sources};
use motet_proto::tensor::Tensor;

use crate::check::{self, CALL_DEPTH_MAX, NESTING_MAX};
use crate::syntax;
use crate::testing::{FakeModel, OneSignature, backend, plans_over, run_plan, value};

/// Stack of a worker of the runtime.
const STACK: usize = 2 << 20;

/// Runs `f` on a thread with the stack of a worker. A stack that overflows aborts the tests.
fn on_a_worker_stack(f: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(STACK);
    thread.spawn(f).unwrap().join().unwrap();
}

fn block_on(f: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(f);
}

/// A body around a step, written so that its lines may be nested.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Around {
    Fallback,
    Switch,
    Split,
    Map,
    Graph,
}

impl Around {
    const ALL: [Self; 5] = [
        Self::Fallback,
        Self::Switch,
        Self::Split,
        Self::Map,
        Self::Graph,
    ];

    /// Puts the body number `at` around `inner`. `text` is the list at hand.
    fn write(self, at: usize, inner: &str) -> String {
        match self {
            Self::Fallback => format!("{{ fallback: [{inner}, {MODEL}] }}"),
            Self::Switch => {
                format!("{{ switch: [{{ default: {inner} }}] }}")
            }
            Self::Split => format!("{{ split: {{ arms: [{{ weight: 1, do: {inner} }}] }} }}"),
            // The length of the list inside, so that the result is a list again.
            Self::Map => format!(
                "{{ map: {{ over: {{ e{at}: $text }}, nodes: {{ g{at}: {inner}, \
                 l{at}: {{ op: length, in: {{ of: $g{at}.size }} }} }}, \
                 outputs: {{ size: $l{at}.out }} }} }}"
            ),
            Self::Graph => format!(
                "{{ fallback: [{{ nodes: {{ g{at}: {inner} }}, \
                 outputs: {{ size: $g{at}.size }} }}, {MODEL}] }}"
            ),
        }
    }
}

/// Returns a pipeline whose only node is `step` inside `bodies` bodies of a kind.
fn pipeline(name: &str, around: Around, bodies: usize, step: &str) -> String {
    let node = (0..bodies).fold(step.to_owned(), |inner, at| around.write(at, &inner));
    format!(
        "pipeline: {name}\ninputs: {{ text: \"string[N]\" }}\nnodes:\n  n: {node}\n\
         outputs: {{ size: $n.size }}\n"
    )
}

const MODEL: &str = "{ model: m, in: { text: $text } }";

/// Returns the diagnostics of the pipelines of a configuration.
fn report(pipelines: &[String]) -> String {
    let mut sources = Sources::new();
    let mut diagnostics = Diagnostics::new();
    let mut specs = Vec::new();
    for text in pipelines {
        let file = sources.add("p", "", text.as_str());
        if let Some(root) = motet_config::parse(&sources, file, &mut diagnostics) {
            specs.extend(syntax::parse(&root, &mut diagnostics));
        }
    }
    check::check_all(&specs, &OneSignature, false, &mut diagnostics);
    diagnostics.render(&sources, motet_config::Colour::Never)
}

/// A chain of pipelines, each of which calls the one before it inside some bodies.
fn chain(around: Around, length: usize, bodies: usize) -> Vec<String> {
    let mut all = vec![pipeline("p0", around, 0, MODEL)];
    for at in 1..length {
        let step = format!("{{ pipeline: p{}, in: {{ text: $text }} }}", at - 1);
        all.push(pipeline(&format!("p{at}"), around, bodies, &step));
    }
    all
}

#[test]
fn the_deepest_pipelines_that_are_accepted_run_on_the_stack_of_a_worker() {
    for around in Around::ALL {
        on_a_worker_stack(move || {
            // A call and a body in turn, and bodies alone as deep as a file nests.
            let mut deepest = chain(around, CALL_DEPTH_MAX, 1);
            assert_eq!(report(&deepest), "", "{around:?}");
            let step = format!(
                "{{ pipeline: p{}, in: {{ text: $text }} }}",
                CALL_DEPTH_MAX - 2
            );
            deepest.pop();
            deepest.push(pipeline(
                "top",
                around,
                NESTING_MAX - 2 * (CALL_DEPTH_MAX - 1),
                &step,
            ));
            assert_eq!(report(&deepest), "", "{around:?}");
            block_on(async move {
                let deepest: Vec<&str> = deepest.iter().map(String::as_str).collect();
                let plan = plans_over(&deepest, &[backend("m", &FakeModel::lengths())]);
                let texts = Tensor::strings(["ab"]);
                let outcome = run_plan(&plan, &[texts]).await.unwrap();
                assert_eq!(value(&outcome, 0).shape(), [1], "{around:?}");
            });
        });
    }
}

#[test]
fn bodies_as_deep_as_a_file_nests_are_refused_on_the_stack_of_a_worker() {
    for around in Around::ALL {
        on_a_worker_stack(move || {
            let mut refused = 0;
            for bodies in 1..70 {
                let report = report(&[pipeline("p", around, bodies, MODEL)]);
                let nested = report.contains("graphs are 32 deep inside each other at most");
                let deep = report.contains("maps and lists are nested more than 64 deep")
                    || report.contains("not YAML: recursion limit exceeded");
                assert!(
                    report.is_empty() || nested || deep,
                    "{around:?} {bodies}: {report}"
                );
                refused += usize::from(!report.is_empty());
            }
            assert!(refused > 30, "{around:?}");
        });
    }
}

#[test]
fn chains_of_calls_and_calls_that_double_are_refused_with_the_way_to_them() {
    on_a_worker_stack(|| {
        let report_of = |pipelines: Vec<String>| report(&pipelines);
        // From the last to the first, so that the check follows the whole chain at once.
        let mut long = chain(Around::Fallback, 700, 0);
        long.reverse();
        let says = report_of(long);
        assert!(
            says.contains("pipelines call each other 16 deep at most, but here 17: p16 -> p15"),
            "{says}"
        );
        let twice = |at: usize| {
            let step = format!("{{ pipeline: p{}, in: {{ text: $text }} }}", at - 1);
            format!(
                "pipeline: p{at}\ninputs: {{ text: \"string[N]\" }}\nnodes:\n  a: {step}\n  \
                 b: {step}\noutputs: {{ size: $a.size, b: $b.size }}\n"
            )
        };
        let mut doubled = chain(Around::Fallback, 1, 0);
        doubled.extend((1..40).map(twice));
        let says = report_of(doubled);
        assert!(
            says.contains("would run 131070 nodes, most of them by way of p16 -> p15")
                || says.contains("pipelines call each other 16 deep at most, but here 17"),
            "{says}"
        );
        // Eight arms that each call the next pipeline, fourteen levels down.
        let eight = |at: usize| {
            let step = format!("{{ pipeline: p{}, in: {{ text: $text }} }}", at - 1);
            let arms = vec![step; 8].join(", ");
            format!(
                "pipeline: p{at}\ninputs: {{ text: \"string[N]\" }}\nnodes:\n  \
                 n: {{ fallback: [{arms}] }}\noutputs: {{ size: $n.size }}\n"
            )
        };
        let mut arms = chain(Around::Fallback, 1, 0);
        arms.extend((1..14).map(eight));
        let says = report_of(arms);
        assert!(
            says.contains("most of them by way of p6 -> p5 -> p4"),
            "{says}"
        );
    });
}

#[test]
fn the_longest_condition_is_read_and_decided_on_the_stack_of_a_worker() {
    on_a_worker_stack(|| {
        let terms = syntax::CONDITION_BYTES_MAX / "a||".len();
        let chain = vec!["a"; terms].join("||");
        let nested = |open: &str, close: &str| format!("{}a{}", open.repeat(64), close.repeat(64));
        for condition in [chain, nested("(", ")"), nested("!", ""), nested("!(", ")")] {
            let text = format!(
                "pipeline: p\ninputs: {{ a: bool, text: \"string[N]\" }}\nnodes:\n  \
                 n: {{ when: \"{condition}\", model: m, in: {{ text: $text }} }}\n\
                 outputs: {{ size: $n.size }}\n"
            );
            let report = report(std::slice::from_ref(&text));
            if report.contains("nests more than 64 deep") {
                continue;
            }
            assert_eq!(report, "");
            block_on(async move {
                let plan = plans_over(&[&text], &[backend("m", &FakeModel::lengths())]);
                let inputs = [Tensor::scalar_bool(true), Tensor::strings(["ab"])];
                run_plan(&plan, &inputs).await.unwrap();
            });
        }
    });
}
