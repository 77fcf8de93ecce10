//! `callboard import`: catalog files in, a report of what became of every document out.
//!
//! [`place`] is where files are, [`documents`] and [`placeholders`] what they say; [`collect()`]
//! walks from the arguments through every Location to all of them, and [`submit()`] brings them
//! into the catalog. It decides nothing that the domain decides.

mod collect;
mod documents;
mod place;
mod placeholders;
mod submit;

pub(crate) use collect::collect;
pub(crate) use submit::{Effect, Report, submit};
