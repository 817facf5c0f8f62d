//! `fleetform override list`.

use clap::Args;

use super::{Target, row};
use crate::{
    found::failed,
    terminal::{Stop, print, tell},
};

/// List the overrides of rules
#[derive(Args, Debug)]
pub(crate) struct List {
    #[command(flatten)]
    target: Target,
}

impl List {
    pub(crate) fn run(self) -> Result<(), Stop> {
        let platform = self.target.platform()?;
        let mut lines = self.target.with(&platform, async |table| {
            let mut pages = table.client.scan().table_name(&table.name).into_paginator().send();
            let mut lines = Vec::new();
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| failed(&format!("read table `{}`", table.name), error))?;
                lines.extend(page.items.unwrap_or_default().iter().map(row::line));
            }
            Ok(lines)
        })?;
        lines.sort();
        if lines.is_empty() {
            tell(format_args!("no rule of {} is overridden", platform.environment.id));
        }
        print(&lines.into_iter().map(|line| line + "\n").collect::<String>())
    }
}
