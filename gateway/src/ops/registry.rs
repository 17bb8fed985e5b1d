//! The list of all ops, in the order of the documentation.
//!
//! An op is a file of the folder `registry`, with a `const OP` that implements [`Op`], and a line
//! of the list below.

use super::op::Op;

/// Declares the module of each op and collects their `OP`s. `cargo fmt` does not follow modules
/// that a macro declares: format a file here with `rustfmt --edition 2024 FILE`.
macro_rules! registry {
    ($($op:ident)*) => {
        $(mod $op;)*

        /// Every op, in the order of the documentation.
        pub static OPS: &[&dyn Op] = &[$(&$op::OP),*];
    };
}

registry! {
    topk
    gather
    concat
    select
    template
    normalize
    threshold
    argmax
    mmr
    rrf
    length
    filter
    range
    min
    max
    similarity
    maxsim
    sparse_dot
    dedupe
    split_text
    cast
    default
}

/// Returns the op of this name or alias.
///
/// ```
/// let topk = motet_gateway::ops::find("topk").unwrap();
/// assert_eq!(topk.docs().forms.len(), 2);
/// assert!(motet_gateway::ops::find("sort").is_none());
/// ```
pub fn find(name: &str) -> Option<&'static dyn Op> {
    OPS.iter().copied().find(|op| {
        let docs = op.docs();
        docs.name == name || docs.aliases.iter().any(|(alias, _)| *alias == name)
    })
}

/// Returns the names of all ops, aliases included, in the order of the documentation.
pub fn names() -> impl Iterator<Item = &'static str> {
    OPS.iter().flat_map(|op| {
        let docs = op.docs();
        let aliases = docs.aliases.iter().map(|(alias, _)| *alias);
        std::iter::once(docs.name).chain(aliases)
    })
}

