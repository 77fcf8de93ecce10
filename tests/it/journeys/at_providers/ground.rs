//! An installation whose tenants let a provider say who their members are.

use std::io;

use serde_json::{Value, json};
use url::Url;

use super::{CLIENT, PASSWORD, Provider, SECRET};
use crate::harness::{Browser, Installation, Page, Server};

/// The most forms that a provider shows somebody one after the other.
const FORMS_MAX: usize = 5;

/// The name of the cookie with a session.
const SESSION: &str = "__Host-callboard";

/// An installation, and the tenants in it that know a provider.
pub(super) struct Ground {
    pub(super) installation: Installation,
    pub(super) server: Server,
    pub(super) tenants: Vec<Tenant>,
}

/// A tenant that knows a provider.
pub(super) struct Tenant {
    slug: &'static str,
    /// What the tenant calls the provider, `idp_…`.
    pub(super) provider: String,
    /// Its pages.
    pub(super) home: Url,
}

/// A member.
pub(super) struct Member {
    pub(super) id: String,
    pub(super) invite: String,
}

impl Ground {
    /// Tenants of these names that know `provider`, which knows them.
    pub(super) async fn of(provider: &dyn Provider, slugs: &[&'static str]) -> Self {
        let installation = Installation::new().with("CALLBOARD_PROVIDERS_REACH", "loopback");
        let server = installation.up().await;
        let mut ground = Self { installation, server, tenants: Vec::new() };
        for slug in slugs {
            ground.installation.create_tenant(slug);
            let added = ground.add(slug, provider);
            ground.tenants.push(added);
        }
        let callbacks: Vec<String> = ground.tenants.iter().map(|it| it.callback().into()).collect();
        provider.register(&callbacks);
        ground
    }

    /// Has a tenant know a provider.
    pub(super) fn add(&self, slug: &'static str, provider: &dyn Provider) -> Tenant {
        let issuer = provider.issuer();
        let add = ["provider", "add", "--name", "Login", "--issuer", &issuer];
        let more = ["--client-id", CLIENT, "--secret-stdin"];
        let added = self.run(slug, &[add.as_slice(), &more].concat(), SECRET);
        let port = self.installation.address().port();
        let home = format!("http://{slug}.localhost:{port}/").parse().expect("an address");
        let id = added["providerId"].as_str().expect("an identity").to_owned();
        let tenant = Tenant { slug, provider: id, home };
        assert_eq!(added["callback"], tenant.callback().path());
        tenant
    }

    /// A new member with an invite.
    pub(super) fn invited(&self, tenant: &Tenant, role: &str) -> Member {
        let added = self.run(tenant.slug, &["member", "add", "--role", role], "");
        let id = added["memberId"].as_str().expect("an identity").to_owned();
        let invite = self.run(tenant.slug, &["member", "invite", &id, "--hours", "1"], "");
        Member { id, invite: invite["text"].as_str().expect("a text").to_owned() }
    }

    /// What a command about a tenant prints for machines.
    #[track_caller]
    pub(super) fn run(&self, slug: &str, arguments: &[&str], input: &str) -> Value {
        let arguments = [arguments, &["--tenant", slug, "--json"]].concat();
        let ran = self.installation.run_with_input(&arguments, input);
        assert_eq!(ran.code, 0, "{arguments:?}: {}{}", ran.stdout, ran.stderr);
        ran.json()
    }

    /// A member whom the browser has linked with somebody at the provider.
    pub(super) fn linked(&self, tenant: &Tenant, browser: &mut Browser, who: &str) -> Member {
        let member = self.invited(tenant, "developer");
        let back = tenant.accept(browser, &member.invite, who).expect("everybody answers");
        tenant.check_entered(browser, &back, &member);
        member
    }
}

impl Tenant {
    pub(super) fn url(&self, path: &str) -> Url {
        self.home.join(path).expect("a path")
    }

    /// Where somebody leaves for the provider.
    pub(super) fn door(&self) -> Url {
        self.url(&format!("/api/v1/sign-in/oidc/{}", self.provider))
    }

    /// Where the provider sends people back to.
    pub(super) fn callback(&self) -> Url {
        self.url(&format!("/api/v1/sign-in/oidc/{}/callback", self.provider))
    }

