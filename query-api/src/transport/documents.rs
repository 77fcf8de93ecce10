//! Documents that were asked for before, so that repeating one costs little.
//!
//! Programs send the same few documents again and again, with other variables. What was found
//! out about one is kept under its whole text: that it is within its limits, what it parses to,
//! in which order its fields are, and, where no variables can change that, that it is valid.
//! What is kept is bounded by the memory of all together; what was not asked for in a while makes
//! room.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_graphql::ValidationResult;
use async_graphql::parser::types::{DocumentOperations, ExecutableDocument};

use super::completion::Orders;
use crate::limits::{Limits, Refused};

/// What the documents of one generation may weigh together, a few hundred operations of usual
/// size. There are two generations. In bytes: 10 MiB.
const BYTES_MAX: usize = 10 * 1024 * 1024;

/// What a document may weigh to be kept; those that weigh more are no programs' everyday ones.
/// In bytes: 512 KiB.
const DOCUMENT_BYTES_MAX: usize = BYTES_MAX / 20;

/// The memory a token stands for, at most. In bytes: 300.
const TOKEN_BYTES: usize = 300;

/// The memory a field in its order stands for, at most. In bytes: 150.
const FIELD_BYTES: usize = 150;

/// The documents of one endpoint, and the limits they keep. Cheap to clone.
#[derive(Clone)]
pub(super) struct Documents {
    limits: Arc<Limits>,
    known: Arc<Mutex<Generations>>,
}

/// What is known of a document that is within its limits.
pub(super) struct Document {
    parsed: ExecutableDocument,
    orders: Arc<Orders>,
    /// That it is valid whatever the variables, once that was found out.
    valid: OnceLock<ValidationResult>,
}

/// Documents by their text. What is asked for moves to the young; when those are too many they
/// are the old, and the old are forgotten.
#[derive(Default)]
struct Generations {
    young: HashMap<Arc<str>, (Arc<Document>, usize)>,
    old: HashMap<Arc<str>, (Arc<Document>, usize)>,
    /// What the young ones weigh.
    bytes: usize,
}

impl fmt::Debug for Documents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Documents").finish_non_exhaustive()
    }
}

impl Documents {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits: Arc::new(limits), known: Arc::default() }
    }

    /// What the text of a document says.
    ///
    /// # Errors
    ///
    /// [`Refused`] says which limit it exceeds, or why it is not GraphQL.
    pub(super) fn parse(&self, text: &str) -> Result<Arc<Document>, Refused> {
        if let Some(document) = self.lock().find(text) {
            return Ok(document);
        }
        let (parsed, tokens) = self.limits.parse_text(text)?;
        let orders = Arc::new(Orders::of(&parsed));
        let bytes = text.len() + tokens * TOKEN_BYTES + orders.len() * FIELD_BYTES;
        let document = Arc::new(Document { parsed, orders, valid: OnceLock::new() });
        if bytes <= DOCUMENT_BYTES_MAX {
            self.lock().keep(text.into(), Arc::clone(&document), bytes);
        }
        Ok(document)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn find(&mut self, text: &str) -> Option<Arc<Document>> {
        if let Some((document, _)) = self.young.get(text) {
            return Some(Arc::clone(document));
        }
        let (text, (document, bytes)) = self.old.remove_entry(text)?;
        self.keep(text, Arc::clone(&document), bytes);
        Some(document)
    }

    fn keep(&mut self, text: Arc<str>, document: Arc<Document>, bytes: usize) {
        if self.bytes + bytes > BYTES_MAX {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        self.bytes += bytes;
        if let Some((_, again)) = self.young.insert(text, (document, bytes)) {
            // Two requests parsed it at a time.
            self.bytes -= again;
        }
    }
}

impl Document {
    /// What it parses to.
    pub(super) fn parsed(&self) -> &ExecutableDocument {
        &self.parsed
    }

    /// The order of the fields of each operation.
    pub(super) fn orders(&self) -> &Arc<Orders> {
        &self.orders
    }

    /// The result of its validation, if it is the same for every request.
    pub(super) fn valid(&self) -> Option<ValidationResult> {
        self.valid.get().copied()
    }

    /// Remembers that it was found valid, unless that depends on variables or on which of its
    /// operations is meant.
    pub(super) fn found_valid(&self, result: ValidationResult) {
        if let DocumentOperations::Single(operation) = &self.parsed.operations
            && operation.node.variable_definitions.is_empty()
        {
            // Found out twice, it is the same.
            let _again = self.valid.set(result);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A document of this many tokens that no other number gives.
    fn text(number: usize, tokens: usize) -> String {
        let fields = (0..tokens - 2).map(|it| format!("f{number}x{it} "));
        format!("{{{}}}", fields.collect::<String>())
    }

    /// Limits that let a long list of fields pass.
    fn wide() -> Limits {
        Limits { root_fields_max: 1_000, ..Limits::default() }
    }

    fn counts(documents: &Documents) -> (usize, usize, usize) {
        let known = documents.lock();
        (known.young.len(), known.old.len(), known.bytes)
    }

    #[test]
    fn a_document_that_is_repeated_is_parsed_once() {
        let documents = Documents::new(Limits::default());
        let first = documents.parse("{ a }").unwrap();
        assert!(Arc::ptr_eq(&first, &documents.parse("{ a }").unwrap()));
        assert!(!Arc::ptr_eq(&first, &documents.parse("{ a  }").unwrap()));
        assert_eq!(counts(&documents).0, 2);
    }

    #[test]
    fn what_is_refused_is_not_kept() {
        let documents = Documents::new(Limits { depth_max: 1, ..Limits::default() });
        assert!(matches!(documents.parse("{ a { b } }"), Err(Refused::Exceeded { .. })));
        assert!(matches!(documents.parse("{ a "), Err(Refused::Syntax(_))));
        assert_eq!(counts(&documents), (0, 0, 0));
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_is_used_stays() {
        let documents = Documents::new(wide());
        let used = documents.parse("{ used }").unwrap();
        for number in 0..200 {
            documents.parse(&text(number, 1_000)).unwrap();
            assert!(Arc::ptr_eq(&used, &documents.parse("{ used }").unwrap()), "{number}");
            let (young, old, bytes) = counts(&documents);
            assert!(bytes <= BYTES_MAX && young + old <= 70, "{young} {old} {bytes}");
        }
        let unused = documents.parse(&text(0, 1_000)).unwrap();
        assert!(Arc::ptr_eq(&unused, &documents.parse(&text(0, 1_000)).unwrap()));
    }

    #[test]
    fn comments_weigh_too() {
        let documents = Documents::new(Limits::default());
        let comment = "x".repeat(10_000);
        documents.parse(&format!("{{ a }} # {comment}")).unwrap();
        assert!(counts(&documents).2 > 10_000);
    }

    #[test]
    fn only_what_no_request_can_change_is_known_to_be_valid() {
        let documents = Documents::new(Limits::default());
        let found = |text| {
            let document = documents.parse(text).unwrap();
            let (cache_control, complexity, depth) = Default::default();
            document.found_valid(ValidationResult { cache_control, complexity, depth });
            document.valid().is_some()
        };
        assert!(found("{ a }"));
        assert!(!found("query($a: Int) { a(b: $a) }"));
        assert!(!found("query a { a } query b { b }"));
    }
}
