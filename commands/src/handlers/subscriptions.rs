//! Sales and what follows from them with time.

use domain::Stream;
use domain::aggregate::DueKind;
use domain::customer::{Customer, Standing};
use domain::id::{CustomerId, SubscriptionId};
use domain::plan::{self, Plan};
use domain::subscription::{Command, Sold, Subscription};
use domain::tenant::Tenant;

use super::{Decision, Refusal, rejected};
use crate::prepare::TermsSource;
use crate::timers::Timer;

impl Decision<'_, '_> {
    pub(super) fn start_subscription(
        &mut self,
        subscription: SubscriptionId,
        customer: CustomerId,
        source: &TermsSource,
    ) -> Result<(), Refusal> {
        let account = self.overlay.aggregate::<Customer>(self.tenant, customer);
        let command = Command::Start {
            customer,
            standing: account.map_or(Standing::NotOpened, Customer::standing),
            time_zone: account
                .and_then(Customer::account)
                .map_or(chrono_tz::UTC, |it| it.time_zone),
            sold: self.sold(source)?,
        };
        self.decide::<Subscription>(subscription, &command)
    }

    pub(super) fn change_plan(
        &mut self,
        subscription: SubscriptionId,
        source: &TermsSource,
    ) -> Result<(), Refusal> {
        let sold = self.sold(source)?;
        self.decide::<Subscription>(subscription, &Command::ChangePlan { sold })
    }

    /// A timer that was due fires.
    ///
    /// A closed tenant's subscription is cancelled as of the closing, should its period end
    /// before [`Decision::end_subscriptions`] has come to it: nothing is renewed after that.
    ///
    /// A suspended tenant's goes on: suspension is a lock on the door, not the end of a contract.
    /// Its customers did nothing wrong, its anchor stays, a cancellation that was scheduled comes
    /// about, and what it owes goes on being owed, else not paying would end the debt (R25 leads
    /// to a final state, and that is closing it). It is no pause (R20) either, which is a
    /// change of one subscription; whoever bills can tell the time of suspension from the tenant's
    /// events.
    pub(super) fn timer(&mut self, timer: &Timer) -> Result<(), Refusal> {
        match (timer.kind, timer.stream) {
            (DueKind::PeriodEnd, Stream::Subscription(id)) => {
                let tenant = self.overlay.aggregate::<Tenant>(self.tenant, self.tenant);
                let command = match tenant.and_then(Tenant::closed_at) {
                    Some(at) => Command::TenantClosed { at },
                    None => Command::PeriodEnded { at: timer.at },
                };
                self.decide::<Subscription>(id, &command)
            }
            (DueKind::PeriodEnd, stream) => {
                Err(rejected("NO_TIMER", &format_args!("`{stream}` has no periods")))
            }
        }
    }

    fn sold(&self, source: &TermsSource) -> Result<Sold, Refusal> {
        let (plan, version) = match source {
            TermsSource::Operator(sold) => return Ok(Sold::clone(sold)),
            TermsSource::Own { plan, version } => (*plan, *version),
            TermsSource::Missing(missing) => return Err(Refusal::Caller(missing.clone().into())),
        };
        let state = self.overlay.aggregate::<Plan>(self.tenant, plan);
        let sold = state.map_or(Err(plan::Rejection::NotPublished), |it| it.sell(plan, version));
        sold.map_err(|it| rejected(it.code(), &it))
    }
}
