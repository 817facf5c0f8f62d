//! `fleetform generate`.

use camino::Utf8PathBuf;
use clap::Args;
use fleetform_generator::{Selection, render};

use crate::{
    folder::{self, Changes, DEFAULT_OUT},
    input::{self, DEFAULT_FILE, File},
    out_file,
    platform_files::PlatformFiles,
    terminal::{Stop, counted, print, tell},
};

/// Write stacks, policies, rule sets, scripts and contracts
///
/// Reads the platform file and the tests next to it as `check` does. Prints each file that changes: `[+]` new, `[~]` changed, `[-]` removed. Files that fleetform did not write are never
/// changed or removed, and a run that is killed or cannot write leaves the folder as it was.
#[derive(Args, Debug)]
pub(crate) struct Generate {
    #[command(flatten)]
    file: File,
    /// Write only this environment, and what all environments share
    #[arg(long, value_name = "ENVIRONMENT")]
    env: Option<String>,
    /// The folder to write
    #[arg(long, value_name = "DIR", default_value = DEFAULT_OUT, value_parser = out_file::path)]
    out: Utf8PathBuf,
    /// Write nothing; fail if the folder is not up to date
    #[arg(long)]
    check: bool,
}

impl Generate {
    pub(crate) fn run(self) -> Result<(), Stop> {
        let files = PlatformFiles::read(&self.file.file)?;
        let (project, ..) = files.sound(&folder::earlier(&self.out), self.env.as_deref(), false)?;
        let selection = match &self.env {
            Some(name) => Selection::Only(input::environment(&project, name)?),
            None => Selection::All,
        };
        let tree = render(&project, selection);
        let changes = folder::compare(&self.out, &tree)?;
        if self.check {
            self.list(&changes)?;
            return self.verdict(&changes);
        }
        folder::write(&self.out, &tree, &changes)?;
        self.list(&changes)?;
        let (out, removed) = (&self.out, changes.removed());
        let written = changes.files.len() - removed;
        match (written, removed) {
            (0, 0) => tell(format_args!("{out} is up to date")),
            (_, 0) => tell(format_args!("{out}: {written} of {} files written", tree.len())),
            (_, _) => tell(format_args!("{out}: {written} of {} files written, {removed} removed", tree.len())),
        }
        let environment = self.env.as_deref().unwrap_or(project.default_environment.as_str());
        tell(format_args!(
            "next: read {out}/{environment}/RUNBOOK.md, then run {out}/{environment}/scripts/deploy.sh --help"
        ));
        // The process ends here, and the operating system takes all of its memory back at once.
        std::mem::forget((project, tree, changes));
        Ok(())
    }

    fn list(&self, changes: &Changes) -> Result<(), Stop> {
        let lines: String =
            changes.files.iter().map(|(path, change)| format!("{change} {}\n", self.out.join(path))).collect();
        print(&lines)?;
        for path in &changes.edited {
            let path = self.out.join(path);
            tell(format_args!("warning: {path} was changed by hand; change the platform file instead"));
        }
        for path in &changes.left {
            let path = self.out.join(path);
            tell(format_args!("warning: {path} is no longer generated but was changed by hand, so it is left alone"));
        }
        Ok(())
    }

    fn verdict(&self, changes: &Changes) -> Result<(), Stop> {
        if changes.files.is_empty() {
            tell(format_args!("{} is up to date", self.out));
            return Ok(());
        }
        tell(format_args!(
            "{} is not what {} generates: {} {}",
            self.out,
            self.file.file,
            counted(changes.files.len(), "file"),
            if changes.files.len() == 1 { "differs" } else { "differ" }
        ));
        let mut command = "fleetform generate".to_owned();
        if self.file.file != DEFAULT_FILE {
            command = format!("{command} {}", self.file.file);
        }
        if let Some(environment) = &self.env {
            command = format!("{command} --env {environment}");
        }
        if self.out != DEFAULT_OUT {
            command = format!("{command} --out {}", self.out);
        }
        tell(format_args!("  help: run `{command}` and commit the result"));
        Err(Stop::found())
    }
}
