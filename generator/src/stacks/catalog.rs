//! The stack `catalog`: the way by which Amazon Data Firehose and Amazon Athena find the tables of S3 Tables.
//!
//! There is one for each account and region, under a name that AWS has given it, and whoever turned the integration on in
//! the console has it already. So it is a stack of its own, which is deployed only where it is missing.

use super::site::Site;
use crate::{
    cfn::{
        resource::glue::{CatalogSource, FederatedCatalog, Principal, PrincipalPermissions},
        stack::Stack,
        value::Text,
    },
    platform::storage::Engine,
};

/// Its place in the data catalog.
pub(crate) const PATH: &str = "catalog/s3tablescatalog";

/// The stack, where samples are kept in a table of S3 Tables.
pub(crate) fn stack(site: &Site<'_>) -> Option<Stack> {
    site.platform.storage.as_ref().filter(|kept| kept.engine == Engine::Iceberg)?;
    let mut stack = site.shared_stack("catalog", "the catalog of table buckets, once per account and region");
    // Who may do what is left to IAM: in AWS Lake Formation's terms, everybody whom IAM allows may do everything
    // ("Integrating with Amazon S3 Tables", AWS Glue developer guide).
    let by_iam = || {
        let principal = Principal { data_lake_principal_identifier: "IAM_ALLOWED_PRINCIPALS" };
        [PrincipalPermissions { principal, permissions: ["ALL"] }]
    };
    stack.add(
        "TableCatalog",
        FederatedCatalog {
            name: "s3tablescatalog",
            description: "The table buckets of this account and region",
            source: CatalogSource {
                identifier: Text::arn("s3tables", ["bucket/*".into()]),
                connection_name: "aws:s3tables",
            },
            create_database_default_permissions: by_iam(),
            create_table_default_permissions: by_iam(),
        },
    );
    Some(stack)
}
