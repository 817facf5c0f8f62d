//! The binary that answers people who wait. Handler: `query`.

use std::process::ExitCode;

use fleetform_engine::rows::sql;
use fleetform_runtime::{
    aws::{
        Access,
        athena::{PROTOCOL, Workgroup},
        hot_items::DynamoHotTable,
        json::JsonClient,
        signed::http_client,
    },
    config::{self, Variables},
    handler::query::Query,
    host,
    iceberg::catalog::RestCatalog,
    query::Answerer,
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
    UnknownHandler::unless(&variables, "query")?;
    let config = config::Query::read(&variables)?;
    let access = Access::read(&variables)?;
    let http = http_client()?;
    let (catalog, catalog_endpoint) = access.signed(http.clone(), "s3tables");
    let (athena, athena_endpoint) = access.signed(http, "athena");
    let hot = config.hot.map(|(table, retention)| (DynamoHotTable::new(access.dynamodb(), table), retention));
    let (database, table) = &config.exported;
    let answerer = Answerer {
        catalog: RestCatalog::new(catalog, catalog_endpoint),
        athena: Workgroup::new(JsonClient::new(athena, athena_endpoint, PROTOCOL), config.workgroup, database.clone()),
        hot,
        table: config.table,
        exported: spelled(database, table),
        aggregates: config.aggregates.map(|table| spelled(database, &table)),
        keep: config.keep,
    };
    host::serve(Query { answerer, clock: telemetry::now }, &config.common).await
}

/// A table of the data catalog as a question spells it.
fn spelled(database: &str, table: &str) -> String {
    format!("\"awsdatacatalog\".{}.{}", sql::name(database), sql::name(table))
}
