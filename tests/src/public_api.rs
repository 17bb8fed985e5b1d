//! The public interface of a crate as text, from the pages that rustdoc writes for it.
//!
//! rustdoc's JSON would be easier to read, but only nightly compilers write it. Its pages have the
//! same declarations: of every item, of its methods, and which traits it implements.

use std::io;
use std::path::Path;

/// Auto traits that are listed: who uses a type relies on them.
const AUTO_TRAITS: [&str; 2] = ["Send", "Sync"];

/// Returns the public items of a crate, with their declarations, methods and traits. `folder` is
/// the crate's folder in `target/doc`, `name` the crate.
///
/// # Errors
/// When a page cannot be read.
pub fn listing(folder: &Path, name: &str) -> io::Result<String> {
    let read = |page: &str| std::fs::read_to_string(folder.join(page));
    let mut out = String::new();
    for line in re_exports(&read("index.html")?) {
        out.push_str(&format!("{line}\n"));
    }
    let mut pages = items(&read("all.html")?);
    pages.sort();
    for (path, page) in pages {
        out.push_str(&format!("\n{name}::{path}\n"));
        for line in declared(&read(&page)?) {
            out.push_str(&format!("    {line}\n"));
        }
    }
    Ok(out.trim_start().to_owned())
}

/// Returns the items on the page of all items: each with its path in the crate and its page.
fn items(html: &str) -> Vec<(String, String)> {
    let lists = html.split("<ul class=\"all-items\">").skip(1);
    let lists = lists.map(|list| list.split("</ul>").next().unwrap_or_default());
    let links = lists.flat_map(|list| list.split("<a href=\"").skip(1));
    links
        .filter_map(|link| {
            let (page, rest) = link.split_once("\">")?;
            let (path, _) = rest.split_once("</a>")?;
            Some((text(path), page.to_owned()))
        })
        .collect()
}

/// Returns the re-exports on the page of a module.
fn re_exports(html: &str) -> Vec<String> {
    let mut lines: Vec<String> = html
        .split("<dt id=\"reexport.")
        .skip(1)
        .filter_map(|part| {
            let (_, code) = part.split_once("<code>")?;
            let (code, _) = code.split_once("</code>")?;
            Some(one_line(code))
        })
        .collect();
    lines.sort();
    lines
}

/// Returns the lines of an item: its declaration, its methods, the traits that it implements.
fn declared(html: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let (_, rest) = html
        .split_once("<pre class=\"rust item-decl\">")
        .unwrap_or_default();
    let (declaration, rest) = rest.split_once("</pre>").unwrap_or_default();
    let shown = text(&without_summaries(declaration));
    lines.extend(shown.lines().map(|line| line.trim_end().to_owned()));
    lines.retain(|line| !line.is_empty());
    for part in rest.split("<h2 id=\"").skip(1) {
        match part.split('"').next() {
            Some("implementations") => lines.extend(implementations(part)),
            Some("trait-implementations") => lines.extend(headers(part, "h3")),
            Some("synthetic-implementations") => {
                let is_listed = |line: &String| {
                    let words = line.split([' ', '!', '<']);
                    words.take(4).any(|word| AUTO_TRAITS.contains(&word))
                };
                lines.extend(headers(part, "h3").into_iter().filter(is_listed));
            }
            _ => {}
        }
    }
    lines
}

/// Returns inherent implementations, each with its methods and constants in the order of their
/// names.
fn implementations(html: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for part in html.split("<h3 class=\"code-header\">").skip(1) {
        let (header, members) = part.split_once("</h3>").unwrap_or_default();
        lines.push(one_line(header));
        let mut members = headers(members, "h4");
        members.sort();
        lines.extend(members.iter().map(|member| format!("    {member}")));
    }
    lines
}

