//! motet as a program: started, read, signalled, killed.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::connection::Connection;
use crate::wait::soon;

/// A program about to be started.
#[derive(Debug)]
pub struct Program(Command);

/// A program that runs. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: Output,
    stderr: Output,
}

/// Where a motet that is ready answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// gRPC.
    pub grpc: SocketAddr,
    /// HTTP, unless it is off.
    pub http: Option<SocketAddr>,
}

/// How a program ended, and what it wrote.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Program {
    /// A program in an environment without the variables that motet and its libraries read.
    pub fn new(path: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(path);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("OTEL_") || text.starts_with("MOTET_") || text == "RUST_LOG" {
                command.env_remove(&name);
            }
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Self(command)
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.0.args(args);
        self
    }

    /// Adds `--grpc` and `--http` with free ports.
    #[must_use]
    pub fn on_free_ports(self) -> Self {
        self.args(["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"])
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// Starts it in this folder.
    #[must_use]
    pub fn folder(mut self, folder: impl AsRef<std::path::Path>) -> Self {
        self.0.current_dir(folder);
        self
    }

    /// Starts it. Needs a tokio runtime.
    ///
    /// # Panics
    /// When there is no such program.
    pub fn start(mut self) -> Process {
        let mut child = self
            .0
            .spawn()
            .unwrap_or_else(|e| panic!("{:?}: {e}", self.0));
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
    /// Waits for the line that says that it is ready.
    ///
    /// # Panics
    /// When it ends instead.
    pub async fn ready(&mut self) -> Ready {
        let line = self
            .stdout
            .line("the ready line", |l| l.starts_with("ready "));
        let Some(line) = line.await else {
            panic!("not ready: {}", self.stderr.text());
        };
        let place = |name: &str| {
            let words = line.split_whitespace();
            words
                .filter_map(|word| word.split_once('='))
                .find(|(key, _)| *key == name)
                .unwrap_or_else(|| panic!("no {name} in {line:?}"))
                .1
        };
        let address = |text: &str| text.parse().unwrap_or_else(|e| panic!("{line:?}: {e}"));
        Ready {
            grpc: address(place("grpc")),
            http: (place("http") != "off").then(|| address(place("http"))),
        }
    }

    /// Waits until it is ready, and connects.
    pub async fn connect(&mut self) -> Connection {
        Connection::open(self.ready().await.grpc).await
    }

    /// Waits until a line of its standard error holds `text`.
    ///
    /// # Panics
    /// When it ends before.
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

    /// Resident memory in bytes (Linux only).
    pub fn memory_bytes(&self) -> Option<u64> {
        let kib: u64 = self.status("VmRSS")?.parse().ok()?;
        Some(kib * 1024)
    }

    /// Real user id (Linux only).
    pub fn user(&self) -> Option<u32> {
        self.status("Uid")?.parse().ok()
    }

    /// The first word of a line of /proc/PID/status.
    fn status(&self, key: &str) -> Option<String> {
        let path = format!("/proc/{}/status", self.child.id()?);
        let status = std::fs::read_to_string(path).ok()?;
        let mut lines = status.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = lines.find(|(name, _)| *name == key)?;
        value.split_whitespace().next().map(str::to_owned)
    }

    /// Waits for its end.
    pub async fn end(mut self) -> Ended {
        let status = soon("the program's end", self.child.wait()).await;
        Ended {
            code: status.expect("it ran").code(),
            stdout: self.stdout.end().await,
            stderr: self.stderr.end().await,
        }
    }
}

/// What a program has written so far.
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

    /// The first line that fits; nothing when the output ends without one.
    async fn line(&mut self, what: &str, fits: impl Fn(&str) -> bool) -> Option<String> {
        let found = |text: &String| text.lines().find(|l| fits(l)).map(str::to_owned);
        let waiting = self.text.wait_for(|text| found(text).is_some());
        // Either way: the writer may have ended after the very line.
        drop(soon(what, waiting).await);
        let text = self.text.borrow();
        found(&text)
    }

    async fn end(self) -> String {
        // A grandchild that holds the stream open would hold this too; motet starts none.
        soon("the end of its output", self.reading)
            .await
            .expect("reading does not panic");
        self.text.borrow().clone()
    }
}
