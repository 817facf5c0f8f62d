//! Finds what is deployed: credentials for AWS, and the resources that CloudFormation named after an environment's
//! stack. A logical id follows the stack's name, and starts with a capital letter, as no environment's name does.

use std::{borrow::Cow, error::Error};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::{ProvideCredentials as _, error::CredentialsError};
use aws_sdk_lambda::error::ErrorMetadata;
use fleetform_generator::platform::Platform;

use crate::terminal::Stop;

/// What is looked for among everything that the account has in the region.
pub(crate) struct Sought {
    /// In words, with its article.
    pub(crate) what: &'static str,
    /// Its logical id.
    pub(crate) logical_id: Cow<'static, str>,
    /// The option that names it instead.
    pub(crate) option: &'static str,
    /// The output that has its name.
    pub(crate) output: &'static str,
}

impl Sought {
    /// The one of these names that it has.
    pub(crate) fn among(&self, names: impl IntoIterator<Item = String>, platform: &Platform) -> Result<String, Stop> {
        let Self { what, option, output, .. } = self;
        let stack = stack_name(platform);
        let found: Vec<String> = names.into_iter().filter(|name| self.is_it(name, &stack)).collect();
        match found.as_slice() {
            [name] => Ok(name.clone()),
            [] => Err(Stop::failed(format_args!("{what} of `{stack}` does not exist"))
                .help(format_args!("deploy the environment, or name the resource with {option}"))),
            several => Err(Stop::failed(format_args!("{what} is ambiguous: {}", several.join(", ")))
                .help(format_args!("name it with {option}: it is the stack's output {output}"))),
        }
    }

    fn is_it(&self, name: &str, stack: &str) -> bool {
        let rest = name.strip_prefix(stack).and_then(|rest| rest.strip_prefix('-'));
        let Some(rest) = rest.filter(|rest| rest.starts_with(|first: char| first.is_ascii_uppercase())) else {
            return false;
        };
        // Another logical id may start with this one.
        let mut after = rest.split(self.logical_id.as_ref()).skip(1);
        after.any(|after| !after.starts_with(|next: char| next.is_ascii_alphanumeric()))
    }
}

/// Credentials as the AWS command finds them, and the region of the platform's environment. Ends the command if there
/// are no credentials: the first call would only fail less clearly.
pub(crate) async fn config(platform: &Platform) -> Result<SdkConfig, Stop> {
    let region = Region::new(platform.environment.region.to_string());
    let config = aws_config::defaults(BehaviorVersion::latest()).region(region).load().await;
    if let Some(provider) = config.credentials_provider() {
        provider.provide_credentials().await.map_err(|error| no_credentials(platform, &error))?;
    }
    Ok(config)
}

fn no_credentials(platform: &Platform, error: &CredentialsError) -> Stop {
    let environment = &platform.environment;
    match error {
        CredentialsError::CredentialsNotLoaded(_) => Stop::failed("there are no AWS credentials"),
        error => Stop::failed(format_args!("cannot load AWS credentials: {}", in_words(error))),
    }
    .help(format_args!(
        "set AWS_PROFILE, or log in with `aws sso login`, for account {} of environment `{}`",
        environment.account, environment.id
    ))
}

/// Runs a future to its end on this thread.
pub(crate) fn wait<T>(act: impl Future<Output = Result<T, Stop>>) -> Result<T, Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Stop::failed(format_args!("cannot start: {error}")))?.block_on(act)
}

/// Ends the command if something is in another account than the one in the platform file.
pub(crate) fn check_account(platform: &Platform, what: &str, arn: &str) -> Result<(), Stop> {
    let account = arn.split(':').nth(4).unwrap_or_default();
    if account == platform.environment.account {
        return Ok(());
    }
    Err(Stop::failed(format_args!(
        "{what} is in account {account}, but environment `{}` is in {}",
        platform.environment.id, platform.environment.account
    ))
    .help("use credentials of the environment's account"))
}

/// Ends the command if the variables for AWS's region name another one than the platform file: the caller may be about
/// to change the wrong environment.
pub(crate) fn check_region(platform: &Platform) -> Result<(), Stop> {
    let region = platform.environment.region.as_str();
    for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
        if let Some(set) = std::env::var(name).ok().filter(|set| !set.is_empty() && set != region) {
            let environment = &platform.environment.id;
            return Err(Stop::failed(format_args!("{name} is {set}, but environment `{environment}` is in {region}"))
                .help(format_args!("set {name}={region}, or choose another environment with --env")));
        }
    }
    Ok(())
}

