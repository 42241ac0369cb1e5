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

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Sandbox(args) => sandbox::run(args),
    };
    result.unwrap_or_else(|error| {
        // The whole chain of causes in a line; a backtrace is nothing for users.
        eprintln!("margay: {error:#}");
        ExitCode::FAILURE
    })
}
