//! The generator beside its peers, as whole processes: `fleetform generate` against a CDK app of as many resources,
//! and against cfn-lint over the templates that we wrote.
//!
//! Rounds are interleaved. No ratio is printed unless the peer handled exactly as many resources as ours.

use std::{fs, process::Command};

use anstream::println;
use camino::{Utf8Path, Utf8PathBuf};
use clap::Parser;
use fleetform_bench::{
    process::{Cost, run},
    statistics::Spread,
};
use fleetform_tests::platforms::{self, Size};
use serde_json::Value;

/// Measures `fleetform generate` beside a CDK app and cfn-lint.
#[derive(Parser)]
struct Arguments {
    /// Counted rounds of every program, after one that is not counted.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The `fleetform` binary to measure.
    #[arg(long, default_value = "target/release/fleetform")]
    fleetform: Utf8PathBuf,
    /// Folder of the CDK app with its `node_modules` (`npm ci` in a copy of `bench/peers/cdk`).
    #[arg(long, default_value = ".tools/cdk")]
    cdk: Utf8PathBuf,
    /// The cfn-lint to measure.
    #[arg(long, default_value = ".tools/python/bin/cfn-lint")]
    cfn_lint: Utf8PathBuf,
}

/// One size of platform, and the peers that it is measured against.
struct Case {
    name: &'static str,
    size: Size,
    /// cfn-lint takes minutes on the large case, and its goal is set at the small one.
    lint: bool,
}

const CASES: [Case; 2] = [
    Case { name: "450 resources", size: Size { zones: 170, device_types: 40, contacts: 45, rules: 100 }, lint: true },
    Case {
        name: "1,000 zones, 200 device types, 10,000 rules",
        size: Size { zones: 1_000, device_types: 200, contacts: 400, rules: 10_000 },
        lint: false,
    },
];

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let scratch = tempfile::tempdir()?;
    let scratch = Utf8Path::from_path(scratch.path()).ok_or("the temporary folder's name is not UTF-8")?;
    for (index, case) in CASES.iter().enumerate() {
        measure(&arguments, case, &scratch.join(index.to_string()))?;
    }
    sample(&arguments, scratch)
}

fn measure(arguments: &Arguments, case: &Case, scratch: &Utf8Path) -> Result<(), Failure> {
    fs::create_dir_all(scratch)?;
    let file = scratch.join("platform.toml");
    fs::write(&file, platforms::platform(case.size))?;
    let out = scratch.join("out");

    let ours = || generate(arguments, &file, &out);
    ours()?;
    let templates = templates_under(&out.join("dev/cloudformation"), "yaml")?;
    let resources = count_resources(&templates, |text| Ok(serde_saphyr::from_str(text)?))?;

    let cdk_out = scratch.join("cdk.out");
    let cdk = || cdk_app(arguments, resources, &cdk_out);
    cdk()?;
    let theirs = count_resources(&templates_under(&cdk_out, "template.json")?, |text| Ok(serde_json::from_str(text)?))?;
    if theirs != resources {
        return Err(format!("no ratio: ours made {resources} resources, the CDK app {theirs}").into());
    }
    if case.lint {
        lint(arguments, &templates)?;
    }

    let mut rounds = Vec::new();
    for _ in 0..arguments.rounds {
        // A fresh tree each time: an unchanged one would be compared and not written.
        fs::remove_dir_all(&out)?;
        let ours = ours()?;
        let cdk = cdk()?;
        let lint = if case.lint { Some(lint(arguments, &templates)?) } else { None };
        rounds.push((ours, cdk, lint));
    }

    println!("\n{}: {resources} resources in {} templates", case.name, templates.len());
    print_cost("fleetform generate", rounds.iter().map(|round| round.0));
    print_cost("CDK app 2.200", rounds.iter().map(|round| round.1));
    print_ratio("CDK app ÷ fleetform, CPU", rounds.iter().map(|round| (round.1, round.0)));
    if case.lint {
        print_cost("cfn-lint", rounds.iter().filter_map(|round| round.2));
        print_ratio("cfn-lint ÷ fleetform, CPU", rounds.iter().filter_map(|round| Some((round.2?, round.0))));
    }
    Ok(())
}

/// The platform file in the root of the repository: `check` and `generate`, where starting up is most of the time.
fn sample(arguments: &Arguments, scratch: &Utf8Path) -> Result<(), Failure> {
    let out = scratch.join("sample");
    let file = Utf8Path::new("platform.toml");
    let mut checks = Vec::new();
    let mut generations = Vec::new();
    for round in 0..=arguments.rounds {
        let check = run(Command::new(&arguments.fleetform).args(["check", file.as_str()]))?;
        let generation = generate(arguments, file, &out)?;
        fs::remove_dir_all(&out)?;
        if round > 0 {
            checks.push(check);
            generations.push(generation);
        }
    }
    println!("\nplatform.toml of this repository");
    print_cost("fleetform check", checks);
    print_cost("fleetform generate", generations);
    Ok(())
}

fn generate(arguments: &Arguments, file: &Utf8Path, out: &Utf8Path) -> Result<Cost, Failure> {
    Ok(run(Command::new(&arguments.fleetform).args(["generate", file.as_str(), "--out", out.as_str()]))?)
}

fn cdk_app(arguments: &Arguments, resources: usize, out: &Utf8Path) -> Result<Cost, Failure> {
    let app = arguments.cdk.join("app.js");
    Ok(run(Command::new("node").arg(app).env("RESOURCES", resources.to_string()).env("OUT_DIR", out))?)
}

fn lint(arguments: &Arguments, templates: &[Utf8PathBuf]) -> Result<Cost, Failure> {
    Ok(run(Command::new(&arguments.cfn_lint).args(["--regions", "us-east-1", "--"]).args(templates))?)
}

fn templates_under(folder: &Utf8Path, ending: &str) -> Result<Vec<Utf8PathBuf>, Failure> {
    let mut found = Vec::new();
    for entry in folder.read_dir_utf8()? {
        let path = entry?.into_path();
        if path.as_str().ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn count_resources(
    templates: &[Utf8PathBuf],
    parse: impl Fn(&str) -> Result<Value, Failure>,
) -> Result<usize, Failure> {
    let mut count = 0;
    for path in templates {
        let template = parse(&fs::read_to_string(path)?)?;
        count += template["Resources"].as_object().ok_or_else(|| format!("{path} has no resources"))?.len();
    }
    Ok(count)
}

fn print_cost(name: &str, costs: impl IntoIterator<Item = Cost>) {
    let costs: Vec<Cost> = costs.into_iter().collect();
    let cpu = Spread::of(costs.iter().map(|cost| cost.cpu.as_secs_f64()));
    let wall = Spread::of(costs.iter().map(|cost| cost.wall.as_secs_f64()));
    let memory = Spread::of(costs.iter().map(|cost| cost.memory_bytes as f64 / 1_048_576.0));
    println!("  {name:<28} CPU {cpu} s, wall {wall} s, memory {:.0} MiB", memory.median);
}

fn print_ratio(name: &str, pairs: impl IntoIterator<Item = (Cost, Cost)>) {
    let ratio = Spread::of(pairs.into_iter().map(|(peer, ours)| peer.cpu.as_secs_f64() / ours.cpu.as_secs_f64()));
    println!("  {name:<28} {ratio}");
}