/// The end of a command because of a failed call.
pub(crate) fn failed(what: &str, error: impl Error + 'static) -> Stop {
    Stop::failed(format_args!("cannot {what}: {}", in_words(&error)))
}

/// An error of AWS's clients and what led to it, each message once and on one line.
pub(crate) fn in_words(error: &(dyn Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    for cause in std::iter::successors(Some(error), |error| (**error).source()) {
        let message = message(cause).split_whitespace().collect::<Vec<_>>().join(" ");
        if said.iter().any(|before| before.contains(&message)) {
            continue;
        }
        if said.last().is_some_and(|before| is_hollow(before) || message.contains(before.as_str())) {
            said.pop();
        }
        said.push(message);
    }
    said.join(": ")
}

/// Whether a message of AWS's clients only announces the one of its cause.
fn is_hollow(message: &str) -> bool {
    matches!(message, "dispatch failure" | "service error" | "other") || message.starts_with("unhandled error")
}

/// The message of one error. That of a service's answer is written like a structure of Rust.
fn message(error: &(dyn Error + 'static)) -> String {
    match error.downcast_ref::<ErrorMetadata>() {
        Some(answer) => [answer.code(), answer.message()].into_iter().flatten().collect::<Vec<_>>().join(": "),
        None => error.to_string(),
    }
}

/// The name of the stack of a platform's environment.
pub(crate) fn stack_name(platform: &Platform) -> String {
    format!("{}-{}", platform.deploy.prefix, platform.environment.id)
}

#[cfg(test)]
mod tests {
    use aws_sdk_lambda::{
        error::{ConnectorError, SdkError},
        operation::list_functions::ListFunctionsError,
    };
    use fleetform_generator::check;

    use super::*;

    const PLATFORM: &[u8] = include_bytes!("../tests/cli/explain.in/platform.toml");

    #[derive(Debug, thiserror::Error)]
    #[error("{said}")]
    struct Cause {
        said: &'static str,
        source: Option<Box<Cause>>,
    }

    #[test]
    fn a_call_that_fails_says_why_in_a_sentence() {
        let inner = Cause { said: "no route\n  to host", source: None };
        let outer = Cause { said: "error trying to connect: no route to host", source: Some(Box::new(inner)) };
        let error: SdkError<Cause, ()> = SdkError::dispatch_failure(ConnectorError::io(outer.into()));
        assert_eq!(in_words(&error), "io error: error trying to connect: no route to host");
        let answer = ErrorMetadata::builder().code("AccessDeniedException").message("not authorized").build();
        let error = SdkError::service_error(ListFunctionsError::generic(answer), ());
        assert_eq!(in_words(&error), "AccessDeniedException: not authorized");
    }

    #[test]
    fn missing_credentials_name_the_account_that_they_are_for() {
        let project = check("platform.toml", PLATFORM).project.expect("a sound platform");
        let platform = &project.environments[&project.default_environment];
        let stop = |error| format!("{:?}", no_credentials(platform, &error));
        let missing = stop(CredentialsError::not_loaded("no providers in chain provided credentials"));
        assert!(
            missing.contains("there are no AWS credentials") && missing.contains("account 111111111111"),
            "{missing}"
        );
        let expired = stop(CredentialsError::provider_error("the SSO session has expired"));
        assert!(expired.contains("cannot load AWS credentials") && expired.contains("has expired"), "{expired}");
    }

    #[test]
    fn what_belongs_to_another_environment_is_not_taken() {
        let logical_id = "TelemetryStream".into();
        let sought = Sought { what: "the stream", logical_id, option: "--stream", output: "Name" };
        let is_it = |name| sought.is_it(name, "riverton-water-dev");
        assert!(is_it("riverton-water-dev-Ingest-1A2B3C-TelemetryStream-9Z8Y7X"));
        assert!(!is_it("riverton-water-dev-2-Ingest-1A2B3C-TelemetryStream-9Z8Y7X"));
        assert!(!is_it("riverton-water-prod-Ingest-1A2B3C-TelemetryStream-9Z8Y7X"));
        assert!(!is_it("riverton-water-dev-Ingest-1A2B3C-OtherStream-9Z8Y7X"));
        assert!(!is_it("riverton-water-dev-Ingest-1A2B3C-TelemetryStream2-9Z8Y7X"));
    }
}
