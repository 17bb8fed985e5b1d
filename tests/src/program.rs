//! Programs: started, read, signalled, killed.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::connection::Connection;
use crate::wait::{BOUND, soon, within};

/// A program about to be started.
#[derive(Debug)]
pub struct Program {
    command: Command,
    stdin: Vec<u8>,
}

/// A program that runs. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: Output,
    stderr: Output,
}

/// The addresses of a process that is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// gRPC.
    pub grpc: SocketAddr,
    /// HTTP, unless it is off.
    pub http: Option<SocketAddr>,
}

/// Exit code and output of a program that has ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Program {
    /// Returns a program whose environment lacks the variables that motet and its libraries read.
    pub fn new(path: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(path);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let names = ["OTEL_", "MOTET_", "PG", "RUST_LOG"];
            if names.iter().any(|name| text.starts_with(name)) {
                command.env_remove(&name);
            }
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Self {
            command,
            stdin: Vec::new(),
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Adds `--grpc` and `--http` with free ports.
    #[must_use]
    pub fn on_free_ports(self) -> Self {
        self.args(["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"])
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets the current folder.
    #[must_use]
    pub fn folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Sets its standard input, which is empty otherwise.
    #[must_use]
    pub fn stdin(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.command.stdin(Stdio::piped());
        self.stdin = text.into();
        self
    }

    /// Starts it. Needs a tokio runtime.
    ///
    /// # Panics
    /// If there is no such program.
    pub fn start(mut self) -> Process {
        let spawned = self.command.spawn();
        let mut child = spawned.unwrap_or_else(|e| panic!("{:?}: {e}", self.command));
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not read its input is no error.
            tokio::spawn(async move { stdin.write_all(&self.stdin).await });
        }
        let stdout = Output::read(child.stdout.take().expect("piped"));
        let stderr = Output::read(child.stderr.take().expect("piped"));
        Process {
            child,
            stdout,
            stderr,
        }
    }

    /// Runs it to its end.
    pub async fn run(self) -> Ended {
        self.start().end().await
    }
}

impl Process {
    /// Waits for the ready line, and returns the addresses in it.
    ///
    /// # Panics
    /// If it ends before.
    pub async fn ready(&mut self) -> Ready {
        let line = self
            .stdout
            .line("the ready line", |l| l.starts_with("ready "));
        let Some(line) = line.await else {
            panic!("not ready: {}", self.stderr.text());
        };
        let value = |name: &str| {
            let words = line.split_whitespace();
            words
                .filter_map(|word| word.split_once('='))
                .find(|(key, _)| *key == name)
                .unwrap_or_else(|| panic!("no {name} in {line:?}"))
                .1
        };
        let address = |text: &str| text.parse().unwrap_or_else(|e| panic!("{line:?}: {e}"));
        Ready {
            grpc: address(value("grpc")),
            http: (value("http") != "off").then(|| address(value("http"))),
        }
    }

    /// Waits for the ready line of a process that has no gRPC port, and returns the address of its
    /// HTTP port.
    ///
    /// # Panics
    /// If it ends before.
    pub async fn ready_http(&mut self) -> SocketAddr {
        let line = self
            .stdout
            .line("the ready line", |l| l.starts_with("ready http="));
        let Some(line) = line.await else {
            panic!("not ready: {}", self.stderr.text());
        };
        let address = line.trim_start_matches("ready http=");
        address.parse().unwrap_or_else(|e| panic!("{line:?}: {e}"))
    }

    /// Waits until it is ready, and connects.
    pub async fn connect(&mut self) -> Connection {
        Connection::open(self.ready().await.grpc).await
    }

    /// Waits until a line of its standard output holds `text`, and returns what it has written
    /// there.
    ///
    /// # Panics
    /// If it ends before.
    pub async fn prints(&mut self, text: &str) -> String {
        let line = self.stdout.line(text, |l| l.contains(text)).await;
        let written = self.stdout.text();
        assert!(line.is_some(), "{text:?} was not printed: {written}");
        written
    }

    /// Waits until a line of its standard error holds `text`.
    ///
    /// # Panics
    /// If it ends before.
    pub async fn says(&mut self, text: &str) {
        if self.stderr.line(text, |l| l.contains(text)).await.is_none() {
            panic!("{text:?} was not said: {}", self.stderr.text());
        }
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = std::process::Command::new("kill")
            .args(["-s", name, &id])
            .status();
        assert!(sent.is_ok_and(|s| s.success()), "kill -s {name} {id}");
    }

    /// Kills it, as a crash would.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it runs");
    }

    /// Returns its number.
    ///
    /// # Panics
    /// If its end was awaited already.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it was not awaited")
    }

    /// Returns whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Resident memory in bytes (Linux only).
    pub fn memory_bytes(&self) -> Option<u64> {
        resident_bytes(self.child.id()?)
    }

    /// Real user id (Linux only).
    pub fn user(&self) -> Option<u32> {
        status(self.child.id()?, "Uid")?.parse().ok()
    }

    /// Waits until it has ended.
    pub async fn end(self) -> Ended {
        self.end_within(BOUND).await
    }

    /// Waits until it has ended, for as long as `bound`.
    pub async fn end_within(mut self, bound: Duration) -> Ended {
        let status = within(bound, "the program's end", self.child.wait()).await;
        Ended {
            code: status.expect("it ran").code(),
            stdout: self.stdout.end().await,
            stderr: self.stderr.end().await,
        }
    }
}

/// Returns the resident memory of a process in bytes; `None` if it has ended (Linux only).
pub fn resident_bytes(process: u32) -> Option<u64> {
    let kib: u64 = status(process, "VmRSS")?.parse().ok()?;
    Some(kib * 1024)
}

/// Returns the first word of a line of /proc/PID/status.
fn status(process: u32, key: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let mut lines = status.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(name, _)| *name == key)?;
    value.split_whitespace().next().map(str::to_owned)
}

/// The output of a program so far.
#[derive(Debug)]
struct Output {
    text: watch::Receiver<String>,
    reading: JoinHandle<()>,
}

impl Output {
    fn read(stream: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let (sender, text) = watch::channel(String::new());
        let reading = tokio::spawn(async move {
            let mut lines = BufReader::new(stream).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                sender.send_modify(|all| {
                    all.push_str(&line);
                    all.push('\n');
                });
            }
        });
        Self { text, reading }
    }

    fn text(&self) -> String {
        self.text.borrow().clone()
    }

    /// Waits for a line that fits, and returns the first one; `None` if the output ends without
    /// one.
    async fn line(&mut self, what: &str, fits: impl Fn(&str) -> bool) -> Option<String> {
        let found = |text: &String| text.lines().find(|l| fits(l)).map(str::to_owned);
        let waiting = self.text.wait_for(|text| found(text).is_some());
        // After an error, too: the writer may have ended after this line.
        drop(soon(what, waiting).await);
        let text = self.text.borrow();
        found(&text)
    }

    async fn end(self) -> String {
        // A child of the program could keep the stream open; motet starts none.
        soon("the end of its output", self.reading)
            .await
            .expect("reading does not panic");
        self.text.borrow().clone()
    }
}
