//! Exports of the audit trail: whole, in parts, of whom and for whom.

use domain::id::TenantId;
use event_log::export::{Frame, Frames, Place, Report, Verifier, What, verify};
use event_log::note::VerifierKey;
use projections::Model;
use projections::temporary::Kind;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::api_keys::{REVOKE, issue};
use super::roles::member;
use super::seeded::{apply, component, put, seed};
use crate::testing::{Member, Site, on_each_kind, soon};

const EXPORT: &str = "/api/v1/audit/export";

async fn export(site: &Site, who: &Member, query: &str) -> Vec<u8> {
    let reply = site.get(who, &format!("{EXPORT}?{query}")).await;
    assert_eq!(reply.status, 200, "{query}: {}", reply.text());
    assert_eq!(reply.content_type, "application/vnd.callboard.audit-export");
    reply.body.to_vec()
}

async fn keys(site: &Site, who: &Member) -> Vec<VerifierKey> {
    let published = site.get(who, "/api/v1/audit/keys").await.json();
    let keys = published["keys"].as_array().expect("there are some").iter();
    let keys: Vec<VerifierKey> = keys.map(|it| it.as_str().unwrap().parse().unwrap()).collect();
    assert!(keys.iter().all(|it| published["origin"] == it.name()));
    keys
}

/// What is found in an export of `who`, in which nothing is wrong.
async fn verified(site: &Site, who: &Member, query: &str) -> Report {
    let file = export(site, who, query).await;
    verify(&*file, &keys(site, who).await, None, |_| ()).expect("it is as it was stored")
}

/// The tenants of which there are events in a file, whoever it is of.
fn tenants(file: &[u8]) -> Vec<String> {
    let mut tenants = Vec::new();
    let mut frames = Frames::open(file).unwrap();
    while let Some(frame) = frames.read().unwrap() {
        if let Frame::Event { canonical, .. } | Frame::EventAfterGap { canonical, .. } = frame {
            let record = bytes::Bytes::copy_from_slice(canonical);
            let record = event_log::Record::from_stored(record, event_log::Link::GENESIS, None);
            tenants.push(record.unwrap().attribute(event_log::Attribute::Tenant).to_owned());
        }
    }
    tenants.dedup();
    tenants
}

on_each_kind! {
    a_tenant_takes_away_its_own_history_and_nothing_else
}

async fn a_tenant_takes_away_its_own_history_and_nothing_else(on: Kind) {
    let site = Site::start_on(on).await;
    let (a, b) = (site.a.clone(), site.b.clone());
    seed(&site, &a, "amber").await;
    seed(&site, &b, "birch").await;
    seed(&site, &a, "aspen").await;
    for (who, foreign) in [(&a, [&b"birch"[..], b"birch"]), (&b, [b"amber", b"aspen"])] {
        let newest = site.commands.newest_sequence(who.tenant).await.unwrap();
        let file = export(&site, who, "").await;
        assert_eq!(tenants(&file), [who.tenant.to_string()]);
        let report = verify(&*file, &keys(&site, who).await, None, |_| ()).unwrap();
        assert_eq!((report.header.first, report.shown), (1, report.last));
        for mark in foreign {
            assert!(!file.windows(mark.len()).any(|it| it == mark), "it shows of another tenant");
        }
        assert_eq!(report.last, newest, "nothing is missing");
        let other = if who.tenant == a.tenant { &b } else { &a };
        let keys = keys(&site, other).await;
        assert!(verify(&*file, &keys, None, |_| ()).is_err(), "the keys have another name");
    }
}

#[tokio::test]
async fn only_who_may_read_the_audit_trail_exports_it() {
    let site = Site::start().await;
    for (role, expected) in
        [("auditor", 200), ("owner", 200), ("maintainer", 403), ("developer", 403), ("viewer", 403)]
    {
        let (_, who) = member(&site, &[role]).await;
        for path in [EXPORT, "/api/v1/audit/keys"] {
            assert_eq!(site.get(&who, path).await.status, expected, "{role} {path}");
        }
    }
    for (scope, expected) in [("audit.read", 200), ("entity.read", 403)] {
        let (_, key) = issue(&site, &site.a, &[scope]).await;
        assert_eq!(site.get(&key, EXPORT).await.status, expected, "{scope}");
    }
}

