//! Kinds of resource, one file per service. A struct holds only the properties that we emit.

pub(crate) mod athena;
pub(crate) mod budgets;
pub(crate) mod cloudformation;
pub(crate) mod cloudwatch;
pub(crate) mod dynamodb;
pub(crate) mod firehose;
pub(crate) mod glue;
pub(crate) mod iam;
pub(crate) mod iot;
pub(crate) mod kinesis;
pub(crate) mod kms;
pub(crate) mod lambda;
pub(crate) mod logs;
pub(crate) mod s3;
pub(crate) mod s3tables;
pub(crate) mod scheduler;
pub(crate) mod sns;
pub(crate) mod sqs;
pub(crate) mod timestream;

use super::value::Text;

/// A policy document whose strings may refer to resources.
pub(crate) type Document = fleetform_policy::iam::Document<Text>;
