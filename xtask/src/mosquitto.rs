//! mosquitto and its clients from Debian, unpacked below `.tools/mosquitto/`: nothing is installed, and root is not
//! needed.
//!
//! The packages are those of the machine's release, including security updates, so their versions are not fixed.
//! Without `apt-get`, there is no mosquitto, and what needs it is skipped.

use std::{
    fs,
    process::{Command, Stdio},
};

use camino::{Utf8Path, Utf8PathBuf};

use crate::{error::Error, process, workspace};

const PACKAGES: [&str; 2] = ["mosquitto", "mosquitto-clients"];

/// The programs, with their paths in the packages.
const PROGRAMS: [(&str, &str); 3] =
    [("mosquitto", "usr/sbin"), ("mosquitto_pub", "usr/bin"), ("mosquitto_sub", "usr/bin")];

/// Installs it, unless it is there and runs.
pub(crate) fn install() -> Result<(), Error> {
    let folder = workspace::root().join(".tools/mosquitto");
    if runs(&folder) {
        anstream::eprintln!("mosquitto: it is there");
        return Ok(());
    }
    if !process::succeeds(Command::new("apt-get").arg("--version")) {
        anstream::eprintln!("mosquitto: there is no apt-get, so devices are not connected to a broker");
        return Ok(());
    }
    anstream::eprintln!("mosquitto: unpacking Debian's packages");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(Error::file(&folder))?;
    }
    let [lists, cache, root] = ["lists", "cache", "root"].map(|name| folder.join(name));
    for folder in [&lists.join("partial"), &cache.join("archives/partial"), &root] {
        fs::create_dir_all(folder).map_err(Error::file(folder))?;
    }
    process::run(apt_get(&lists, &cache).args(["--quiet", "--quiet", "update"]))?;
    process::run(
        apt_get(&lists, &cache)
            .args([
                "--quiet",
                "--quiet",
                "--yes",
                "--no-install-recommends",
                "--reinstall",
                "--download-only",
                "install",
            ])
            .args(PACKAGES)
            .stdout(Stdio::null()),
    )?;
    for package in packages(&cache.join("archives"))? {
        process::run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(&root))?;
    }
    for (name, place) in PROGRAMS {
        start_script(&folder, name, place)?;
    }
    for folder in [lists, cache] {
        fs::remove_dir_all(&folder).map_err(Error::file(&folder))?;
    }
    if runs(&folder) { Ok(()) } else { Err(Error::Message(format!("{folder}/mosquitto does not run"))) }
}

/// apt-get with its own lists and cache, and without the locks that need root. Packages that are already installed on
/// this machine are not fetched.
fn apt_get(lists: &Utf8Path, cache: &Utf8Path) -> Command {
    let mut command = Command::new("apt-get");
    command.args(["-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=", "-o"]);
    command.arg(format!("Dir::State::Lists={lists}")).arg("-o").arg(format!("Dir::Cache={cache}"));
    command
}

/// Whether the programs start. None of them has an argument for this that succeeds everywhere.
fn runs(folder: &Utf8Path) -> bool {
    PROGRAMS.iter().all(|(name, _)| {
        let help = process::output(Command::new(folder.join(name)).arg("--help"));
        help.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).starts_with(&format!("{name} ")))
    })
}

fn packages(archives: &Utf8Path) -> Result<Vec<Utf8PathBuf>, Error> {
    let entries = archives.read_dir_utf8().and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.map_err(Error::file(archives))?;
    Ok(entries
        .into_iter()
        .map(|entry| entry.path().to_owned())
        .filter(|path| path.extension() == Some("deb"))
        .collect())
}

/// A script that starts a program with the libraries unpacked next to it.
fn start_script(folder: &Utf8Path, name: &str, place: &str) -> Result<(), Error> {
    let text = format!(
        "#!/bin/sh\n\
         root=$(dirname -- \"$(readlink -f -- \"$0\")\")/root\n\
         for folder in \"$root\"/usr/lib/* \"$root\"/lib/*; do\n\
         \x20 if [ -d \"$folder\" ]; then LD_LIBRARY_PATH=$folder${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}; fi\n\
         done\n\
         export LD_LIBRARY_PATH\n\
         exec \"$root/{place}/{name}\" \"$@\"\n"
    );
    let path = folder.join(name);
    fs::write(&path, text).map_err(Error::file(&path))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(Error::file(&path))?;
    }
    Ok(())
}
