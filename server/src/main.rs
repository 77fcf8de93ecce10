//! The `callboard` binary: command line, settings, wiring, supervision. It holds no logic.

mod cli;
mod config;
mod demo;
mod folder;
mod import;
mod telemetry;

fn main() {}
