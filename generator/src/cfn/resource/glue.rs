//! AWS Glue.

use serde::Serialize;

use crate::cfn::{
    stack::{Removal, Resource},
    value::Text,
};

/// A catalog whose databases and tables are stored elsewhere.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct FederatedCatalog {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    #[serde(rename = "FederatedCatalog")]
    pub(crate) source: CatalogSource,
    pub(crate) create_database_default_permissions: [PrincipalPermissions; 1],
    pub(crate) create_table_default_permissions: [PrincipalPermissions; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CatalogSource {
    pub(crate) identifier: Text,
    pub(crate) connection_name: &'static str,
}

/// What a principal may do, in AWS Lake Formation's own terms.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PrincipalPermissions {
    pub(crate) principal: Principal,
    pub(crate) permissions: [&'static str; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Principal {
    pub(crate) data_lake_principal_identifier: &'static str,
}

impl Resource for FederatedCatalog {
    const TYPE: &'static str = "AWS::Glue::Catalog";
    // Other platforms, and people, may rely on it to read.
    const REMOVAL: Option<Removal> = Some(Removal::Retain);
}

/// A database of the account's own catalog.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Database {
    pub(crate) catalog_id: Text,
    pub(crate) database_input: DatabaseInput,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DatabaseInput {
    pub(crate) name: String,
    pub(crate) description: &'static str,
}

impl Resource for Database {
    const TYPE: &'static str = "AWS::Glue::Database";
    const TAGS: Option<&'static str> = None;
}
