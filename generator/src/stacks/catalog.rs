//! The stack `catalog`: the data catalog through which Amazon Data Firehose and Amazon Athena find the tables of S3
//! Tables.
//!
//! There is one per account and region, under a name set by AWS, and enabling the integration in the console creates
//! it. It is therefore a stack of its own, which is deployed only if the catalog is missing.

use super::site::Site;
use crate::{
    cfn::{
        resource::glue::{CatalogSource, FederatedCatalog, Principal, PrincipalPermissions},
        stack::Stack,
        value::Text,
    },
    platform::storage::Engine,
};

/// Its path in the data catalog.
pub(crate) const PATH: &str = "catalog/s3tablescatalog";

/// Builds the stack, if samples are stored in an S3 Tables table.
pub(crate) fn stack(site: &Site<'_>) -> Option<Stack> {
    site.platform.storage.as_ref().filter(|kept| kept.engine == Engine::Iceberg)?;
    let mut stack = site.shared_stack("catalog", "the catalog of table buckets, once per account and region");
    // Permissions are left to IAM: in AWS Lake Formation's terms, every principal that IAM allows has all permissions
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
