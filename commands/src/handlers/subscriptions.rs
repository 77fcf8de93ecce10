//! Sales and what follows from them with time.

use domain::Stream;
use domain::aggregate::DueKind;
use domain::customer::{Customer, Standing};
use domain::id::{CustomerId, SubscriptionId};
use domain::plan::{self, Plan};
use domain::subscription::{Command, Sold, Subscription};

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
    pub(super) fn timer(&mut self, timer: &Timer) -> Result<(), Refusal> {
        match (timer.kind, timer.stream) {
            (DueKind::PeriodEnd, Stream::Subscription(id)) => {
                self.decide::<Subscription>(id, &Command::PeriodEnded { at: timer.at })
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
        };
        let state = self.overlay.aggregate::<Plan>(self.tenant, plan);
        let sold = state.map_or(Err(plan::Rejection::NotPublished), |it| it.sell(plan, version));
        sold.map_err(|it| rejected(it.code(), &it))
    }
}
