//! The documentation page of the errors, generated from the table of reasons.

use std::fmt::Write;

use super::{Reason, code_name};

/// The Markdown page of all reasons; `docs/errors.md` holds its text.
pub fn page() -> String {
    let mut page = String::from(
        "# Errors\n\n\
         Generated from `src/status/reason.rs`; a test keeps the two equal\n\
         (`UPDATE_DOCS=1 cargo test -p motet-runtime status` regenerates this page).\n\n\
         Every error carries a `google.rpc.ErrorInfo` with `domain: \"motet\"`, one of the reasons\n\
         below, and metadata that names the `pipeline`, `node`, `model` or limit involved. Bad input\n\
         adds a `google.rpc.BadRequest` with one violation per field; `google.rpc.RetryInfo` says\n\
         when a retry may succeed.\n\n\
         An error that a service behind motet made passes on with that service's own details. If\n\
         it has none, the reason is the name of its code, such as `UNKNOWN`.\n\n\
         | reason | code | at fault | a retry |\n\
         |---|---|---|---|\n",
    );
    // Writing to a String cannot fail.
    for reason in Reason::ALL {
        let _ = writeln!(
            page,
            "| [`{name}`](#{anchor}) | `{code}` | {fault} | {retry} |",
            name = reason.name(),
            anchor = reason.name().to_ascii_lowercase(),
            code = code_name(reason.code()),
            fault = reason.fault().describe(),
            retry = reason.retry().describe(),
        );
    }
    for reason in Reason::ALL {
        let _ = write!(
            page,
            "\n## {}\n\n{}\n\n*Fix:* {}\n",
            reason.name(),
            wrapped(reason.meaning()),
            wrapped(reason.fix())
        );
    }
    page
}

/// `text` in lines of at most 92 characters, so that a prefix still fits in 100.
fn wrapped(text: &str) -> String {
    const WIDTH: usize = 92;
    let mut lines = String::new();
    let mut width = 0;
    for word in text.split_whitespace() {
        if width > 0 && width + 1 + word.len() > WIDTH {
            lines.push('\n');
            width = 0;
        } else if width > 0 {
            lines.push(' ');
            width += 1;
        }
        lines.push_str(word);
        width += word.len();
    }
    lines
}