#[tokio::test]
async fn what_is_asked_for_is_shown_and_the_rest_is_proved_to_be_there() {
    let site = Site::start().await;
    seed(&site, &site.a, "amber").await;
    let all = verified(&site, &site.a, "").await;
    let part = verified(&site, &site.a, "from=3&to=7").await;
    assert_eq!((part.header.first, part.last, part.shown), (3, 7, 5));
    // What was asked for before is itself in the trail.
    let upto = format!("to={}", all.last);
    let query = format!("types=entity,meter.defined&{upto}");
    let types = verified(&site, &site.a, &query).await;
    assert_eq!((types.last, types.root), (all.last, all.root), "the tree is the same");
    assert!(types.shown > 0 && types.left_out > 0 && types.gaps > 0, "{types:?}");
    assert_eq!(types.header.asked.types, ["entity", "meter.defined"]);
    let nobody = format!("actor=usr_01981234567870008000000000000007&{upto}");
    let nothing = verified(&site, &site.a, &nobody).await;
    assert_eq!((nothing.shown, nothing.left_out, nothing.root), (0, all.last, all.root));
    let past = verified(&site, &site.a, "to=2000-01-01T00:00:00Z").await;
    assert_eq!((past.last, past.shown), (0, 0));
    let future = verified(&site, &site.a, "from=2999-01-01T00:00:00Z").await;
    assert_eq!((future.header.first, future.shown), (future.last + 1, 0));
    let instants = "from=2000-01-01T00:00:00Z&to=2999-01-01T00:00:00%2B01:00";
    assert_eq!(verified(&site, &site.a, instants).await.shown, future.last + 1);
    for wrong in ["from=yesterday", "to=", "actor=me", "types=none", "after=x", "colour=red"] {
        let reply = site.get(&site.a, &format!("{EXPORT}?{wrong}")).await;
        assert_eq!(reply.status, 400, "{wrong}: {}", reply.text());
    }
    let beyond = site.get(&site.a, &format!("{EXPORT}?after={}", all.last + 100)).await;
    assert_eq!(beyond.status, 400, "nobody has more than there is: {}", beyond.text());
}

#[tokio::test]
async fn who_was_given_what_of_the_trail_stands_in_it() {
    let site = Site::start().await;
    let before = site.commands.newest_sequence(site.a.tenant).await.unwrap();
    let (_, auditor) = member(&site, &["auditor"]).await;
    let (_, viewer) = member(&site, &["viewer"]).await;
    assert_eq!(site.get(&viewer, EXPORT).await.status, 403);
    assert_eq!(site.get(&auditor, &format!("{EXPORT}?types=none")).await.status, 400);
    let file = export(&site, &auditor, "from=2&types=entity,member.added.v1").await;
    assert_eq!(tenants(&file), [site.a.tenant.to_string()]);
    let trail = "{ audit(first: 9, matching: {types: [\"audit\"]}) { nodes {
        sequence type stream actor body
    } } }";
    site.all_shown(&[Model::Audit]).await;
    let trail = site.data(&site.a, trail, json!({})).await["audit"]["nodes"].take();
    let [exported] = &trail.as_array().unwrap()[..] else { panic!("{trail}") };
    assert_eq!(exported["type"], "audit.exported.v1");
    assert_eq!((&exported["stream"], &exported["sequence"]), (&json!("audit"), &json!(before + 3)));
    let part = json!({"part": {"from": "2", "types": ["entity", "member.added.v1"]}});
    assert_eq!(exported["body"], part);
    let viewer = "{ viewer { actor } }";
    let auditor = site.data(&auditor, viewer, json!({})).await["viewer"]["actor"].take();
    assert_eq!(exported["actor"], auditor);
}

#[tokio::test]
async fn an_export_that_broke_off_is_gone_on_with_although_there_is_more_now() {
    let site = Site::start().await;
    let file = export(&site, &site.a, "from=2").await;
    let mut frames = Frames::open(&*file).unwrap();
    let mut verifier = Verifier::new(frames.read().unwrap(), &[], None).unwrap();
    let mut cut = 0;
    while let Some(frame) = frames.read().unwrap() {
        let is_checkpoint = matches!(frame, Frame::Checkpoint(_));
        if let Frame::End(_) = frame {
            break;
        }
        verifier.take(frame).unwrap();
        if is_checkpoint {
            cut = usize::try_from(frames.reached()).unwrap();
        }
    }
    seed(&site, &site.a, "amber").await;
    site.keyring.replace_audit_key().await.unwrap();
    let rest = export(&site, &site.a, &format!("from=2&after={}", verifier.reached())).await;
    let whole = [&file[..cut], &rest].concat();
    let keys = keys(&site, &site.a).await;
    assert_eq!(keys.len(), 2, "the first one signed where it began");
    let report = verify(&*whole, &keys, None, |_| ()).unwrap();
    assert!(report.last > verifier.reached());
    let first = verify(&*whole, &keys[..1], None, |_| ()).unwrap_err().to_string();
    assert!(first.contains("signature"), "{first}");
}

