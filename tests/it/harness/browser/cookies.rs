//! The cookies of a browser.

use url::Url;

/// Who has led a browser somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Led {
    /// Whoever sits before it, or a page of the same site.
    BySame,
    /// Another site, maybe some redirects ago.
    ByAnother,
}

impl Led {
    /// Who leads from one address to the other. Here every host is a site.
    pub(super) fn between(from: &Url, to: &Url) -> Self {
        if from.host_str() == to.host_str() { Self::BySame } else { Self::ByAnother }
    }

    /// Who has led through two steps.
    pub(super) fn then(self, next: Self) -> Self {
        if self == Self::BySame { next } else { self }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Cookies(Vec<Cookie>);

#[derive(Clone, Debug)]
struct Cookie {
    host: String,
    path: String,
    name: String,
    value: String,
    is_strict: bool,
}

impl Cookies {
    /// Takes what `Set-Cookie` of an answer from `url` says.
    pub(super) fn set(&mut self, url: &Url, said: &str) {
        let mut parts = said.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|it| it.split_once('=')) else { return };
        let host = url.host_str().unwrap_or_default().to_owned();
        let folder = url.path().rsplit_once('/').map_or("/", |it| it.0);
        let mut path = if folder.is_empty() { "/" } else { folder }.to_owned();
        let (mut is_strict, mut is_over) = (false, false);
        for part in parts {
            let (attribute, said) = part.split_once('=').unwrap_or((part, ""));
            match attribute.to_ascii_lowercase().as_str() {
                "path" => said.clone_into(&mut path),
                "samesite" => is_strict = said.eq_ignore_ascii_case("strict"),
                "max-age" => is_over |= said == "0",
                "expires" => is_over |= said.contains(" 1970 "),
                _ => {}
            }
        }
        self.0.retain(|it| (&it.host, &it.path, it.name.as_str()) != (&host, &path, name));
        if !is_over {
            let (name, value) = (name.to_owned(), value.to_owned());
            self.0.push(Cookie { host, path, name, value, is_strict });
        }
    }

    /// The value of the header `Cookie` of a request, if there are any for it.
    pub(super) fn for_request(&self, url: &Url, led: Led) -> Option<String> {
        let sent = self.0.iter().filter(|it| {
            let is_below = url.path().starts_with(it.path.trim_end_matches('/'));
            let may = !it.is_strict || led == Led::BySame;
            Some(it.host.as_str()) == url.host_str() && is_below && may
        });
        let pairs: Vec<String> = sent.map(|it| format!("{}={}", it.name, it.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    pub(super) fn share(&mut self, from: &Url, with: &Url) {
        let host = with.host_str().unwrap_or_default();
        self.0.retain(|it| it.host != host);
        let theirs = self.0.iter().filter(|it| Some(it.host.as_str()) == from.host_str());
        let copies: Vec<Cookie> =
            theirs.map(|it| Cookie { host: host.to_owned(), ..it.clone() }).collect();
        self.0.extend(copies);
    }

    pub(super) fn value(&self, host: &str, name: &str) -> Option<&str> {
        self.0.iter().find(|it| it.host == host && it.name == name).map(|it| it.value.as_str())
    }
}
