//! `cargo xtask lambda`: the Lambda binaries, each zipped as `bootstrap` below `target/lambda/` or
//! `target/lambda-dev/`.
//!
//! Release zips are linked by zig against the glibc of `provided.al2023`, whatever the build machine has, and have the
//! same bytes wherever they are built. Development zips contain what `cargo build` made, for local tests.

use std::{
    env, fs,
    io::{Cursor, Write as _},
    process::Command,
};

use camino::{Utf8Path, Utf8PathBuf};
use clap::ValueEnum;
use sha2::{Digest as _, Sha256};
use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

use crate::{error::Error, process, tools, workspace};

/// The binaries: each name is also that of its zip and of the feature that it is built with.
pub(crate) const BINARIES: [&str; 6] = ["evaluate", "deliver", "jobs", "store", "export", "live"];
/// The glibc of Amazon Linux 2023.
const GLIBC: (u32, u32) = (2, 34);
/// Maximum sizes of binaries in bytes on x86-64, where they are measured: a cold start reads the whole binary, see
/// docs/decisions/0011.
const BYTES_LIMIT: [(&str, usize); 1] = [("evaluate", 8_000_000)];

/// The processor that the binaries run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Arch {
    /// 64-bit x86.
    #[value(name = "x86_64")]
    X86_64,
    /// 64-bit ARM.
    #[value(name = "arm64")]
    Arm64,
}

impl Arch {
    const fn target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// `e_machine` of an ELF file (System V ABI, `EM_X86_64` and `EM_AARCH64`).
    pub(crate) const fn elf_machine(self) -> u16 {
        match self {
            Self::X86_64 => 62,
            Self::Arm64 => 183,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }

    /// The architecture with this name in templates.
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::X86_64, Self::Arm64].into_iter().find(|arch| arch.as_str() == name)
    }
}

/// How the binaries are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// For Lambda: optimized, mostly for size, and linked against its glibc.
    Lambda,
    /// For tests on this machine: what `cargo build` makes, quick to build and unfit for deployment.
    Dev,
}

/// Builds and zips every binary, and prints its size. A binary that is too large is reported after all are zipped.
pub(crate) fn run(arch: Arch, profile: Profile) -> Result<(), Error> {
    let folder = folder(profile);
    let mut faults = Vec::new();
    fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
    for binary in BINARIES {
        let path = build(binary, arch, profile)?;
        let bytes = fs::read(&path).map_err(Error::file(&path))?;
        check(binary, &bytes, arch, profile)?;
        let zip = package(&path)?;
        let place = folder.join(format!("{binary}.zip"));
        fs::write(&place, &zip).map_err(Error::file(&place))?;
        let sha256: String = Sha256::digest(&zip).iter().map(|byte| format!("{byte:02x}")).collect();
        anstream::println!(
            "{binary:<9} {:<7} binary {:>9} bytes  zip {:>9} bytes  sha256 {sha256}",
            arch.as_str(),
            bytes.len(),
            zip.len(),
        );
        if (arch, profile) == (Arch::X86_64, Profile::Lambda) {
            faults.extend(too_large(binary, bytes.len()));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Error::Message(faults.join("; "))) }
}

/// An error message if a binary is too large.
fn too_large(binary: &str, bytes: usize) -> Option<String> {
    let (_, limit) = BYTES_LIMIT.into_iter().find(|(limited, _)| *limited == binary)?;
    (bytes >= limit).then(|| {
        format!("`{binary}` has {bytes} bytes and must stay below {limit}; docs/decisions/0011 says what takes them")
    })
}

/// The folder with the zips of a profile. Those for tests are separate, so that they are not deployed by mistake.
pub(crate) fn folder(profile: Profile) -> Utf8PathBuf {
    workspace::target().join(match profile {
        Profile::Lambda => "lambda",
        Profile::Dev => "lambda-dev",
    })
}

/// Builds one binary separately, so that it is compiled with its own feature only, and with nothing that another one
/// needs.
pub(crate) fn build(binary: &str, arch: Arch, profile: Profile) -> Result<Utf8PathBuf, Error> {
    match profile {
        Profile::Dev => {
            workspace::build()?;
            Ok(workspace::target().join("debug").join(binary))
        }
        Profile::Lambda => {
            tools::run()?;
            let target = arch.target();
            let mut command = tools::BUILD.program("cargo-zigbuild");
            command
                .args(["zigbuild", "--locked", "--package", "fleetform-runtime", "--profile", "lambda"])
                .args(["--no-default-features", "--features", &format!("{binary},quiet"), "--bin", binary])
                .args(["--target", &format!("{target}.{}.{}", GLIBC.0, GLIBC.1)]);
            compiler_flags(&mut command, target)?;
            process::run(&mut command)?;
            Ok(workspace::target().join(target).join("lambda").join(binary))
        }
    }
}

