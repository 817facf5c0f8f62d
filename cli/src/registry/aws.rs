//! The registry of an environment on AWS: one call for each question and each change.

use aws_sdk_kinesis::{Client, primitives::Blob};
use fleetform_generator::platform::Platform;
use fleetform_runtime::aws::{signed::Method, things};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Thing,
    iot::{self, CallError, Iot, MARKER, TOKEN, encode},
    port::{Certificate, Created, CreatedWithKey, Registry, Status, Step, id_of},
};
use crate::{found, stream, terminal::Stop};

/// Certificates in one answer: <https://docs.aws.amazon.com/iot/latest/apireference/API_ListCertificates.html>.
const PAGE_CERTIFICATES: usize = 250;

/// AWS IoT and the telemetry stream of one environment.
pub(crate) struct Aws {
    iot: Iot,
    kinesis: Client,
    stream: String,
}

impl Aws {
    /// Those of a platform's environment, once it is deployed and the credentials are of its account. The stream is
    /// found unless it is named.
    pub(crate) async fn open(platform: &Platform, stream: Option<&str>) -> Result<Self, Stop> {
        found::check_region(platform)?;
        let (kinesis, stream) = stream::open(platform, stream).await?;
        Ok(Self { iot: iot::open(platform).await?, kinesis, stream })
    }

    /// The telemetry stream's name.
    pub(crate) fn stream(&self) -> &str {
        &self.stream
    }

    async fn tell(&self, device: &str, record: &str) -> Result<(), CallError> {
        let put = self.kinesis.put_record().stream_name(&self.stream).partition_key(device);
        let put = put.data(Blob::new(record.as_bytes())).send().await;
        put.map(drop).map_err(|error| CallError {
            call: "put the device record".to_owned(),
            code: String::new(),
            message: found::in_words(&error),
        })
    }
}

impl Registry for Aws {
    async fn thing(&self, device: &str) -> Result<Option<Thing>, CallError> {
        things::thing(&self.iot, device).await
    }

    async fn groups(&self, device: &str) -> Result<Vec<String>, CallError> {
        things::groups(&self.iot, device).await
    }

    async fn certificates(&self, device: &str) -> Result<Vec<String>, CallError> {
        let path = format!("/things/{}/principals", encode(device));
        self.iot.pages("list the thing's certificates", Method::GET, &path, "principals", TOKEN, &mut |_| {}).await
    }

    async fn certificate(&self, arn: &str) -> Result<Option<Certificate>, CallError> {
        things::certificate(&self.iot, id_of(arn)).await
    }

    async fn inactive(&self) -> Result<Vec<String>, CallError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Listed {
            certificate_arn: String,
            status: String,
        }
        let path = format!("/certificates?pageSize={PAGE_CERTIFICATES}");
        let listed: Vec<Listed> =
            self.iot.pages("list certificates", Method::GET, &path, "certificates", MARKER, &mut |_| {}).await?;
        let inactive = listed.into_iter().filter(|listed| Status::of(&listed.status) == Status::Inactive);
        Ok(inactive.map(|listed| listed.certificate_arn).collect())
    }

    async fn policies(&self, arn: &str) -> Result<Vec<String>, CallError> {
        things::policies(&self.iot, arn).await
    }

    async fn create_certificate(&self, request: &str) -> Result<Created, CallError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            certificate_arn: String,
            certificate_pem: String,
        }
        let body = json!({ "certificateSigningRequest": request });
        let path = "/certificates?setAsActive=false";
        let answer: Answer = self.iot.call("create the certificate", Method::POST, path, &[], Some(body)).await?;
        Ok(Created { arn: answer.certificate_arn, pem: answer.certificate_pem })
    }

    async fn create_keys_and_certificate(&self) -> Result<CreatedWithKey, CallError> {
        let (call, path) = ("create keys and certificate", "/keys-and-certificate?setAsActive=false");
        // Taken apart by hand: the error of a parser may quote the answer, which contains a key.
        let answer: Value = self.iot.call(call, Method::POST, path, &[], None).await?;
        let text = |value: &Value| {
            value.as_str().map(str::to_owned).ok_or_else(|| CallError {
                call: call.to_owned(),
                code: String::new(),
                message: "the answer cannot be read".to_owned(),
            })
        };
        Ok(CreatedWithKey {
            created: Created { arn: text(&answer["certificateArn"])?, pem: text(&answer["certificatePem"])? },
            key: text(&answer["keyPair"]["PrivateKey"])?,
        })
    }

    async fn take(&self, step: &Step) -> Result<(), CallError> {
        match step {
            Step::TellStream { device, record } => self.tell(device, record).await,
            Step::Registry(change) => change.make(&self.iot).await,
        }
    }
}