#[tokio::test]
async fn who_is_erased_leaves_an_export_as_it_was() {
    let site = Site::start().await;
    let (ada, _) = member(&site, &["viewer"]).await;
    let before = export(&site, &site.a, "to=5").await;
    let keys_of_a = site.keyring.existing(site.a.tenant).await.unwrap();
    let subject = keys_of_a.subject_id(&ada.to_string());
    assert!(!site.keyring.subjects(site.a.tenant, &[subject]).await.unwrap().is_erased(subject));
    site.keyring.destroy_subject(site.a.tenant, subject).await.unwrap();
    let after = export(&site, &site.a, "to=5").await;
    assert!(before == after, "the stored bytes are what is proved");
    verify(&*after, &keys(&site, &site.a).await, None, |_| ()).unwrap();
    let file = export(&site, &site.a, "").await;
    assert!(!file.windows(5).any(|it| it == b"\"Ada\""), "personal texts stay sealed");
}

#[tokio::test]
async fn an_export_that_breaks_off_says_so() {
    let site = Site::start().await;
    let last = site.commands.newest_sequence(site.a.tenant).await.unwrap();
    let file = export(&site, &site.a, "").await;
    let error = verify(&file[..file.len() - 1], &[], None, |_| ()).unwrap_err();
    let event_log::export::VerifyError::Fault(fault) = error else { panic!("{error}") };
    assert_eq!((fault.place, fault.what), (Place::At(last + 1), What::BrokenOff));
}

#[tokio::test]
async fn operators_export_what_is_of_the_installation_and_no_tenant() {
    let site = Site::start().await;
    seed(&site, &site.a, "amber").await;
    let file = export(&site, &site.operator, "").await;
    assert_eq!(tenants(&file), [TenantId::SYSTEM.to_string()]);
}

/// The bytes that somebody gets who asks for an export by hand, and takes it when told.
struct Slow(TcpStream);

impl Slow {
    async fn ask(site: &Site, who: &Member) -> Self {
        let mut socket = TcpStream::connect(site.address).await.unwrap();
        let token = &who.token;
        let request =
            format!("GET {EXPORT} HTTP/1.0\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut begins = [0; 12];
        soon(socket.read_exact(&mut begins)).await.unwrap();
        assert_eq!(&begins, b"HTTP/1.0 200");
        Self(socket)
    }

    /// How many bytes there are, and whether they end with the end of an export.
    async fn take(mut self) -> (usize, bool) {
        let mut bytes = Vec::new();
        soon(self.0.read_to_end(&mut bytes)).await.unwrap();
        let last = bytes.len().saturating_sub(512);
        (bytes.len(), bytes[last..].windows(8).any(|it| it == b"{\"last\":"))
    }
}

#[tokio::test]
async fn an_export_ends_with_what_its_caller_may() {
    let site = Site::start().await;
    let long = "x".repeat(60_000);
    for batch in 0..25 {
        let changes = (0..12).map(|number| {
            let mut one = component(&format!("c-{batch}-{number}"), "amber");
            one["metadata"]["description"] = json!(long);
            put(&one, None)
        });
        apply(&site, &site.a, changes.collect()).await;
    }
    let (id, key) = issue(&site, &site.a, &["audit.read"]).await;
    let (cut, whole) = (Slow::ask(&site, &key).await, Slow::ask(&site, &site.a).await);
    site.mutate(&site.a, REVOKE, json!({ "key": id })).await;
    while site.get(&key, "/api/v1/audit/keys").await.status != 401 {
        tokio::task::yield_now().await;
    }
    let (all, has_ended) = whole.take().await;
    assert!(has_ended, "whoever may goes on");
    let (part, has_ended) = cut.take().await;
    assert!(!has_ended && part < all, "{part} of {all} bytes, and the end");
    let suspend = "mutation($tenant: String!) {
        suspendTenant(tenantId: $tenant, reason: REQUESTED) { userErrors { code } } }";
    site.mutate(&site.operator, suspend, json!({ "tenant": site.a.tenant.to_string() })).await;
    while site.get(&site.a, &format!("{EXPORT}?to=1")).await.status == 200 {
        tokio::task::yield_now().await;
    }
    let refused = site.get(&site.a, EXPORT).await;
    assert_eq!((refused.status, &refused.json()["code"]), (422, &json!("TENANT_SUSPENDED")));
}
