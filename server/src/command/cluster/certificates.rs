//! `callboard cluster certificates`: certificates by which processes know each other, for
//! development.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chrono::{DateTime, Datelike, TimeDelta, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde::Serialize;

use crate::output::{self, Format};

/// How long the certificates are good for. In days: 365.
const LIFETIME: TimeDelta = TimeDelta::days(365);

/// The files that were made.
#[derive(Debug, Serialize)]
struct Report {
    authority: PathBuf,
    processes: Vec<Process>,
}

#[derive(Debug, Serialize)]
struct Process {
    host: String,
    certificate: PathBuf,
    key: PathBuf,
}

/// Makes an authority and a certificate for each host. The authority's key is not kept: it can
/// sign for nobody else.
///
/// # Errors
///
/// If a file is there already or cannot be written.
pub(crate) fn run(format: Format, folder: &Path, hosts: &[String]) -> Result<()> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("could not make the folder `{}`", folder.display()))?;
    let report = make(folder, hosts, Utc::now())?;
    output::result(format, &report, |it| {
        let rows: Vec<[String; 3]> = it
            .processes
            .iter()
            .map(|it| [it.host.clone(), shown(&it.certificate), shown(&it.key)])
            .collect();
        let table = output::table(["host", "certificate", "key"], &rows);
        format!("The authority: {}\n\n{table}", shown(&it.authority))
    })
}

/// Makes what processes on this machine need to know each other, in `folder`, which is there: the
/// authority's certificate, theirs, and its key.
///
/// # Errors
///
/// As for [`run`].
pub(crate) fn make_for_this_machine(folder: &Path) -> Result<[PathBuf; 3]> {
    let Report { authority, processes } = make(folder, &["127.0.0.1".to_owned()], Utc::now())?;
    let process = processes.into_iter().next().context("there is one for each host")?;
    Ok([authority, process.certificate, process.key])
}

fn make(folder: &Path, hosts: &[String], now: DateTime<Utc>) -> Result<Report> {
    let key = KeyPair::generate()?;
    let mut authority = parameters("Callboard development authority", &[], now)?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let path = folder.join("authority.pem");
    write(&path, &authority.self_signed(&key)?.pem())?;
    let issuer = Issuer::new(authority, key);
    let mut processes = Vec::new();
    for host in hosts {
        let key = KeyPair::generate()?;
        let mut process = parameters(host, std::slice::from_ref(host), now)?;
        process.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // A process asks others as it is asked by them.
        process.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = process.signed_by(&key, &issuer)?;
        let file = |ending: &str| folder.join(format!("{}.{ending}", host.replace(':', "-")));
        let made = Process { host: host.clone(), certificate: file("pem"), key: file("key") };
        write(&made.certificate, &certificate.pem())?;
        write(&made.key, &key.serialize_pem())?;
        processes.push(made);
    }
    Ok(Report { authority: path, processes })
}

fn parameters(name: &str, hosts: &[String], now: DateTime<Utc>) -> Result<CertificateParams> {
    let mut parameters = CertificateParams::new(hosts)
        .with_context(|| format!("expected a host name or IP address, got `{name}`"))?;
    parameters.distinguished_name.push(DnType::CommonName, name);
    // A day of grace for clocks that are behind.
    let (year, month, day) = date(now - TimeDelta::days(1))?;
    parameters.not_before = rcgen::date_time_ymd(year, month, day);
    let (year, month, day) = date(now + LIFETIME)?;
    parameters.not_after = rcgen::date_time_ymd(year, month, day);
    Ok(parameters)
}

fn date(at: DateTime<Utc>) -> Result<(i32, u8, u8)> {
    Ok((at.year(), u8::try_from(at.month())?, u8::try_from(at.day())?))
}

/// Writes a file that only its owner can read; one that is there is left alone.
fn write(path: &Path, text: &str) -> Result<()> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = made.with_context(|| format!("could not make `{}`", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("could not write `{}`", path.display()))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
