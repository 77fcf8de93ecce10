//! `cargo xtask services`: a Kafka, a PostgreSQL and identity providers that stay while one develops.
//!
//! How they are started is in the library, [`xtask::services`], which tests use too.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use xtask::services::Running;

/// What `cargo xtask services` can be told.
#[derive(clap::Subcommand)]
pub(crate) enum Action {
    /// Starts what is not running, and prints the variables that tests find all of them by.
    Up,
    /// Stops all and removes their data.
    Down,
    /// Says what is running, with the variables. Fails unless all are.
    Status,
}

/// Does what is asked.
pub(crate) fn run(action: &Action) -> Result<ExitCode> {
    let running = match action {
        Action::Up => Running::up()?,
        Action::Status => Running::read()?,
        Action::Down => {
            Running::read()?.down()?;
            Running::default()
        }
    };
    for (name, value) in running.variables() {
        println!("{}", export(name, &value));
    }
    let down = [
        ("Kafka", running.kafka().is_none()),
        ("PostgreSQL", running.postgres().is_none()),
        ("Keycloak", running.keycloak().is_none()),
        ("node's oidc-provider", running.node().is_none()),
    ];
    let down: Vec<_> = down.into_iter().filter(|it| it.1).collect();
    for (name, _) in &down {
        // A line that a shell may read, too.
        println!("# down: {name}");
    }
    let asked = matches!(action, Action::Down);
    Ok(if asked || down.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A line that sets a variable in a shell, whatever is in its value.
fn export(name: &str, value: &OsString) -> String {
    format!("export {name}='{}'", value.to_string_lossy().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::export;

    #[test]
    fn a_value_is_quoted_for_shells() {
        assert_eq!(export("A", &"b c".into()), "export A='b c'");
        assert_eq!(export("A", &"it's".into()), r"export A='it'\''s'");
    }
}
