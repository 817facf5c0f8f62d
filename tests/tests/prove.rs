//! The proof for every platform file in the repository: no device can act as another.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use fleetform_generator::{check, prove::prove};

fn platform_files() -> Vec<Utf8PathBuf> {
    let here = Utf8Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![here.join("../platform.toml"), here.join("deploy/platform.toml")];
    for folder in ["fixtures/golden", "fixtures/valid"] {
        let fixtures = here.join(folder).read_dir_utf8().expect("the fixtures");
        files.extend(fixtures.map(|entry| entry.expect("an entry").path().join("platform.toml")));
    }
    files.sort();
    files
}

#[test]
fn no_device_of_any_platform_can_speak_for_another() {
    let files = platform_files();
    assert!(files.len() > 8, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).expect("the platform file");
        let checked = check(file.as_str(), &text);
        let project = checked.project.unwrap_or_else(|| panic!("{file}: {:#?}", checked.diagnostics));
        for (environment, platform) in &project.environments {
            let proof = prove(platform);
            let surprises: Vec<_> = proof.surprises().collect();
            assert!(
                proof.holds(),
                "{file} {environment}: {surprises:#?} {:#?} {:#?}",
                proof.findings,
                proof.unreadable
            );
            let allowed = proof.cases.iter().filter(|case| case.is).count();
            assert!(allowed >= 15 * platform.device_types.len(), "{file} {environment}: {allowed} cases are allowed");
        }
    }
}
