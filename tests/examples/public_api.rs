//! Compares the public interfaces of the published crates that others program against with the
//! listings that are kept, `services/cli/api.txt` and `services/batcher/api.txt`.
//!
//! ```text
//! cargo doc --workspace --no-deps
//! cargo run -p motet-tests --example public_api                    # compare
//! UPDATE_GOLDEN=1 cargo run -p motet-tests --example public_api    # write the listings
//! ```
//!
//! A change of a listing is a change for those who use the crate: an addition is a minor version, a
//! change or a removal a major one (before 1.0: a patch, a minor one). The listings are those of
//! the compiler in rust-toolchain.toml.

use std::process::ExitCode;

use motet_tests::{public_api, repository};

/// Crates by their names in code, with the folder of the package.
const CRATES: [(&str, &str); 2] = [
    ("motet", "services/cli"),
    ("motet_batcher", "services/batcher"),
];

fn main() -> ExitCode {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut differs = false;
    for (name, package) in CRATES {
        let pages = repository().join("target/doc").join(name);
        let listing = match public_api::listing(&pages, name) {
            Ok(listing) => listing,
            Err(error) => {
                eprintln!("{}: {error}; run cargo doc first", pages.display());
                return ExitCode::FAILURE;
            }
        };
        let kept = repository().join(package).join("api.txt");
        if update {
            if let Err(error) = std::fs::write(&kept, listing) {
                eprintln!("{}: {error}", kept.display());
                return ExitCode::FAILURE;
            }
            continue;
        }
        let known = std::fs::read_to_string(&kept).unwrap_or_default();
        differs |= known != listing;
        show(package, &known, &listing);
    }
    if differs {
        eprintln!(
            "the public interface is another; if that is meant, note it in CHANGELOG.md and run\n\
             UPDATE_GOLDEN=1 cargo run -p motet-tests --example public_api"
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Prints the lines that only one of two listings has.
fn show(package: &str, before: &str, now: &str) {
    for (sign, these, others) in [('-', before, now), ('+', now, before)] {
        for line in these
            .lines()
            .filter(|line| !others.lines().any(|o| o == *line))
        {
            eprintln!("{package}/api.txt {sign} {line}");
        }
    }
}
