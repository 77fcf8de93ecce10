//! A browser, as far as signing in needs one: addresses, redirects, cookies and forms.
//!
//! It keeps cookies as browsers do (by host, whatever the port, and by path), and sends those that are
//! `SameSite=Strict` only where no other site has led. It takes loopback for safe, resolves every name
//! to this machine, and runs no scripts: what a page's script would ask, a test does with
//! [`Browser::ask`]. Whoever it asks may be gone, so everything answers a `Result`.

mod cookies;
mod page;
mod wire;

use std::io;

use serde_json::Value;
use url::Url;

pub(crate) use page::Page;
pub(crate) use wire::{Answer, Asked, exchange};

use cookies::{Cookies, Led};
use page::Form;

/// The most redirects that are followed one after the other.
const REDIRECTS_MAX: usize = 10;

/// One profile of a browser.
#[derive(Clone, Debug, Default)]
pub(crate) struct Browser {
    cookies: Cookies,
}

impl Browser {
    /// Goes where a page sends it, as if somebody had clicked there: a page of another site, if it
    /// is `from` there.
    pub(crate) fn click(&mut self, from: &Url, to: &Url) -> io::Result<Page> {
        self.send(Asked::get(to), Led::between(from, to))
    }

    /// Goes where somebody types.
    pub(crate) fn open(&mut self, url: &Url) -> io::Result<Page> {
        self.send(Asked::get(url), Led::BySame)
    }

    /// Follows a page's redirects as long as they lead to where `goes` says yes.
    pub(crate) fn follow(
        &mut self,
        mut page: Page,
        goes: impl Fn(&Url) -> bool,
    ) -> io::Result<Page> {
        for _ in 0..REDIRECTS_MAX {
            let Some(next) = page.leads_to().filter(&goes) else { return Ok(page) };
            let led = page.led.then(Led::between(&page.url, &next));
            page = self.send(Asked::get(&next), led)?;
        }
        Err(io::Error::other(format!("it is redirected for ever: {}", page.url)))
    }

    /// Sends a form that was filled in.
    pub(crate) fn submit(&mut self, page: &Page, form: &Form) -> io::Result<Page> {
        self.send(Asked::form(&form.action, &form.fields), Led::between(&page.url, &form.action))
    }

    /// Asks what a script of a page of the same host would ask.
    pub(crate) fn ask(&mut self, method: &str, url: &Url, body: &Value) -> io::Result<Page> {
        let mut asked = Asked::json(method, url, body);
        asked.headers.push(("origin".to_owned(), url.origin().ascii_serialization()));
        asked.headers.push(("callboard-request".to_owned(), "1".to_owned()));
        self.send(asked, Led::BySame)
    }

    /// The value of a cookie that a host has set.
    pub(crate) fn cookie(&self, host: &str, name: &str) -> Option<&str> {
        self.cookies.value(host, name)
    }

    /// Has one host's cookies sent to another one, too, which no browser does.
    pub(crate) fn share_cookies(&mut self, from: &Url, with: &Url) {
        self.cookies.share(from, with);
    }

    fn send(&mut self, mut asked: Asked, led: Led) -> io::Result<Page> {
        let sent = self.cookies.for_request(&asked.url, led);
        asked.headers.extend(sent.map(|it| ("cookie".to_owned(), it)));
        let answer = exchange(&asked)?;
        let set = answer.headers.iter().filter(|it| it.0 == "set-cookie");
        set.for_each(|it| self.cookies.set(&asked.url, &it.1));
        Ok(Page { url: asked.url, led, answer })
    }
}
