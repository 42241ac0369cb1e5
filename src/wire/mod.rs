//! Bytes ⇄ messages of the client/server protocols, and their authentication exchanges. Sans-IO:
//! nothing here knows a socket, a clock or a source of randomness.

pub mod postgres;
