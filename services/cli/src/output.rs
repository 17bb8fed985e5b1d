//! Standard output.

use std::io::{ErrorKind, Write};

use anyhow::Context;

/// Prints `text` unchanged.
///
/// # Errors
/// When it cannot be written. A closed pipe, as of `motet config | head`, is not an error.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    write(&mut std::io::stdout().lock(), text)
}

fn write(to: &mut impl Write, text: &str) -> anyhow::Result<()> {
    match to.write_all(text.as_bytes()).and_then(|()| to.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("standard output cannot be written")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails every write.
    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_not_an_error_and_a_full_disk_is_one() {
        let mut written = Vec::new();
        write(&mut written, "a\n").expect("written");
        assert_eq!(written, b"a\n");
        assert!(write(&mut Failing(ErrorKind::BrokenPipe), "a").is_ok());
        let error = write(&mut Failing(ErrorKind::StorageFull), "a").expect_err("it is lost");
        assert_eq!(error.to_string(), "standard output cannot be written");
    }
}
