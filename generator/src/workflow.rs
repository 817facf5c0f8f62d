//! The GitHub workflow that checks, compares and deploys a platform file for all environments.

use serde::Serialize;

use crate::{
    platform::{Platform, Project, processor::Arch},
    text::{Template, render},
};

/// What `templates/deploy.yml` names.
#[derive(Serialize)]
struct Workflow<'a> {
    architectures: Vec<Architecture>,
    environments: Vec<Environment<'a>>,
}

#[derive(Serialize)]
struct Architecture {
    step: String,
    name: &'static str,
    target: &'static str,
}

impl Architecture {
    fn of(arch: Arch) -> Self {
        let target = match arch {
            Arch::X86_64 => "x86_64-unknown-linux-gnu",
            Arch::Arm64 => "aarch64-unknown-linux-gnu",
        };
        Self { step: format!("Build the functions for {}", arch.as_str()), name: arch.as_str(), target }
    }
}

#[derive(Serialize)]
struct Environment<'a> {
    name: &'a str,
    job: String,
    needs: String,
    concurrency: String,
    region: &'a str,
    account: &'a str,
    script: String,
    functions: String,
}

/// Writes the workflow. Environments are deployed one after another, protected ones last.
pub(crate) fn workflow(project: &Project) -> String {
    let mut platforms: Vec<&Platform> = project.environments.values().collect();
    platforms.sort_by_key(|platform| (platform.environment.protect, &platform.environment.id));
    let mut needs = "check".to_owned();
    let environments = platforms.iter().map(|platform| {
        let environment = &platform.environment;
        let job = format!("deploy-{}", environment.id);
        Environment {
            name: environment.id.as_str(),
            needs: std::mem::replace(&mut needs, job.clone()),
            job,
            concurrency: format!("{}-{}", platform.deploy.prefix, environment.id),
            region: &environment.region,
            account: &environment.account,
            script: format!("out/{}/scripts/deploy.sh", environment.id),
            functions: format!("functions/{}", platform.processor.arch.as_str()),
        }
    });
    let environments = environments.collect();
    let needed = [Arch::X86_64, Arch::Arm64]
        .into_iter()
        .filter(|arch| platforms.iter().any(|platform| platform.processor.arch == *arch));
    let architectures = needed.map(Architecture::of).collect();
    render(Template::Workflow, &Workflow { architectures, environments })
}
