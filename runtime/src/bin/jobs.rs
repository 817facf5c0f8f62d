//! The binary for occasional work. Handlers: `sweep`, `relay`, `provision` and `register`.

use std::process::ExitCode;

use fleetform_runtime::{
    aws::{
        Access,
        allow_list::{DynamoAllowList, KinesisRecords},
        every_shard::KinesisStream,
        signed::http_client,
        state_log::S3StateLog,
        waiting::DynamoOutbox,
    },
    config::{self, Variables},
    handler::{provision::Provision, register::Register, relay::Relay, sweep::Sweep},
    host,
    provision::just_in_time::Names,
    start::{self, StartError, UnknownHandler},
    telemetry,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    start::run(serve)
}

async fn serve() -> Result<(), StartError> {
    let variables = Variables::new(&config::process);
    match variables.required("_HANDLER")? {
        handler if handler == "sweep" => sweep(&variables).await,
        handler if handler == "relay" => relay(&variables).await,
        handler if handler == "provision" => provision(&variables).await,
        handler if handler == "register" => register(&variables).await,
        handler => Err(UnknownHandler::new(handler, "sweep, relay, provision and register").into()),
    }
}

async fn sweep(variables: &Variables<'_>) -> Result<(), StartError> {
    let config = config::Sweep::read(variables)?;
    let access = Access::read(variables)?;
    let log = S3StateLog::new(access.s3(), config.state_bucket);
    let stream = KinesisStream::new(access.kinesis(), config.stream_arn);
    let outbox = DynamoOutbox::new(access.dynamodb(), config.outbox_table);
    let place = (config.stream_generation, config.state_repair);
    host::serve(Sweep::new((log, stream, outbox), place, telemetry::now), &config.common).await
}

async fn relay(variables: &Variables<'_>) -> Result<(), StartError> {
    let config = config::Relay::read(variables)?;
    let stream = KinesisStream::new(Access::read(variables)?.kinesis(), config.stream_arn);
    host::serve(Relay { stream, clock: telemetry::now }, &config.common).await
}

async fn provision(variables: &Variables<'_>) -> Result<(), StartError> {
    let config = config::Provision::read(variables)?;
    let access = Access::read(variables)?;
    let (allow_list, records, stream) = admission(&access, &config);
    let (things, stack) = (access.iot(http_client()?), config.stack);
    host::serve(Provision { allow_list, records, things, stack, stream, clock: telemetry::now }, &config.common).await
}

async fn register(variables: &Variables<'_>) -> Result<(), StartError> {
    let config::Register { provision, policies, authorities } = config::Register::read(variables)?;
    let access = Access::read(variables)?;
    let (allow_list, records, stream) = admission(&access, &provision);
    let names = Names { stack: provision.stack, stream, policies };
    let things = access.iot(http_client()?);
    let register = Register { allow_list, records, things, names, authorities, clock: telemetry::now };
    host::serve(register, &provision.common).await
}

/// The allow-list, the telemetry stream, and the stream's name.
fn admission(access: &Access, config: &config::Provision) -> (DynamoAllowList, KinesisRecords, String) {
    let stream = config.stream_arn.rsplit('/').next().unwrap_or_default().to_owned();
    let allow_list = DynamoAllowList::new(access.dynamodb(), config.allow_list_table.clone());
    (allow_list, KinesisRecords::new(access.kinesis(), config.stream_arn.clone()), stream)
}
