//! `cargo xtask lint`: linters that know nothing about fleetform, on `out/` and on the output of every fixture.
//!
//! Nothing is suppressed, here or in a file: every warning is a failure, except for the note that one service is in
//! maintenance.

use std::{collections::BTreeMap, fs, process::Command};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use crate::{error::Error, process, tools, workspace};

/// Regions that have every service of the templates.
const REGIONS: &[&str] = &[
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "us-east-1",
    "us-east-2",
    "us-west-2",
];

/// The fixture whose samples Timestream keeps, and the regions that have it and every other service of the templates.
const TIMESTREAM: &str = "tests/fixtures/golden/timestream/platform.toml";
const TIMESTREAM_REGIONS: &[&str] = &[
    "ap-northeast-1",
    "ap-south-1",
    "ap-southeast-2",
    "eu-central-1",
    "eu-west-1",
    "us-east-1",
    "us-east-2",
    "us-west-2",
];

/// The only findings that are not failures, in the stack `storage` of that fixture, once each. AWS does not develop the
/// service any further, which is why it is only offered to accounts that already use it.
const MAINTENANCE: [(&str, &str); 2] = [("W3697", "AWS::Timestream::Database"), ("W3697", "AWS::Timestream::Table")];

/// Platforms of these sizes are generated when needed: they are too long to commit.
const SIZES: &[(&str, &[&str])] = &[
    ("one-of-each", &["--zones", "1", "--device-types", "1", "--contacts", "1", "--rules", "1"]),
    ("forty-zones", &["--zones", "40", "--device-types", "20", "--contacts", "40", "--rules", "200"]),
    ("five-thousand-rules", &["--zones", "40", "--device-types", "20", "--contacts", "10", "--rules", "5000"]),
    ("more-than-one-stack-holds", &["--zones", "600", "--device-types", "200", "--contacts", "300", "--rules", "50"]),
];

/// The output for one platform file.
struct Rendering {
    platform: Utf8PathBuf,
    out: Utf8PathBuf,
}

type Lint = fn(&[Rendering]) -> Result<(), Error>;

/// Lints everything, and reports all findings.
pub(crate) fn run() -> Result<(), Error> {
    tools::run()?;
    workspace::build()?;
    let renderings = renderings()?;
    let lints: [(&str, Lint); 5] = [
        ("cfn-lint", templates),
        ("YAML 1.1 reader", yaml_readers),
        ("taplo", platform_files),
        ("shellcheck", scripts),
        ("sizes", sizes),
    ];
    let mut failed = Vec::new();
    for (name, lint) in lints {
        if let Err(error) = lint(&renderings) {
            anstream::eprintln!("{name}: {error}");
            failed.push(name);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(Error::Message(format!("findings of {}", failed.join(", ")))) }
}

/// The committed output, and that of each fixture and size below `target/`.
fn renderings() -> Result<Vec<Rendering>, Error> {
    let root = workspace::root();
    let work = workspace::target().join("lint");
    if work.exists() {
        fs::remove_dir_all(&work).map_err(Error::file(&work))?;
    }
    let mut renderings = vec![Rendering { platform: root.join("platform.toml"), out: root.join("out") }];
    for (name, size) in SIZES {
        let platform = work.join(name).join("platform.toml");
        let made = process::output(Command::new(workspace::target().join("debug/make-platform")).args(*size))?;
        if !made.status.success() {
            return Err(Error::Message(format!("{name}: {}", String::from_utf8_lossy(&made.stderr))));
        }
        fs::create_dir_all(work.join(name)).map_err(Error::file(&work))?;
        fs::write(&platform, &made.stdout).map_err(Error::file(&platform))?;
        renderings.push(Rendering { out: work.join(name).join("out"), platform });
    }
    let fixtures = root.join("tests/fixtures/golden");
    for entry in fixtures.read_dir_utf8().map_err(Error::file(&fixtures))? {
        let entry = entry.map_err(Error::file(&fixtures))?;
        let platform = entry.path().join("platform.toml");
        if platform.is_file() {
            renderings.push(Rendering { out: work.join(entry.file_name()).join("out"), platform });
        }
    }
    for rendering in renderings.iter().skip(1) {
        process::run(
            workspace::fleetform()
                .args(["generate", rendering.platform.as_str(), "--out", rendering.out.as_str()])
                .stdout(std::process::Stdio::null()),
        )?;
    }
    Ok(renderings)
}

/// Every file below a folder with this extension, in the order of names.
pub(crate) fn files(folder: &Utf8Path, extension: &str) -> Result<Vec<Utf8PathBuf>, Error> {
    let mut found = Vec::new();
    for entry in folder.read_dir_utf8().map_err(Error::file(folder))? {
        let entry = entry.map_err(Error::file(folder))?;
        if entry.path().is_dir() {
            found.extend(files(entry.path(), extension)?);
        } else if entry.path().extension() == Some(extension) {
            found.push(entry.into_path());
        }
    }
    found.sort();
    Ok(found)
}

fn all_templates<'a>(renderings: impl IntoIterator<Item = &'a Rendering>) -> Result<Vec<Utf8PathBuf>, Error> {
    let mut templates = Vec::new();
    for rendering in renderings {
        let all = files(&rendering.out, "yaml")?;
        templates.extend(
            all.into_iter().filter(|path| path.parent().and_then(Utf8Path::file_name) == Some("cloudformation")),
        );
    }
    if templates.is_empty() {
        return Err(Error::Message("no template found: nothing would be checked".to_owned()));
    }
    Ok(templates)
}

