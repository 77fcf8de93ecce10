//! Who may do what on brokers that ask: Kafka's own list, in its own protocol.

use std::io;
use std::net::SocketAddr;

use super::protocol::{ask, code_after, not_kafka, request};

/// Adding to the list, version 1: the oldest that a current broker takes.
const ADDITION: [u8; 4] = [0, 30, 0, 1];

/// Removing from it, version 1.
const REMOVAL: [u8; 4] = [0, 31, 0, 1];

/// The number of "allowed".
const ALLOWED: u8 = 3;

/// One thing that a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant<'a> {
    /// With what.
    pub with: Resource,
    /// What its name is or, for everything but [`Resource::OneTopic`], begins with.
    pub name: &'a str,
    /// What.
    pub operation: Operation,
}

/// What something may be done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// The topic of this name.
    OneTopic,
    /// Topics.
    Topics,
    /// Groups of consumers.
    Groups,
    /// Ids of transactional producers.
    TransactionalIds,
}

/// What may be done, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Reading, and being a member.
    Read = 3,
    /// Writing.
    Write = 4,
    /// Seeing that it is there.
    Describe = 8,
    /// Seeing its settings.
    DescribeConfigs = 10,
}

/// Has the broker at `address` let `user` do this from now on, and returns Kafka's code for what was
/// wrong with that: 0 if nothing was.
pub(super) fn grant(address: SocketAddr, user: &str, grant: Grant<'_>) -> io::Result<i16> {
    change(address, ADDITION, user, grant)
}

/// The opposite.
pub(super) fn withdraw(address: SocketAddr, user: &str, grant: Grant<'_>) -> io::Result<i16> {
    change(address, REMOVAL, user, grant)
}

/// Both are said in the same words.
fn change(address: SocketAddr, kind: [u8; 4], user: &str, grant: Grant<'_>) -> io::Result<i16> {
    const LITERAL: u8 = 3;
    const PREFIXED: u8 = 4;
    let (resource, pattern) = match grant.with {
        Resource::OneTopic => (2, LITERAL),
        Resource::Topics => (2, PREFIXED),
        Resource::Groups => (3, PREFIXED),
        Resource::TransactionalIds => (5, PREFIXED),
    };
    let mut asked = 1_i32.to_be_bytes().to_vec();
    asked.push(resource);
    asked.extend(text(grant.name)?);
    asked.push(pattern);
    asked.extend(text(&format!("User:{user}"))?);
    asked.extend(text("*")?);
    asked.extend([grant.operation as u8, ALLOWED]);
    let answer = ask(address, &request(kind, &asked))?;
    // How long we were held back, and of how many something is said.
    code_after(&answer, 8).ok_or_else(not_kafka)
}

/// A text with its length before it.
fn text(it: &str) -> io::Result<Vec<u8>> {
    let length = i16::try_from(it.len()).map_err(|_| not_kafka())?;
    Ok([&length.to_be_bytes(), it.as_bytes()].concat())
}
