//! Words of other servers without control characters and addresses.

use std::net::{IpAddr, SocketAddr};

/// Text that replaces an address.
const ADDRESS: &str = "(address)";
const MARK: &str = "...";

/// Returns `text` in one line of at most `chars_max` characters, with `...` at the end where it is
/// cut. URIs, IP addresses, and hosts with ports are replaced: they are of use only to someone who
/// looks for a way around this server. They are recognised by their shape.
pub(super) fn words(text: &str, chars_max: usize) -> String {
    let line = one_line(text);
    let mut shown = String::with_capacity(line.len());
    let mut rest = line.as_str();
    while !rest.is_empty() {
        let end = rest.find(|c| !is_of_address(c)).unwrap_or(rest.len());
        let (token, after) = rest.split_at(end);
        push_token(&mut shown, token);
        let next = after.find(is_of_address).unwrap_or(after.len());
        shown.push_str(&after[..next]);
        rest = &after[next..];
    }
    cut_chars(shown, chars_max)
}

/// Returns `text` in one line: white space and control characters become single spaces, and marks
/// that change the direction of text are left out.
fn one_line(text: &str) -> String {
    let is_direction = |c: &char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown: String = text
        .chars()
        .filter(|c| !is_direction(c))
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let words: Vec<&str> = shown.split_whitespace().collect();
    words.join(" ")
}

const fn is_of_address(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '/' | '[' | ']' | '%' | '@' | '-' | '_')
}

/// Adds a token, or the text that replaces an address. Punctuation at its end stays.
fn push_token(shown: &mut String, token: &str) {
    let bare = token.trim_end_matches(['.', ':', '-', '/']);
    if is_address(bare) {
        shown.push_str(ADDRESS);
        shown.push_str(&token[bare.len()..]);
    } else {
        shown.push_str(token);
    }
}

fn is_address(token: &str) -> bool {
    if token.contains("://") || token.starts_with("unix:") {
        return true;
    }
    let token = token.trim_start_matches(['/', '@', '-', '.']);
    let token = token.rsplit_once('@').map_or(token, |(_, host)| host);
    let token = ["ipv4:", "ipv6:", "dns:"]
        .iter()
        .find_map(|scheme| token.strip_prefix(scheme))
        .unwrap_or(token);
    let token = token.split('/').next().unwrap_or_default();
    is_ip(token) || is_host_and_port(token)
}

fn is_ip(token: &str) -> bool {
    let inside = token.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let inside = inside.unwrap_or(token);
    let bare = inside.split('%').next().unwrap_or_default();
    bare.parse::<IpAddr>().is_ok() || token.parse::<SocketAddr>().is_ok()
}

/// A host with dots or hyphens, or `localhost`, needs a port of two digits; another name, which may
/// be any word, one of four.
fn is_host_and_port(token: &str) -> bool {
    let Some((host, port)) = token.rsplit_once(':') else {
        return false;
    };
    let is_of_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_host = host.chars().all(is_of_host) && host.chars().any(|c| c.is_ascii_alphabetic());
    let is_plain = host != "localhost" && !host.contains(['.', '-']);
    let digits = if is_plain { 4..=5 } else { 2..=5 };
    is_host && digits.contains(&port.len()) && port.parse::<u16>().is_ok()
}

fn cut_chars(mut text: String, chars_max: usize) -> String {
    if text.chars().count() > chars_max {
        let kept = chars_max - MARK.len();
        let end = text.char_indices().nth(kept).map_or(text.len(), |c| c.0);
        text.truncate(end);
        text.push_str(MARK);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_control_characters_are_left_out() {
        for (text, expected) in [
            ("not this picture", "not this picture"),
            ("a\r\nb\tc\u{0}d \u{202e}e", "a b c d e"),
            (
                "dial tcp 10.0.0.7:50051: refused",
                "dial tcp (address): refused",
            ),
            ("at http://user:pw@host/p?q=1 now", "at (address)?q=1 now"),
            (
                "ipv4:10.1.2.3:80 and ipv6:[::1]:80",
                "(address) and (address)",
            ),
            (
                "from [fe80::1%eth0] or ::1.",
                "from (address) or (address).",
            ),
            ("/127.0.0.1:8080, db.internal:5432", "(address), (address)"),
            ("localhost:80 vault:8200/v1", "(address) (address)"),
            ("addr=ocr-0.ocr.svc:50051)", "addr=(address))"),
            ("unix:/run/x.sock", "(address)"),
            ("row 7: 0.25, k:3 ratio 16:9", "row 7: 0.25, k:3 ratio 16:9"),
            ("boxes.x: is 3.5, at 12:30", "boxes.x: is 3.5, at 12:30"),
            ("std::vector of crate::x", "std::vector of crate::x"),
            ("é: naïve", "é: naïve"),
        ] {
            assert_eq!(words(text, 512), expected, "{text:?}");
        }
    }

    #[test]
    fn words_are_cut_between_characters() {
        let text = "é".repeat(600);
        let shown = words(&text, 512);
        assert_eq!(shown.chars().count(), 512);
        assert!(shown.ends_with("é..."));
        assert_eq!(words(&"x".repeat(512), 512), "x".repeat(512));
    }
}