/// Returns the headers of code in the elements `tag`.
fn headers(html: &str, tag: &str) -> Vec<String> {
    let (begin, end) = (
        format!("<{tag} class=\"code-header\">"),
        format!("</{tag}>"),
    );
    html.split(&*begin)
        .skip(1)
        .filter_map(|part| part.split_once(&*end))
        .map(|(header, _)| one_line(header))
        .collect()
}

/// Returns `html` without what stands for a declaration that is folded.
fn without_summaries(html: &str) -> String {
    let mut parts = html.split("<summary");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(part.split_once("</summary>").unwrap_or_default().1);
    }
    out
}

/// Returns the text of `html` on one line.
fn one_line(html: &str) -> String {
    text(html).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the text of `html`, with a line break where a block begins or ends.
fn text(html: &str) -> String {
    let mut parts = html.split('<');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (tag, rest) = part.split_once('>').unwrap_or_default();
        if tag.trim_start_matches('/').starts_with("div") {
            out.push('\n');
        }
        out.push_str(rest);
    }
    for (entity, character) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&nbsp;", " "),
        ("&amp;", "&"),
    ] {
        out = out.replace(entity, character);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_has_its_declaration_methods_and_traits() {
        let page = r##"
<pre class="rust item-decl"><code>pub struct Exit(<span class="comment">/* private fields */</span>);</code></pre>
<h2 id="examples">Examples</h2><h3 class="code-header">no</h3>
<h2 id="implementations" class="section-header">Implementations</h2>
<section class="impl"><h3 class="code-header">impl <a href="struct.Exit.html">Exit</a></h3></section>
<section class="method"><h4 class="code-header">pub fn <a>code</a>&lt;T&gt;(&amp;self) -&gt; u8<div class="where">where
    T: <a>Copy</a>,</div></h4></section>
<section class="associatedconstant"><h4 class="code-header">pub const <a>A</a>: u8</h4></section>
<h2 id="trait-implementations" class="section-header"></h2>
<section class="impl"><h3 class="code-header">impl <a>Clone</a> for <a>Exit</a></h3></section>
<section class="method trait-impl"><h4 class="code-header">fn clone(&amp;self)</h4></section>
<h2 id="synthetic-implementations" class="section-header"></h2>
<h3 class="code-header">impl <a>Freeze</a> for <a>Exit</a></h3>
<h3 class="code-header">impl !<a>Send</a> for <a>Exit</a></h3>
<h3 class="code-header">impl&lt;T&gt; <a>Sync</a> for <a>Exit</a>&lt;T&gt;</h3>
<h2 id="blanket-implementations" class="section-header"></h2>
<h3 class="code-header">impl&lt;T&gt; Any for T</h3>"##;
        assert_eq!(
            declared(page),
            [
                "pub struct Exit(/* private fields */);",
                "impl Exit",
                "    pub const A: u8",
                "    pub fn code<T>(&self) -> u8 where T: Copy,",
                "impl Clone for Exit",
                "impl !Send for Exit",
                "impl<T> Sync for Exit<T>",
            ]
        );
    }

    #[test]
    fn a_folded_declaration_is_read_whole() {
        let page = "<pre class=\"rust item-decl\"><code>pub enum E {\n<details><summary class=\"x\">\
                    <span>Show 2 variants</span></summary>    A,\n    B,\n</details>}</code></pre>";
        assert_eq!(declared(page), ["pub enum E {", "    A,", "    B,", "}"]);
    }

    #[test]
    fn the_page_of_all_items_has_paths_and_pages() {
        let page = "<a href=\"index.html\">motet</a><h3 id=\"structs\">Structs</h3>\
                    <ul class=\"all-items\"><li><a href=\"struct.App.html\">App</a></li>\
                    <li><a href=\"a/struct.B.html\">a::B</a></li></ul><a href=\"x\">x</a>";
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            items(page),
            [
                pair("App", "struct.App.html"),
                pair("a::B", "a/struct.B.html")
            ]
        );
    }
}
