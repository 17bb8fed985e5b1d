//! Finds the paths of its own crate that a Rust file names, in `use` declarations and elsewhere.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// Path of a module or an item from the root of its crate, without `crate`.
pub(crate) type ModulePath = Vec<String>;

/// Returns the paths from the root of the crate that the text of `module` names by `crate::` or
/// by `super::`. Items under `#[cfg(test)]` are left out.
pub(crate) fn imports(text: &str, module: &[String]) -> BTreeSet<ModulePath> {
    let tokens: TokenStream = text.parse().expect("Rust");
    let mut found = BTreeSet::new();
    walk(tokens, module, &mut found);
    found
}

fn walk(tokens: TokenStream, module: &[String], found: &mut BTreeSet<ModulePath>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        let rest = &tokens[at..];
        if is_test_attribute(rest) {
            at += 2;
            at += item_length(&tokens[at..]);
        } else if let Some((name, body)) = inline_module(rest) {
            let inner = [module, &[name]].concat();
            walk(body.stream(), &inner, found);
            at += 3;
        } else if let Some((base, length)) = path_start(rest, module) {
            // `$crate` is the crate of the macro, not of this file.
            if at == 0 || !is_punct(&tokens[at - 1], '$') {
                tree(&rest[length..], base, found);
            }
            at += length;
        } else {
            if let TokenTree::Group(group) = &tokens[at] {
                walk(group.stream(), module, found);
            }
            at += 1;
        }
    }
}

/// Returns whether the tokens are `#[cfg(test)]`.
fn is_test_attribute(tokens: &[TokenTree]) -> bool {
    match tokens {
        [hash, TokenTree::Group(attribute), ..] if is_punct(hash, '#') => {
            attribute.stream().to_string().replace(' ', "") == "cfg(test)"
        }
        _ => false,
    }
}

/// Returns the tokens of an item: up to its braces or its semicolon.
fn item_length(tokens: &[TokenTree]) -> usize {
    let is_end = |token: &TokenTree| is_punct(token, ';') || braces(token).is_some();
    tokens
        .iter()
        .position(is_end)
        .map_or(tokens.len(), |at| at + 1)
}

/// Returns name and contents of `mod name { ... }`.
fn inline_module(tokens: &[TokenTree]) -> Option<(String, &Group)> {
    match tokens {
        [TokenTree::Ident(keyword), TokenTree::Ident(name), body, ..] if keyword == "mod" => {
            Some((name.to_string(), braces(body)?))
        }
        _ => None,
    }
}

/// Returns the module that `crate::` or `super::super::` names, and the number of its tokens.
fn path_start(tokens: &[TokenTree], module: &[String]) -> Option<(ModulePath, usize)> {
    let is =
        |at: usize, word: &str| matches!(tokens.get(at), Some(TokenTree::Ident(i)) if i == word);
    let is_followed = |at: usize| has_colons(tokens.get(at + 1..).unwrap_or_default());
    if is(0, "crate") && is_followed(0) {
        return Some((Vec::new(), 3));
    }
    let (mut base, mut at) = (module.to_vec(), 0);
    while is(at, "super") && is_followed(at) {
        base.pop();
        at += 3;
    }
    (at > 0).then_some((base, at))
}

/// Adds the paths that continue after `::`; in a `use`, a path may end in braces.
fn tree(tokens: &[TokenTree], mut path: ModulePath, found: &mut BTreeSet<ModulePath>) {
    match tokens {
        [TokenTree::Ident(name), rest @ ..] => {
            if name != "self" {
                path.push(name.to_string());
            }
            match has_colons(rest) {
                true => tree(&rest[2..], path, found),
                false => _ = found.insert(path),
            }
        }
        // A variable of a macro is a name like any other.
        [dollar, rest @ ..] if is_punct(dollar, '$') => tree(rest, path, found),
        [token, ..] if let Some(group) = braces(token) => {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            for branch in inner.split(|token| is_punct(token, ',')) {
                tree(branch, path.clone(), found);
            }
        }
        // `*`, or the arguments of a generic function.
        [_, ..] => _ = found.insert(path),
        [] => {}
    }
}

fn has_colons(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [a, b, ..] if is_punct(a, ':') && is_punct(b, ':'))
}

fn is_punct(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(p) if p.as_char() == sign)
}

fn braces(token: &TokenTree) -> Option<&Group> {
    match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(group),
        _ => None,
    }
}

#[test]
fn paths_of_the_own_crate_are_read() {
    let module = ["exec".to_owned(), "step".to_owned()];
    for (text, expected) in [
        ("use crate::plan::Graph;", &["plan::Graph"][..]),
        ("pub(crate) use crate::plan::Graph as G;", &["plan::Graph"]),
        ("use crate::plan::*;", &["plan"]),
        (
            "use crate::{plan, check::{self, kind::{A, B}}};",
            &["check", "check::kind::A", "check::kind::B", "plan"],
        ),
        (
            "use {crate::plan, std::fmt, crate::serve};",
            &["plan", "serve"],
        ),
        ("use super::run;", &["exec::run"]),
        (
            "m! { Model(crate::kinds::$module::check::Draft) }",
            &["kinds::module::check::Draft"],
        ),
        (
            "use super::super::plan::{Graph, Step};",
            &["plan::Graph", "plan::Step"],
        ),
        (
            "mod inner { use super::run; use super::super::body; }",
            &["exec::body", "exec::step::run"],
        ),
        (
            "fn f(of: &crate::plan::Graph) -> Vec<crate::check::Node> {}",
            &["check::Node", "plan::Graph"],
        ),
        (
            "fn f() { g(crate::exec::run::<crate::plan::Graph>()) }",
            &["exec::run", "plan::Graph"],
        ),
        (
            "fn f() { format!(\"{}\", crate::plan::MAX) }",
            &["plan::MAX"],
        ),
        ("pub(in crate::exec) struct S;", &["exec"]),
        // No imports.
        ("pub(crate) struct S; pub(super) fn f() {}", &[]),
        ("use std::fmt; use motet_proto::crate_name;", &[]),
        (
            "/// See [`crate::serve`].\nfn f() { \"crate::serve\"; } // crate::serve",
            &[],
        ),
        ("macro_rules! m { () => { $crate::plan::Graph } }", &[]),
        // For tests only.
        (
            "#[cfg(test)] use crate::testing::{plan};\nuse crate::plan::A;",
            &["plan::A"],
        ),
        (
            "#[cfg(test)]\n#[allow(dead_code)]\nmod tests { use crate::testing; }\n\
             use crate::plan::A;",
            &["plan::A"],
        ),
        ("#[cfg(not(test))] use crate::plan::A;", &["plan::A"]),
    ] {
        let found = imports(text, &module);
        let found: Vec<String> = found.iter().map(|path| path.join("::")).collect();
        assert_eq!(found, expected, "{text}");
    }
}
