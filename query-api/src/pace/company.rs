//! Who writes beside whom.

use std::collections::HashMap;
use std::time::Duration;

use domain::id::TenantId;
use event_log::Partition;
use tokio::time::Instant;

use super::account::{ALONE, BESIDE_OTHERS, Lead};

/// How long a tenant that wrote is company to others. In seconds: 5.
const COMPANY: Duration = Duration::from_secs(5);

/// The last writers of each partition. No clock: time arrives as an argument.
#[derive(Debug, Default)]
pub(super) struct Company(HashMap<Partition, Writers>);

#[derive(Debug)]
struct Writers {
    last: (TenantId, Instant),
    /// The last one that is another tenant than that.
    other: Option<(TenantId, Instant)>,
}

impl Company {
    /// Notes that `tenant` writes to `partition`.
    pub(super) fn wrote(&mut self, partition: Partition, tenant: TenantId, now: Instant) {
        let last = (tenant, now);
        let writers = self.0.entry(partition).or_insert(Writers { last, other: None });
        if writers.last.0 != tenant {
            writers.other = Some(writers.last);
        }
        writers.last = last;
    }

    /// How far ahead `tenant` may be in `partition`.
    pub(super) fn lead(
        &self,
        partition: Partition,
        tenant: TenantId,
        now: Instant,
    ) -> &'static Lead {
        let of_others = self
            .0
            .get(&partition)
            .and_then(|it| if it.last.0 == tenant { it.other } else { Some(it.last) });
        match of_others {
            Some((_, at)) if now.saturating_duration_since(at) < COMPANY => &BESIDE_OTHERS,
            _ => &ALONE,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const HERE: Partition = Partition(3);

    fn tenant(number: u128) -> TenantId {
        TenantId(Uuid::from_u128(number))
    }

    #[test]
    fn only_who_wrote_to_the_same_partition_of_late_is_company() {
        let (mut company, begin) = (Company::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(company.lead(HERE, tenant(1), at(0)), &ALONE, "nobody has written");
        company.wrote(HERE, tenant(1), at(0));
        company.wrote(Partition(4), tenant(2), at(0));
        assert_eq!(company.lead(HERE, tenant(1), at(0)), &ALONE, "one's own writes are none");
        assert_eq!(company.lead(HERE, tenant(2), at(0)), &BESIDE_OTHERS);

        company.wrote(HERE, tenant(2), at(1));
        for second in 2..=5 {
            company.wrote(HERE, tenant(1), at(second));
        }
        assert_eq!(
            company.lead(HERE, tenant(1), at(5)),
            &BESIDE_OTHERS,
            "the other one is no less"
        );
        assert_eq!(company.lead(HERE, tenant(1), at(6)), &ALONE, "the other one has left");
        assert_eq!(company.lead(HERE, tenant(3), at(6)), &BESIDE_OTHERS);
    }
}
