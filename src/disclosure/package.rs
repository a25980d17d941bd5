//! One file for the citizen: a ZIP archive of the audio and its cover sheet, optionally inside a
//! passphrase-encrypted age file (`age -d`, or any program that supports the format). Streamed, so that a
//! long call takes no memory and no plain copy touches a disk.
//!
//! Source: age-encryption.org/v1 for the sealed form.

use std::io::{self, Read, Write};
use std::iter;

use age::secrecy::SecretString;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use optag_core::private::Private;

/// Minimum length of a passphrase. Units: characters.
pub const PASSPHRASE_CHARS: usize = 12;
/// Work factor of the passphrase's key, as a power of two: 32 MiB and about a tenth of a second.
const WORK_FACTOR: u8 = 15;

/// Writes a package: `texts` are names and contents, `audio` the name and reader of the audio.
///
/// Errors: reading, writing, or encryption.
pub fn write(
    out: impl Write,
    texts: &[(String, String)],
    audio: (&str, impl Read),
    passphrase: Option<&Private<String>>,
) -> io::Result<()> {
    let Some(passphrase) = passphrase else { return archive(out, texts, audio).map(drop) };
    let mut recipient = age::scrypt::Recipient::new(SecretString::from(passphrase.reveal().clone()));
    recipient.set_work_factor(WORK_FACTOR);
    let sealed = age::Encryptor::with_recipients(iter::once(&recipient as &dyn age::Recipient))
        .map_err(io::Error::other)?
        .wrap_output(out)?;
    archive(sealed, texts, audio)?.finish().map(drop)
}

/// Writes the archive; returns its writer.
fn archive<W: Write>(
    out: W,
    texts: &[(String, String)],
    (name, mut audio): (&str, impl Read),
) -> io::Result<W> {
    // The archive is unencrypted; encryption is done by the envelope. Audio does not compress.
    let options =
        SimpleFileOptions::default().compression_method(CompressionMethod::Stored).unix_permissions(0o600);
    let mut archive = ZipWriter::new_stream(out);
    for (name, text) in texts {
        archive.start_file(name.as_str(), options)?;
        archive.write_all(text.as_bytes())?;
    }
    archive.start_file(name, options.large_file(true))?;
    io::copy(&mut audio, &mut archive)?;
    Ok(archive.finish()?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(passphrase: Option<&str>) -> Vec<u8> {
        let mut out = Vec::new();
        let texts = [("cover.txt".to_owned(), "what it is".to_owned())];
        let passphrase = passphrase.map(|text| Private::new(text.to_owned()));
        write(&mut out, &texts, ("recording.wav", &b"RIFF and samples"[..]), passphrase.as_ref()).unwrap();
        out
    }

    #[test]
    fn a_sealed_package_opens_with_its_passphrase_alone_and_holds_what_the_plain_one_does() {
        let sealed = packed(Some("a long enough phrase"));
        assert!(sealed.starts_with(b"age-encryption.org/v1"));
        let open = |phrase: &str| {
            let identity = age::scrypt::Identity::new(SecretString::from(phrase.to_owned()));
            let decryptor = age::Decryptor::new(&sealed[..]).unwrap();
            let mut plain = Vec::new();
            let mut reader = decryptor.decrypt(iter::once(&identity as &dyn age::Identity)).ok()?;
            reader.read_to_end(&mut plain).unwrap();
            Some(plain)
        };
        assert_eq!(open("another phrase"), None);
        let mut archive =
            zip::ZipArchive::new(io::Cursor::new(open("a long enough phrase").unwrap())).unwrap();
        let mut audio = String::new();
        archive.by_name("recording.wav").unwrap().read_to_string(&mut audio).unwrap();
        assert_eq!((archive.len(), audio.as_str()), (2, "RIFF and samples"));
        assert!(zip::ZipArchive::new(io::Cursor::new(packed(None))).is_ok());
    }
}
