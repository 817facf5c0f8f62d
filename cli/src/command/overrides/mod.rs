//! `fleetform override`: what operators set for rules while the platform runs, without a deployment.

mod list;
mod row;
mod set;

use std::borrow::Cow;

use aws_sdk_dynamodb::Client;
use clap::{Args, Subcommand};
use fleetform_generator::platform::Platform;

use crate::{
    found::{Sought, check_account, config, failed, wait},
    input::{self, DEFAULT_FILE},
    terminal::Stop,
};

const SOUGHT: Sought = Sought {
    what: "the alert configuration table",
    logical_id: Cow::Borrowed("AlertConfigurationTable"),
    option: "--table",
    output: "AlertConfigurationTableName",
};

/// Disable or mute a rule, or change its threshold or contacts, while the platform runs
#[derive(Args, Debug)]
pub(crate) struct Override {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::List),
    Set(set::Set),
    Clear(set::Clear),
}

impl Override {
    pub(crate) fn run(self) -> Result<(), Stop> {
        match self.command {
            Command::List(list) => list.run(),
            Command::Set(set) => set.run(),
            Command::Clear(clear) => clear.run(),
        }
    }
}

/// Whose alert configuration.
#[derive(Args, Debug)]
struct Target {
    /// The table; defaults to the one of the environment's stack
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    /// The environment; defaults to the file's default environment
    #[arg(long, value_name = "ENVIRONMENT")]
    env: Option<String>,
    /// The platform file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    file: camino::Utf8PathBuf,
}

/// The table of a deployed platform.
struct Table {
    client: Client,
    name: String,
}

impl Target {
    /// The platform as the file has it.
    fn platform(&self) -> Result<Platform, Stop> {
        let project = input::project(&self.file)?;
        input::platform(&project, self.env.as_deref()).cloned()
    }

    /// Does something with the deployed table.
    fn with<T>(&self, platform: &Platform, act: impl AsyncFnOnce(Table) -> Result<T, Stop>) -> Result<T, Stop> {
        wait(async {
            let client = Client::new(&config(platform).await?);
            let name = match &self.table {
                Some(name) => name.clone(),
                None => find(&client, platform).await?,
            };
            let described = client.describe_table().table_name(&name).send().await;
            let described = described.map_err(|error| failed(&format!("find table `{name}`"), error))?;
            let arn = described.table.and_then(|table| table.table_arn).unwrap_or_default();
            check_account(platform, &format!("table `{name}`"), &arn)?;
            act(Table { client, name }).await
        })
    }
}

/// The table that the environment's stack made.
async fn find(client: &Client, platform: &Platform) -> Result<String, Stop> {
    let mut pages = client.list_tables().into_paginator().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        names.extend(page.map_err(|error| failed("list tables", error))?.table_names.unwrap_or_default());
    }
    SOUGHT.among(names, platform)
}
