//! The binary that exports. Handler: `export`.

use std::process::ExitCode;

use fleetform_runtime::{
    aws::{Access, cold::S3Cold, signed::http_client, table_files::S3Files},
    config::{self, Variables},
    export::Exporter,
    handler::export::Export,
    host,
    iceberg::catalog::RestCatalog,
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
        handler if handler == "export" => export(&variables).await,
        handler => Err(UnknownHandler::new(handler, "export").into()),
    }
}

async fn export(variables: &Variables<'_>) -> Result<(), StartError> {
    let config = config::Export::read(variables)?;
    let access = Access::read(variables)?;
    let (client, endpoint) = access.signed(http_client()?, "s3tables");
    let exporter = Exporter {
        catalog: RestCatalog::new(client, endpoint),
        files: S3Files::new(access.s3()),
        cold: S3Cold::new(access.s3(), config.cold_bucket),
        table: config.table,
        after: config.after,
        keep: config.keep,
        layout: config.layout,
        object_rows: config.object_rows,
    };
    host::serve(Export { exporter, clock: telemetry::now }, &config.common).await
}
