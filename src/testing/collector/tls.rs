//! A certificate authority, a server certificate and a client certificate, all made on the spot.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
};

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The PEM files that a client of a TLS collector needs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsFiles {
    /// The certificate authority, as for `OTEL_EXPORTER_OTLP_CERTIFICATE`.
    pub ca: PathBuf,
    /// The client's certificate, as for `OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE`.
    pub client_certificate: PathBuf,
    /// The client's key, as for `OTEL_EXPORTER_OTLP_CLIENT_KEY`.
    pub client_key: PathBuf,
}

/// What one TLS collector serves with and gives out.
pub(super) struct Tls {
    pub(super) config: Arc<ServerConfig>,
    pub(super) ca_pem: String,
    pub(super) client_certificate_pem: String,
    pub(super) client_key_pem: String,
}

impl Tls {
    pub(super) fn new(mutual: bool) -> Result<Self, Error> {
        let (ca, issuer) = authority()?;
        let (server, server_key) =
            leaf(&issuer, "tracewell test collector", ExtendedKeyUsagePurpose::ServerAuth)?;
        let (client, client_key) =
            leaf(&issuer, "tracewell test client", ExtendedKeyUsagePurpose::ClientAuth)?;
        let key = PrivateKeyDer::Pkcs8(server_key.serialize_der().into());
        Ok(Self {
            config: Arc::new(server_config(mutual, ca.der(), server.der().clone(), key)?),
            ca_pem: ca.pem(),
            client_certificate_pem: client.pem(),
            client_key_pem: client_key.serialize_pem(),
        })
    }

    pub(super) fn write(&self, directory: &Path) -> io::Result<TlsFiles> {
        let files = TlsFiles {
            ca: directory.join("ca.pem"),
            client_certificate: directory.join("client.pem"),
            client_key: directory.join("client.key"),
        };
        fs::write(&files.ca, &self.ca_pem)?;
        fs::write(&files.client_certificate, &self.client_certificate_pem)?;
        fs::write(&files.client_key, &self.client_key_pem)?;
        Ok(files)
    }
}

fn authority() -> Result<(rcgen::Certificate, Issuer<'static, KeyPair>), Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "tracewell test authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate, Issuer::new(params, key)))
}

fn leaf(
    issuer: &Issuer<'static, KeyPair>,
    name: &str,
    usage: ExtendedKeyUsagePurpose,
) -> Result<(rcgen::Certificate, KeyPair), Error> {
    let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, issuer)?, key))
}

fn server_config(
    mutual: bool,
    ca: &CertificateDer<'static>,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, Error> {
    // named, not the process default: that one belongs to the test
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = if mutual {
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone())?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder.with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
