//! What AWS IoT lets a client do under its policies, decided offline and from their JSON alone.
//!
//! A [`Policy`] is read from a document, whatever its source, and [`attempt`] decides whether a [`Connection`] may do
//! an
//! [`Operation`]: an explicit deny wins, and what nothing allows is denied. An operator, a key or a variable that is
//! not known here is an error when the document is read, and never decides a request. Does not depend on which
//! decisions are right, or on which documents a platform has.
//!
//! The semantics are those of "AWS IoT Core policies" in the AWS IoT Core developer guide. Where that leaves two
//! readings, both are implemented and the caller tries each: see [`ThingReading`].

mod condition;
mod connection;
mod document;
mod operation;
mod pattern;

pub use connection::{Certificate, Connection, ThingReading};
pub use document::{Policy, Unreadable};
pub use operation::{Operation, Outcome, Refusal, Will, attempt};

pub(crate) use document::{Actions, Resources, Statement};
pub(crate) use pattern::{Part, Pattern, Variable};

use connection::Connect;
use document::By;

/// One thing that AWS IoT authorizes: an action on a resource.
struct Request<'a> {
    /// The action, such as `iot:Publish`.
    action: &'static str,
    /// ARN of the resource.
    resource: String,
    connection: &'a Connection,
    /// What a CONNECT packet requests; `None` for other actions.
    connect: Option<Connect>,
}

/// What the policies decide about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision<'p> {
    /// A statement allows it and none denies it.
    Allowed(By<'p>),
    /// A statement denies it.
    Forbidden(By<'p>),
    /// No statement applies to it.
    NotAllowed,
}

fn decide<'p>(policies: &'p [Policy], request: &Request<'_>) -> Decision<'p> {
    let mut decision = Decision::NotAllowed;
    for policy in policies {
        for statement in policy.statements().iter().filter(|statement| statement.covers(request)) {
            let by = By { policy: policy.name(), statement: statement.label() };
            if statement.denies() {
                return Decision::Forbidden(by);
            }
            if decision == Decision::NotAllowed {
                decision = Decision::Allowed(by);
            }
        }
    }
    decision
}

#[cfg(test)]
mod tests;
