//! The binary for evaluation. Handler: `evaluate`.

use std::process::ExitCode;

use fleetform_engine::drive::Settings;
use fleetform_runtime::{
    aws::{
        Access,
        members::{AwsPublisher, KinesisMembers},
        publisher::DynamoPublisher,
        rule_sets::RuleSets,
        shards::KinesisShards,
        state_log::S3StateLog,
    },
    config::{self, Variables},
    crumbs::FileCrumbs,
    handler::evaluate::Evaluate,
    host,
    start::{self, StartError, UnknownHandler},
    telemetry,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    start::run(evaluate)
}

async fn evaluate() -> Result<(), StartError> {
    let variables = Variables::new(&config::process);
    UnknownHandler::unless(&variables, "evaluate")?;
    let config = config::Evaluate::read(&variables)?;
    let access = Access::read(&variables)?;
    let settings = Settings {
        generation: config.stream_generation,
        repair: config.state_repair,
        rule_set_sha256: config.rule_set_sha256.clone(),
        checkpoint_every: config.checkpoint_every,
        record_age_max: config.record_age_max,
    };
    let s3 = access.s3();
    let log = S3StateLog::new(s3.clone(), config.state_bucket);
    let rows = DynamoPublisher::new(
        access.dynamodb(),
        config.outbox_table,
        config.alerts_table,
        config.quarantine_table,
        config.alert_retention,
        telemetry::now,
    );
    let kinesis = access.kinesis();
    let members = KinesisMembers::new(kinesis.clone(), config.stream_arn.clone());
    let publisher = AwsPublisher { rows, members };
    let rule_sets = RuleSets::new(s3, config.artifact_bucket);

    // Opens connections, and reads the rule set that most shards use, while Lambda still provides a full core. A
    // failure is ignored here: the call is made again when its result is needed, and is reported there.
    let (state, rows, rules) =
        futures_util::join!(log.connect(), publisher.rows.connect(), rule_sets.bytes(&config.rule_set_sha256));
    for error in [state.err(), rows.err(), rules.err()].into_iter().flatten() {
        tracing::warn!(reason = %error, "not ready yet");
    }
    let shards = KinesisShards::new(kinesis, config.stream_arn.clone());
    let crumbs = FileCrumbs::new(std::env::temp_dir());
    let handler =
        Evaluate::new(settings, (log, publisher, rule_sets, shards, crumbs), config.stream_arn, telemetry::now);
    host::serve(handler, &config.common).await
}
