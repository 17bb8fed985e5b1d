use super::*;
use crate::node::Value;
use crate::render::Colour;

fn read(text: &str) -> (Sources, Option<Node>, Diagnostics) {
    let mut sources = Sources::new();
    let file = sources.add("t.yaml", "", text);
    let mut diagnostics = Diagnostics::new();
    let node = parse(&sources, file, &mut diagnostics);
    (sources, node, diagnostics)
}

/// Collects every key and every string with the text of its span.
fn covered(sources: &Sources, node: &Node, out: &mut Vec<(String, String)>) {
    match &node.value {
        Value::Map(map) => {
            for entry in &map.entries {
                out.push((
                    entry.key.value.clone(),
                    sources.snippet(entry.key.span).to_owned(),
                ));
                covered(sources, &entry.node, out);
            }
        }
        Value::List(items) => items.iter().for_each(|n| covered(sources, n, out)),
        Value::String(s) => out.push((s.clone(), sources.snippet(node.span).to_owned())),
        _ => {}
    }
}

#[test]
fn a_span_covers_what_was_written() {
    let text = "\
# Kommentar: größer, 日本語
pipeline: räg
überschrift: \"zwei\\nZeilen 🎉\"
nodes:
  d: { model: minilm, in: { text: $chünks.text } }   # ö
  e:
    - 'ein 日本'
    - [ $a, $b ]
";
    for text in [text.to_owned(), text.replace('\n', "\r\n")] {
        let (sources, node, diagnostics) = read(&text);
        assert!(
            diagnostics.is_empty(),
            "{}",
            diagnostics.render(&sources, Colour::Never)
        );
        let mut all = Vec::new();
        covered(&sources, &node.unwrap(), &mut all);
        let expected = [
            ("pipeline", "pipeline"),
            ("räg", "räg"),
            ("überschrift", "überschrift"),
            ("zwei\nZeilen 🎉", "\"zwei\\nZeilen 🎉\""),
            ("nodes", "nodes"),
            ("d", "d"),
            ("model", "model"),
            ("minilm", "minilm"),
            ("in", "in"),
            ("text", "text"),
            ("$chünks.text", "$chünks.text"),
            ("e", "e"),
            ("ein 日本", "'ein 日本'"),
            ("$a", "$a"),
            ("$b", "$b"),
        ];
        assert_eq!(
            all,
            expected.map(|(value, span)| (value.to_owned(), span.to_owned()))
        );
    }
}

#[test]
fn a_map_or_list_ends_with_its_last_child() {
    let (sources, node, _) =
        read("a:\n  b: 1\n  c: [1, 2]\n\n\n# end\nd: { e: 1 }\nf:\n- 1\n- x\n\ng:\nh: 1\n");
    let root = node.unwrap();
    let map = root.as_map().unwrap();
    let text = |key: &str| sources.snippet(map.get(key).unwrap().node.span);
    assert_eq!(text("a"), "b: 1\n  c: [1, 2]");
    assert_eq!(text("d"), "{ e: 1 }");
    // The parser reports the start of a list that is not indented only after its first dash.
    assert_eq!(text("f"), "1\n- x");
    assert_eq!(text("g"), "g");
}

#[test]
fn unsupported_yaml_is_refused_by_name() {
    for (text, expected) in [
        ("", "`t.yaml` is empty"),
        ("# only this\n", "`t.yaml` is empty"),
        ("---\n---\n", "a second YAML document"),
        ("a: 1\n---\nb: 2\n", "a second YAML document"),
        ("a: 1\nb: 2\na: 3\n", "duplicate key `a`"),
        ("a: &x 1\nb: *x\n", "anchors (`&name`)"),
        ("a: &x 1\nb: *x\n", "aliases (`*name`)"),
        ("a: {<<: 1}\n", "merge keys"),
        ("a: !!str 1\n", "tags such as"),
        ("a: !x [1]\n", "tags such as"),
        ("{a: 1}: 2\n", "a key must be a string, not a map"),
        ("? [a]\n: 2\n", "a key must be a string, not a list"),
        ("a: [1, 2\n", "this is not YAML"),
        ("a: \"x\n", "this is not YAML"),
        ("a: b: c\n", "this is not YAML"),
        ("a:\n\t- b\n", "indent with spaces"),
        (
            "a: { type: string[N], min: 1 }\n",
            "needs quotes: `\"string[N]\"`",
        ),
        ("a: }\n", "this is not YAML"),
    ] {
        let (sources, _, diagnostics) = read(text);
        let report = diagnostics.render(&sources, Colour::Never);
        assert!(report.contains(expected), "{text}\n{report}");
        assert!(diagnostics.has_errors());
    }
}

