//! One descriptor document, checked, and its stored form.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::personal::Personal;

/// Which kinds a catalog accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KindSet {
    /// The kinds of a bare Backstage catalog.
    Core,
    /// Those, and the kinds of its add-on modules: `Template`, `AiResource`, `mcp-server` APIs.
    #[default]
    Extended,
}

/// The key of the object that stands for a personal text in [`StoredDescriptor::public`].
pub const PLACEHOLDER: &str = "$personal";

/// A descriptor as events hold it: what is personal is taken out, sealed, and put back by
/// whoever may read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredDescriptor {
    /// The document, with `{"$personal": n}` where the n-th personal text belongs.
    pub public: Value,
    /// The personal texts, each a piece of JSON.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub personal: Vec<Personal>,
}
