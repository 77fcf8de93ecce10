//! The user as whom a service runs that refuses to run as root.

/// A user of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) user: u32,
    pub(super) group: u32,
}

impl Account {
    /// The account called `name` in a text with the format of `/etc/passwd`.
    pub(super) fn find(accounts: &str, name: &str) -> Option<Self> {
        let line = accounts.lines().find(|it| it.split(':').next() == Some(name))?;
        let mut numbers = line.split(':').skip(2).map(str::parse);
        Some(Self { user: numbers.next()?.ok()?, group: numbers.next()?.ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::Account;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let accounts =
            "root:x:0:0:root:/:/bin/sh\npostgres2:x:7:8::/:\npostgres:x:101:104:,,,:/:\n";
        let find = |name| Account::find(accounts, name);
        assert_eq!(find("postgres"), Some(Account { user: 101, group: 104 }));
        assert_eq!(find("postgre"), None);
        assert_eq!(Account::find("postgres:x:many:104", "postgres"), None);
    }
}
