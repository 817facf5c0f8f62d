//! Secrets by reference: `secretsmanager:NAME` or `ssm:NAME`. A secret's value goes to the caller and nowhere else.

use fleetform_engine::drive::PortError;

use crate::{aws::describe, notify::webhook::Secrets};

/// Secrets Manager and the parameter store.
#[derive(Debug)]
pub struct AwsSecrets {
    secrets_manager: aws_sdk_secretsmanager::Client,
    parameters: aws_sdk_ssm::Client,
}

impl AwsSecrets {
    /// Reads secrets with these clients.
    pub fn new(secrets_manager: aws_sdk_secretsmanager::Client, parameters: aws_sdk_ssm::Client) -> Self {
        Self { secrets_manager, parameters }
    }
}

impl Secrets for AwsSecrets {
    async fn fetch(&self, reference: &str) -> Result<String, PortError> {
        let without_text = || PortError(format!("`{reference}` holds no text"));
        match reference.split_once(':') {
            Some(("secretsmanager", name)) => {
                let found = self.secrets_manager.get_secret_value().secret_id(name).send().await;
                let found = found.map_err(|error| PortError(describe(&format!("secret `{reference}`"), &error)))?;
                found.secret_string.ok_or_else(without_text)
            }
            Some(("ssm", name)) => {
                let found = self.parameters.get_parameter().name(name).with_decryption(true).send().await;
                let found = found.map_err(|error| PortError(describe(&format!("secret `{reference}`"), &error)))?;
                found.parameter.and_then(|parameter| parameter.value).ok_or_else(without_text)
            }
            _ => Err(PortError(format!("`{reference}` is neither `secretsmanager:NAME` nor `ssm:NAME`"))),
        }
    }
}
