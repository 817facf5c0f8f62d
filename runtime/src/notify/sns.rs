//! Text messages and e-mail through a contact's SNS topics. The addresses are the topics' subscriptions, which this
//! module never sees.

use std::time::Duration;

use aws_sdk_sns::{
    Client,
    config::{retry::RetryConfig, timeout::TimeoutConfig},
    error::{ProvideErrorMetadata as _, SdkError},
    operation::publish::PublishError,
    types::MessageAttributeValue,
};
use fleetform_engine::rule_set::Channel;
use serde_json::json;

use crate::notify::gateway::{NotDelivered, Parcel};

/// The longest wait for an answer.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);

/// The publisher of topics.
#[derive(Debug)]
pub struct SnsSender {
    client: Client,
    topic_arn_prefix: String,
    sms_origination: Option<String>,
}

impl SnsSender {
    /// Publishes to topics whose ARNs are the prefix followed by `<contact>-<channel>`.
    pub fn new(client: Client, topic_arn_prefix: String, sms_origination: Option<String>) -> Self {
        Self { client, topic_arn_prefix, sms_origination }
    }

    /// Publishes to the topic of the parcel's contact and channel, once: a message without an answer may have been
    /// sent.
    pub async fn send(&self, parcel: Parcel<'_>) -> Result<(), NotDelivered> {
        let (target, message) = (parcel.target, parcel.message);
        let bodies = json!({ "default": message.summary, "sms": message.sms, "email": message.email });
        let mut publish = self
            .client
            .publish()
            .topic_arn(format!("{}{}-{}", self.topic_arn_prefix, target.contact, target.channel.as_str()))
            .message_structure("json")
            .message(bodies.to_string());
        publish = match target.channel {
            Channel::Sms => {
                let publish = publish.message_attributes("AWS.SNS.SMS.SMSType", attribute("Transactional"));
                match &self.sms_origination {
                    Some(origination) => {
                        publish.message_attributes(origination_key(origination), attribute(origination))
                    }
                    None => publish,
                }
            }
            Channel::Email | Channel::Webhook => publish.subject(&message.subject),
        };
        let time = Duration::from_millis(parcel.budget.0).min(PUBLISH_TIMEOUT);
        let once = aws_sdk_sns::Config::builder()
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_timeout(time).operation_attempt_timeout(time).build());
        publish.customize().config_override(once).send().await.map(drop).map_err(|error| classify(&error))
    }
}

/// A number or short code is an origination number, a word is a sender id.
///
/// <https://docs.aws.amazon.com/sns/latest/dg/sms_sending-overview.html>
fn origination_key(origination: &str) -> &'static str {
    if origination.chars().all(|c| c.is_ascii_digit() || c == '+') {
        "AWS.MM.SMS.OriginationNumber"
    } else {
        "AWS.SNS.SMS.SenderID"
    }
}

fn attribute(value: &str) -> MessageAttributeValue {
    // Both are set, which is all that the builder requires.
    MessageAttributeValue::builder().data_type("String").string_value(value).build().expect("a complete attribute")
}

/// A missing topic or permission can be fixed by a deployment, so the parcel is retried. Only a message that SNS cannot
/// accept is given up.
fn classify(error: &SdkError<PublishError>) -> NotDelivered {
    match error {
        SdkError::ServiceError(refusal) => {
            let code = refusal.err().code().unwrap_or("an error without a code");
            match refusal.err() {
                PublishError::InvalidParameterException(_) | PublishError::InvalidParameterValueException(_) => {
                    NotDelivered::Never { reason: format!("SNS refused the message: {code}") }
                }
                _ => NotDelivered::later(format!("SNS: {code}")),
            }
        }
        SdkError::TimeoutError(_) => NotDelivered::later("SNS did not answer in time"),
        _ => NotDelivered::later("SNS could not be reached"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_told_apart() {
        assert_eq!(origination_key("+12025550100"), "AWS.MM.SMS.OriginationNumber");
        assert_eq!(origination_key("73822"), "AWS.MM.SMS.OriginationNumber");
        assert_eq!(origination_key("Riverton"), "AWS.SNS.SMS.SenderID");
    }
}
