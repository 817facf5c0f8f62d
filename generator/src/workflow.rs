//! The workflow that checks, compares and deploys a platform file on GitHub, for all environments.

use serde::Serialize;

use crate::{
    platform::{Platform, Project},
    text::{Template, render},
};

/// What `templates/deploy.yml` names.
#[derive(Serialize)]
struct Workflow<'a> {
    arch: &'a str,
    environments: Vec<Environment<'a>>,
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
}

/// Writes the workflow. Environments are deployed one after the other, protected ones last.
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
        }
    });
    let environments = environments.collect();
    let arch = platforms.first().map_or("x86_64", |platform| platform.processor.arch.as_str());
    render(Template::Workflow, &Workflow { arch, environments })
}
