//! What each op does, in one table.

/// One op.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpDoc {
    /// The name in a pipeline file.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// The forms of its arguments; the arguments of a node choose one.
    pub forms: &'static [OpForm],
}

/// One form of an op.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpForm {
    /// Inputs, outputs and parameters.
    pub signature: &'static str,
    /// What is particular to the form.
    pub about: &'static str,
}

/// The most that `topk`'s `k` takes.
pub const K_MAX: i64 = 65_536;

/// Every op.
pub const OPS: [OpDoc; 6] = [
    OpDoc {
        name: "topk",
        about: "the k best of a list, best first; K is the smaller of k and N",
        forms: &[
            OpForm {
                signature: "in { query: float[D], keys: float[N,D] } with { k: int (1 to 65536), metric: cosine | dot = cosine } -> { index: i32[K], score: float[K] }",
                about: "the keys nearest to the query; equal scores keep the order of the list",
            },
            OpForm {
                signature: "in { score: float[N] } with { k: int (1 to 65536) } -> { index: i32[K], score: float[K] }",
                about: "the highest scores; equal scores keep the order of the list",
            },
        ],
    },
    OpDoc {
        name: "gather",
        about: "picks elements of one or more columns by index",
        forms: &[OpForm {
            signature: "in { any names: T[N,...], index: i32[K] } -> { the same names: T[K,...] }",
            about: "every column has its own element type; all have the leading length N that index counts in",
        }],
    },
    OpDoc {
        name: "concat",
        about: "joins values in the order in which `in` names them",
        forms: &[
            OpForm {
                signature: "in { any names: T[N1,...], T[N2,...] } -> { out: T[N,...] }",
                about: "lists of one element type, one after the other; the other dimensions agree",
            },
            OpForm {
                signature: "in { any names: string } with { separator: string = \"\" } -> { out: string }",
                about: "strings, one after the other",
            },
        ],
    },
    OpDoc {
        name: "select",
        about: "gives its inputs on under the names that `in` gives them: renames, or puts outputs of several nodes together",
        forms: &[OpForm {
            signature: "in { any names: any types } -> { the same }",
            about: "nothing is copied",
        }],
    },
    OpDoc {
        name: "identity",
        about: "the same as `select`",
        forms: &[OpForm {
            signature: "in { any names: any types } -> { the same }",
            about: "for an arm that only names a value",
        }],
    },
    OpDoc {
        name: "default",
        about: "a value, or another where it is absent",
        forms: &[OpForm {
            signature: "in { value: T[...] (may be absent), default: T[...] } -> { out: T[...] }",
            about: "both of one type and shape; a single value may be written out",
        }],
    },
];

/// Ops that are planned, but that this version does not have.
pub const OPS_NOT_YET: [&str; 2] = ["template", "normalize"];
