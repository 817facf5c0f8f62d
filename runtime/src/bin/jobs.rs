//! The binary that does what comes from time to time. Handler: `sweep`.

use std::process::ExitCode;

use fleetform_runtime::{
    aws::{Access, state_log::S3StateLog, ticks::KinesisTicks, waiting::DynamoOutbox},
    config::{self, Variables},
    handler::sweep::Sweep,
    host,
    start::{self, StartError, UnknownHandler},
    telemetry,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    start::run(sweep)
}

async fn sweep() -> Result<(), StartError> {
    let variables = Variables::new(&config::process);
    UnknownHandler::unless(&variables, "sweep")?;
    let config = config::Sweep::read(&variables)?;
    let access = Access::read(&variables)?;
    let log = S3StateLog::new(access.s3(), config.state_bucket);
    let stream = KinesisTicks::new(access.kinesis(), config.stream_arn);
    let outbox = DynamoOutbox::new(access.dynamodb(), config.outbox_table);
    let place = (config.stream_generation, config.state_repair);
    host::serve(Sweep::new((log, stream, outbox), place, telemetry::now), &config.common).await
}
