//! Addresses of a server: the services of each, and who may use them.

use motet_runtime::config::ServerSpec;
use motet_runtime::listener::ListenerServices;

use crate::table::table;

/// Returns a table of the addresses of a server: what each has, and who may use it.
pub(crate) fn reachable(server: &ServerSpec) -> String {
    let who = format!("{}; {}", callers(server), transport(server));
    let mut rows = vec![vec![
        "gRPC".to_owned(),
        server.grpc.to_string(),
        format!("{}; {who}", services(server.grpc_services())),
    ]];
    match server.admin_listener() {
        Some((address, admin)) => rows.push(vec![
            "admin".to_owned(),
            address.to_string(),
            format!("{}; {who}", services(admin)),
        ]),
        None if !server.grpc_services().admin => rows.push(vec![
            "admin".to_owned(),
            "off".to_owned(),
            "nothing loads or unloads while the server runs".to_owned(),
        ]),
        None => {}
    }
    if let Some(http) = server.http {
        let pages = format!("{}; {}", pages(server), transport(server));
        rows.push(vec!["HTTP".to_owned(), http.to_string(), pages]);
    }
    table(&rows, 2)
}

fn services(services: ListenerServices) -> String {
    let mut names = vec!["calls"];
    names.extend(services.admin.then_some("load and unload"));
    names.extend(services.health.then_some("health"));
    names.extend(services.reflection.then_some("reflection"));
    names.join(", ")
}

fn pages(server: &ServerSpec) -> String {
    let mut pages = Vec::new();
    if server.http_services.health {
        pages.push("health for everyone".to_owned());
    }
    if server.http_services.metrics {
        let who = match &server.auth {
            Some(_) => "those with the grant `metrics`",
            None => "everyone",
        };
        pages.push(format!("metrics for {who}"));
    }
    match pages.is_empty() {
        true => "an index".to_owned(),
        false => pages.join(", "),
    }
}

fn transport(server: &ServerSpec) -> &'static str {
    match &server.tls {
        Some(tls) if tls.requires_clients() => "TLS with client certificates",
        Some(_) => "TLS",
        None => "plain text",
    }
}

fn callers(server: &ServerSpec) -> String {
    let Some(auth) = &server.auth else {
        return "for everyone".to_owned();
    };
    let kinds = [
        auth.keys.as_ref().map(|_| "a key of the keys file"),
        auth.jwt.as_ref().map(|_| "a token of the issuer"),
    ];
    let kinds: Vec<&str> = kinds.into_iter().flatten().collect();
    format!(
        "for those with {} (health for everyone)",
        kinds.join(" or ")
    )
}

#[cfg(test)]
mod tests {
    use motet_runtime::config::{AdminSpec, AuthSpec, HttpServices};

    use super::*;

    #[test]
    fn every_address_is_told_with_what_it_has() {
        let local = ServerSpec::default();
        let text = reachable(&local);
        assert_eq!(
            text,
            "  gRPC  127.0.0.1:50051  calls, load and unload, health, reflection; for everyone; \
             plain text\n  HTTP  127.0.0.1:8080   health for everyone, metrics for everyone; \
             plain text\n"
        );
        let open = ServerSpec {
            grpc: "0.0.0.0:1".parse().unwrap(),
            grpc_services: ListenerServices {
                reflection: false,
                ..ListenerServices::default()
            },
            http_services: HttpServices {
                health: false,
                metrics: true,
            },
            auth: Some(AuthSpec {
                keys: Some("keys.yaml".into()),
                jwt: None,
            }),
            ..ServerSpec::default()
        };
        let text = reachable(&open);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let who = "for those with a key of the keys file (health for everyone); plain text";
        assert_eq!(
            lines[0],
            format!("gRPC   0.0.0.0:1        calls, health; {who}")
        );
        assert!(lines[1].starts_with("admin  127.0.0.1:50052  calls, load and unload, "));
        assert!(lines[2].ends_with("metrics for those with the grant `metrics`; plain text"));
        let off = ServerSpec {
            admin: AdminSpec::Off,
            http: None,
            ..open
        };
        assert!(reachable(&off).contains("admin  off"));
    }
}
