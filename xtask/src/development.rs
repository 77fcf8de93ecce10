//! `cargo xtask services`: a Kafka and a PostgreSQL that stay while one develops.
//!
//! How they are started is in the library, [`xtask::services`], which tests use too.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use xtask::services::Running;

/// What `cargo xtask services` can be told.
#[derive(clap::Subcommand)]
pub(crate) enum Action {
    /// Starts both, if they are not running, and prints the variables that tests find them by.
    Up,
    /// Stops both and removes their data.
    Down,
    /// Says what is running. Fails unless both are.
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
    if let Some(variables) = running.variables() {
        for (name, value) in variables {
            println!("{}", export(name, &value));
        }
        return Ok(ExitCode::SUCCESS);
    }
    // Lines that a shell may read too.
    let word = |up| if up { "up" } else { "down" };
    println!("# Kafka is {}", word(running.kafka().is_some()));
    println!("# PostgreSQL is {}", word(running.postgres().is_some()));
    let asked = matches!(action, Action::Down);
    Ok(if asked { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
