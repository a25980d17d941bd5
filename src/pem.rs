//! Certificates in a PEM file.

use std::io;
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// All certificates of a file.
///
/// Errors: the file cannot be read, is not PEM, or holds none.
pub fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = all.map_err(io::Error::other)?;
    if all.is_empty() {
        return Err(io::Error::other("it holds no certificate"));
    }
    Ok(all)
}
