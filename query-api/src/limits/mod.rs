//! What a document may cost before any of it is executed.
//!
//! Three gates, cheapest first: the source text (`text`: bytes, tokens, nesting of brackets), the
//! parsed document with fragments expanded (`document`: depth, selections, aliases, …), and what the
//! schema rates it at. Each refusal names the limit, the value and the maximum, and carries
//! `extensions.code`.
//!
//! Not here: sizes of HTTP bodies and WebSocket messages (`transport`), rates, and authorization.
//! Start at [`Limits`]; [`prepare`](crate::transport::prepare) makes a schema keep them.

mod document;
mod text;

use async_graphql::parser::types::ExecutableDocument;
use async_graphql::parser::{Error as ParseError, parse_query};
use async_graphql::{Request, ServerError, ValidationResult};
use serde::Deserialize;

/// The code of a document that exceeds a limit.
pub const LIMIT_EXCEEDED: &str = "LIMIT_EXCEEDED";
/// The code of a document whose fragments spread each other in a circle.
pub const FRAGMENT_CYCLE: &str = "FRAGMENT_CYCLE";
/// The code of a document that asks for the schema where that is switched off.
pub const INTROSPECTION_DISABLED: &str = "INTROSPECTION_DISABLED";
/// The code of a document that is not GraphQL.
pub const PARSE_FAILED: &str = "GRAPHQL_PARSE_FAILED";
/// The code of a document or of variables that break a rule of GraphQL or of the schema.
pub const VALIDATION_FAILED: &str = "GRAPHQL_VALIDATION_FAILED";

/// The most a single document may ask for.
///
/// Counts that fragments could hide (depth, selections, aliases, directives, root fields) are taken
/// after expanding them, per operation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Size of the source text. In bytes.
    pub document_bytes_max: usize,
    /// Lexical tokens of the source text; a number may count as several.
    pub tokens_max: usize,
    /// Brackets of any kind open at once in the source text.
    ///
    /// The parser descends once per bracket, so this is what keeps it on its stack.
    pub nesting_max: usize,
    /// Fields on the longest way from the root to a leaf.
    ///
    /// The introspection query of common tools needs 15.
    pub depth_max: usize,
    /// Fields and fragments, all fragments expanded.
    pub selections_max: usize,
    /// Fields at the root of an operation.
    pub root_fields_max: usize,
    /// Fields that carry an alias.
    pub aliases_max: usize,
    /// Directives on the operation, its fields and its fragments.
    pub directives_max: usize,
    /// The schema's own rating of a document: 1 per field unless the schema says otherwise.
    pub complexity_max: usize,
    /// Whether `__schema` and `__type` are answered.
    pub introspection: bool,
    /// Whether a misspelt name is answered with the names that exist.
    pub suggestions: bool,
}

impl Default for Limits {
    /// The limits of a production server: nothing tells a stranger what the schema looks like.
    fn default() -> Self {
        Self {
            document_bytes_max: 64 * 1024,
            tokens_max: 5_000,
            nesting_max: 64,
            depth_max: 20,
            selections_max: 2_000,
            root_fields_max: 20,
            aliases_max: 50,
            directives_max: 50,
            complexity_max: 10_000,
            introspection: false,
            suggestions: false,
        }
    }
}

/// Why a document is not executed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refused {
    /// The text is not a GraphQL document.
    #[error("{}", .0.message)]
    Syntax(ServerError),
    /// The text is one, but its operations and fragments break a rule (sections 5.1 to 5.5 of the
    /// specification), which the parser notices.
    #[error("{}", .0.message)]
    Rule(ServerError),
    /// The document asks for more than one request may have.
    #[error("the document exceeds the limit `{limit}`: it has {value}, the maximum is {maximum}")]
    Exceeded {
        /// The name of the limit, as in [`Limits`] without `_max`.
        limit: &'static str,
        /// What the document has.
        value: usize,
        /// What it may have.
        maximum: usize,
    },
    /// A fragment spreads itself, directly or through others.
    #[error("the fragment `{0}` spreads itself")]
    FragmentCycle(String),
    /// The document asks for the schema, and this server does not tell.
    #[error("introspection is switched off on this server")]
    Introspection,
}

impl Limits {
    /// The limits with everything told that helps who is writing queries.
    #[must_use]
    pub fn development() -> Self {
        Self { introspection: true, suggestions: true, ..Self::default() }
    }

    /// Parses the document of `request` and keeps the result in it, unless a limit is exceeded.
    ///
    /// # Errors
    ///
    /// [`Refused`] says which limit, or why the text is not GraphQL.
    pub fn parse<'request>(
        &self,
        request: &'request mut Request,
    ) -> Result<&'request ExecutableDocument, Refused> {
        let (document, _tokens) = self.parse_text(&request.query)?;
        request.set_parsed_query(document);
        request.parsed_query().map_err(Refused::Syntax)
    }

    /// Parses the text of a document, unless a limit is exceeded; also says how many tokens it has.
    ///
    /// # Errors
    ///
    /// As [`Limits::parse`].
    pub fn parse_text(&self, text: &str) -> Result<(ExecutableDocument, usize), Refused> {
        let tokens = text::check(text, self)?;
        let document = parse_query(text)?;
        document::check(&document, self)?;
        Ok((document, tokens))
    }

    /// Judges what the schema found: rates its complexity, and keeps back what must not be told.
    ///
    /// # Errors
    ///
    /// The errors of the validation, or the limit that is exceeded.
    pub fn judge(
        &self,
        validation: Result<ValidationResult, Vec<ServerError>>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        let result = validation.map_err(|mut errors| {
            if !self.suggestions {
                errors.iter_mut().for_each(withhold_suggestion);
            }
            errors
        })?;
        Refused::unless_within("complexity", result.complexity, self.complexity_max)
            .map_err(|refused| vec![refused.into()])?;
        Ok(result)
    }
}

impl Refused {
    fn unless_within(limit: &'static str, value: usize, maximum: usize) -> Result<(), Self> {
        if value <= maximum { Ok(()) } else { Err(Self::Exceeded { limit, value, maximum }) }
    }
}

impl From<ParseError> for Refused {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::MultipleOperations { .. }
            | ParseError::OperationDuplicated { .. }
            | ParseError::FragmentDuplicated { .. }
            | ParseError::MissingOperation => Self::Rule(error.into()),
            error => Self::Syntax(error.into()),
        }
    }
}

impl From<Refused> for ServerError {
    fn from(refused: Refused) -> Self {
        let mut error = Self::new(refused.to_string(), None);
        let extensions = error.extensions.get_or_insert_default();
        match refused {
            Refused::Syntax(cause) => {
                extensions.set("code", PARSE_FAILED);
                error.locations = cause.locations;
            }
            Refused::Rule(cause) => {
                extensions.set("code", VALIDATION_FAILED);
                error.locations = cause.locations;
            }
            Refused::Exceeded { limit, value, maximum } => {
                extensions.set("code", LIMIT_EXCEEDED);
                extensions.set("limit", limit);
                extensions.set("value", value);
                extensions.set("maximum", maximum);
            }
            Refused::FragmentCycle(_) => extensions.set("code", FRAGMENT_CYCLE),
            Refused::Introspection => extensions.set("code", INTROSPECTION_DISABLED),
        }
        error
    }
}

/// Cuts off the names that exist: the schema's own switch covers fields but not arguments.
fn withhold_suggestion(error: &mut ServerError) {
    if let Some(at) = error.message.find(" Did you mean") {
        error.message.truncate(at);
    }
}

#[cfg(test)]
mod tests;
