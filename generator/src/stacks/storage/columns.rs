//! The function `columns`, which adds a column for each reading to an S3 Tables table and registers the columns in the
//! data catalog, and the custom resource through which CloudFormation invokes it. docs/decisions/ explains why the
//! columns are not declared in the table's own resource.

use fleetform_engine::rows::columns::Column;
use fleetform_policy::iam::{Statement, Target};

use super::{
    Given,
    query::{self, Files},
    table::{CHANGE, NAMESPACE, Samples, TABLE},
};
use crate::{
    cfn::{
        resource::cloudformation::{ColumnedTable, ExportedTable, TableColumn, TableColumns},
        stack::{Handle, Stack},
        value::Text,
    },
    stacks::{
        function::{self, Plan},
        shared::{FunctionOutputs, common_environment, dead_letters},
        site::Site,
    },
};

/// Memory, in MiB: it mostly waits for a few calls.
const MEMORY_MIB: u32 = 256;
/// Seconds that it may take, including retries if the table has been changed in the meantime.
const TIMEOUT_S: u32 = 120;
/// Seconds that CloudFormation waits for a response. By default it would wait an hour for a function that cannot start.
const ANSWER_S: u32 = 300;

pub(super) fn add(
    site: &Site<'_>,
    stack: &mut Stack,
    given: &Given,
    samples: Option<&Samples>,
    files: &Files<'_>,
    columns: Vec<Column>,
) -> (FunctionOutputs, Handle<TableColumns>) {
    let [exported, aggregates] = query::tables(files.kept.engine);
    let aggregates = files.kept.retention.downsample.map(|_| aggregates);
    let tables = [Some(exported), aggregates].into_iter().flatten().map(|table| {
        Target::One(Text::arn("glue", ["table/".into(), files.database.reference(), format!("/{table}").into()]))
    });
    let plan = Plan {
        id: "Columns",
        handler: "columns",
        description: "Sees to it that samples have a column for each reading",
        code: given.code(stack),
        memory_mib: MEMORY_MIB,
        timeout_s: TIMEOUT_S,
        reserved: None,
        environment: common_environment(site),
        statements: samples
            .iter()
            .map(|samples| Statement::allow("ChangeTable", CHANGE, [Target::One(samples.table.arn())]))
            .chain([
                // An operation on a table of the data catalog also requires permissions for its database and for the
                // catalog ("Policies for AWS Glue resources", AWS Glue developer guide).
                Statement::allow(
                    "ChangeExported",
                    ["glue:CreateTable", "glue:GetTable", "glue:UpdateTable"],
                    [
                        Target::One(Text::arn("glue", ["catalog".into()])),
                        Target::One(Text::arn("glue", ["database/".into(), files.database.reference()])),
                    ]
                    .into_iter()
                    .chain(tables),
                ),
            ])
            .collect(),
    };
    let added = function::add(site, stack, &given.key, plan);
    let columns =
        columns.into_iter().map(|Column { name, column_type, .. }| TableColumn { name, r#type: column_type.as_str() });
    let resource = stack.add(
        "SampleColumns",
        TableColumns {
            service_token: added.function.arn(),
            service_timeout: ANSWER_S,
            kept_in: samples.map(|samples| ColumnedTable {
                table_bucket_arn: samples.bucket_arn.clone(),
                namespace: NAMESPACE,
                table: TABLE,
            }),
            columns: columns.collect(),
            exported: ExportedTable {
                database: files.database.reference(),
                table: exported,
                bucket: files.cold.0.reference(),
                partition_by: files.kept.export.layout.as_str(),
                aggregates,
                zones: site.platform.zones.keys().map(|zone| zone.as_str().into()).collect(),
            },
        },
    );
    if let Some(samples) = samples {
        stack.wait(&resource, &samples.table);
    }
    let outputs = FunctionOutputs {
        name: stack.output("ColumnsFunctionName", "Name of the function columns", added.function.reference()),
        dead_letters_name: dead_letters(stack, &added, "ColumnsDeadLettersName"),
        mapping_id: None,
    };
    (outputs, resource)
}
