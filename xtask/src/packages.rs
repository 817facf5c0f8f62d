//! Checks the zips of the Lambda binaries against the templates that deploy them: each contains a binary for the
//! processor that its function requests, and zipping the same binary again gives the same bytes.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Cursor, Read as _},
    time::{Duration, SystemTime},
};

use camino::Utf8Path;
use serde_json::Value;

use crate::{
    error::Error,
    lambda::{self, Arch, BINARIES},
    lint, workspace,
};

/// Zips the binaries that `cargo build` made, and checks them against the committed templates.
pub(crate) fn run() -> Result<(), Error> {
    workspace::build()?;
    let functions = functions(&workspace::root().join("out"))?;
    let mut zips = BTreeMap::new();
    for binary in BINARIES {
        let path = workspace::target().join("debug").join(binary);
        zips.insert(binary.to_owned(), packaged_alike(&path)?);
    }
    check(&functions, &zips)?;
    anstream::println!("{} functions of out/ and {} zips are for the same processor", functions.len(), zips.len());
    Ok(())
}

/// A function of a template.
#[derive(Clone, Debug, PartialEq)]
struct Function {
    /// The template and the logical id.
    place: String,
    /// The name of its binary.
    binary: String,
    /// The architectures in the template.
    architectures: Vec<String>,
}

/// Every function of the templates below a folder.
fn functions(out: &Utf8Path) -> Result<Vec<Function>, Error> {
    let mut functions = Vec::new();
    for path in lint::files(out, "yaml")? {
        let text = fs::read_to_string(&path).map_err(Error::file(&path))?;
        let template: Value =
            serde_saphyr::from_str(&text).map_err(|error| Error::Message(format!("{path}: {error}")))?;
        functions.extend(functions_of(path.as_str(), &template));
    }
    if functions.is_empty() {
        return Err(Error::Message(format!("no template below {out} has a function: nothing would be checked")));
    }
    Ok(functions)
}

fn functions_of(file: &str, template: &Value) -> Vec<Function> {
    let resources = template["Resources"].as_object().into_iter().flatten();
    let functions = resources.filter(|(_, resource)| resource["Type"] == "AWS::Lambda::Function");
    functions
        .map(|(id, resource)| {
            let properties = &resource["Properties"];
            // The parameter with the zip's key is named after the binary.
            let key = properties["Code"]["S3Key"]["Ref"].as_str().unwrap_or_default();
            let architectures = properties["Architectures"].as_array().into_iter().flatten();
            Function {
                place: format!("{file}: {id}"),
                binary: key.trim_end_matches("CodeKey").to_lowercase(),
                architectures: architectures.filter_map(|arch| arch.as_str().map(str::to_owned)).collect(),
            }
        })
        .collect()
}

/// Checks that the zip of every function has a binary for its processor.
fn check(functions: &[Function], zips: &BTreeMap<String, Vec<u8>>) -> Result<(), Error> {
    for Function { place, binary, architectures } in functions {
        let zip = zips.get(binary).ok_or_else(|| Error::Message(format!("{place}: no binary `{binary}`")))?;
        let machine = machine(zip).map_err(|error| Error::Message(format!("{binary}.zip: {error}")))?;
        let wanted: Vec<_> = architectures.iter().map(|name| Arch::named(name).map(Arch::elf_machine)).collect();
        if wanted != [Some(machine)] {
            return Err(Error::Message(format!(
                "{place} runs on {}, but {binary}.zip has a binary for ELF machine {machine}",
                architectures.join(", ")
            )));
        }
    }
    Ok(())
}

/// The machine of the ELF file `bootstrap` in a zip.
fn machine(zip: &[u8]) -> zip::result::ZipResult<u16> {
    let mut archive = zip::ZipArchive::new(Cursor::new(zip))?;
    let mut bytes = Vec::new();
    archive.by_name("bootstrap")?.read_to_end(&mut bytes)?;
    lambda::elf_machine(&bytes).ok_or(zip::result::ZipError::InvalidArchive("bootstrap is no ELF file".into()))
}

/// The zip of a binary, which must not depend on the binary's path, modification time or permissions.
fn packaged_alike(binary: &Utf8Path) -> Result<Vec<u8>, Error> {
    let zip = lambda::package(binary)?;
    let copy = workspace::target().join("packages").join("another-name");
    let folder = copy.parent().unwrap_or(&copy);
    fs::create_dir_all(folder).map_err(Error::file(folder))?;
    let bytes = fs::read(binary).map_err(Error::file(binary))?;
    fs::write(&copy, bytes).map_err(Error::file(&copy))?;
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    File::options().write(true).open(&copy).and_then(|file| file.set_modified(long_ago)).map_err(Error::file(&copy))?;
    if lambda::package(&copy)? != zip {
        return Err(Error::Message(format!("the zip of {binary} is another one when it is packaged again")));
    }
    Ok(zip)
}

#[cfg(test)]
mod tests {
    use std::env;

    use super::*;

    /// A zip with the first kilobytes of a real binary for this machine: that of this test.
    fn own_zip() -> Vec<u8> {
        let own = fs::read(env::current_exe().expect("a path")).expect("this test");
        lambda::bootstrap_zip(&own[..4_096]).expect("a zip")
    }

    fn zips(zip: &[u8]) -> BTreeMap<String, Vec<u8>> {
        BINARIES.into_iter().map(|binary| (binary.to_owned(), zip.to_vec())).collect()
    }

    #[test]
    fn a_zip_is_for_the_processor_of_its_function() {
        let mut functions = functions(&workspace::root().join("out")).expect("functions");
        let zip = own_zip();
        let (own, other) = if cfg!(target_arch = "x86_64") { ("x86_64", "arm64") } else { ("arm64", "x86_64") };
        let mut all_on = |architectures: &[&str]| {
            for function in &mut functions {
                function.architectures = architectures.iter().map(|&name| name.to_owned()).collect();
            }
            check(&functions, &zips(&zip))
        };
        assert!(all_on(&[own]).is_ok());
        for wrong in [&[other][..], &[own, other], &["riscv"], &[]] {
            let error = all_on(wrong).expect_err("another processor").to_string();
            assert!(error.contains("ELF machine"), "{error}");
        }
    }

    #[test]
    fn every_function_of_the_example_names_a_binary() {
        let functions = functions(&workspace::root().join("out")).expect("functions");
        let mut named: Vec<&str> = functions.iter().map(|function| function.binary.as_str()).collect();
        named.sort_unstable();
        named.dedup();
        let mut binaries = BINARIES.to_vec();
        binaries.sort_unstable();
        assert_eq!(named, binaries);
        assert!(check(&functions, &BTreeMap::new()).is_err());
    }

    #[test]
    fn a_binary_is_packaged_alike_wherever_it_lies() {
        let zip = packaged_alike(&workspace::root().join("Cargo.toml")).expect("the same zip twice");
        assert!(zip.len() > 100);
    }

    #[test]
    fn a_zip_without_an_elf_file_is_refused() {
        let functions = functions(&workspace::root().join("out")).expect("functions");
        let script = lambda::bootstrap_zip(b"#!/bin/sh").expect("a zip");
        assert!(check(&functions, &zips(&script)).is_err());
        assert!(check(&functions, &zips(b"no zip")).is_err());
    }
}
