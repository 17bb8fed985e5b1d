//! [`Progress`]: what those who wait for a fetch are shown.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use motet_hub::{Event, bytes};

/// Time between two states of the line on a terminal.
const REDRAW: Duration = Duration::from_millis(100);
/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Columns of the line on a terminal.
const COLUMNS: usize = 79;
/// Digits of a commit that are shown.
const COMMIT_SHOWN: usize = 12;

/// Form in which progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Out {
    /// One line of a terminal, written again and again.
    Terminal,
    /// A line now and then, on standard error.
    Lines,
    /// A line now and then, in the log.
    Log,
}

impl Out {
    /// Returns where a command shows progress: on standard error.
    pub(crate) fn of_command() -> Self {
        match std::io::stderr().is_terminal() {
            true => Self::Terminal,
            false => Self::Lines,
        }
    }

    /// Returns where a server shows progress: a terminal, or the log.
    pub(crate) fn of_process() -> Self {
        match std::io::stderr().is_terminal() {
            true => Self::Terminal,
            false => Self::Log,
        }
    }

    /// Shows a warning.
    pub(crate) fn warn(self, text: &str) {
        match self {
            Self::Terminal | Self::Lines => eprintln!("warning: {text}"),
            Self::Log => tracing::warn!("{text}"),
        }
    }
}

/// The progress of one fetch.
#[derive(Debug)]
pub(crate) struct Progress {
    out: Out,
    began: Instant,
    shown: Instant,
    /// Bytes of the files, those that are there, and those of them that an earlier fetch has left.
    total: u64,
    done: u64,
    kept: u64,
    path: String,
    /// `true` while the line of a terminal is not empty.
    is_drawn: bool,
}

impl Progress {
    pub(crate) fn new(out: Out) -> Self {
        let now = Instant::now();
        Self {
            out,
            began: now,
            shown: now,
            total: 0,
            done: 0,
            kept: 0,
            path: String::new(),
            is_drawn: false,
        }
    }

    /// Shows an event.
    pub(crate) fn show(&mut self, event: Event<'_>) {
        match event {
            Event::Lists { repository } => self.draw(&format!("hf:{repository}: asking the hub")),
            Event::Begins {
                repository,
                commit,
                files,
                bytes: size,
            } => {
                let commit = &commit[..commit.len().min(COMMIT_SHOWN)];
                let files = if files == 1 {
                    "1 file".to_owned()
                } else {
                    format!("{files} files")
                };
                self.line(&format!(
                    "hf:{repository} at {commit}: {files}, {}",
                    bytes(size)
                ));
                self.total += size;
            }
            Event::File { path, kept, .. } => {
                path.clone_into(&mut self.path);
                self.kept += kept;
                if kept > 0 {
                    self.line(&format!("{path}: {} are there already", bytes(kept)));
                }
            }
            Event::Waits { path } => {
                self.line(&format!(
                    "{path}: waiting for another process, which fetches it"
                ));
            }
            Event::Bytes(more) => {
                self.done += more;
                self.redraw();
            }
            Event::Again(fewer) => self.done = self.done.saturating_sub(fewer),
            Event::Retries { reason, wait } => {
                let seconds = wait.as_secs_f64();
                self.line(&format!("{reason}; trying again in {seconds:.0} s"));
            }
            Event::Ends { repository, .. } if self.total > 0 => {
                let came = self.done.saturating_sub(self.kept);
                let seconds = self.began.elapsed().as_secs_f64();
                self.line(&format!(
                    "hf:{repository}: all there, {} in {seconds:.1} s",
                    bytes(came)
                ));
            }
            Event::Ends { .. } => {}
        }
    }

    /// Removes the line of a terminal.
    pub(crate) fn end(&mut self) {
        self.draw("");
    }

    fn redraw(&mut self) {
        let every = match self.out {
            Out::Terminal => REDRAW,
            Out::Lines | Out::Log => LINE_EVERY,
        };
        if self.shown.elapsed() < every {
            return;
        }
        self.shown = Instant::now();
        let state = state(
            &self.path,
            self.done,
            self.kept,
            self.total,
            self.began.elapsed(),
        );
        match self.out {
            Out::Terminal => self.draw(&state),
            Out::Lines | Out::Log => self.line(&state),
        }
    }

    /// Shows a line that stays.
    fn line(&mut self, text: &str) {
        match self.out {
            Out::Terminal => {
                self.draw("");
                eprintln!("{text}");
            }
            Out::Lines => eprintln!("{text}"),
            Out::Log => tracing::info!("{text}"),
        }
    }

    /// Shows a text in the line of a terminal.
    fn draw(&mut self, text: &str) {
        if self.out != Out::Terminal || (text.is_empty() && !self.is_drawn) {
            return;
        }
        self.is_drawn = !text.is_empty();
        let text: String = text.chars().take(COLUMNS).collect();
        let mut stderr = std::io::stderr().lock();
        // Without a terminal any more, nobody looks.
        let _ = write!(stderr, "\r\x1b[K{text}").and_then(|()| stderr.flush());
    }
}

/// Returns the state of a fetch: its file, bytes, speed and the time that is left.
fn state(path: &str, done: u64, kept: u64, total: u64, elapsed: Duration) -> String {
    let percent = done.min(total) * 100 / total.max(1);
    let came = done.saturating_sub(kept);
    let per_second = came as f64 / elapsed.as_secs_f64().max(0.001);
    let mut text = format!("{percent:3} %  {} of {}", bytes(done), bytes(total));
    if came > 0 {
        let left = total.saturating_sub(done) as f64 / per_second;
        text.push_str(&format!(
            "  {}/s  {} left",
            bytes(per_second as u64),
            duration(left)
        ));
    }
    format!("{text}  {path}")
}

fn duration(seconds: f64) -> String {
    let seconds = seconds as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{}:{:02} min", seconds / 60, seconds % 60),
        _ => format!("{}:{:02} h", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_has_bytes_speed_and_time() {
        let state = |done, kept| state("model", done, kept, 1_000_000, Duration::from_secs(2));
        assert_eq!(state(0, 0), "  0 %  0 bytes of 1.0 MB  model");
        assert_eq!(
            state(500_000, 100_000),
            " 50 %  500.0 kB of 1.0 MB  200.0 kB/s  2 s left  model"
        );
        assert_eq!(duration(75.0), "1:15 min");
        assert_eq!(duration(4000.0), "1:06 h");
    }
}
