//! The limits as an extension of a schema, so that no door can go round them.

use std::sync::Arc;

use async_graphql::extensions::{
    Extension, ExtensionContext, ExtensionFactory, NextPrepareRequest, NextValidation,
};
use async_graphql::{Request, SchemaBuilder, ServerError, ServerResult, ValidationResult};
use tokio::sync::SetOnce;

use super::{Limits, Refused};

/// Where the library puts the names it suggests.
const SUGGESTION: &str = " Did you mean";

/// Tells who puts it into the data of a request that the document passed every check.
///
/// What goes wrong before that is an error of the request, what goes wrong later one of its
/// execution; transports answer them differently.
#[derive(Clone, Debug, Default)]
pub struct Passed(Arc<SetOnce<()>>);

impl Passed {
    /// Whether execution has begun.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.initialized()
    }

    /// Waits until execution begins; for ever if it never does.
    pub async fn wait(&self) {
        self.0.wait().await;
    }

    fn set(&self) {
        // A document is validated once per request; a second time would say the same.
        let _already = self.0.set(());
    }
}

impl Limits {
    /// Makes a schema refuse what exceeds these limits, whichever door a request comes through.
    pub fn guard<Query, Mutation, Subscription>(
        &self,
        schema: SchemaBuilder<Query, Mutation, Subscription>,
    ) -> SchemaBuilder<Query, Mutation, Subscription> {
        let schema = if self.suggestions { schema } else { schema.disable_suggestions() };
        let schema = if self.introspection { schema } else { schema.disable_introspection() };
        // The library's own bound on recursion. It counts fragments too, so it is wider than ours.
        schema.limit_recursive_depth(self.nesting_max).extension(Guard(Arc::new(self.clone())))
    }
}

struct Guard(Arc<Limits>);

impl ExtensionFactory for Guard {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self(Arc::clone(&self.0)))
    }
}

#[async_trait::async_trait]
impl Extension for Guard {
    async fn prepare_request(
        &self,
        context: &ExtensionContext<'_>,
        mut request: Request,
        next: NextPrepareRequest<'_>,
    ) -> ServerResult<Request> {
        self.0.parse(&mut request)?;
        next.run(context, request).await
    }

    async fn validation(
        &self,
        context: &ExtensionContext<'_>,
        next: NextValidation<'_>,
    ) -> Result<ValidationResult, Vec<ServerError>> {
        let mut outcome = next.run(context).await;
        if let Err(errors) = &mut outcome
            && !self.0.suggestions
        {
            errors.iter_mut().for_each(withhold_suggestion);
        }
        let result = outcome?;
        Refused::unless_within("complexity", result.complexity, self.0.complexity_max)
            .map_err(|refused| vec![refused.into()])?;
        if let Some(passed) = context.data_opt::<Passed>() {
            passed.set();
        }
        Ok(result)
    }
}

/// Cuts off the names that exist: the schema's own switch covers fields but not arguments.
fn withhold_suggestion(error: &mut ServerError) {
    if let Some(at) = error.message.find(SUGGESTION) {
        error.message.truncate(at);
    }
}
