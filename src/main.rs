//! The command line: reads arguments and hands over to a room. It holds no logic of its own.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use margay::sandbox;

mod cli;

/// One pool of small allocations per thread: buffers cross threads, where glibc's is slow.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Many PostgreSQL servers, one database.
#[derive(Parser)]
#[command(name = "margay", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the proxy.
    Serve(cli::ServeArgs),
    /// Validate rules: every error at once, each with file, line and column; --live: the servers too.
    Check(cli::CheckArgs),
    /// Print how statements would run; needs no database.
    Explain(cli::ExplainArgs),
    /// Print the JSON Schema of the rules, for editors.
    Schema,
    /// Start real local servers as the rules have them, then the proxy; run a command against it.
    Sandbox(sandbox::SandboxArgs),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(args) => cli::serve(&args),
        Command::Check(args) => cli::check(&args),
        Command::Explain(args) => cli::explain(&args),
        Command::Schema => cli::schema(),
        Command::Sandbox(args) => sandbox::run(args),
    };
    result.unwrap_or_else(|error| {
        // The whole chain of causes in a line; a backtrace is nothing for users.
        eprintln!("margay: {error:#}");
        ExitCode::FAILURE
    })
}
