//! What a schema needs so that it can be served: its limits, inputs that fit, and results as they
//! should be.
//!
//! One extension does it all. Each extension of a schema costs a call for every field of every result.

use std::any::TypeId;
use std::sync::{Arc, OnceLock};

use async_graphql::extensions::{
    Extension, ExtensionContext, ExtensionFactory, NextExecute, NextParseQuery, NextPrepareRequest,
    NextResolve, NextValidation, ResolveInfo,
};
use async_graphql::parser::types::ExecutableDocument;
use async_graphql::{
    Request, Response, SchemaBuilder, ServerError, ServerResult, ValidationResult, Value, Variables,
};
use tokio::sync::SetOnce;

use super::coercion;
use super::completion::{Completion, Orders};
use super::documents::Document;
use crate::limits::Limits;

/// Makes a schema keep `limits` and answer as the GraphQL specification says, whichever door a
/// request comes through.
pub fn prepare<Query, Mutation, Subscription>(
    schema: SchemaBuilder<Query, Mutation, Subscription>,
    limits: &Limits,
) -> SchemaBuilder<Query, Mutation, Subscription> {
    let schema = if limits.suggestions { schema } else { schema.disable_suggestions() };
    let schema = if limits.introspection { schema } else { schema.disable_introspection() };
    // The library's own bound on recursion. It counts fragments too, so it is wider than ours.
    schema.limit_recursive_depth(limits.nesting_max).extension(Factory(Arc::new(limits.clone())))
}

/// Tells who puts it into the data of a request that the document passed every check.
///
/// What goes wrong before that is an error of the request, what goes wrong later one of its
/// execution; they are answered differently.
#[derive(Clone, Debug, Default)]
pub(super) struct Passed(Arc<SetOnce<()>>);

impl Passed {
    /// Whether execution has begun.
    pub(super) fn is_set(&self) -> bool {
        self.0.initialized()
    }

    /// Waits until execution begins; for ever if it never does.
    pub(super) async fn wait(&self) {
        self.0.wait().await;
    }
}

struct Factory(Arc<Limits>);

impl ExtensionFactory for Factory {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Prepared {
            limits: Arc::clone(&self.0),
            completion: Completion::default(),
            operation_name: OnceLock::new(),
            mistakes: OnceLock::new(),
        })
    }
}

/// What goes with one request.
struct Prepared {
    limits: Arc<Limits>,
    completion: Completion,
    /// Which of the document's operations is meant.
    operation_name: OnceLock<String>,
    /// What was given and does not fit.
    mistakes: OnceLock<Vec<ServerError>>,
}

impl Prepared {
    /// The result of the library's validation, and before what it says each input that does not
    /// fit; it says less about those, if anything.
    fn fitting(
        &self,
        validation: Result<ValidationResult, Vec<ServerError>>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        let mut mistakes = self.mistakes.get().cloned().unwrap_or_default();
        match validation {
            Ok(result) if mistakes.is_empty() => return Ok(result),
            Ok(_) => {}
            Err(errors) => mistakes.extend(errors),
        }
        Err(mistakes)
    }
}

#[async_trait::async_trait]
impl Extension for Prepared {
    async fn prepare_request(
        &self,
        context: &ExtensionContext<'_>,
        mut request: Request,
        next: NextPrepareRequest<'_>,
    ) -> ServerResult<Request> {
        // Whoever hands one over has had it checked.
        if !request.data.contains_key(&TypeId::of::<Arc<Document>>()) {
            self.limits.parse(&mut request)?;
        }
        if let Some(name) = &request.operation_name {
            // There is one such name in a request.
            let _again = self.operation_name.set(name.clone());
        }
        next.run(context, request).await
    }

    async fn parse_query(
        &self,
        context: &ExtensionContext<'_>,
        query: &str,
        variables: &Variables,
        next: NextParseQuery<'_>,
    ) -> ServerResult<ExecutableDocument> {
        let document = next.run(context, query, variables).await?;
        let known = context.data_opt::<Arc<Document>>();
        if known.is_none_or(|it| it.valid().is_none()) {
            let (registry, name) = (&context.schema_env.registry, self.operation_name.get());
            let name = name.map(String::as_str);
            let mistakes = coercion::mistakes(registry, &document, name, variables);
            // A request has one document.
            let _again = self.mistakes.set(mistakes);
        }
        self.completion.begin(match known {
            Some(known) => Arc::clone(known.orders()),
            None => Arc::new(Orders::of(&document)),
        });
        Ok(document)
    }

    async fn validation(
        &self,
        context: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        let known = context.data_opt::<Arc<Document>>();
        let result = match known.and_then(|it| it.valid()) {
            Some(result) => result,
            None => self.fitting(self.limits.judge(next.run(context).await))?,
        };
        if let Some(known) = known {
            known.found_valid(result);
        }
        if let Some(passed) = context.data_opt::<Passed>() {
            // Validated twice, it would still have passed.
            let _again = passed.0.set(());
        }
        Ok(result)
    }

    async fn resolve(
        &self,
        context: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        let (path, kind) = (info.path_node, info.return_type);
        let resolved = next.run(context, info).await;
        Ok(self.completion.complete(path, kind, resolved))
    }

    async fn execute(
        &self,
        context: &ExtensionContext<'_>,
        operation_name: Option<&str>,
        next: NextExecute<'_>,
    ) -> Response {
        let mut response = next.run(context, operation_name).await;
        self.completion.finish(operation_name, &mut response);
        response
    }
}
