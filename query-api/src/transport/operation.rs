//! One request, parsed and within its limits, and its execution.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, OperationDefinition, OperationType,
};
use async_graphql::{Executor, Request, Value, Variables};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, Span};

use super::answer::Answer;
use super::caller::Caller;
use super::documents::Documents;
use super::parameters::Parameters;
use super::prepare::Passed;
use crate::limits::VALIDATION_FAILED;
use crate::turns::Turn;

/// An operation that may be executed once.
pub(super) struct Operation {
    request: Request,
    pub(super) kind: OperationType,
    /// In whose turns it goes on where it is a task of its own.
    turn: Option<Turn>,
    /// Set once the document has passed every check and execution begins.
    pub(super) passed: Passed,
}

impl Operation {
    /// Parses the document and finds the operation to execute.
    ///
    /// # Errors
    ///
    /// The answer, if a limit is exceeded or it cannot be told which operation is meant.
    pub(super) fn prepare(
        parameters: Parameters,
        caller: &dyn Caller,
        documents: &Documents,
    ) -> Result<Self, Answer> {
        let mut request = Request::from(parameters);
        let name = request.operation_name.clone();
        let variables = std::mem::take(&mut request.variables);
        let document = documents.parse(&request.query)?;
        let definition = definition(document.parsed(), name.as_deref())?;
        let kind = definition.ty;
        require_variables(definition, &variables)?;
        request.variables = variables;
        let passed = Passed::default();
        caller.attach(&mut request.data);
        request.set_parsed_query(document.parsed().clone());
        let request = request.data(passed.clone()).data(document);
        Ok(Self { request, kind, turn: caller.turn(), passed })
    }

    /// Executes a query or mutation.
    ///
    /// A mutation runs to its end even if the client has gone: half of its fields would help nobody.
    pub(super) async fn execute<E: Executor>(self, executor: &E) -> Answer {
        match self.kind {
            OperationType::Query => self.run(executor.clone()).await,
            OperationType::Mutation => {
                self.spawn(executor).await.unwrap_or_else(|_cancelled| Answer::fault())
            }
            OperationType::Subscription => Answer::invalid(
                "SUBSCRIPTION_NEEDS_STREAM",
                "a subscription needs a WebSocket or `Accept: text/event-stream`",
            ),
        }
    }

    /// Executes it in a task of its own, in turns of its caller.
    fn spawn<E: Executor>(self, executor: &E) -> JoinHandle<Answer> {
        let turn = self.turn.clone();
        let running = Box::pin(self.run(executor.clone()).in_current_span());
        match turn {
            Some(turn) => tokio::spawn(turn.taken_by(running)),
            None => tokio::spawn(running),
        }
    }

    async fn run<E: Executor>(self, executor: E) -> Answer {
        let span = self.span();
        let Self { request, passed, .. } = self;
        let running =
            async move { AssertUnwindSafe(executor.execute(request)).catch_unwind().await };
        judge(&passed, running.instrument(span).await)
    }

    /// Executes any operation as a stream of its results: one, or as many as there will be.
    pub(super) fn stream<E: Executor>(self, executor: &E) -> BoxStream<'static, Answer> {
        if self.kind != OperationType::Subscription {
            let executor = executor.clone();
            // The connection's task has no turns. It waits for the result, or nobody does.
            let result = async move {
                match self.kind {
                    OperationType::Query => {
                        let running = AbortOnDropHandle::new(self.spawn(&executor));
                        running.await.unwrap_or_else(|_cancelled| Answer::fault())
                    }
                    _ => self.execute(&executor).await,
                }
            };
            return stream::once(result).boxed();
        }
        let Self { request, passed, .. } = self;
        let results = AssertUnwindSafe(executor.execute_stream(request, None)).catch_unwind();
        results.map(move |result| judge(&passed, result)).boxed()
    }

    /// The client's own operation name stays out: anybody could make up any number of them.
    fn span(&self) -> Span {
        let kind = self.kind.to_string();
        tracing::info_span!("graphql", otel.name = format!("graphql {kind}"), graphql.operation.type = kind)
    }
}

/// What to answer, given whether execution began and whether it panicked.
fn judge(passed: &Passed, result: Result<async_graphql::Response, Box<dyn Any + Send>>) -> Answer {
    match result {
        Ok(response) if passed.is_set() => Answer::executed(response),
        Ok(response) => Answer::rejected(response),
        Err(panic) => {
            // What was put together when it panicked may be about the content.
            let said = panic.downcast_ref::<&'static str>().copied();
            tracing::error!(panic.message = said, "a resolver panicked");
            Answer::fault()
        }
    }
}

/// The operation of this name, or the only one if there is no name.
fn definition<'document>(
    document: &'document ExecutableDocument,
    name: Option<&str>,
) -> Result<&'document OperationDefinition, Answer> {
    let unresolved = |message: &str| Answer::invalid("OPERATION_RESOLUTION_FAILURE", message);
    let operation = match (&document.operations, name) {
        (DocumentOperations::Single(operation), None) => Some(operation),
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get(name),
        (DocumentOperations::Single(_), Some(_)) => None,
        (DocumentOperations::Multiple(operations), None) => {
            let mut all = operations.values();
            match (all.next(), all.next()) {
                (only, None) => only,
                _ => return Err(unresolved("the document has several operations, name one")),
            }
        }
    };
    operation
        .map(|operation| &operation.node)
        .ok_or_else(|| unresolved("the document has no operation of that name"))
}

/// Makes sure that variables which must have a value have one.
///
/// The library checks the values that are there, but misses the ones that are not until it executes.
fn require_variables(definition: &OperationDefinition, given: &Variables) -> Result<(), Answer> {
    for variable in &definition.variable_definitions {
        let variable = &variable.node;
        let (name, kind) = (&variable.name.node, &variable.var_type.node);
        let missing = given.get(name).is_none_or(|value| *value == Value::Null);
        if missing && !kind.nullable && variable.default_value.is_none() {
            let message = format!("the variable `${name}` of type `{kind}` has no value");
            return Err(Answer::invalid(VALIDATION_FAILED, message));
        }
    }
    Ok(())
}
