//! The dependency arrows of the architecture, checked on what cargo resolves: which crates may depend on which, and
//! what the pure crates must never reach.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{CargoOpt, DependencyKind, MetadataCommand};

/// The normal dependencies of every package, by name, with each package once per name.
fn graph() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .features(CargoOpt::AllFeatures)
        .other_options(["--locked".to_owned()])
        .exec()
        .expect("cargo metadata");
    let names: BTreeMap<_, _> =
        metadata.packages.iter().map(|package| (&package.id, package.name.to_string())).collect();
    let mut graph = BTreeMap::<_, BTreeSet<_>>::new();
    for node in metadata.resolve.expect("a resolved graph").nodes {
        let used = node.deps.iter().filter(|dependency| {
            dependency.dep_kinds.iter().any(|kind| matches!(kind.kind, DependencyKind::Normal | DependencyKind::Build))
        });
        graph.entry(names[&node.id].clone()).or_default().extend(used.map(|dependency| names[&dependency.pkg].clone()));
    }
    graph
}

/// All packages that a package depends on, directly or not.
fn reach(graph: &BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(name) = waiting.pop() {
        for next in graph.get(name).unwrap_or_else(|| panic!("no package `{name}`")) {
            if reached.insert(next.clone()) {
                waiting.push(next);
            }
        }
    }
    reached
}

fn ours(names: &BTreeSet<String>) -> BTreeSet<&str> {
    names.iter().map(String::as_str).filter(|name| name.starts_with("fleetform")).collect()
}

#[test]
fn crates_see_only_what_the_architecture_says() {
    let graph = graph();
    for (package, allowed) in [
        ("fleetform-engine", &[][..]),
        ("fleetform-policy", &[]),
        ("fleetform-generator", &["fleetform-engine", "fleetform-policy"]),
        ("fleetform-runtime", &["fleetform-engine"]),
        ("fleetform-faults", &["fleetform-engine"]),
        ("fleetform-fleet", &["fleetform-engine"]),
        ("fleetform-allocations", &[]),
        ("fleetform-consumers", &["fleetform-allocations", "fleetform-engine", "fleetform-runtime"]),
        ("fleetform-fuzz", &["fleetform-allocations", "fleetform-engine", "fleetform-runtime"]),
        (
            "fleetform",
            &["fleetform-engine", "fleetform-fleet", "fleetform-generator", "fleetform-policy", "fleetform-runtime"],
        ),
    ] {
        let reached = reach(&graph, package);
        let beyond: Vec<_> = ours(&reached).into_iter().filter(|name| !allowed.contains(name)).collect();
        assert!(beyond.is_empty(), "{package} must not depend on {beyond:?}");
    }
}

#[test]
fn every_package_of_the_workspace_is_spoken_for() {
    let graph = graph();
    let names: BTreeSet<_> = graph.keys().cloned().collect();
    let known = BTreeSet::from([
        "fleetform",
        "fleetform-allocations",
        "fleetform-bench",
        "fleetform-consumers",
        "fleetform-engine",
        "fleetform-faults",
        "fleetform-fleet",
        "fleetform-fuzz",
        "fleetform-generator",
        "fleetform-policy",
        "fleetform-runtime",
        "fleetform-tests",
    ]);
    assert_eq!(ours(&names), known, "a new package needs its arrows above");
}

#[test]
fn pure_crates_reach_no_executor_no_tls_and_no_aws() {
    let graph = graph();
    for package in ["fleetform-engine", "fleetform-policy", "fleetform-generator", "fleetform-fleet"] {
        let impure: Vec<_> = reach(&graph, package).into_iter().filter(|name| is_impure(name)).collect();
        assert!(impure.is_empty(), "{package} reaches {impure:?}");
    }
    assert!(reach(&graph, "fleetform-runtime").iter().any(|name| is_impure(name)), "the words below match nothing");
}

#[test]
fn bugs_on_purpose_are_asked_for_by_the_simulation_alone() {
    let metadata = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata");
    let asks = |package: &&cargo_metadata::Package| {
        package.dependencies.iter().any(|dependency| dependency.features.iter().any(|feature| feature == "mutants"))
    };
    let asking: Vec<_> = metadata.packages.iter().filter(asks).map(|package| package.name.as_str()).collect();
    assert_eq!(asking, ["fleetform-faults"]);
    let engine =
        metadata.packages.iter().find(|package| package.name.as_str() == "fleetform-engine").expect("the engine");
    assert!(engine.features.contains_key("mutants"));
    let on: Vec<_> = engine.features.values().flatten().filter(|feature| feature.as_str() == "mutants").collect();
    assert!(on.is_empty() && !engine.features.contains_key("default"), "no other feature switches it on");
}

fn is_impure(name: &str) -> bool {
    const NAMES: &[&str] =
        &["tokio", "mio", "socket2", "hyper", "reqwest", "rustls", "aws-lc-rs", "ring", "openssl", "rusqlite"];
    const PREFIXES: &[&str] = &["aws-", "tokio-", "hyper-", "openssl-", "libsqlite3-"];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}
