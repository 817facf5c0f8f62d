//! The function `columns`, which gives the table a column for each reading and tells the data catalog of them, and the
//! custom resource by which CloudFormation asks it to: see docs/decisions/ on why the table's own resource does not say
//! them.

use fleetform_engine::rows::{aggregates::AGGREGATES, columns::Column};
use fleetform_policy::iam::{Statement, Target};

use super::{
    Given,
    export::Cold,
    query::EXPORTED,
    table::{NAMESPACE, Samples, TABLE},
};
use crate::{
    cfn::{
        resource::{
            cloudformation::{ExportedTable, TableColumn, TableColumns},
            glue::Database,
        },
        stack::{Handle, Stack},
        value::Text,
    },
    platform::export::Layout,
    stacks::{
        function::{self, Plan},
        shared::{FunctionOutputs, common_environment, dead_letters},
        site::Site,
    },
};

/// Memory, in MiB: it waits for a few calls.
const MEMORY_MIB: u32 = 256;
/// Seconds that it may take, with what it tries again when somebody else has changed the table meanwhile.
const TIMEOUT_S: u32 = 120;
/// Seconds that CloudFormation waits for an answer. It would wait an hour for a function that cannot start.
const ANSWER_S: u32 = 300;

/// Where exported files are, and where they are known.
pub(super) struct Exports<'a> {
    pub(super) cold: &'a Cold,
    pub(super) database: &'a Handle<Database>,
    pub(super) layout: Layout,
    /// Whether there are aggregates of them.
    pub(super) aggregates: bool,
}

pub(super) fn add(
    site: &Site<'_>,
    stack: &mut Stack,
    given: &Given,
    samples: &Samples,
    exports: Exports<'_>,
    columns: Vec<Column>,
) -> (FunctionOutputs, Handle<TableColumns>) {
    let aggregates = exports.aggregates.then_some(AGGREGATES);
    let tables = [Some(EXPORTED), aggregates].into_iter().flatten().map(|table| {
        Target::One(Text::arn("glue", ["table/".into(), exports.database.reference(), format!("/{table}").into()]))
    });
    let plan = Plan {
        id: "Columns",
        handler: "columns",
        description: "Gives the table of samples a column for each reading",
        code: given.code(stack),
        memory_mib: MEMORY_MIB,
        timeout_s: TIMEOUT_S,
        reserved: None,
        environment: common_environment(site),
        // What loading and updating a table by Iceberg's REST come down to ("Accessing tables using the Amazon S3 Tables
        // Iceberg REST endpoint", Amazon S3 user guide).
        statements: vec![
            Statement::allow(
                "ChangeTable",
                [
                    "s3tables:GetTable",
                    "s3tables:GetTableData",
                    "s3tables:GetTableMetadataLocation",
                    "s3tables:PutTableData",
                    "s3tables:UpdateTableMetadataLocation",
                ],
                [Target::One(samples.table.arn())],
            ),
            // Whatever is done to a table of the data catalog is done to its database and to the catalog as well ("Policies
            // for AWS Glue resources", AWS Glue developer guide).
            Statement::allow(
                "ChangeExported",
                ["glue:CreateTable", "glue:GetTable", "glue:UpdateTable"],
                [
                    Target::One(Text::arn("glue", ["catalog".into()])),
                    Target::One(Text::arn("glue", ["database/".into(), exports.database.reference()])),
                ]
                .into_iter()
                .chain(tables),
            ),
        ],
    };
    let added = function::add(site, stack, &given.key, plan);
    let columns =
        columns.into_iter().map(|Column { name, column_type, .. }| TableColumn { name, r#type: column_type.as_str() });
    let resource = stack.add(
        "SampleColumns",
        TableColumns {
            service_token: added.function.arn(),
            service_timeout: ANSWER_S,
            table_bucket_arn: samples.bucket_arn.clone(),
            namespace: NAMESPACE,
            table: TABLE,
            columns: columns.collect(),
            exported: ExportedTable {
                database: exports.database.reference(),
                table: EXPORTED,
                bucket: exports.cold.0.reference(),
                partition_by: exports.layout.as_str(),
                aggregates,
                zones: site.platform.zones.keys().map(|zone| zone.as_str().into()).collect(),
            },
        },
    );
    stack.wait(&resource, &samples.table);
    let outputs = FunctionOutputs {
        name: stack.output("ColumnsFunctionName", "Name of the function columns", added.function.reference()),
        dead_letters_name: dead_letters(stack, &added, "ColumnsDeadLettersName"),
        mapping_id: None,
    };
    (outputs, resource)
}
