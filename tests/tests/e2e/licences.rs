//! THIRD_PARTY.md: the licences of what a distributed motet contains.
//!
//! Written by `UPDATE_GOLDEN=1 cargo test -p motet-tests --test e2e licences`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;

use motet_tests::packages::{self, Package};
use motet_tests::repository;
use spdx::{Expression, Licensee};

/// The platform of the container image; others need other packages.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// Accepted licences, the preferred first, each with the word that the names of files with its
/// text contain where a package offers several licences.
const LICENCES: [(&str, &str); 10] = [
    (APACHE, "apache"),
    ("MIT", "mit"),
    ("BSD-2-Clause", "bsd"),
    ("BSD-3-Clause", "bsd"),
    ("BSL-1.0", "boost"),
    ("ISC", "isc"),
    ("Zlib", "zlib"),
    ("Unicode-3.0", "unicode"),
    ("CDLA-Permissive-2.0", "cdla"),
    ("CC0-1.0", "cc0"),
];

/// Its text is always the same, and is LICENSE-APACHE.
const APACHE: &str = "Apache-2.0";

/// Packages that bring sources of others along, which are compiled in, with the files that have the
/// licences of these.
const BROUGHT_ALONG: [(&str, &str, &str); 3] = [
    ("rdkafka-sys", "librdkafka", "librdkafka/LICENSES.txt"),
    ("libz-sys", "zlib", "src/zlib/LICENSE"),
    ("zstd-sys", "zstd", "zstd/LICENSE"),
];

const HEADER: &str = "\
# Third-party licences

A distributed `motet` (features of [deploy/](deploy/), Linux on x86-64) contains the packages below,
the Rust standard library (MIT or Apache-2.0) and the works that [NOTICE](NOTICE) names. Where a
package offers several licences, the one taken is in the table. The text of the Apache License 2.0
is in [LICENSE-APACHE](LICENSE-APACHE); the other texts follow the table.

Generated: `UPDATE_GOLDEN=1 cargo test -p motet-tests --test e2e licences`.

| package | version | offered under | taken |
|---|---|---|---|
";

/// Returns the packages that a binary contains, macros among them, in the order of their names.
fn contained() -> Vec<Package> {
    let packages = packages::resolved();
    let program = packages.iter().find(|(_, p)| p.ours && p.name == "motet");
    let mut open = vec![program.expect("motet").0];
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if seen.insert(id) {
            let normal = packages[id].dependencies.iter().filter(|d| d.normal);
            open.extend(normal.map(|d| &d.id));
        }
    }
    let mut contained: Vec<Package> = seen.into_iter().map(|id| packages[id].clone()).collect();
    contained.retain(|package| !package.ours);
    contained.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    contained
}

/// Returns the least set of accepted licences under which an expression allows use, the preferred
/// ones.
fn taken(expression: &str) -> Result<Vec<String>, String> {
    let canonical = Expression::canonicalize(expression).map_err(|e| e.to_string())?;
    let expression = canonical.as_deref().unwrap_or(expression);
    let parsed = Expression::parse(expression).map_err(|e| e.to_string())?;
    let accepted = LICENCES.map(|(name, _)| Licensee::parse(name).expect("a licence"));
    let taken = parsed
        .minimized_requirements(&accepted)
        .map_err(|e| format!("{expression}: {e}"))?;
    Ok(taken.iter().map(ToString::to_string).collect())
}

/// Returns the row of [`LICENCES`].
fn accepted(licence: &str) -> (&'static str, &'static str) {
    let found = LICENCES.iter().find(|(name, _)| *name == licence);
    *found.expect("an accepted licence")
}

/// Texts that a package ships: those of the licence (all that name no licence, where none names
/// this one), and its notices.
fn texts(package: &Package, licence: &str) -> Vec<String> {
    let (_, label) = accepted(licence);
    let files = fs::read_dir(&package.folder).expect("sources of packages are unpacked");
    let mut named: Vec<(String, String)> = files
        .map(|file| file.expect("a readable folder"))
        .filter(|file| file.file_type().is_ok_and(|kind| kind.is_file()))
        .map(|file| (file.file_name().to_string_lossy().to_lowercase(), file))
        .filter(|(name, _)| {
            let starts = ["license", "licence", "copying", "copyright", "notice"];
            starts.iter().any(|start| name.starts_with(start))
        })
        .filter_map(|(name, file)| Some((name, fs::read_to_string(file.path()).ok()?)))
        .collect();
    named.sort();
    let of_label = |label: &str| named.iter().any(|(name, _)| name.contains(label));
    let wanted = |name: &str| {
        let other = || LICENCES.iter().any(|(_, other)| name.contains(other));
        name.starts_with("notice") || name.contains(label) || (!of_label(label) && !other())
    };
    let wanted = named.iter().filter(|(name, _)| wanted(name));
    let wanted = wanted.filter(|(name, _)| licence != APACHE || name.starts_with("notice"));
    wanted.map(|(_, text)| tidy(text)).collect()
}