/// Runs cfn-lint on every template, in every region, on all cores.
fn templates(renderings: &[Rendering]) -> Result<(), Error> {
    let (timestream, others): (Vec<&Rendering>, Vec<_>) =
        renderings.iter().partition(|rendering| rendering.platform.ends_with(TIMESTREAM));
    maintenance(&all_templates(timestream)?)?;
    let templates = all_templates(others)?;
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut shares = vec![Vec::new(); workers.min(templates.len())];
    let count = shares.len();
    for (index, template) in templates.iter().enumerate() {
        shares[index % count].push(template);
    }
    let mut running = Vec::new();
    for share in shares {
        let mut command = tools::LINT.program("cfn-lint");
        command.args(["--format", "parseable", "--non-zero-exit-code", "informational", "--regions"]).args(REGIONS);
        command.arg("--template").args(share);
        let child = command.spawn().map_err(|source| Error::Start { program: "cfn-lint".to_owned(), source })?;
        running.push((process::text(&command), child));
    }
    let mut failed = None;
    for (command, mut child) in running {
        let status = child.wait().map_err(|source| Error::Start { program: "cfn-lint".to_owned(), source })?;
        if !status.success() {
            failed = Some(Error::Failed { command, status });
        }
    }
    anstream::eprintln!("cfn-lint: {} templates in {} regions", templates.len(), REGIONS.len());
    failed.map_or(Ok(()), Err)
}

/// Runs cfn-lint on the fixture with Timestream, and expects only the known findings.
fn maintenance(templates: &[Utf8PathBuf]) -> Result<(), Error> {
    let mut command = tools::LINT.program("cfn-lint");
    command.args(["--format", "json", "--non-zero-exit-code", "none", "--regions"]).args(TIMESTREAM_REGIONS);
    let said = process::output(command.arg("--template").args(templates))?;
    let found: Vec<Value> = serde_json::from_slice(&said.stdout).map_err(|error| {
        Error::Message(format!("what cfn-lint says: {error}: {}", String::from_utf8_lossy(&said.stderr)))
    })?;
    let is_notice = |finding: &Value, (code, resource): (&str, &str)| {
        let file = finding["Filename"].as_str().unwrap_or_default();
        let message = finding["Message"].as_str().unwrap_or_default();
        finding["Rule"]["Id"] == code && file.ends_with("/storage.yaml") && message.contains(&format!("'{resource}'"))
    };
    let each_once = MAINTENANCE.iter().all(|notice| found.iter().filter(|one| is_notice(one, *notice)).count() == 1);
    if !each_once || found.len() != MAINTENANCE.len() {
        let found: Vec<String> = found.iter().map(|one| format!("{}: {}", one["Filename"], one["Message"])).collect();
        return Err(Error::Message(format!("of Timestream's fixture:\n{}", found.join("\n"))));
    }
    anstream::eprintln!("cfn-lint: {} templates in {} regions", templates.len(), TIMESTREAM_REGIONS.len());
    Ok(())
}

