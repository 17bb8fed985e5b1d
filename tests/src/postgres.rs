//! Databases of tests: real servers of Postgres on free ports, each with a cluster of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command as Once;

use crate::brokers::free_address;
use crate::certificates::Pair;
use crate::program::{Process, Program};
use crate::temp_dir::TempDir;
use crate::wait::until;

/// The password of the user `app`.
pub const PASSWORD: &str = "planted-password-7e1f";
/// The user that runs servers where this one is root, which they refuse.
const SYSTEM_USER: &str = "postgres";
/// The folder in which Debian has the programs of each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// Settings of a cluster that nobody misses.
const SETTINGS: [&str; 5] = [
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    "autovacuum=off",
    "shared_buffers=16MB",
];

/// A server that can be killed and started again, with what it has stored. Its database is `test`,
/// its user `app` comes by TCP with a password, and by its socket without one.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    folder: TempDir,
    /// The address on which it listens.
    pub address: SocketAddr,
    /// Settings beside those of all tests.
    settings: Vec<String>,
    process: Option<Process>,
}

impl Postgres {
    /// Starts a server. `None`, with a line that says why, if there is none.
    pub async fn start() -> Option<Self> {
        Self::with(&[]).await
    }

    /// As [`start`](Self::start), with TLS alone.
    pub async fn with_tls(certificate: &Pair) -> Option<Self> {
        let mut server = Self::new()?;
        for (name, text) in [
            ("server.crt", &certificate.cert),
            ("server.key", &certificate.key),
        ] {
            server.own_file(name, text);
        }
        server.settings.push("ssl=on".to_owned());
        let access = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
        fs::write(server.data().join("pg_hba.conf"), access).expect("the file can be written");
        server.restart().await;
        server.sql_in("postgres", "CREATE DATABASE test");
        Some(server)
    }

    /// As [`start`](Self::start), with further settings such as `max_connections=5`.
    pub async fn with(settings: &[&str]) -> Option<Self> {
        let mut server = Self::new()?;
        server.settings = settings.iter().map(|s| (*s).to_owned()).collect();
        server.restart().await;
        server.sql_in("postgres", "CREATE DATABASE test");
        Some(server)
    }

    fn new() -> Option<Self> {
        let programs = programs()?;
        let folder = TempDir::new();
        hand_over(folder.path());
        let passwords = folder.file("password", format!("{PASSWORD}\n"));
        hand_over(&passwords);
        let data = folder.path().join("data");
        let mut made = as_server(&programs.join("initdb"));
        made.args(["--no-sync", "--username", "app", "--encoding", "UTF8"])
            .args(["--locale", "C", "--auth-local", "trust"])
            .args(["--auth-host", "scram-sha-256", "--pwfile"])
            .arg(&passwords)
            .arg("--pgdata")
            .arg(&data);
        let made = made.output().expect("initdb starts");
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{said}");
        Some(Self {
            programs,
            folder,
            address: free_address(),
            settings: Vec::new(),
            process: None,
        })
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Writes a file that only the server may read.
    fn own_file(&self, name: &str, text: &str) {
        let path = self.data().join(name);
        fs::write(&path, text).expect("the file can be written");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let private = fs::Permissions::from_mode(0o600);
            fs::set_permissions(&path, private).expect("it is ours");
        }
        hand_over(&path);
    }

    /// Returns its address without a password.
    pub fn url(&self) -> String {
        format!("postgres://app@{}/test", self.address)
    }

    /// Returns a program with the password in its environment.
    #[must_use]
    pub fn known_to(&self, program: Program) -> Program {
        program.env("PGPASSWORD", PASSWORD)
    }

    /// Returns the folder of its socket.
    pub fn socket(&self) -> &Path {
        self.folder.path()
    }

    /// Runs statements, and returns what they give: a line for each row, `|` between its values.
    ///
    /// # Panics
    /// If one fails.
    pub fn sql(&self, statements: &str) -> String {
        self.sql_in("test", statements)
    }

