//! The deployed platform file, its variants, and the output generated from them.

use std::process::Command;

use camino::{Utf8Path, Utf8PathBuf};

use super::{Failure, Test};

/// The platform of the test, and its variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    First,
    /// Only the threshold of the rule is different.
    ChangedRule,
    /// Devices have certificates from an authority that the test has created.
    OwnAuthority,
}

/// The secret that signs webhook messages, as its owner stores it in Secrets Manager.
pub(super) const SECRET_NAME: &str = "deploy-test/hook";
pub(super) const SECRET_KEY: &[u8] = b"a key of thirty-two bytes or so!";

impl Test {
    pub(super) fn platform_file(&self) -> Utf8PathBuf {
        self.setup.work.join("platform.toml")
    }

    /// The certificate of the authority that signs devices' certificates.
    pub(super) fn authority_certificate(&self) -> Utf8PathBuf {
        self.setup.work.join("authority.crt")
    }

    /// The environment's folder below `out/`.
    pub(super) fn rendering(&self) -> Utf8PathBuf {
        self.setup.work.join("out/test")
    }

    pub(super) fn make_secret(&mut self) -> Result<(), Failure> {
        self.transcript.part("the webhook's secret, made by its owner");
        self.aws.call(&["secretsmanager", "create-secret", "--name", SECRET_NAME, "--secret-string", &secret()])?;
        Ok(())
    }

    pub(super) fn generate(&mut self, variant: Variant) -> Result<(), Failure> {
        self.transcript.part(&format!("fleetform generate ({variant:?})"));
        let fixture = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/platform.toml");
        let mut text = std::fs::read_to_string(fixture)?;
        let mut change = |from: &str, to: &str| {
            assert!(text.contains(from), "the fixture has no `{from}`");
            text = text.replace(from, to);
        };
        match variant {
            Variant::First => {}
            Variant::ChangedRule => change("threshold = 60.0", "threshold = 58.0"),
            Variant::OwnAuthority => {
                change("threshold = 60.0", "threshold = 58.0");
                let certificate = std::fs::read_to_string(self.authority_certificate())?;
                let authority = format!(
                    "provisioning = \"jitp\"\n[identity.authorities.factory]\ncertificate = \"\"\"\n{certificate}\"\"\"\n"
                );
                change("provisioning = \"fleet_claim\"\n", &authority);
            }
        }
        std::fs::write(self.platform_file(), text)?;
        let output = Command::new(&self.setup.fleetform)
            .args(["generate", self.platform_file().as_str(), "--out", self.setup.work.join("out").as_str()])
            .output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        Ok(())
    }
}

fn secret() -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    format!("whsec_{}", STANDARD.encode(SECRET_KEY))
}
