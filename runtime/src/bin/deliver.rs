//! The binary for delivery. Handler: `notify`.

use std::process::ExitCode;

use fleetform_runtime::{
    aws::{Access, deliveries::DynamoDeliveries, rule_sets::RuleSets, secrets::AwsSecrets},
    config::{self, Variables},
    handler::notify::Notify,
    host,
    notify::{address::AddressPolicy, gateway::AwsGateway, sns::SnsSender, webhook::WebhookSender},
    start::{self, StartError, UnknownHandler},
    telemetry, tls,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    start::run(notify)
}

async fn notify() -> Result<(), StartError> {
    let variables = Variables::new(&config::process);
    UnknownHandler::unless(&variables, "notify")?;
    let config = config::Notify::read(&variables)?;
    let access = Access::read(&variables)?;
    let secrets = AwsSecrets::new(access.secrets_manager(), access.ssm());
    let handler = Notify {
        deliveries: DynamoDeliveries::new(
            access.dynamodb(),
            config.deliveries_table,
            config.outbox_table,
            config.alerts_table,
        ),
        gateway: AwsGateway {
            sns: SnsSender::new(access.sns(), config.topic_arn_prefix, config.sms_origination),
            webhooks: WebhookSender::new(tls::client(), AddressPolicy::PUBLIC, secrets)?,
        },
        rule_sets: RuleSets::new(access.s3(), config.artifact_bucket),
        clock: telemetry::now,
    };
    if let Err(error) = handler.deliveries.connect().await {
        tracing::warn!(reason = %error, "no connection yet");
    }
    host::serve(handler, &config.common).await
}
