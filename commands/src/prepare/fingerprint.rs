//! What tells one request from another that carries the same idempotency key.

use domain::id::{ActorId, CustomerId, PlanId, ProviderId, SubscriptionId, TenantId};
use domain::operation::Operation;
use domain::personal::Digest;
use uuid::Uuid;
use vault::TenantKeys;

use crate::idempotency::RequestHash;
use crate::request::Request;

/// A keyed digest of everything the client asked for.
///
/// Identities and secrets that the caller's side draws for something new are left out: a client
/// that repeats its request has others drawn, and it is the same request.
pub(super) fn of(keys: &TenantKeys, request: &Request) -> RequestHash {
    let mut operation = request.operation.clone();
    match &mut operation {
        Operation::RegisterTenant { tenant, .. } => *tenant = TenantId(Uuid::nil()),
        Operation::IssueApiKey { key, asked } => {
            *key = ActorId(Uuid::nil());
            asked.secret = Digest([0; 16]);
        }
        Operation::InviteMember { secret, .. } => *secret = Digest([0; 16]),
        Operation::AddProvider { provider, .. } => *provider = ProviderId(Uuid::nil()),
        Operation::OpenCustomer { customer, .. } => *customer = CustomerId(Uuid::nil()),
        Operation::StartSubscription { subscription, .. } => {
            *subscription = SubscriptionId(Uuid::nil());
        }
        Operation::PublishPlanVersion { plan, is_new: true, .. } => *plan = PlanId(Uuid::nil()),
        _ => {}
    }
    // Both are stable for as long as the operation's definition is; a repetition across a
    // release that changes it is refused as another request, which is the safe side.
    let text = format!("{:?} {:?} {operation:?}", request.mode, request.expected);
    let digest = keys.digest("request", &text);
    RequestHash(u64::from_be_bytes(*digest.0.first_chunk().expect("a digest has 16 bytes")))
}
