//! CloudFormation templates as types.
//!
//! A template is a tree, so it is built from structs that hold only the properties we emit. A reference to a resource
//! comes from adding that resource ([`stack::Handle`]), and a reference to a parameter from declaring it, so a dangling
//! reference cannot be written. Knows nothing about platforms.

pub(crate) mod fill;
pub(crate) mod resource;
pub(crate) mod stack;
pub(crate) mod value;
pub(crate) mod yaml;
