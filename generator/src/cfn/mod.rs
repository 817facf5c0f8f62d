//! CloudFormation templates as types.
//!
//! A template is a tree, so it is built from structs that hold only the properties we emit. Whatever refers to a
//! resource comes from having added it ([`stack::Handle`]) and whatever refers to a parameter from having declared it,
//! so a dangling reference cannot be written. Nothing here knows what a platform is.

pub(crate) mod fill;
pub(crate) mod resource;
pub(crate) mod stack;
pub(crate) mod value;
pub(crate) mod yaml;
