//! What a browser shows, and the forms in it.

use serde_json::Value;
use url::Url;

use super::cookies::Led;
use super::wire::Answer;

/// An answer, and where it is from.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) url: Url,
    pub(super) led: Led,
    pub(super) answer: Answer,
}

/// A form of a page.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    pub(crate) action: Url,
    pub(crate) fields: Vec<(String, String)>,
}

impl Page {
    pub(crate) fn status(&self) -> u16 {
        self.answer.status
    }

    pub(crate) fn body(&self) -> &str {
        &self.answer.body
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.answer.headers.iter().find(|it| it.0 == name);
        found.map(|it| it.1.as_str())
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let read = serde_json::from_str(self.body());
        read.unwrap_or_else(|it| panic!("{it}: {} {}", self.status(), self.body()))
    }

    /// Where the browser is sent, if it is.
    pub(crate) fn leads_to(&self) -> Option<Url> {
        let moved = matches!(self.status(), 301 | 302 | 303 | 307 | 308);
        self.url.join(self.header("location").filter(|_| moved)?).ok()
    }

    /// The first form that is sent with a body.
    pub(crate) fn form(&self) -> Option<Form> {
        let forms = self.body().split("<form").skip(1).map(|it| {
            let whole = it.split("</form").next().unwrap_or_default();
            whole.split_once('>').unwrap_or_default()
        });
        let is_post = |head: &str| attribute(head, "method").is_some_and(|it| it == "post");
        let (head, body) = forms.into_iter().find(|(head, _)| is_post(head))?;
        let inputs = body.split("<input").skip(1).filter_map(|it| it.split('>').next());
        let field =
            |it: &str| Some((attribute(it, "name")?, attribute(it, "value").unwrap_or_default()));
        let action = self.url.join(&attribute(head, "action").unwrap_or_default()).ok()?;
        Some(Form { action, fields: inputs.filter_map(field).collect() })
    }
}

impl Form {
    /// Types something into the field of the first of these names that there is.
    pub(crate) fn fill(&mut self, names: &[&str], value: &str) {
        let named = |it: &&mut (String, String)| names.contains(&it.0.as_str());
        if let Some(field) = self.fields.iter_mut().find(named) {
            value.clone_into(&mut field.1);
        }
    }
}

/// The value of an attribute of an element.
fn attribute(element: &str, name: &str) -> Option<String> {
    let (_, rest) = element.split_once(&format!(" {name}=\""))?;
    let value = rest.split('"').next()?;
    Some(value.replace("&amp;", "&").replace("&#43;", "+").replace("&quot;", "\""))
}
