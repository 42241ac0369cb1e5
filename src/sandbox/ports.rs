//! Free loopback ports. They lie below the range from which the kernel hands out ports to
//! outgoing connections, so that a server that is killed and started again finds its port free.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};
use rand::Rng;

const LOWEST: u16 = 15_000;
/// What Linux has unless told otherwise.
const USUAL_EPHEMERAL_LOW: u16 = 32_768;
const TRIES: u32 = 2_000;

/// A port that nobody else can take while this value lives.
#[derive(Debug)]
pub struct Held(TcpListener, u16);

impl Held {
    pub fn port(&self) -> u16 {
        self.1
    }

    /// Lets go, for the server that is about to bind it.
    pub fn release(self) -> u16 {
        drop(self.0);
        self.1
    }
}

/// Takes one free port of 127.0.0.1.
pub fn hold() -> Result<Held> {
    let end = ephemeral_low().max(LOWEST + 1_000);
    let mut random = rand::rng();
    for _ in 0..TRIES {
        let port = random.random_range(LOWEST..end);
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return Ok(Held(listener, port));
        }
    }
    bail!("no free port on 127.0.0.1 between {LOWEST} and {end}")
}

fn ephemeral_low() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| text.split_whitespace().next()?.parse().ok())
        .unwrap_or(USUAL_EPHEMERAL_LOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_port_is_refused_to_others_and_free_after_release() {
        let held = hold().expect("a free port");
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, held.port())).is_err());
        let port = held.release();
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
    }
}
