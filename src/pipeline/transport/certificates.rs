//! The files of certificates and keys, which are replaced while the service runs.

use std::{
    fs,
    hash::{DefaultHasher, Hasher as _},
    path::PathBuf,
};

use crate::config::Otlp;

/// The certificate files of one connection.
#[derive(Debug)]
pub(super) struct CertificateFiles(Vec<PathBuf>);

impl CertificateFiles {
    /// None for a connection without TLS.
    pub(super) fn of(otlp: &Otlp) -> Self {
        let files = [&otlp.certificate, &otlp.client_certificate, &otlp.client_key];
        let files = files.into_iter().flatten().filter(|_| otlp.endpoint.is_https());
        Self(files.cloned().collect())
    }

    /// Tells contents apart. The files are small; their times would tell too little on some file systems.
    pub(super) fn stamp(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for file in &self.0 {
            // one that cannot be read just now differs from what it was
            hasher.write(&fs::read(file).unwrap_or_default());
            hasher.write_u8(0xff);
        }
        hasher.finish()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
