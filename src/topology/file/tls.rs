//! The parts of the rules file that say how connections are encrypted, as written.

use schemars::JsonSchema;

/// Where clients are served: an address, or a map with the address and more.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Listener {
    /// `ip:port`.
    Address(String),
    /// The address and more.
    Detailed(DetailedListener),
}

/// A listener with more than its address.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DetailedListener {
    /// `ip:port`.
    pub address: String,
    /// Serve TLS. Left out: clients are told that there is none.
    pub tls: Option<ListenerTls>,
}

/// TLS for clients. Files are PEM, relative to the rules file, and read again on RELOAD.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerTls {
    /// File of the server's certificate, followed by the intermediate ones.
    pub certificate: String,
    /// File of its private key, not encrypted.
    pub key: String,
    /// `required`: clients without TLS are refused. Default: optional.
    pub mode: Option<Demand>,
    /// File of the certificates that client certificates must lead to. Left out: none is asked for.
    pub client_ca: Option<String>,
    /// `required`: clients without a certificate are refused. Default: optional.
    pub client_certificates: Option<Demand>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Demand {
    Optional,
    Required,
}

/// TLS to servers. Files are PEM, relative to the rules file, and read again on RELOAD.
#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerTls {
    /// As libpq's sslmode. Default: verify-full where a `ca` is named, else prefer.
    pub mode: Option<TlsMode>,
    /// File of the certificates that the server's must lead to; `system`: those that the machine trusts.
    pub ca: Option<String>,
    /// File of Margay's own certificate, for servers that ask for one.
    pub certificate: Option<String>,
    /// File of its private key, not encrypted.
    pub key: Option<String>,
    /// Binding of SCRAM logins to the TLS connection. Default: prefer.
    pub channel_binding: Option<ChannelBinding>,
}

/// As libpq's sslmode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// Never.
    Disable,
    /// Where the server has it; the server isn't verified.
    Prefer,
    /// Always; the server isn't verified, unless a `ca` is named.
    Require,
    /// Always; the server's certificate must lead to the CA.
    VerifyCa,
    /// Always; and the certificate must be the host's.
    VerifyFull,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChannelBinding {
    Disable,
    Prefer,
    Require,
}

/// As whom a user reaches the servers.
#[derive(Debug, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerLogin {
    /// The role on the servers.
    pub user: String,
    /// Its password.
    pub password: Option<super::ServerSecret>,
}
