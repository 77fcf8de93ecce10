//! Changes of billing accounts.

use domain::Stream;
use domain::customer::{Command, Customer};
use domain::id::CustomerId;
use domain::operation::ExpectedRevision;
use domain::tenant::Tenant;

use super::{Decision, Refusal, rejected};
use crate::prepare::OpenCustomer;

impl Decision<'_, '_> {
    /// Opens an account in the tenant's currency and zone unless it says otherwise.
    pub(super) fn open_customer(
        &mut self,
        open: &OpenCustomer,
        expected: ExpectedRevision,
    ) -> Result<(), Refusal> {
        let OpenCustomer { customer, role, name, contact, currency, time_zone } = open;
        self.expect(&Stream::Customer(*customer), expected, customer)?;
        let state = self.overlay.aggregate::<Tenant>(self.tenant, self.tenant);
        let Some(profile) = state.and_then(Tenant::profile) else {
            return Err(rejected("TENANT_NOT_FOUND", &"the tenant does not exist"));
        };
        let command = Command::Open {
            role: *role,
            name: name.clone(),
            contact: contact.clone(),
            currency: currency.unwrap_or(profile.settings.currency),
            time_zone: time_zone.unwrap_or(profile.settings.time_zone),
        };
        self.decide::<Customer>(*customer, &command)
    }

    pub(super) fn close_customer(
        &mut self,
        customer: CustomerId,
        expected: ExpectedRevision,
    ) -> Result<(), Refusal> {
        self.expect(&Stream::Customer(customer), expected, &customer)?;
        let account = self.overlay.account(self.tenant, customer);
        let running = account.map_or(0, |it| it.running.len());
        self.decide::<Customer>(customer, &Command::Close { running })
    }
}
