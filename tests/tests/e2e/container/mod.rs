//! The container image, as far as it can be tested without a container engine: what deploy/ says,
//! and the program on the libc of the runtime stage.

mod dockerfile;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use motet_tests::program::Program;
use motet_tests::reflected::Service;
use motet_tests::repository;
use serde_json::json;

use dockerfile::{Stage, exec, stages};

/// The program under test.
const MOTET: &str = env!("CARGO_BIN_EXE_motet-e2e");

/// The glibc (2.N) of Debian releases.
const GLIBC: [(&str, u32); 3] = [("bookworm", 36), ("trixie", 41), ("forky", 42)];

/// Returns the stage that the image is made of.
fn runtime() -> Stage {
    stages().pop().unwrap()
}

#[test]
fn both_stages_are_of_one_release_and_the_toolchain_is_the_repositorys() {
    let stages = stages();
    let [build, runtime] = &stages[..] else {
        panic!("{stages:?}");
    };
    assert_eq!(build.release(), runtime.release(), "{stages:?}");
    let toolchain = std::fs::read_to_string(repository().join("rust-toolchain.toml")).unwrap();
    let env = build.env();
    let (_, version) = env.iter().find(|(n, _)| n == "RUSTUP_TOOLCHAIN").unwrap();
    assert!(
        toolchain.contains(&format!("channel = \"{version}\"")),
        "{version}"
    );
    let image = format!("rust:{version}-slim-{}", runtime.release());
    assert_eq!(build.image, image);
}

#[test]
fn the_exposed_ports_are_those_that_the_command_listens_on() {
    let runtime = runtime();
    let command = exec(runtime.last("CMD"));
    let addresses = command
        .iter()
        .filter_map(|word| word.parse::<SocketAddr>().ok());
    let ports: Vec<String> = addresses.map(|a| a.port().to_string()).collect();
    let exposed: Vec<&str> = runtime.last("EXPOSE").split(' ').collect();
    assert_eq!(exposed, ports);
}

/// Returns the highest N of the symbol versions `GLIBC_2.N` that a program names.
fn needed(program: &[u8]) -> u32 {
    let parts = program
        .windows(8)
        .enumerate()
        .filter(|(_, w)| w == b"GLIBC_2.");
    let versions = parts.filter_map(|(at, _)| {
        let digits = program[at + 8..].iter().take_while(|b| b.is_ascii_digit());
        let digits: Vec<u8> = digits.copied().collect();
        std::str::from_utf8(&digits).ok()?.parse().ok()
    });
    versions.max().expect("a program linked with glibc")
}

/// Returns the glibc (2.N) of this machine, which the program under test is linked with.
fn linked() -> Option<u32> {
    let output = Command::new("getconf")
        .arg("GNU_LIBC_VERSION")
        .output()
        .ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    version.trim().strip_prefix("glibc 2.")?.parse().ok()
}

