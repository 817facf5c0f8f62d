//! The binary for interactive requests. Handler: `query`.

use std::{process::ExitCode, time::Duration};

use fleetform_engine::{rows::sql, units::Millis};
use fleetform_runtime::{
    aws::{
        Access, athena,
        athena::Workgroup,
        glue::{self, Glue},
        hot_items::DynamoHotTable,
        json::JsonClient,
        signed::{http_client, patient_http_client},
        timestream::Half,
        timestream_query::TimestreamQueries,
    },
    config::{self, AskedIn, Variables},
    handler::query::Query,
    host,
    iceberg::catalog::RestCatalog,
    query::{Files, tables::Tables, timestream::Timestream},
    start::{self, StartError, UnknownHandler},
    telemetry,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Time reserved for a call of Athena and its answer, with some margin.
const PAGE_TIME: Millis = Millis::from_secs(12);
/// The timeout for a page of a query. The service itself gives up after 60 seconds ("Query", Amazon Timestream API),
/// and should be the one to report it.
const TIMESTREAM_TIMEOUT: Duration = Duration::from_secs(70);
/// Time reserved for such a page, with some margin.
const TIMESTREAM_PAGE_TIME: Millis = Millis::from_secs(72);

fn main() -> ExitCode {
    start::run(serve)
}

async fn serve() -> Result<(), StartError> {
    let variables = Variables::new(&config::process);
    UnknownHandler::unless(&variables, "query")?;
    let config::Query { common, asked_in, keep, exported, aggregates, workgroup } = config::Query::read(&variables)?;
    let access = Access::read(&variables)?;
    let http = http_client()?;
    let json = |service, protocol| {
        let (client, endpoint) = access.signed(http.clone(), service);
        JsonClient::new(client, endpoint, protocol)
    };
    let athena = Workgroup::new(json("athena", athena::PROTOCOL), workgroup, exported.0.clone());
    let spelled = |table: &str| format!("\"awsdatacatalog\".{}.{}", sql::name(&exported.0), sql::name(table));
    let files = Files { exported: spelled(&exported.1), aggregates: aggregates.as_deref().map(spelled), keep };
    let clock = telemetry::now;
    match asked_in {
        AskedIn::Iceberg { table, hot } => {
            let (catalog, catalog_endpoint) = access.signed(http.clone(), "s3tables");
            let hot = hot.map(|(table, retention)| (DynamoHotTable::new(access.dynamodb(), table), retention));
            let catalog = RestCatalog::new(catalog, catalog_endpoint);
            let answers = Tables { catalog, athena, hot, table, files };
            host::serve(Query { answers, page_time: PAGE_TIME, clock }, &common).await
        }
        AskedIn::Timestream { database, table } => {
            let timestream = access.timestream(patient_http_client(TIMESTREAM_TIMEOUT)?, Half::Query);
            let answers = Timestream {
                data_catalog: Glue(json("glue", glue::PROTOCOL)),
                queries: TimestreamQueries::new(timestream),
                athena,
                table: (database, table),
                exported,
                files,
            };
            host::serve(Query { answers, page_time: TIMESTREAM_PAGE_TIME, clock }, &common).await
        }
    }
}
