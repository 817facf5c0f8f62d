//! `fleetform devices import`.

use camino::Utf8PathBuf;
use clap::Args;

use super::registering::{Registering, ServerKeys, text};
use crate::{
    registry::{
        manifest::{Row, rows},
        registrar::KeyMaker,
    },
    terminal::{Stop, tell},
};

/// Register every device of a CSV file, and give each a certificate
///
/// The first line names the columns: device, type and zone, and optionally csr, attributes (as in `max_pressure=70;min_flow=2`) and serial. The whole file is checked before the first device. A run that was interrupted is continued by the next; running a finished one again changes nothing.
#[derive(Args, Debug)]
pub(crate) struct Import {
    /// The CSV file
    #[arg(value_name = "MANIFEST")]
    manifest: Utf8PathBuf,
    #[command(flatten)]
    server_keys: ServerKeys,
    #[command(flatten)]
    registering: Registering,
}

impl Import {
    pub(crate) fn run(self) -> Result<(), Stop> {
        let project = self.registering.project()?;
        let platform = self.registering.platform(&project)?;
        let server_keys = self.server_keys.of(platform)?;
        let manifest = &self.manifest;
        let text_of_it =
            text(manifest).map_err(|error| Stop::bad_input(format_args!("cannot read {manifest}: {error}")))?;
        let rows = rows(platform, &text_of_it, text).map_err(|problems| {
            for (line, problem) in &problems {
                tell(format_args!("error: {manifest}:{line}: {problem}"));
            }
            let (count, s) = (problems.len(), if problems.len() == 1 { "" } else { "s" });
            Stop::bad_input(format_args!("{manifest} has {count} problem{s}: nothing was done"))
                .help("fix what is reported and run this again")
        })?;
        if let Some(row) = rows.iter().find(|row| server_keys && row.request.is_some()) {
            return Err(Stop::bad_input(format_args!(
                "{} has a certificate signing request of its own",
                row.wanted.device
            ))
            .help(
                "with --insecure-server-keys AWS would generate its key: leave out the column `csr`, or the option",
            ));
        }
        self.registering.with(platform, async |registrar| {
            let count = rows.len();
            for (Row { wanted, request }, number) in rows.iter().zip(1_usize..) {
                tell(format_args!("{number} of {count}: {}", wanted.device));
                registrar.add(wanted, KeyMaker::of(request.as_deref(), server_keys), false).await?;
            }
            if !registrar.dry_run {
                tell(format_args!("all devices of {manifest} are registered: {count}"));
            }
            Ok(())
        })
    }
}