/// Returns the op that returns its inputs as they are.
pub fn identity() -> &'static dyn Op {
    &select::OP
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::Path;

    use motet_proto::types::TensorType;

    use super::*;
    use crate::ops::docs;
    use crate::ops::ports::{ArgumentType, Arguments, OpPort};

    #[test]
    fn every_file_of_the_folder_is_a_line_of_the_registry() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ops/registry");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        files.sort();
        let mut ops: Vec<&str> = OPS.iter().map(|op| op.docs().name).collect();
        ops.sort_unstable();
        assert_eq!(files, ops, "an op has the name of its file");
        let names: HashSet<&str> = names().collect();
        assert_eq!(names.len(), super::names().count(), "no name is used twice");
        assert!(names.iter().all(|name| find(name).is_some()));
    }

    #[test]
    fn the_page_of_ops_is_the_one_that_the_registry_generates() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ops.md");
        let page = docs::markdown();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &page).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            written, page,
            "after a change that is meant: UPDATE_GOLDEN=1 cargo test -p motet-gateway --lib ops"
        );
    }

    fn list(ports: &[OpPort]) -> String {
        let port = |port: &OpPort| match &port.ty {
            Some(ty) => format!("{}: {ty}", port.name),
            None => format!("{}: ?", port.name),
        };
        ports.iter().map(port).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn the_documented_forms_are_those_of_the_signatures() {
        for op in OPS {
            let docs = op.docs();
            for (index, form) in docs.forms.iter().enumerate() {
                let (name, signature) = (docs.name, form.signature(*op).unwrap());
                assert_eq!(signature.form, index, "{name}: {:?}", form.example);
                // A form of named ports and plain types is compared word for word.
                let example = form
                    .example
                    .iter()
                    .map(|(name, ty)| format!("{name}: {ty}"));
                if form.inputs == example.collect::<Vec<_>>().join(", ") {
                    assert_eq!(list(&signature.inputs), form.inputs, "{name}");
                    assert_eq!(list(&signature.outputs), form.outputs, "{name}");
                }
            }
        }
    }

    /// Nothing is concluded from an argument whose type is unknown because of a mistake elsewhere:
    /// that would be a second report of the same mistake.
    #[test]
    fn what_follows_from_an_unknown_argument_is_unknown() {
        let (mut compared, mut faults) = (0, Vec::new());
        for op in OPS {
            let docs = op.docs();
            for form in docs.forms {
                let known = form.signature(*op).unwrap();
                let count = form.example.len() as u32;
                for unknown in 1..2_u32.pow(count) {
                    let is_unknown = |at: usize| unknown & (1 << at) != 0;
                    let signature = form.signature_with(*op, &is_unknown);
                    let what = format!("{} {:?}, {unknown:b}", docs.name, form.example);
                    let signature = signature.unwrap_or_else(|e| panic!("{what}: {e}"));
                    for (port, whole) in signature.outputs.iter().zip(&known.outputs) {
                        let shape = |port: &OpPort| {
                            let ty = port.ty.as_ref();
                            ty.map(|ty| (ty.element, ty.rank()))
                        };
                        let fits = port.ty.is_none() || shape(port) == shape(whole);
                        if !fits {
                            faults.push(format!("{what}: {port:?}, not {whole:?}"));
                        }
                        compared += 1;
                    }
                }
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        assert!(compared > 50, "{compared}");
    }

    fn show(op: &str, arguments: &[(&str, &str)]) -> String {
        let types: Vec<TensorType> = arguments
            .iter()
            .map(|(_, ty)| ty.parse().unwrap())
            .collect();
        let inputs = arguments.iter().zip(&types);
        let arguments = Arguments {
            inputs: inputs
                .map(|((name, _), ty)| ArgumentType {
                    name,
                    ty: Some((ty.element, ty.rank())),
                    literal: false,
                })
                .collect(),
            settings: Vec::new(),
        };
        match find(op).unwrap().signature(&arguments) {
            Ok(s) => format!("{} -> {}", list(&s.inputs), list(&s.outputs)),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn arguments_choose_the_form() {
        for (op, arguments, expected) in [
            (
                "topk",
                &[("query", "float[4]"), ("keys", "float[N,4]")][..],
                "query: float[D], keys: float[N,D] -> index: i32[K], score: float[K]",
            ),
            (
                "topk",
                &[("score", "float[N]")],
                "score: float[N] -> index: i32[K], score: float[K]",
            ),
            (
                "topk",
                &[("socre", "float[N]")],
                "score: float[N] -> index: i32[K], score: float[K]",
            ),
            (
                "gather",
                &[("index", "i32[K]"), ("a", "string[N]"), ("b", "float[N,3]")],
                "a: string[N], b: float[N,b_1], index: i32[K] -> a: string[K], b: float[K,b_1]",
            ),
            (
                "gather",
                &[("index", "i32[K]")],
                "`gather` needs at least one column beside `index`",
            ),
            (
                "concat",
                &[("a", "float[N,3]"), ("b", "float[M,3]")],
                "a: float[N1,D1], b: float[N2,D1] -> out: float[N,D1]",
            ),
            (
                "concat",
                &[("a", "string"), ("b", "string")],
                "a: string, b: string -> out: string",
            ),
            (
                "concat",
                &[("a", "string"), ("b", "string[N]")],
                "`concat` joins lists, or strings, but not both: `a` is no list",
            ),
            (
                "concat",
                &[("a", "int")],
                "`concat` joins strings or lists, but `a` is a single int",
            ),
            ("concat", &[], "`concat` needs at least one input"),
            (
                "select",
                &[("a", "int"), ("b", "u8[3,4]")],
                "a: int, b: u8[b_0,b_1] -> a: int, b: u8[b_0,b_1]",
            ),
            ("select", &[], "`select` needs at least one input"),
            ("length", &[("of", "u8[N,3]")], "of: u8[D0,D1] -> out: int"),
            (
                "argmax",
                &[("score", "float[4]"), ("labels", "string[4]")],
                "score: float[L], labels: string[L] -> index: i32, score: float, label: string",
            ),
            (
                "template",
                &[("a", "int"), ("b", "string[N]")],
                "a: int, b: string[N] -> out: string[N]",
            ),
        ] {
            assert_eq!(show(op, arguments), expected, "{op} {arguments:?}");
        }
        assert!(find("sort").is_none());
    }
}
