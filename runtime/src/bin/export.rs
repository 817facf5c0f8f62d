//! The binary for exports. Handler: `export`.

use std::{process::ExitCode, time::Duration};

use fleetform_runtime::{
    aws::{
        Access,
        cold::S3Cold,
        signed::{http_client, patient_http_client},
        table_files::S3Files,
        timestream::Half,
        timestream_query::TimestreamQueries,
    },
    config::{self, DaysFrom, Variables},
    export::{Exporter, OBJECT_BYTES, timestream::TimestreamExporter},
    handler::export::Export,
    host,
    iceberg::{TableName, catalog::RestCatalog},
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
        // Boxed: the compiler does not lay out a future this deep within another.
        handler if handler == "export" => Box::pin(export(&variables)).await,
        handler => Err(UnknownHandler::new(handler, "export").into()),
    }
}

/// The timeout for a page of a query. The service itself gives up after 60 seconds ("Query", Amazon Timestream API),
/// and should be the one to report it.
const QUERY_TIMEOUT: Duration = Duration::from_secs(75);

async fn export(variables: &Variables<'_>) -> Result<(), StartError> {
    let config = config::Export::read(variables)?;
    let access = Access::read(variables)?;
    match config.days_from {
        DaysFrom::Iceberg(table) => {
            let (client, endpoint) = access.signed(http_client()?, "s3tables");
            let exporter = Exporter {
                catalog: RestCatalog::new(client, endpoint),
                files: S3Files::new(access.s3()),
                cold: S3Cold::new(access.s3(), config.cold_bucket),
                table,
                after: config.after,
                keep: config.keep,
                layout: config.layout,
                group_rows: config.group_rows,
                object_bytes: OBJECT_BYTES,
                codec: config.codec,
                downsample: config.downsample,
            };
            host::serve(Export { exporter, clock: telemetry::now }, &config.common).await
        }
        DaysFrom::Timestream { database, table, key_arn } => {
            let timestream = access.timestream(patient_http_client(QUERY_TIMEOUT)?, Half::Query);
            let exporter = Exporter {
                catalog: TimestreamQueries::new(timestream),
                files: S3Files::new(access.s3()),
                cold: S3Cold::new(access.s3(), config.cold_bucket.clone()),
                // Timestream has no level above a database.
                table: TableName { bucket_arn: String::new(), namespace: database, table },
                after: config.after,
                keep: config.keep,
                layout: config.layout,
                group_rows: config.group_rows,
                object_bytes: OBJECT_BYTES,
                codec: config.codec,
                downsample: config.downsample,
            };
            let exporter = TimestreamExporter { exporter, bucket: config.cold_bucket, key_arn };
            host::serve(Export { exporter, clock: telemetry::now }, &config.common).await
        }
    }
}
