//! The binary for storage. Handlers: `store` and `columns`.

use std::process::ExitCode;

use fleetform_engine::{drive::Settings as ChainSettings, units::Millis};
use fleetform_runtime::{
    aws::{
        Access,
        firehose::FirehoseRows,
        glue::{Glue, PROTOCOL},
        hot::DynamoHotRows,
        json::JsonClient,
        registry::DynamoRegistry,
        rule_sets::RuleSets,
        signed::http_client,
        state_log::S3StateLog,
        timestream::Half,
        timestream_rows::{S3Aside, TimestreamTable},
    },
    config::{self, RowsGo, Variables},
    handler::{
        columns::{Columns, HttpAnswers},
        store::{Settings, Store},
    },
    host,
    iceberg::catalog::RestCatalog,
    start::{self, StartError, UnknownHandler},
    store::{chains::StateChains, timestream::TimestreamRows},
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
        // Boxed: the compiler does not lay out a future this deep within another.
        handler if handler == "store" => Box::pin(store(&variables)).await,
        handler if handler == "columns" => columns(&variables).await,
        handler => Err(UnknownHandler::new(handler, "store and columns").into()),
    }
}

async fn store(variables: &Variables<'_>) -> Result<(), StartError> {
    let config = config::Store::read(variables)?;
    let access = Access::read(variables)?;
    let rule_sets = || RuleSets::new(access.s3(), config.artifact_bucket.clone());
    let chains = StateChains {
        log: S3StateLog::new(access.s3(), config.state_bucket),
        rule_sets: rule_sets(),
        // These settings are never used for writing, so the times do not matter.
        settings: ChainSettings {
            generation: config.stream_generation,
            repair: config.state_repair,
            rule_set_sha256: config.rule_set_sha256.clone(),
            checkpoint_every: Millis::default(),
            record_age_max: Millis::default(),
        },
    };
    let registry = DynamoRegistry::new(access.dynamodb(), config.registrations_table, config.stream_generation);
    let hot = config.hot.map(|(table, retention)| (DynamoHotRows::new(access.dynamodb(), table), retention));
    let settings = Settings {
        stream_arn: config.stream_arn,
        generation: config.stream_generation,
        rule_set_sha256: config.rule_set_sha256,
    };
    match config.rows {
        RowsGo::Firehose { delivery_stream } => {
            let rows = FirehoseRows::new(access.firehose(), delivery_stream);
            let store = Store::new(settings, (registry, chains, rule_sets(), rows), hot, telemetry::now);
            host::serve(store, &config.common).await
        }
        RowsGo::Timestream { database, table, undelivered_bucket } => {
            let timestream = access.timestream(http_client()?, Half::Write);
            let rows = TimestreamRows {
                records: TimestreamTable::new(timestream, database, table),
                aside: S3Aside::new(access.s3(), undelivered_bucket),
            };
            let store = Store::new(settings, (registry, chains, rule_sets(), rows), hot, telemetry::now);
            host::serve(store, &config.common).await
        }
    }
}

async fn columns(variables: &Variables<'_>) -> Result<(), StartError> {
    let common = config::Common::read(variables)?;
    let access = Access::read(variables)?;
    let http = http_client()?;
    let (tables, tables_endpoint) = access.signed(http.clone(), "s3tables");
    let (glue, glue_endpoint) = access.signed(http.clone(), "glue");
    let columns = Columns {
        catalog: RestCatalog::new(tables, tables_endpoint),
        data_catalog: Glue(JsonClient::new(glue, glue_endpoint, PROTOCOL)),
        answers: HttpAnswers::new(http, access.has_own_endpoint()),
        clock: telemetry::now,
    };
    host::serve(columns, &common).await
}
