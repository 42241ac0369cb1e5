//! The bundled shop: a small web shop whose only knowledge of its database is a URL. The same program
//! runs on one plain PostgreSQL and, through the proxy, on many; nothing in it knows how the tables lie.

mod db;
mod load;
mod pages;
mod progress;
mod run;
mod seed;
mod verify;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "shop",
    about = "A small web shop that knows nothing of its database but a URL"
)]
struct Cli {
    /// The database, as postgres://user:password@host:port/name; else DATABASE_URL, else MARGAY_POSTGRES_URL.
    #[arg(long, global = true, env = "DATABASE_URL", hide_env_values = true)]
    url: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the tables and fill them.
    Seed(SeedArgs),
    /// Serve the pages.
    Serve {
        #[arg(long, default_value = "127.0.0.1:8080")]
        listen: std::net::SocketAddr,
    },
    /// Browse and buy with many clients; fails on any error but "out of stock".
    Load {
        #[arg(long, default_value_t = 8)]
        clients: usize,
        #[arg(long, default_value_t = 20)]
        seconds: u64,
        /// Steps a second, all clients together; without it as many as they can.
        #[arg(long)]
        rate: Option<f64>,
    },
    /// Check that the books balance and every row is where its key says.
    Verify,
    /// Seed afresh, load, verify: one exit code for all.
    Check {
        #[arg(long, default_value_t = 20)]
        seconds: u64,
        #[arg(long, default_value_t = 8)]
        clients: usize,
        #[command(flatten)]
        seed: ScaleArgs,
    },
    /// Seed, serve and a gentle load, until Ctrl-C.
    Demo {
        #[arg(long, default_value = "127.0.0.1:8080")]
        listen: std::net::SocketAddr,
        #[command(flatten)]
        seed: ScaleArgs,
    },
}

#[derive(Clone, Copy, Debug, Args)]
struct ScaleArgs {
    /// How much: 1 is 500 users, 1,000 products, 3,000 orders, 24,000 page views.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    scale: u32,
    /// The number that all invented rows follow from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, Args)]
struct SeedArgs {
    #[command(flatten)]
    scale: ScaleArgs,
    /// Drop the shop's tables first.
    #[arg(long)]
    fresh: bool,
}

impl ScaleArgs {
    fn options(self, fresh: bool) -> seed::Options {
        seed::Options {
            scale: self.scale as usize,
            seed: self.seed,
            fresh,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let Some(url) = cli.url.or_else(|| std::env::var("MARGAY_POSTGRES_URL").ok()) else {
        eprintln!("shop: no database: give --url, or set DATABASE_URL or MARGAY_POSTGRES_URL");
        return ExitCode::from(2);
    };
    let outcome = match cli.command {
        Command::Seed(args) => run::seed(&url, args.scale.options(args.fresh)).await,
        Command::Serve { listen } => run::serve(&url, listen).await,
        Command::Load {
            clients,
            seconds,
            rate,
        } => {
            run::load(
                &url,
                load::Options {
                    clients: clients.max(1),
                    seconds,
                    rate,
                },
            )
            .await
        }
        Command::Verify => run::verify(&url).await,
        Command::Check {
            seconds,
            clients,
            seed,
        } => {
            let load = load::Options {
                clients: clients.max(1),
                seconds,
                rate: None,
            };
            run::check(&url, seed.options(true), load).await
        }
        Command::Demo { listen, seed } => run::demo(&url, listen, seed.options(false)).await,
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("shop: {error:#}");
            ExitCode::FAILURE
        }
    }
}
