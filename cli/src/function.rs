//! A function of a deployed platform: found, verified and invoked.

use aws_sdk_lambda::{Client, primitives::Blob};
use fleetform_generator::platform::Platform;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    found::{Sought, check_account, config, failed},
    terminal::Stop,
};

/// A function that can be invoked.
pub(crate) struct Function {
    client: Client,
    name: String,
}

/// What a function answers when it fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// A stable word for who must act.
    pub(crate) kind: String,
    /// What happened.
    pub(crate) message: String,
}

impl Function {
    /// The one of a platform that is sought, unless it is named.
    pub(crate) async fn open(platform: &Platform, sought: &Sought, named: Option<&str>) -> Result<Self, Stop> {
        let client = Client::new(&config(platform).await?);
        let name = match named {
            Some(name) => name.to_owned(),
            None => find(&client, platform, sought).await?,
        };
        let found = client.get_function_configuration().function_name(&name).send().await;
        let found = found.map_err(|error| failed(&format!("find function `{name}`"), error))?;
        check_account(platform, &format!("function `{name}`"), found.function_arn().unwrap_or_default())?;
        Ok(Self { client, name })
    }

    /// Invokes it and waits for its answer.
    pub(crate) async fn invoke<A: DeserializeOwned>(&self, event: &impl Serialize) -> Result<Result<A, Failure>, Stop> {
        let Self { client, name } = self;
        let event = serde_json::to_vec(event)
            .map_err(|error| Stop::failed(format_args!("cannot write the request: {error}")))?;
        let done = client.invoke().function_name(name).payload(Blob::new(event)).send().await;
        let done = done.map_err(|error| failed(&format!("invoke `{name}`"), error))?;
        let payload = done.payload().map(Blob::as_ref).unwrap_or_default();
        let unreadable = |error| {
            Stop::failed(format_args!("the answer of `{name}` cannot be read: {error}"))
                .help("is it deployed by this version?")
        };
        if done.function_error().is_some() {
            let said: Value = serde_json::from_slice(payload).map_err(unreadable)?;
            let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
            return Ok(Err(Failure { kind: text("errorType"), message: text("errorMessage") }));
        }
        serde_json::from_slice(payload).map(Ok).map_err(unreadable)
    }
}

/// The function that the environment's stack made.
pub(crate) async fn find(client: &Client, platform: &Platform, sought: &Sought) -> Result<String, Stop> {
    let mut pages = client.list_functions().into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| failed("list functions", error))?;
        names.extend(page.functions.unwrap_or_default().into_iter().filter_map(|function| function.function_name));
    }
    sought.among(names, platform)
}

impl Failure {
    /// The end of a command that cannot go on.
    pub(crate) fn stop(self) -> Stop {
        Stop::failed(self.message).help("see the function's log, and the runbook for what to do")
    }
}
