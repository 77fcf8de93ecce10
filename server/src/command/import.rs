//! `callboard import`.

use std::io::IsTerminal;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use outbound::{Client, Limits, Reach};

use super::client::Api;
use crate::cli::Import;
use crate::config::Config;
use crate::failure::Failure;
use crate::import::{self, Effect, Report};
use crate::output::{self, Format};

/// Imports catalog files, prints what became of them, and waits until the catalog shows them.
///
/// # Errors
///
/// If a source names nothing, the server does not answer, or something was rejected.
pub(crate) async fn run(config: &Config, format: Format, options: &Import) -> Result<()> {
    let api = Api::open(config).await?;
    let tenant = api.tenant(&options.tenant.tenant).await?;
    let client = Client::new(Reach::Public, Limits::default());
    let collected = import::collect(&options.sources, &client).await?;
    let effect = if options.dry_run { Effect::DryRun } else { Effect::Commit };
    let progress = progress(format);
    let report = import::submit(&api, tenant, collected, effect, &progress).await?;
    progress.finish_and_clear();
    output::result(format, &report, text)?;
    if let Some(position) = report.position.as_deref().filter(|_| effect == Effect::Commit)
        && let Some(why) =
            api.shows(tenant, position).await.unwrap_or_else(|it| Some(it.to_string()))
    {
        output::problem(&format!("everything is stored, but not shown yet: {why}"));
    }
    match report.rejected.len() {
        0 => Ok(()),
        count => {
            Err(Failure::Rejected(format!("{count} rejected; the others were imported")).into())
        }
    }
}

fn progress(format: Format) -> ProgressBar {
    let target = match format {
        Format::Text if std::io::stderr().is_terminal() => ProgressDrawTarget::stderr(),
        Format::Text | Format::Json => ProgressDrawTarget::hidden(),
    };
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} entities, {eta} left")
        .expect("the template is constant");
    ProgressBar::with_draw_target(Some(0), target).with_style(style)
}

fn text(report: &Report) -> String {
    let Report { files, created, updated, unchanged, skipped, rejected, .. } = report;
    let lines = rejected
        .iter()
        .map(|it| format!("{}:{}: {}", it.origin.file, it.origin.line, it.reason))
        .map(|it| format!("rejected  {}\n", output::plain(&it)));
    let rejections: String = lines.collect();
    format!(
        "{rejections}{files} files: {created} created, {updated} updated, {unchanged} unchanged, {} skipped, {} rejected",
        skipped.len(),
        rejected.len()
    )
}

#[cfg(test)]
mod tests;
