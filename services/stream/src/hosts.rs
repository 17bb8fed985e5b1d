//! The machine's name.

/// Returns the name of this machine's consumer.
pub(crate) fn consumer_of_host() -> String {
    let host = std::env::var("HOSTNAME")
        .ok()
        .filter(|host| !host.is_empty());
    let host = host.or_else(|| std::fs::read_to_string("/etc/hostname").ok());
    let host = host.map(|host| host.trim().to_owned());
    host.filter(|host| !host.is_empty())
        .map_or("motet".to_owned(), |host| format!("motet-{host}"))
}
