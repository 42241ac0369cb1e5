//! The command line: reads arguments and hands over to a room. It holds no logic of its own.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use margay::sandbox;

/// Many PostgreSQL servers, one database.
#[derive(Parser)]
#[command(name = "margay", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Sandbox(sandbox::SandboxArgs),
}

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Sandbox(args) => sandbox::run(args),
    }
}
