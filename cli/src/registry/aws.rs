//! The registry of an environment on AWS: each question and each change as the one call that it is.

use aws_sdk_kinesis::{Client, primitives::Blob};
use fleetform_generator::platform::Platform;
use fleetform_runtime::aws::signed::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    Thing,
    iot::{CallError, Iot, MARKER, TOKEN, encode},
    port::{Certificate, Change, Created, CreatedWithKey, Registry, Status, id_of},
};
use crate::{found, stream, terminal::Stop};

/// What AWS IoT says of something that it deletes as soon as a certificate is detached, which takes it some seconds.
const STILL_ATTACHED: [&str; 2] = ["DeleteConflictException", "InvalidRequestException"];

/// The header that names a certificate where a thing is in the path.
const PRINCIPAL: &str = "x-amzn-principal";

/// Certificates in one answer: <https://docs.aws.amazon.com/iot/latest/apireference/API_ListCertificates.html>.
const PAGE_CERTIFICATES: usize = 250;

/// AWS IoT and the telemetry stream of one environment.
pub(crate) struct Aws {
    iot: Iot,
    kinesis: Client,
    stream: String,
}

impl Aws {
    /// Those of a platform's environment, once it is deployed and the credentials are of its account. The stream is found
    /// unless it is named.
    pub(crate) async fn open(platform: &Platform, stream: Option<&str>) -> Result<Self, Stop> {
        found::check_region(platform)?;
        let (kinesis, stream) = stream::open(platform, stream).await?;
        Ok(Self { iot: Iot::open(platform).await?, kinesis, stream })
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
            message: found::in_words(error),
        })
    }
}

impl Registry for Aws {
    async fn thing(&self, device: &str) -> Result<Option<Thing>, CallError> {
        self.iot.thing(device).await
    }

    async fn groups(&self, device: &str) -> Result<Vec<String>, CallError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Group {
            group_name: String,
        }
        let path = format!("/things/{}/thing-groups", encode(device));
        let groups: Vec<Group> =
            self.iot.pages("list thing groups", Method::GET, &path, "thingGroups", TOKEN, &mut |_| {}).await?;
        Ok(groups.into_iter().map(|group| group.group_name).collect())
    }

    async fn certificates(&self, device: &str) -> Result<Vec<String>, CallError> {
        let path = format!("/things/{}/principals", encode(device));
        self.iot.pages("list the thing's certificates", Method::GET, &path, "principals", TOKEN, &mut |_| {}).await
    }

    async fn certificate(&self, arn: &str) -> Result<Option<Certificate>, CallError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            certificate_description: Description,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Description {
            status: String,
            certificate_pem: String,
        }
        let path = format!("/certificates/{}", encode(id_of(arn)));
        let answer: Option<Answer> = self.iot.get("describe the certificate", &path).await?;
        Ok(answer.map(|Answer { certificate_description: found }| Certificate {
            status: Status::of(&found.status),
            pem: found.certificate_pem,
        }))
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
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Policy {
            policy_name: String,
        }
        let path = format!("/attached-policies/{}", encode(arn));
        let policies: Vec<Policy> =
            self.iot.pages("list attached policies", Method::POST, &path, "policies", MARKER, &mut |_| {}).await?;
        Ok(policies.into_iter().map(|policy| policy.policy_name).collect())
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
        // Taken apart by hand: what a parser says of an answer may quote it, and a key is in it.
        let answer: Value = self.iot.call(call, Method::POST, path, &[], None).await?;
        let text = |value: &Value| {
            value.as_str().map(str::to_owned).ok_or_else(|| CallError {
                call: call.to_owned(),
                code: String::new(),
                message: "the answer is not understood".to_owned(),
            })
        };
        Ok(CreatedWithKey {
            created: Created { arn: text(&answer["certificateArn"])?, pem: text(&answer["certificatePem"])? },
            key: text(&answer["keyPair"]["PrivateKey"])?,
        })
    }

    async fn change(&self, change: &Change) -> Result<(), CallError> {
        if let Change::TellStream { device, record } = change {
            return self.tell(device, record).await;
        }
        let Asked { method, path, principal, body } = asked(change);
        let headers: Vec<(&str, &str)> = principal.iter().map(|arn| (PRINCIPAL, arn.as_str())).collect();
        let deletes = matches!(change, Change::DeleteThing { .. } | Change::DeleteCertificate { .. });
        let refused_for_now: &[&str] = if deletes { &STILL_ATTACHED } else { &[] };
        let call = change.to_string();
        let _answer: Value = self.iot.call_until(&call, method, &path, &headers, body, refused_for_now).await?;
        Ok(())
    }
}

/// What a change is asked for with.
#[derive(Debug, PartialEq)]
struct Asked {
    method: Method,
    path: String,
    /// A certificate that is named in a header.
    principal: Option<String>,
    body: Option<Value>,
}

fn asked(change: &Change) -> Asked {
    let thing = |device: &str| format!("/things/{}", encode(device));
    let certificate_path = |arn: &str| format!("/certificates/{}", encode(id_of(arn)));
    let with = |method, path, body| Asked { method, path, principal: None, body };
    let in_group = |device: &str, group: &str| Some(json!({ "thingName": device, "thingGroupName": group }));
    let principal = |method, device: &str, arn: &str| {
        let path = format!("{}/principals", thing(device));
        Asked { method, path, principal: Some(arn.to_owned()), body: None }
    };
    let policy_path = |policy: &str| format!("/target-policies/{}", encode(policy));
    match change {
        Change::CreateThing { device, thing_type } => {
            with(Method::POST, thing(device), Some(json!({ "thingTypeName": thing_type })))
        }
        Change::SetThingType { device, thing_type } => {
            with(Method::PATCH, thing(device), Some(json!({ "thingTypeName": thing_type })))
        }
        Change::SetAttributes { device, attributes } => {
            let attributes: Map<String, Value> =
                attributes.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
            let payload = json!({ "attributePayload": { "attributes": attributes, "merge": true } });
            with(Method::PATCH, thing(device), Some(payload))
        }
        Change::DeleteThing { device } => with(Method::DELETE, thing(device), None),
        Change::JoinGroup { device, group } => {
            with(Method::PUT, "/thing-groups/addThingToThingGroup".to_owned(), in_group(device, group))
        }
        Change::LeaveGroup { device, group } => {
            with(Method::PUT, "/thing-groups/removeThingFromThingGroup".to_owned(), in_group(device, group))
        }
        Change::TellStream { .. } => unreachable!("the registry is not the stream"),
        Change::AttachPolicy { policy, certificate } => {
            with(Method::PUT, policy_path(policy), Some(json!({ "target": certificate })))
        }
        Change::DetachPolicy { policy, certificate } => {
            with(Method::POST, policy_path(policy), Some(json!({ "target": certificate })))
        }
        Change::AttachThing { device, certificate } => principal(Method::PUT, device, certificate),
        Change::DetachThing { device, certificate } => principal(Method::DELETE, device, certificate),
        Change::SetStatus { certificate, status } => {
            with(Method::PUT, format!("{}?newStatus={status}", certificate_path(certificate)), None)
        }
        Change::DeleteCertificate { certificate } => {
            with(Method::DELETE, format!("{}?forceDelete=true", certificate_path(certificate)), None)
        }
    }
}