    /// For whom a token is that programs change here.
    pub(super) fn audience(&self) -> String {
        format!("urn:callboard:{}", self.provider)
    }

    /// Signs in, and comes back.
    pub(super) fn enter(&self, browser: &mut Browser, who: &str) -> io::Result<Page> {
        let left = browser.open(&self.door())?;
        self.through(browser, left, who)
    }

    /// Accepts an invite at the provider, and comes back.
    pub(super) fn accept(
        &self,
        browser: &mut Browser,
        invite: &str,
        who: &str,
    ) -> io::Result<Page> {
        let left = browser.ask("POST", &self.door(), &json!({ "invite": invite }))?;
        assert_eq!(left.status(), 200, "{}", left.body());
        let location = left.json()["location"].as_str().expect("a text").to_owned();
        let arrived = browser.click(&self.home, &location.parse().expect("an address"))?;
        self.through(browser, arrived, who)
    }

    /// From the provider's first page until the browser is back.
    fn through(&self, browser: &mut Browser, page: Page, who: &str) -> io::Result<Page> {
        let sent_back = self.at_provider(browser, page, who)?;
        browser.follow(sent_back, |next| next.path() == self.callback().path())
    }

    /// Fills in the provider's forms as somebody does, until the browser is about to be sent back.
    pub(super) fn at_provider(
        &self,
        browser: &mut Browser,
        page: Page,
        who: &str,
    ) -> io::Result<Page> {
        self.at_provider_with(browser, page, (who, PASSWORD))
    }

    /// The same with a password.
    pub(super) fn at_provider_with(
        &self,
        browser: &mut Browser,
        mut page: Page,
        (who, password): (&str, &str),
    ) -> io::Result<Page> {
        for _ in 0..FORMS_MAX {
            page = browser.follow(page, |next| next.host_str() != self.home.host_str())?;
            let Some(mut form) = page.form().filter(|_| page.status() == 200) else { break };
            form.fill(&["username", "login"], who);
            form.fill(&["password"], password);
            page = browser.submit(&page, &form)?;
        }
        Ok(page)
    }

    /// Who the browser is here, by what it is told of itself; nobody if it is not signed in.
    pub(super) fn viewer(&self, browser: &mut Browser) -> Option<Value> {
        let query = json!({ "query": "{ viewer { actor sessions { methods } } }" });
        let answer = browser.ask("POST", &self.url("/graphql"), &query).expect("it answers");
        match answer.status() {
            200 => Some(answer.json()["data"]["viewer"].clone()),
            401 => None,
            status => panic!("{status}: {}", answer.body()),
        }
    }

    /// Fails unless the browser has come back and is the member now.
    #[track_caller]
    pub(super) fn check_entered(&self, browser: &mut Browser, back: &Page, member: &Member) {
        assert_eq!(back.status(), 303, "{} {}", back.url, back.body());
        assert_eq!(back.leads_to(), Some(self.home.clone()));
        let viewer = self.viewer(browser).expect("it is signed in");
        assert_eq!(viewer["actor"], *member.id);
        let sessions = viewer["sessions"].as_array().expect("a list");
        let is_fed =
            |it: &Value| it["methods"].as_array().is_some_and(|it| it.contains(&json!("fed")));
        assert!(sessions.iter().all(is_fed), "{viewer}");
    }

    /// Fails unless the browser has come back and was refused.
    #[track_caller]
    pub(super) fn check_refused(&self, browser: &Browser, back: &Page) {
        assert_eq!(back.status(), 403, "{} {}", back.url, back.body());
        assert_eq!(back.json()["code"], "SIGN_IN_REFUSED");
        assert_eq!(self.session(browser), None);
    }

    /// The session that the browser has here.
    pub(super) fn session(&self, browser: &Browser) -> Option<String> {
        browser.cookie(self.home.host_str()?, SESSION).map(str::to_owned)
    }

    /// Leaves.
    #[track_caller]
    pub(super) fn sign_out(&self, browser: &mut Browser) {
        let left = browser.ask("DELETE", &self.url("/api/v1/session"), &Value::Null);
        assert_eq!(left.expect("it answers").status(), 204);
    }
}