/// Keeps this machine's paths out of the binaries, so that the same source gives the same bytes anywhere.
///
/// Also gives every function a frame pointer: the unwind table then needs less for each function, which makes
/// `evaluate` 170 kB smaller.
fn compiler_flags(command: &mut Command, target: &str) -> Result<(), Error> {
    let cargo_home = match env::var("CARGO_HOME") {
        Ok(folder) => folder,
        Err(_) => format!("{}/.cargo", env::var("HOME").map_err(|_| Error::Message("HOME is not set".to_owned()))?),
    };
    let renamed = [(cargo_home.as_str(), "/cargo"), (workspace::root().as_str(), "/fleetform")];
    let mut rust: Vec<String> = renamed.iter().map(|(from, to)| format!("--remap-path-prefix={from}={to}")).collect();
    rust.push("-Cforce-frame-pointers=yes".to_owned());
    let c: Vec<String> = renamed.iter().map(|(from, to)| format!("-ffile-prefix-map={from}={to}")).collect();
    let mut path = vec![tools::BUILD.programs().into_std_path_buf()];
    path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let path = env::join_paths(path).map_err(|error| Error::Message(format!("PATH: {error}")))?;
    command
        // The date and time that C code embeds.
        .env("SOURCE_DATE_EPOCH", "315532800")
        .env("CARGO_ENCODED_RUSTFLAGS", rust.join("\u{1f}"))
        .env(format!("CFLAGS_{}", target.replace('-', "_")), c.join(" "))
        .env("PATH", path);
    Ok(())
}

/// Checks that Lambda can start a binary.
fn check(binary: &str, bytes: &[u8], arch: Arch, profile: Profile) -> Result<(), Error> {
    let machine = elf_machine(bytes).ok_or_else(|| Error::Message(format!("{binary} is no ELF file")))?;
    if machine != arch.elf_machine() {
        return Err(Error::Message(format!("{binary} is for machine {machine}, not for {}", arch.as_str())));
    }
    let newest = newest_glibc(bytes);
    match (profile, newest) {
        (Profile::Lambda, Some((major, minor))) if (major, minor) > GLIBC => Err(Error::Message(format!(
            "{binary} needs glibc {major}.{minor}, and `provided.al2023` has {}.{}",
            GLIBC.0, GLIBC.1
        ))),
        _ => Ok(()),
    }
}

/// The machine of an ELF file.
pub(crate) fn elf_machine(bytes: &[u8]) -> Option<u16> {
    bytes.starts_with(b"\x7fELF").then_some(())?;
    Some(u16::from_le_bytes([*bytes.get(18)?, *bytes.get(19)?]))
}

/// The newest version among the glibc symbols that a binary needs. Their names are text in its dynamic strings.
fn newest_glibc(bytes: &[u8]) -> Option<(u32, u32)> {
    const MARK: &[u8] = b"GLIBC_";
    bytes
        .windows(MARK.len())
        .enumerate()
        .filter(|(_, window)| *window == MARK)
        .filter_map(|(at, _)| {
            let rest = &bytes[at + MARK.len()..];
            let end = rest.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.')?;
            let mut parts = std::str::from_utf8(&rest[..end]).ok()?.split('.');
            Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
        })
        .max()
}

/// Zips a binary.
pub(crate) fn package(binary: &Utf8Path) -> Result<Vec<u8>, Error> {
    let bytes = fs::read(binary).map_err(Error::file(binary))?;
    bootstrap_zip(&bytes).map_err(|error| Error::Message(format!("zip of {binary}: {error}")))
}

/// A zip with a single file, which only depends on the file's bytes.
pub(crate) fn bootstrap_zip(bytes: &[u8]) -> zip::result::ZipResult<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(9))
        .last_modified_time(DateTime::default())
        .unix_permissions(0o755);
    zip.start_file("bootstrap", options)?;
    zip.write_all(bytes)?;
    Ok(zip.finish()?.into_inner())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_same_bytes_give_the_same_zip_with_an_executable_bootstrap() {
        let zip = bootstrap_zip(b"binary").expect("a zip");
        assert_eq!(zip, bootstrap_zip(b"binary").expect("a zip"));
        let mut archive = zip::ZipArchive::new(Cursor::new(zip)).expect("an archive");
        assert_eq!(archive.len(), 1);
        let mut file = archive.by_name("bootstrap").expect("the file");
        assert_eq!(file.unix_mode().map(|mode| mode & 0o777), Some(0o755));
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).expect("its bytes");
        assert_eq!(bytes, b"binary");
    }

    #[test]
    fn a_binary_at_its_limit_is_named_with_its_size() {
        assert_eq!(too_large("evaluate", 7_999_999), None);
        let words = too_large("evaluate", 8_000_000).expect("too large");
        assert!(words.starts_with("`evaluate` has 8000000 bytes and must stay below 8000000"), "{words}");
        assert_eq!(too_large("export", usize::MAX), None, "it has no limit");
    }

    #[test]
    fn a_binary_that_lambda_cannot_start_is_refused() {
        let elf = |machine: u16, symbols: &[u8]| {
            let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
            bytes.extend(machine.to_le_bytes());
            bytes.extend(symbols);
            bytes
        };
        let symbols = b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_PRIVATE\0GLIBC_2.9\0";
        assert_eq!(newest_glibc(&elf(62, symbols)), Some((2, 34)));
        assert!(check("x", &elf(62, symbols), Arch::X86_64, Profile::Lambda).is_ok());
        assert!(check("x", &elf(62, symbols), Arch::Arm64, Profile::Lambda).is_err());
        assert!(check("x", &elf(62, b"\0GLIBC_2.38\0"), Arch::X86_64, Profile::Lambda).is_err());
        assert!(check("x", &elf(62, b"\0GLIBC_2.38\0"), Arch::X86_64, Profile::Dev).is_ok());
        assert!(check("x", b"#!/bin/sh", Arch::X86_64, Profile::Dev).is_err());
    }
}
