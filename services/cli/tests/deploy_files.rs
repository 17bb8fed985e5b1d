//! The files in `deploy/` use flags and models that the program has.

use std::path::Path;

use clap::Parser;
use motet::Tasks;
use motet::args::{Cli, Command, HttpAddress};
use motet::configuration::{Configuration, Files};
use motet_config::{Diagnostics, Node, Sources};

fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../deploy")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

fn parse(arguments: &[String]) -> Cli {
    let line = std::iter::once("motet").chain(arguments.iter().map(String::as_str));
    Cli::try_parse_from(line).unwrap_or_else(|e| panic!("{arguments:?}: {e}"))
}

fn strings(node: &Node) -> Vec<String> {
    node.as_list()
        .unwrap()
        .iter()
        .map(|n| n.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_dockerfile_starts_the_program_with_valid_arguments() {
    let dockerfile = text("Dockerfile");
    let cmd = dockerfile
        .lines()
        .find_map(|line| line.strip_prefix("CMD "))
        .unwrap();
    let arguments: Vec<String> = serde_json::from_str(cmd).unwrap();
    let Some(Command::Up(up)) = parse(&arguments).command else {
        panic!("{arguments:?} is not `up`");
    };
    // A container is reached from outside: loopback would not do.
    assert!(up.listen.grpc.unwrap().ip().is_unspecified());
    assert!(matches!(up.listen.http, Some(HttpAddress::At(a)) if a.ip().is_unspecified()));
}

#[test]
fn the_compose_file_starts_every_model_and_reaches_each() {
    let mut sources = Sources::new();
    let mut diagnostics = Diagnostics::new();
    let file = sources.add("compose.yaml", "", text("compose.yaml"));
    let root = motet_config::parse(&sources, file, &mut diagnostics).unwrap();
    assert!(diagnostics.is_empty());
    let services = root.as_map().unwrap().get("services").unwrap();
    let mut served: Vec<(String, String)> = Vec::new();
    let mut reached: Vec<(String, String)> = Vec::new();
    for service in &services.node.as_map().unwrap().entries {
        let command = service.node.as_map().unwrap().get("command").unwrap();
        match parse(&strings(&command.node)).command {
            Some(Command::Serve(args)) => {
                let port = args.listen.grpc.unwrap().port();
                let address = format!("grpc://{}:{port}", service.key.value);
                served.extend(args.names.into_iter().map(|m| (m, address.clone())));
            }
            Some(Command::Gateway(args)) => {
                let endpoints = args.remote.endpoints.into_iter();
                reached.extend(endpoints.map(|(m, e)| (m, e.to_string())));
            }
            other => panic!("{other:?}"),
        }
    }
    served.sort();
    reached.sort();
    assert_eq!(served, reached);
    let builtin = Configuration::read(&Files::default(), &Tasks::builtin()).unwrap();
    let mut models: Vec<&str> = builtin
        .config
        .models
        .iter()
        .map(|m| m.name.value.as_str())
        .collect();
    models.sort_unstable();
    let names: Vec<&str> = served.iter().map(|(m, _)| m.as_str()).collect();
    assert_eq!(names, models);
}