/// Returns a text without trailing spaces and surrounding empty lines.
fn tidy(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

/// Returns a repository without the parts that differ between packages of one repository.
fn home(package: &Package) -> Option<&str> {
    let home = package.repository.as_deref()?;
    let home = home.split("/tree/").next().unwrap_or(home);
    Some(home.trim_end_matches('/').trim_end_matches(".git"))
}

/// Returns the page, or what is wrong with which package.
fn page(packages: &[Package]) -> Result<String, Vec<String>> {
    let mut page = HEADER.to_owned();
    let mut errors = Vec::new();
    // The licences that a text is of, and its packages.
    let mut groups: BTreeMap<String, [BTreeSet<&str>; 2]> = BTreeMap::new();
    for package in packages {
        let Package { name, version, .. } = package;
        let offered = package.licence.as_deref().unwrap_or("nothing");
        let licences = match taken(offered) {
            Ok(licences) => licences,
            Err(error) => {
                errors.push(format!("{name} {version}: {error}"));
                continue;
            }
        };
        let all = licences.join(", ");
        writeln!(page, "| {name} | {version} | {offered} | {all} |").expect("a string");
        for licence in &licences {
            let mut found = texts(package, licence);
            if found.is_empty() && licence != APACHE {
                // Packages of one repository have one text, which some of them do not ship.
                let same = |p: &&Package| home(p).is_some() && home(p) == home(package);
                let mut others = packages.iter().filter(same).map(|p| texts(p, licence));
                found = others.find(|texts| !texts.is_empty()).unwrap_or_default();
            }
            if found.is_empty() && licence != APACHE {
                errors.push(format!("{name} {version}: no text of {licence}"));
            }
            for text in found {
                let [of, names] = groups.entry(text).or_default();
                of.insert(accepted(licence).0);
                names.insert(name);
            }
        }
    }
    let mut groups: Vec<(String, String)> = groups
        .into_iter()
        .map(|(text, sets)| {
            let [of, names] = sets.map(|set| set.into_iter().collect::<Vec<_>>().join(", "));
            (format!("{of}: {names}"), text)
        })
        .collect();
    for (name, work, file) in BROUGHT_ALONG {
        let package = packages.iter().find(|package| package.name == name);
        let Some(package) = package else {
            errors.push(format!("{name} is not there any more"));
            continue;
        };
        match fs::read_to_string(package.folder.join(file)) {
            Ok(text) => groups.push((format!("{work}, of {name}"), tidy(&text))),
            Err(error) => errors.push(format!("{name}: {file}: {error}")),
        }
    }
    groups.sort();
    for (heading, text) in groups {
        write!(page, "\n## {heading}\n\n```text\n{text}\n```\n").expect("a string");
    }
    if errors.is_empty() {
        Ok(page)
    } else {
        Err(errors)
    }
}

#[test]
fn the_page_lists_what_a_binary_contains() {
    if packages::host() != PLATFORM {
        return println!("skipped: the page is {PLATFORM}'s");
    }
    let page = page(&contained()).unwrap_or_else(|errors| panic!("{}", errors.join("\n")));
    let path = repository().join("THIRD_PARTY.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    // A difference is in a few lines; the page has thousands.
    let [new, old] = [&page, &written].map(|text| text.lines().collect::<BTreeSet<_>>());
    let (more, less) = (new.difference(&old), old.difference(&new));
    assert!(
        page == written,
        "THIRD_PARTY.md is out of date (UPDATE_GOLDEN=1 writes it):\nmissing: {:#?}\ntoo many: \
         {:#?}",
        more.collect::<Vec<_>>(),
        less.collect::<Vec<_>>()
    );
}

#[test]
fn the_preferred_licences_that_suffice_are_taken() {
    let cases = [
        ("MIT OR Apache-2.0", Ok("Apache-2.0")),
        ("Apache-2.0/MIT", Ok("Apache-2.0")),
        ("Unlicense OR MIT", Ok("MIT")),
        ("MIT AND BSD-3-Clause", Ok("MIT, BSD-3-Clause")),
        (
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            Ok("Apache-2.0, Unicode-3.0"),
        ),
        (
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
            Ok("Apache-2.0"),
        ),
        ("GPL-3.0-only", Err(())),
        ("Apache-2.0 WITH LLVM-exception AND GPL-2.0-only", Err(())),
        ("nothing", Err(())),
    ];
    for (expression, expected) in cases {
        let taken = taken(expression).map(|licences| licences.join(", "));
        assert_eq!(
            taken.as_deref().map_err(|_| ()),
            expected,
            "{expression}: {taken:?}"
        );
    }
}
