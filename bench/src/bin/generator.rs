//! Compares the generator with its peers, as whole processes: `fleetform generate` with a CDK app of the same number of
//! resources, and with cfn-lint on the templates that it wrote. `cargo xtask bench generator` prepares the peers and
//! runs this.
//!
//! Rounds are interleaved. Ratios are only printed if the peer handled exactly as many resources.

use std::{fs, process::Command};

use anstream::println;
use camino::{Utf8Path, Utf8PathBuf};
use clap::Parser;
use fleetform_bench::{
    comparison::{Counts, Run, cpu_ratio},
    process::{Cost, run},
    statistics::Spread,
};
use fleetform_tests::platforms::{self, Size};
use serde_json::Value;

/// Measures `fleetform generate` against a CDK app and cfn-lint.
#[derive(Parser)]
struct Arguments {
    /// Counted rounds of each program, after one that is not counted.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The `fleetform` binary to measure.
    #[arg(long)]
    fleetform: Utf8PathBuf,
    /// Folder of the CDK app with its `node_modules`.
    #[arg(long)]
    cdk: Utf8PathBuf,
    /// The cfn-lint to measure.
    #[arg(long)]
    cfn_lint: Utf8PathBuf,
    /// The folder below which all programs write; in memory by default, if this machine supports it.
    #[arg(long)]
    scratch: Option<Utf8PathBuf>,
}

impl Arguments {
    /// After files were removed, a disk's file system such as ext4 may take ten times as long to create a file, for
    /// some minutes. A program that writes 1,400 files would then be measured by what ran before it.
    fn scratch(&self) -> Utf8PathBuf {
        let in_memory = Utf8PathBuf::from("/dev/shm");
        let of_the_system = || std::env::temp_dir().try_into().unwrap_or_else(|_| Utf8PathBuf::from("."));
        self.scratch.clone().unwrap_or_else(|| if in_memory.is_dir() { in_memory } else { of_the_system() })
    }
}

/// A platform size, and the peers that it is measured against.
struct Case {
    name: &'static str,
    size: Size,
    /// cfn-lint takes minutes for the large case, and its goal is defined for the small one.
    lint: bool,
}

const CASES: [Case; 2] = [
    Case { name: "450 resources", size: Size { zones: 199, device_types: 40, contacts: 45, rules: 100 }, lint: true },
    Case {
        name: "1,000 zones, 200 device types, 10,000 rules",
        size: Size { zones: 1_000, device_types: 200, contacts: 400, rules: 10_000 },
        lint: false,
    },
];

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let scratch = tempfile::tempdir_in(arguments.scratch())?;
    let scratch = Utf8Path::from_path(scratch.path()).ok_or("the temporary folder's name is not UTF-8")?;
    println!("aws-cdk-lib {}, node {}, {}", cdk_version(&arguments)?, node_version()?, lint_version(&arguments)?);
    println!("all of them write below {}", arguments.scratch());
    sample(&arguments, scratch)?;
    for (index, case) in CASES.iter().enumerate() {
        measure(&arguments, case, &scratch.join(index.to_string()))?;
    }
    Ok(())
}

/// The platform file in the root of the repository: `check` and `generate`, where most of the time is starting up.
fn sample(arguments: &Arguments, scratch: &Utf8Path) -> Result<(), Failure> {
    let out = scratch.join("sample");
    fs::create_dir_all(&out)?;
    let file = Utf8Path::new("platform.toml");
    let mut checks = Vec::new();
    let mut generations = Vec::new();
    for round in 0..=arguments.rounds * SAMPLE_RUNS {
        let check = run(Command::new(&arguments.fleetform).args(["check", file.as_str()]))?;
        let generation = generate(arguments, file, &out.join(round.to_string()))?;
        if round > 0 {
            checks.push(check);
            generations.push(generation);
        }
    }
    println!("\nplatform.toml of this repository, {} runs", checks.len());
    print_cost("fleetform check", &checks);
    print_cost("fleetform generate", &generations);
    Ok(())
}

/// The number of runs of the sample in each round: one takes milliseconds.
const SAMPLE_RUNS: usize = 10;