/// A YAML 1.1 reader must see what a YAML 1.2 reader sees: no `on` that became true, and no time of day that became a
/// number.
fn yaml_readers(renderings: &[Rendering]) -> Result<(), Error> {
    let mut paths = Vec::new();
    for rendering in renderings {
        for extension in ["yaml", "yml"] {
            paths.extend(files(&rendering.out, extension)?);
        }
    }
    let read = process::output(
        tools::LINT.program("python").arg(workspace::root().join("xtask/src/yaml_1_1.py")).args(&paths),
    )?;
    if !read.status.success() {
        return Err(Error::Message(String::from_utf8_lossy(&read.stderr).into_owned()));
    }
    let seen_by_1_1: BTreeMap<Utf8PathBuf, Value> = serde_json::from_slice(&read.stdout)
        .map_err(|error| Error::Message(format!("what the YAML 1.1 reader printed: {error}")))?;
    let mut differ = Vec::new();
    for path in &paths {
        let text = fs::read_to_string(path).map_err(Error::file(path))?;
        let seen_by_1_2: Value =
            serde_saphyr::from_str(&text).map_err(|error| Error::Message(format!("{path}: {error}")))?;
        if seen_by_1_1.get(path) != Some(&seen_by_1_2) {
            differ.push(path.to_string());
        }
    }
    anstream::eprintln!("YAML 1.1 reader: {} files", paths.len());
    if differ.is_empty() {
        Ok(())
    } else {
        Err(Error::Message(format!("read differently by YAML 1.1 and 1.2: {}", differ.join(", "))))
    }
}

/// Taplo, which editors use, accepts the schema, and accepts every platform file with it.
fn platform_files(renderings: &[Rendering]) -> Result<(), Error> {
    let schema = workspace::root().join("out/platform.schema.json");
    let mut command = tools::LINT.program("taplo");
    command.env("RUST_LOG", "warn").args(["check", "--schema", &format!("file://{schema}")]);
    process::run(command.args(renderings.iter().map(|rendering| &rendering.platform)))
}

fn scripts(renderings: &[Rendering]) -> Result<(), Error> {
    let mut scripts = Vec::new();
    for rendering in renderings {
        scripts.extend(files(&rendering.out, "sh")?);
    }
    if scripts.is_empty() {
        return Err(Error::Message("no script found: nothing would be checked".to_owned()));
    }
    process::run(tools::LINT.program("shellcheck").args(["--severity", "style"]).args(&scripts))?;
    anstream::eprintln!("shellcheck: {} scripts", scripts.len());
    Ok(())
}

/// Checks the size limits of CloudFormation.
fn sizes(renderings: &[Rendering]) -> Result<(), Error> {
    const TEMPLATE_BYTES_MAX: usize = 1_000_000;
    const RESOURCES_MAX: usize = 500;
    for path in all_templates(renderings)? {
        let text = fs::read_to_string(&path).map_err(Error::file(&path))?;
        let template: Value =
            serde_saphyr::from_str(&text).map_err(|error| Error::Message(format!("{path}: {error}")))?;
        let resources = template["Resources"].as_object().map_or(0, serde_json::Map::len);
        if text.len() > TEMPLATE_BYTES_MAX || resources == 0 || resources > RESOURCES_MAX {
            return Err(Error::Message(format!("{path}: {} bytes, {resources} resources", text.len())));
        }
    }
    Ok(())
}