    fn sql_in(&self, database: &str, statements: &str) -> String {
        let output = Once::new(self.programs.join("psql"))
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .args(["--set", "ON_ERROR_STOP=1", "--username", "app"])
            .args(["--port", &self.address.port().to_string()])
            .arg("--host")
            .arg(self.folder.path())
            .args(["--dbname", database, "--command", statements])
            .output()
            .expect("psql starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{statements}: {said}");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        text.trim_end().to_owned()
    }

    /// Ends it at once, as a crash would.
    ///
    /// # Panics
    /// If it does not run.
    pub async fn kill(&mut self) {
        let process = self.process.take().expect("it runs");
        process.signal("QUIT");
        process.end().await;
    }

    /// Starts it where it was.
    pub async fn restart(&mut self) {
        let port = self.address.port().to_string();
        let folder = self.folder.path().display().to_string();
        let program = self.programs.join("postgres");
        let own = [
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={folder}"),
        ];
        let mut args = vec!["-D".to_owned(), self.data().display().to_string()];
        args.extend(["-p".to_owned(), port]);
        let settings = SETTINGS.iter().map(|s| (*s).to_owned()).chain(own);
        for setting in settings.chain(self.settings.iter().cloned()) {
            args.extend(["-c".to_owned(), setting]);
        }
        let (first, before) = launcher(&program);
        self.process = Some(Program::new(first).args(before).args(args).start());
        let ready = self.programs.join("pg_isready");
        let port = self.address.port().to_string();
        until("the database", async || {
            let asked = Once::new(&ready)
                .args(["--quiet", "--port", &port, "--host"])
                .arg(self.folder.path())
                .status();
            asked.is_ok_and(|status| status.success()).then_some(())
        })
        .await;
    }
}

/// Returns the folder of the programs of a server: that of `MOTET_POSTGRES`, or the newest version
/// of Debian's packages. `None`, with a line that says why, if there is none.
fn programs() -> Option<PathBuf> {
    let named = std::env::var_os("MOTET_POSTGRES").map(PathBuf::from);
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(DEBIAN)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            Some((number, entry.path().join("bin")))
        })
        .collect();
    versions.sort();
    let found = named.or_else(|| versions.pop().map(|(_, path)| path));
    let found = found.filter(|path| path.join("initdb").exists());
    if found.is_none() {
        println!("skipped: no server of Postgres in {DEBIAN}, nor in MOTET_POSTGRES");
    }
    let is_possible = !is_root() || system_user().is_some();
    if found.is_some() && !is_possible {
        println!("skipped: Postgres does not run as root, and there is no user {SYSTEM_USER}");
    }
    found.filter(|_| is_possible)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Returns the numbers of the user and group of servers.
fn system_user() -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let mut lines = users.lines().map(|line| line.split(':'));
    let mut fields = lines.find_map(|mut fields| {
        let name = fields.next()?;
        (name == SYSTEM_USER).then_some(fields)
    })?;
    let user = fields.nth(1)?.parse().ok()?;
    Some((user, fields.next()?.parse().ok()?))
}

/// Gives a file or folder to the user of servers, where this one is root.
fn hand_over(path: &Path) {
    #[cfg(unix)]
    if let Some((user, group)) = system_user().filter(|_| is_root()) {
        std::os::unix::fs::chown(path, Some(user), Some(group)).expect("root may do so");
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// Returns the program that starts another one as a user that servers accept, and its arguments.
fn launcher(program: &Path) -> (PathBuf, Vec<String>) {
    match system_user().filter(|_| is_root()) {
        None => (program.to_owned(), Vec::new()),
        Some((user, group)) => {
            let args = [
                format!("--reuid={user}"),
                format!("--regid={group}"),
                "--clear-groups".to_owned(),
                program.display().to_string(),
            ];
            ("setpriv".into(), args.into())
        }
    }
}

fn as_server(program: &Path) -> Once {
    let (first, args) = launcher(program);
    let mut command = Once::new(first);
    command.args(args).current_dir("/");
    command
}
