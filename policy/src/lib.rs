//! Policy documents as types: IAM ([`iam`]) and AWS IoT ([`iot`]); and what AWS IoT makes of a document: what it lets
//! a client do ([`evaluate`]), and what an audit reports about it ([`audit`]).
//!
//! A statement always names its actions and its resources. A resource that covers more than one thing carries the
//! reason for that, and [`iam::Document::wide_resources`] lists them all. Nothing here knows CloudFormation: a
//! document is generic over what its resources are written with, so the same policy becomes a template's tree or
//! plain JSON.
#![forbid(unsafe_code)]

pub mod audit;
pub mod evaluate;
pub mod iam;
pub mod iot;
