//! Signing in at real identity providers, the whole way that a browser goes: Keycloak, and node's
//! `oidc-provider`.
//!
//! The journeys are the same at both. What lies, and when, is tested where the doors are, with an issuer
//! that lies as it is told to.

mod ground;
mod keycloak;
mod node;
mod outage;
mod programs;
mod rotation;
mod tenants;
mod whole;

/// Who may sign in at every provider of these tests. Bob has Ada's address there.
const PEOPLE: [&str; 3] = ["ada", "bob", "cleo"];

/// With which password, where one is looked at.
const PASSWORD: &str = "quiet herons in rain";

/// What a provider calls Callboard.
const CLIENT: &str = "callboard";

/// By what Callboard proves that it is it.
const SECRET: &str = "a secret: with & signs";

/// A provider, as far as the journeys need to know it.
trait Provider: Sync {
    /// What it calls itself.
    fn issuer(&self) -> String;

    /// Where it shows its keys.
    fn keys(&self) -> String;

    /// Takes Callboard for a client whose people it sends back there.
    fn register(&self, callbacks: &[String]);

    /// Takes a program for a client, for which it makes tokens for this audience.
    fn register_program(&self, name: &str, audience: &str);

    /// Signs with another key from now on.
    fn change_key(&self);

    /// Is gone at once.
    fn go_away(&self);

    /// Is there again.
    fn come_back(&self);
}

mod at_keycloak {
    use super::keycloak::Keycloak;
    use super::{outage, programs, rotation, tenants, whole};

    #[tokio::test]
    async fn a_member_who_was_invited_signs_in_there_and_out() {
        let Some(provider) = Keycloak::given() else { return };
        whole::a_member_who_was_invited_signs_in_there_and_out(&provider).await;
    }

    #[tokio::test]
    async fn who_does_not_know_the_password_does_not_come_back() {
        let Some(provider) = Keycloak::given() else { return };
        whole::who_does_not_know_the_password_does_not_come_back(&provider).await;
    }

    #[tokio::test]
    async fn keys_may_change_while_people_sign_in() {
        let Some(provider) = Keycloak::given() else { return };
        rotation::keys_may_change_while_people_sign_in(&provider).await;
    }

    #[tokio::test]
    async fn one_that_goes_away_keeps_nobody_out_who_is_in() {
        let Some(provider) = Keycloak::own() else { return };
        outage::one_that_goes_away_keeps_nobody_out_who_is_in(&provider).await;
    }

    #[tokio::test]
    async fn programs_change_tokens_for_themselves_and_for_somebody() {
        let Some(provider) = Keycloak::given() else { return };
        programs::programs_change_tokens_for_themselves_and_for_somebody(&provider).await;
    }

    #[tokio::test]
    async fn two_tenants_of_one_provider_never_mix() {
        let Some(provider) = Keycloak::given() else { return };
        tenants::two_tenants_of_one_provider_never_mix(&provider).await;
    }
}

mod at_oidc_provider {
    use super::node::Node;
    use super::{outage, programs, rotation, tenants, whole};

    #[tokio::test]
    async fn a_member_who_was_invited_signs_in_there_and_out() {
        let Some(provider) = Node::start("RS256") else { return };
        whole::a_member_who_was_invited_signs_in_there_and_out(&provider).await;
    }

    #[tokio::test]
    async fn keys_may_change_while_people_sign_in() {
        let Some(provider) = Node::start("ES256") else { return };
        rotation::keys_may_change_while_people_sign_in(&provider).await;
    }

    #[tokio::test]
    async fn one_that_goes_away_keeps_nobody_out_who_is_in() {
        let Some(provider) = Node::start("RS256") else { return };
        outage::one_that_goes_away_keeps_nobody_out_who_is_in(&provider).await;
    }

    #[tokio::test]
    async fn keys_that_are_known_are_good_while_they_are_not_shown() {
        let Some(provider) = Node::start("ES256") else { return };
        outage::keys_that_are_known_are_good_while_they_are_not_shown(&provider).await;
    }

    #[tokio::test]
    async fn programs_change_tokens_for_themselves_and_for_somebody() {
        let Some(provider) = Node::start("ES256") else { return };
        programs::programs_change_tokens_for_themselves_and_for_somebody(&provider).await;
    }

    #[tokio::test]
    async fn two_tenants_of_one_provider_never_mix() {
        let Some(provider) = Node::start("ES256") else { return };
        tenants::two_tenants_of_one_provider_never_mix(&provider).await;
    }

    #[tokio::test]
    async fn a_name_at_one_provider_is_nobody_at_another() {
        let (Some(one), Some(other)) = (Node::start("ES256"), Node::start("ES256")) else { return };
        tenants::a_name_at_one_provider_is_nobody_at_another(&one, &other).await;
    }
}
