//! `fleetform prove`.

use clap::{Args, ValueEnum};
use fleetform_generator::prove::{Proof, prove};

use crate::{
    input::{self, File},
    proof,
    terminal::{Stop, print, tell},
};

/// Prove that no device can speak for another
///
/// Derives from the platform file alone what a device of each type may do and what it must not: connecting as another
/// device, its own topics and those of others, wildcards, shadows, jobs, wills, retained messages, topics of AWS.
/// Evaluates each case against the generated IoT policies, by the rules of AWS IoT, and runs the two policy audits of
/// Device Defender. Fails if a case has the wrong outcome, and names it.
#[derive(Args, Debug)]
pub(crate) struct Prove {
    #[command(flatten)]
    file: File,
    /// The environment; defaults to all of them
    #[arg(long, value_name = "ENVIRONMENT")]
    env: Option<String>,
    /// How the proof is written
    #[arg(long, value_enum, default_value_t = FormatName::Text)]
    format: FormatName,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatName {
    /// A table for each environment, and a line for each case with the wrong outcome
    Text,
    /// One JSON document with every case
    Json,
}

impl Prove {
    pub(crate) fn run(self) -> Result<(), Stop> {
        let project = input::project(&self.file.file)?;
        let only = self.env.as_deref().map(|name| input::environment(&project, name)).transpose()?;
        let chosen = project.environments.iter().filter(|(id, _)| only.is_none_or(|only| only == *id));
        let proofs: Vec<(&str, Proof)> = chosen.map(|(id, platform)| (id.as_str(), prove(platform))).collect();
        print(&match self.format {
            FormatName::Text => proof::text(&proofs),
            FormatName::Json => proof::json(project.name.as_str(), &proofs),
        })?;
        let wrong: Vec<String> =
            proofs.iter().filter(|(_, proof)| !proof.holds()).map(|(name, _)| format!("`{name}`")).collect();
        if wrong.is_empty() {
            return Ok(());
        }
        tell(format_args!("error: the proof fails for {}", wrong.join(", ")));
        Err(Stop::found())
    }
}
