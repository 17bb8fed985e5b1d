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
pub const OPS: [OpDoc; 15] = [
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
        name: "template",
        about: "a text with places for values",
        forms: &[OpForm {
            signature: "in { any names: any single types } with { text: string } -> { out: string }",
            about: "`{name}` in the text is a place, `{{` a brace; where an input is a list, so is the output, and single values stand in each",
        }],
    },
    OpDoc {
        name: "normalize",
        about: "vectors, along the last dimension",
        forms: &[OpForm {
            signature: "in { vector: float[...,D] } with { method: l2 | softmax | minmax = l2 } -> { out: float[...,D] }",
            about: "l2: to length 1; softmax: to shares of 1; minmax: to 0 and 1 at the ends",
        }],
    },
    OpDoc {
        name: "threshold",
        about: "keeps what scores at least so much",
        forms: &[OpForm {
            signature: "in { score: float[N] } with { min: float } -> { index: i32[K], score: float[K] }",
            about: "in the order of the list; K is how many there are",
        }],
    },
    OpDoc {
        name: "argmax",
        about: "the best score of each row, and its label",
        forms: &[
            OpForm {
                signature: "in { score: float[N,L] } -> { index: i32[N], score: float[N] }",
                about: "of `float[L]`, single values; the first of equal scores",
            },
            OpForm {
                signature: "in { score: float[N,L], labels: T[L] } -> { index: i32[N], score: float[N], label: T[N] }",
                about: "with the label of each",
            },
        ],
    },
    OpDoc {
        name: "mmr",
        about: "the k nearest keys that are not much alike (maximal marginal relevance, by cosine)",
        forms: &[OpForm {
            signature: "in { query: float[D], keys: float[N,D] } with { k: int (1 to 65536), lambda: float (0 to 1) = 0.5 } -> { index: i32[K], score: float[K] }",
            about: "lambda 1 is nearness alone; the score is the cosine to the query",
        }],
    },
    OpDoc {
        name: "rrf",
        about: "reciprocal rank fusion of ranked lists of indices",
        forms: &[OpForm {
            signature: "in { any names: i32[K1], i32[K2] } with { k: int (1 to 1000000) = 60, top: int (1 to 65536) = 65536 } -> { index: i32[K], score: float[K] }",
            about: "the score of an index is the sum of 1 / (k + rank) over the lists that have it",
        }],
    },
    OpDoc {
        name: "length",
        about: "how many rows a list has",
        forms: &[OpForm {
            signature: "in { of: T[N,...] } -> { out: int }",
            about: "of any type",
        }],
    },
    OpDoc {
        name: "cast",
        about: "values as another element type",
        forms: &[OpForm {
            signature: "in { value: T[...] } with { to: string } -> { out: TO[...] }",
            about: "`to` is written out; numbers are cut to what the type holds, texts are read and written",
        }],
    },
    OpDoc {
        name: "project",
        about: "the same as `select`",
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
