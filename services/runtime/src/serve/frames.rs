//! HTTP/2 frames in a stream of bytes: their heads, as the bytes go by.

/// Bytes of a frame's head: three of length, type, flags, four of the stream's number.
const HEAD: usize = 9;
/// Bytes that a client sends before its first frame.
const PREFACE: usize = 24;
/// Type of the frame that opens a stream.
pub(super) const HEADERS: u8 = 1;
/// Type of the frame that resets a stream.
pub(super) const RST_STREAM: u8 = 3;

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: u8,
    pub(super) stream: u32,
}

/// A place in a stream of bytes, somewhere in or between frames.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; HEAD],
    /// Bytes of the head that are here.
    begun: usize,
    /// Bytes that belong to no head and are still to come.
    skip: usize,
}

impl Frames {
    /// Bytes that a client sends, from the first one on.
    pub(super) fn of_client() -> Self {
        Self {
            skip: PREFACE,
            ..Self::default()
        }
    }

    /// `true` between two frames.
    pub(super) fn is_between(&self) -> bool {
        self.begun == 0 && self.skip == 0
    }

    /// Goes over the next bytes and calls `found` with each head that is complete.
    pub(super) fn pass(&mut self, mut bytes: &[u8], mut found: impl FnMut(Head)) {
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return;
            }
            let part = bytes.len().min(HEAD - self.begun);
            self.head[self.begun..self.begun + part].copy_from_slice(&bytes[..part]);
            self.begun += part;
            bytes = &bytes[part..];
            if self.begun < HEAD {
                return;
            }
            let [a, b, c, kind, _flags, stream @ ..] = self.head;
            self.begun = 0;
            self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
            found(Head {
                kind,
                stream: u32::from_be_bytes(stream) & (u32::MAX >> 1),
            });
        }
    }
}

/// Error codes of GOAWAY frames.
#[derive(Clone, Copy, Debug)]
pub(super) enum GoAway {
    EnhanceYourCalm = 11,
    InadequateSecurity = 12,
}

/// Returns a GOAWAY frame: streams after `last_stream` were not looked at.
pub(super) fn go_away(last_stream: u32, code: GoAway, why: &str) -> Vec<u8> {
    const GOAWAY: u8 = 7;
    let length = u32::try_from(8 + why.len()).unwrap_or(8);
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([GOAWAY, 0, 0, 0, 0, 0]);
    frame.extend(last_stream.to_be_bytes());
    frame.extend((code as u32).to_be_bytes());
    frame.extend(why.as_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_found_however_the_bytes_arrive() {
        let frame = |kind, stream: u32, payload: usize| {
            let mut bytes = u32::try_from(payload).unwrap().to_be_bytes()[1..].to_vec();
            bytes.extend([kind, 0]);
            bytes.extend(stream.to_be_bytes());
            bytes.extend(vec![7; payload]);
            bytes
        };
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        for (kind, stream, payload) in [(4, 0, 0), (HEADERS, 1, 300), (RST_STREAM, 1, 4)] {
            bytes.extend(frame(kind, stream, payload));
        }
        bytes.extend(go_away(1, GoAway::EnhanceYourCalm, "why"));
        for at_a_time in [1, 2, 5, 9, 10_000] {
            let (mut frames, mut found) = (Frames::of_client(), Vec::new());
            for part in bytes.chunks(at_a_time) {
                frames.pass(part, |head| found.push((head.kind, head.stream)));
            }
            assert_eq!(found, [(4, 0), (1, 1), (3, 1), (7, 0)], "{at_a_time}");
            assert!(frames.is_between());
            frames.pass(&[0], |_| {});
            assert!(!frames.is_between());
        }
    }
}