#[test]
fn the_program_needs_no_newer_libc_than_the_image_has() {
    assert_eq!(needed(b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.9\0"), 34);
    let runtime = runtime();
    let release = GLIBC.iter().find(|(name, _)| *name == runtime.release());
    let has = release.expect("a release in the table").1;
    match linked() {
        Some(here) if here <= has => {
            let needs = needed(&std::fs::read(MOTET).unwrap());
            assert!(needs <= has, "needs glibc 2.{needs}, the image has 2.{has}");
        }
        here => println!("skipped: linked with glibc 2.{here:?}, the image has 2.{has}"),
    }
}

/// Starts commands as the image does: on its libc, as its user, with its environment, on a root
/// file system that is read-only where this user may mount.
struct Image {
    root: PathBuf,
    stage: Stage,
    read_only: bool,
}

impl Image {
    /// `None`, with a line that says why, where that cannot be.
    fn new() -> Option<Self> {
        let Some(root) = std::env::var_os("MOTET_IMAGE_ROOT") else {
            println!("skipped: MOTET_IMAGE_ROOT is not set");
            return None;
        };
        let succeeds = |program: &str, args: &[&str]| {
            let output = Command::new(program).args(args).output();
            output.is_ok_and(|output| output.status.success())
        };
        if !succeeds("chroot", &["/", "true"]) {
            println!("skipped: chroot needs root");
            return None;
        }
        let root = PathBuf::from(root);
        let stage = runtime();
        let entry = exec(stage.last("ENTRYPOINT"));
        let folder = root.join("usr/local/bin");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::copy(MOTET, folder.join(&entry[0])).unwrap();
        let read_only = succeeds("unshare", &["--mount", "true"]);
        Some(Self {
            root,
            stage,
            read_only,
        })
    }

    /// Returns a command, with the image's environment.
    fn program(&self, command: &[String]) -> Program {
        let user = self.stage.last("USER");
        let root = self.root.to_str().unwrap();
        let start = if self.read_only {
            "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" \
             && mount -t proc proc \"$0/proc\" && mount --bind /dev \"$0/dev\" && "
        } else {
            ""
        };
        let script = format!("{start} exec chroot --userspec={user} --groups= \"$0\" \"$@\"");
        let mut words = if self.read_only {
            vec!["unshare", "--mount"]
        } else {
            vec!["env"]
        };
        words.extend(["sh", "-c", &script, root]);
        words.extend(command.iter().map(String::as_str));
        let mut program = Program::new(words[0]).args(&words[1..]).env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        for (name, value) in self.stage.env() {
            program = program.env(&name, value);
        }
        program
    }
}

#[tokio::test]
async fn motet_runs_on_the_images_libc_as_its_user_with_a_read_only_root() {
    let Some(image) = Image::new() else {
        return;
    };
    let stage = &image.stage;
    let mut command = [exec(stage.last("ENTRYPOINT")), exec(stage.last("CMD"))].concat();
    for word in &mut command {
        // The same interfaces, on free ports.
        if let Ok(mut address) = word.parse::<SocketAddr>() {
            address.set_port(0);
            *word = address.to_string();
        }
    }
    let program = image.program(&command);
    let mut process = program.start();
    let ready = process.ready().await;
    let user = process.user().expect("it runs").to_string();
    assert_eq!(Some(&*user), stage.last("USER").split(':').next());

    let health = exec(stage.last("HEALTHCHECK"));
    for (port, code) in [(ready.grpc.port(), 0), (1, 1)] {
        let address = ["-a".to_owned(), format!("127.0.0.1:{port}")];
        let ended = image.program(&[&health[..], &address].concat()).run().await;
        assert_eq!(ended.code, Some(code), "{ended:?}");
    }
    if image.read_only {
        let write = ["touch", "/tmp/written"].map(str::to_owned);
        let ended = image.program(&write).run().await;
        assert!(ended.stderr.contains("Read-only file system"), "{ended:?}");
    } else {
        println!("skipped: a read-only root needs the right to mount");
    }

    let connection = process.connect().await;
    let rag = Service::learn(&connection, "motet.pipeline.Rag")
        .await
        .unwrap();
    let question = json!({ "query": "bread", "documents": ["Bread is flour.", "Rain is water."] });
    let answer = rag.call("Run", question).await.unwrap();
    assert_eq!(answer["results"][0]["index"], 0, "{answer}");

    process.signal(stage.last("STOPSIGNAL").trim_start_matches("SIG"));
    let ended = process.end().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

/// Files that the Dockerfile copies from the repository must exist, and so must the licences.
#[test]
fn the_image_has_the_licences() {
    let stage = runtime();
    let copied = stage.instructions.iter().filter(|(word, _)| word == "COPY");
    let copied = copied.flat_map(|(_, rest)| rest.split(' '));
    let files: Vec<&str> = copied
        .filter_map(|word| word.strip_prefix("/src/"))
        .collect();
    for file in ["NOTICE", "THIRD_PARTY.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        assert!(files.contains(&file), "{file}");
        assert!(repository().join(file).exists(), "{file}");
    }
}