#[test]
fn a_mistake_does_not_hide_another() {
    let (_, node, diagnostics) = read("a: 1\na: 2\nb: &x 1\nc: *x\nd: ok\n");
    assert_eq!(diagnostics.errors(), 3);
    assert!(node.unwrap().as_map().unwrap().get("d").is_some());
}

#[test]
fn a_large_file_is_read_in_linear_time() {
    // Quadratic work on any of these would take minutes.
    let many = |piece: &dyn Fn(usize) -> String| -> String { (0..30_000).map(piece).collect() };
    for (text, errors) in [
        (many(&|i| format!("k{i}: v\n")), false),
        (many(&|_| "k: v\n".to_owned()), true),
        (format!("a: [{}]", many(&|_| "é, ".to_owned())), false),
        (
            format!("a: \"{}\"", many(&|_| "\\u00e9 ".to_owned())),
            false,
        ),
        (format!("a: {}", many(&|_| "x ".to_owned())), false),
        (format!("a: {}", many(&|_| "? ".to_owned())), true),
        (format!("a: {}", many(&|_| "- ".to_owned())), true),
        (format!("a: |\n{}", many(&|_| "  line\n".to_owned())), false),
        (many(&|i| format!("k{i}: &a{i} v\n")), true),
        (many(&|_| "# comment\n".to_owned()), true),
        (many(&|_| "{".to_owned()), true),
    ] {
        let (sources, _, diagnostics) = read(&text);
        assert_eq!(diagnostics.has_errors(), errors, "{}", &text[..40]);
        assert!(diagnostics.render(&sources, Colour::Never).len() < 1 << 20);
    }
}

#[test]
fn nesting_and_size_are_bounded() {
    let deep = |n: usize| format!("a: {}{}", "[".repeat(n), "]".repeat(n));
    assert!(!read(&deep(DEPTH_MAX - 1)).2.has_errors());
    for n in [DEPTH_MAX, 200, 300, 100_000] {
        assert!(read(&deep(n)).2.has_errors(), "{n}");
    }
    let (sources, node, diagnostics) = read(&format!("a: [{}]", "1,".repeat(NODES_MAX)));
    assert!(node.is_none());
    assert!(
        diagnostics
            .render(&sources, Colour::Never)
            .contains("more than 100000 values")
    );
}

#[test]
fn a_key_may_look_like_any_value() {
    let (_, node, diagnostics) = read("null: 1\n1: 2\n0x1: 3\ntrue: 4\n\"\": 5\n~: 6\n");
    assert!(diagnostics.is_empty());
    let node = node.unwrap();
    let entries = &node.as_map().unwrap().entries;
    let keys: Vec<&str> = entries.iter().map(|e| e.key.value.as_str()).collect();
    assert_eq!(keys, ["null", "1", "0x1", "true", "", "~"]);
}

#[test]
fn a_missing_value_is_null_wherever_it_stands() {
    for text in [
        "a:\n",
        "a: ~\n",
        "a: null\n",
        "{ a: }\n",
        "{ a }\n",
        "? a\n",
    ] {
        let (_, node, diagnostics) = read(text);
        assert!(diagnostics.is_empty(), "{text}");
        assert!(
            node.unwrap()
                .as_map()
                .unwrap()
                .get("a")
                .unwrap()
                .node
                .is_null()
        );
    }
    let (_, node, diagnostics) = read("-\n- ~\n- \"\"\n");
    assert!(diagnostics.is_empty());
    let node = node.unwrap();
    let items: Vec<bool> = node.as_list().unwrap().iter().map(Node::is_null).collect();
    assert_eq!(items, [true, true, false]);
}
