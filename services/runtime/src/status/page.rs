//! The documentation page of the errors, generated from the table of reasons.

use std::fmt::Write;

use super::upstream::CODES;
use super::{Reason, UPSTREAM_CHARS_MAX, code_name};

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
    write_upstream(&mut page);
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

/// Section on errors of other servers.
fn write_upstream(page: &mut String) {
    let _ = write!(
        page,
        "\n## Errors of other servers\n\n\
         An error of a `grpc` node's method, or of a model in another process, is an error of the\n\
         node. If a motet made it (`domain: \"motet\"`), it keeps its reason, metadata and fields.\n\
         Otherwise its code decides:\n\n\
         | its code | the caller gets | reason | why |\n\
         |---|---|---|---|\n"
    );
    for row in &CODES {
        let _ = writeln!(
            page,
            "| `{}` | `{}` | `{}` | {} |",
            code_name(row.code),
            code_name(row.reason.code()),
            row.reason.name(),
            row.why
        );
    }
    page.push_str(&format!(
        "\nThe words are the server's: at most {UPSTREAM_CHARS_MAX} characters, in one line,\n\
         `(address)` in the place of what looks like a URI, an IP address or a host and port. Its\n\
         `BadRequest` fields are passed on, and a `RetryInfo` of at most an hour where a retry can\n\
         help. Headers, trailers and other details are not. The metadata has `upstream_code` where\n\
         the code is another one, and `upstream_reason` if the server's `ErrorInfo` has a reason.\n\
         A server that cannot be reached is named, its address is not: that is in the log.\n\n\
         With `errors: hide` of the model or endpoint, the caller gets the code, the reason, the\n\
         pipeline and the node, and a `RetryInfo`; the words are in the log and in receipts.\n\n\
         An answer over `max_message_bytes` of `server` is `RESOURCE_EXHAUSTED`\n\
         (`MESSAGE_TOO_LARGE`), with the model or method, its size and the limit.\n"
    ));
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
