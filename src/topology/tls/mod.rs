//! TLS as the rules want it, made ready: certificates and keys read, checked against each other, and put
//! into the TLS library's configurations, so that what can't work is an error of the rules and new
//! files take effect with the Snapshot that holds them. Opens no connection.

mod verify;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use self::verify::Verify;
use crate::model::certificate::end_point_hash;

/// PostgreSQL's protocol as ALPN names it.
pub const ALPN: &[u8] = b"postgresql";

/// TLS for clients of a listener.
#[derive(Clone)]
pub struct ListenerTls {
    /// Clients without TLS are refused.
    pub required: bool,
    /// Clients without a certificate are refused.
    pub certificate_required: bool,
    /// Client certificates are asked for, and verified where they are given.
    pub verifies_clients: bool,
    pub config: Arc<ServerConfig>,
    /// What channel binding binds to; None: the certificate's kind has no such thing.
    pub end_point: Option<Arc<[u8]>>,
}

/// What a listener's TLS is made of.
pub struct ListenerFiles<'a> {
    pub certificate: &'a [u8],
    pub key: &'a [u8],
    pub client_ca: Option<&'a [u8]>,
}

/// Which of the files is wrong, and how.
#[derive(Debug, PartialEq, Eq)]
pub enum Wrong {
    Certificate(String),
    Key(String),
    Ca(String),
}

impl ListenerTls {
    pub fn new(files: &ListenerFiles<'_>, required: bool, certificate_required: bool) -> Result<Self, Wrong> {
        let chain = certificates(files.certificate).map_err(Wrong::Certificate)?;
        let end_point = chain.first().and_then(|own| end_point_hash(own));
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| Wrong::Key(e.to_string()))?;
        let builder = match files.client_ca {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let roots = Arc::new(roots(pem).map_err(Wrong::Ca)?);
                // One without a certificate is refused after the handshake, by an error that it can read.
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                    .allow_unauthenticated()
                    .build()
                    .map_err(|e| Wrong::Ca(e.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(chain, private_key(files.key).map_err(Wrong::Key)?)
            .map_err(|e| Wrong::Key(format!("it doesn't fit the certificate: {e}")))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        // As PostgreSQL: no client resumes sessions, and tickets would only be bytes on the way.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self {
            required,
            certificate_required,
            verifies_clients: files.client_ca.is_some(),
            config: Arc::new(config),
            end_point: end_point.map(Into::into),
        })
    }
}

impl std::fmt::Debug for ListenerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mode = if self.required { "required" } else { "optional" };
        write!(f, "ListenerTls({mode})")
    }
}

/// As libpq's sslmode, `disable` left out, which is no ServerTls at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelBinding {
    Disable,
    Prefer,
    Require,
}

/// TLS to a server.
#[derive(Clone)]
pub struct ServerTls {
    pub mode: TlsMode,
    pub channel_binding: ChannelBinding,
    pub config: Arc<ClientConfig>,
    /// What it was made of: equal files are the same way to a server.
    made_of: ServerFiles,
}

/// What TLS to a server is made of; all PEM.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ServerFiles {
    pub ca: Option<Vec<u8>>,
    /// Margay's own certificate and its key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl ServerTls {
    pub fn new(mode: TlsMode, channel_binding: ChannelBinding, files: ServerFiles) -> Result<Self, Wrong> {
        // As libpq: who names a CA means it.
        let mode = match mode {
            TlsMode::Require if files.ca.is_some() => TlsMode::VerifyCa,
            TlsMode::Prefer | TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => mode,
        };
        let ca = files.ca.as_deref().map(certificates).transpose();
        let verify = Verify::new(mode, ca.map_err(Wrong::Ca)?.unwrap_or_default(), provider())?;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| Wrong::Key(e.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verify));
        let mut config = match &files.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(
                    certificates(certificate).map_err(Wrong::Certificate)?,
                    private_key(key).map_err(Wrong::Key)?,
                )
                .map_err(|e| Wrong::Key(format!("it doesn't fit the certificate: {e}")))?,
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        // PostgreSQL resumes no sessions; what can't be used must not be kept per server.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self {
            mode,
            channel_binding,
            config: Arc::new(config),
            made_of: files,
        })
    }

    /// What the handshake is told of the server. A host that can be no name in a certificate (as a
    /// container's `db_1`) goes nameless, which only `verify-full` minds.
    pub fn name_of(host: &str) -> ServerName<'static> {
        let nameless = ServerName::from(std::net::IpAddr::from([0, 0, 0, 0]));
        ServerName::try_from(host.to_owned()).unwrap_or(nameless)
    }
}

impl PartialEq for ServerTls {
    fn eq(&self, other: &Self) -> bool {
        (self.mode, self.channel_binding) == (other.mode, other.channel_binding)
            && self.made_of == other.made_of
    }
}

impl Eq for ServerTls {}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServerTls({:?})", self.mode)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The certificates of a PEM file, at least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match all {
        Ok(all) if all.is_empty() => Err("there is no certificate in it (PEM)".into()),
        Ok(all) => Ok(all),
        Err(error) => Err(format!("its certificates can't be read: {error}")),
    }
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let text = String::from_utf8_lossy(pem);
    if text.contains("ENCRYPTED") {
        return Err("the key is encrypted, and nobody is asked for its password".into());
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| "there is no private key in it (PEM)".into())
}

fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots
            .add(certificate)
            .map_err(|e| format!("a certificate in it can't be used: {e}"))?;
    }
    Ok(roots)
}