fn measure(arguments: &Arguments, case: &Case, scratch: &Utf8Path) -> Result<(), Failure> {
    fs::create_dir_all(scratch)?;
    let file = scratch.join("platform.toml");
    fs::write(&file, platforms::platform(case.size))?;
    let mut folders = Folders { scratch, made: 0 };

    let out = folders.next();
    generate(arguments, &file, &out)?;
    let first = templates(&out)?;
    let resources = count(&first)?;
    cdk_app(arguments, resources, &folders.next())?;
    if case.lint {
        lint(arguments, &first)?;
    }

    let (mut ours, mut cdk, mut linted) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        let (cost, out) = warm(|| {
            let out = folders.next();
            Ok((generate(arguments, &file, &out)?, out))
        })?;
        let templates = templates(&out)?;
        ours.push(Run { cost, counts: counts(&templates)? });
        let (cost, out) = warm(|| {
            let out = folders.next();
            Ok((cdk_app(arguments, resources, &out)?, out))
        })?;
        cdk.push(Run { cost, counts: counts(&files(&out, ".template.json")?)? });
        if case.lint {
            let cost = warm(|| lint(arguments, &templates))?;
            linted.push(Run { cost, counts: counts(&templates)? });
        }
    }

    println!("\n{}: {resources} resources in {} templates, {} rounds", case.name, first.len(), ours.len());
    print_runs("fleetform generate", &ours);
    print_runs("CDK app", &cdk);
    println!("  {:<28} {}", "CDK app ÷ fleetform, CPU", cpu_ratio(&cdk, &ours)?);
    if case.lint {
        print_runs("cfn-lint", &linted);
        println!("  {:<28} {}", "cfn-lint ÷ fleetform, CPU", cpu_ratio(&linted, &ours)?);
    }
    Ok(())
}

/// Output folders: one for each run, and none is removed before all have run.
struct Folders<'s> {
    scratch: &'s Utf8Path,
    made: usize,
}

impl Folders<'_> {
    /// A folder that does not exist yet.
    fn next(&mut self) -> Utf8PathBuf {
        self.made += 1;
        self.scratch.join(format!("out-{}", self.made))
    }
}

/// Returns the second of two consecutive runs. A machine returns memory that has been unused for some seconds to its
/// host, and getting it back may cost more than all that a program does with it.
fn warm<T>(mut run: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    run()?;
    run()
}

fn generate(arguments: &Arguments, file: &Utf8Path, out: &Utf8Path) -> Result<Cost, Failure> {
    Ok(run(Command::new(&arguments.fleetform).args(["generate", file.as_str(), "--out", out.as_str()]))?)
}

fn cdk_app(arguments: &Arguments, resources: u64, out: &Utf8Path) -> Result<Cost, Failure> {
    let app = arguments.cdk.join("app.js");
    Ok(run(Command::new("node").arg(app).env("RESOURCES", resources.to_string()).env("OUT_DIR", out))?)
}

/// Fails on a finding, so that only a clean run is measured.
fn lint(arguments: &Arguments, templates: &[Utf8PathBuf]) -> Result<Cost, Failure> {
    Ok(run(Command::new(&arguments.cfn_lint).args(["--regions", "us-east-1", "--"]).args(templates))?)
}

fn templates(out: &Utf8Path) -> Result<Vec<Utf8PathBuf>, Failure> {
    files(&out.join("dev/cloudformation"), ".yaml")
}

fn files(folder: &Utf8Path, ending: &str) -> Result<Vec<Utf8PathBuf>, Failure> {
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

fn counts(templates: &[Utf8PathBuf]) -> Result<Counts, Failure> {
    Ok([("resources", count(templates)?)].into())
}

fn count(templates: &[Utf8PathBuf]) -> Result<u64, Failure> {
    let program = std::env::current_exe()?.with_file_name("count-resources");
    Ok(text(Command::new(program).args(templates))?.parse()?)
}

/// The version that is installed, whichever was requested.
fn cdk_version(arguments: &Arguments) -> Result<String, Failure> {
    let package = arguments.cdk.join("node_modules/aws-cdk-lib/package.json");
    let package: Value = serde_json::from_str(&fs::read_to_string(package)?)?;
    Ok(package["version"].as_str().ok_or("aws-cdk-lib has no version")?.to_owned())
}

fn node_version() -> Result<String, Failure> {
    text(Command::new("node").arg("--version"))
}

fn lint_version(arguments: &Arguments) -> Result<String, Failure> {
    text(Command::new(&arguments.cfn_lint).arg("--version"))
}

fn text(command: &mut Command) -> Result<String, Failure> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn print_runs(name: &str, runs: &[Run]) {
    let costs: Vec<Cost> = runs.iter().map(|run| run.cost).collect();
    print_cost(name, &costs);
}

fn print_cost(name: &str, costs: &[Cost]) {
    let cpu = Spread::of(costs.iter().map(|cost| cost.cpu.as_secs_f64()));
    let wall = Spread::of(costs.iter().map(|cost| cost.wall.as_secs_f64()));
    let memory = Spread::of(costs.iter().map(|cost| cost.memory_bytes as f64 / 1_048_576.0));
    println!("  {name:<28} CPU {cpu} s, wall {wall} s, memory {:.0} MiB", memory.median);
}
