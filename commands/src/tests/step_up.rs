//! What a session is good for once its member has proved some time ago who they are, and what a proof is.

use chrono::TimeDelta;
use domain::Principal;
use domain::audit::Part;
use domain::id::ActorId;
use domain::member::{CredentialChange, Term};
use domain::operation::Operation;
use uuid::Uuid;

use super::access::{add, give, member, refusal, remove};
use super::installation::put;
use super::sessions::{begin, sign_in, sign_out};
use crate::settings::Sabotage;

/// In a session that somebody else got to, later than its member has proved who they are.
#[tokio::test]
async fn what_could_do_most_harm_needs_a_proof_of_the_last_minutes() {
    for sabotage in [None, Some(Sabotage::AuthorizeNobody)] {
        let (installation, owner) = begin(sabotage).await;
        let ada = member(&installation, &owner, &["developer"]).await;
        let here = sign_in(&installation, &owner, "here").await;
        let lets_in = || add(ActorId(Uuid::now_v7()), &["viewer"]);
        installation.submit(&here, lets_in()).await.unwrap();

        installation.clock.advance(TimeDelta::minutes(15));
        let export = || Operation::ExportAudit { part: Part::default() };
        for grave in [lets_in(), give(ada.actor(), &["admin"]), export(), Operation::CloseTenant] {
            if sabotage.is_none() {
                let name = grave.name();
                assert_eq!(
                    refusal(&installation, &here, grave).await,
                    "STEP_UP_REQUIRED",
                    "{name}"
                );
            } else {
                installation.submit(&here, grave).await.unwrap();
            }
        }
        if sabotage.is_some() {
            continue;
        }
        // Whoever lacks the permission is told that alone.
        let adas = sign_in(&installation, &ada, "adas").await;
        installation.clock.advance(TimeDelta::minutes(15));
        assert_eq!(refusal(&installation, &adas, export()).await, "DENIED");
        // What is usual goes on, and so does what takes something away from somebody.
        installation.submit(&here, put("web")).await.unwrap();
        installation.submit(&here, sign_out(Some(&ada), None)).await.unwrap();
        installation.submit(&here, remove(&ada)).await.unwrap();
        // Who has no session that somebody else could get to is not asked, nor is who proves it anew.
        installation.submit(&owner, lets_in()).await.unwrap();
        let again = sign_in(&installation, &owner, "again").await;
        installation.submit(&again, export()).await.unwrap();
        installation.submit(&again, Operation::CloseTenant).await.unwrap();
    }
}

#[tokio::test]
async fn what_somebody_proves_who_they_are_by_is_changed_by_a_proof_alone() {
    let (installation, owner) = begin(None).await;
    let here = sign_in(&installation, &owner, "here").await;
    let change = |term| Operation::ChangeCredential {
        term: Term(term),
        change: CredentialChange::SecondFactorRemoved,
        provider: None,
    };
    for who in [&owner, &here] {
        assert_eq!(refusal(&installation, who, change(1)).await, "NOT_PROVED");
    }
    let proved = Principal::signing_in(owner.tenant(), owner.actor());
    let outcome = installation.submit(&proved, change(1)).await.unwrap();
    assert_eq!(outcome.events[0].name, "member.credential-changed.v1");
    assert_eq!(refusal(&installation, &proved, change(2)).await, "MEMBER_NOT_FOUND");
}
