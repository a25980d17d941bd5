//! The installation's signature: Ed25519 over JSON documents kept by others (erasure receipts, audit
//! checkpoints). In: facts. Out: a document that anyone with the public key can verify, here or with any
//! other Ed25519 program.
//!
//! The signed text is `optag <kind> v1\n` followed by the bytes of `document` in the file, without white space
//! between its tokens, so that a signature of one kind is not valid for another.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use aws_lc_rs::{digest, hmac, rand};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::hex::{hex, unhex};
use super::locked::Secret;

/// Size of the file: the seed of RFC 8032 §5.1.5. Units: bytes.
const SEED_BYTES: usize = 32;

/// A document with its signature.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Signed {
    /// The kind of document.
    pub kind: String,
    /// Its content.
    pub document: Box<RawValue>,
    /// The public key, 32 bytes in hexadecimal.
    pub public_key: String,
    /// The signature, 64 bytes in hexadecimal.
    pub signature: String,
}

/// Why there is no key, or why a document is not valid.
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// The key file cannot be read or written.
    #[error("the signing key {}: {source}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Others may read the key.
    #[error("the signing key {} may be read by others (mode {mode:o}); `chmod 600` it", path.display())]
    Exposed {
        /// Its path.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// File or document has an invalid format.
    #[error("not a {0} of ours")]
    Form(&'static str),
    /// The signature is invalid.
    #[error("the signature is not that of key {0}")]
    Forged(String),
    /// It is signed with a key other than the expected one.
    #[error("signed by key {found}, not by {expected}")]
    OtherKey {
        /// The document's.
        found: String,
        /// The expected one.
        expected: String,
    },
}

/// The installation's key. Its seed and the pseudonym key are in locked memory; expanded keys are created for
/// one signature and erased.
pub struct Signer {
    seed: Secret,
    public: [u8; 32],
    pseudonyms: Secret,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.public_key())
    }
}

impl Signer {
    /// Reads the key at `path`, or creates one there, owner-readable and durable.
    ///
    /// Errors: of the disk; an invalid format, or a file that others may read.
    pub fn load_or_create(path: &Path) -> Result<Self, SigningError> {
        let seed = match File::open(path) {
            Ok(file) => read(path, file)?,
            Err(error) if error.kind() == ErrorKind::NotFound => create(path)?,
            Err(source) => return Err(SigningError::File { path: path.to_owned(), source }),
        };
        Self::of(seed)
    }

    /// From 32 secret bytes.
    ///
    /// Errors: they do not form a key.
    pub fn from_seed(seed: &[u8; SEED_BYTES]) -> Result<Self, SigningError> {
        Self::of(Secret::copy_of(seed))
    }

    fn of(seed: Secret) -> Result<Self, SigningError> {
        let form = |_| SigningError::Form("signing key");
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(form)?;
        let public = pair.public_key().as_ref().try_into();
        let public = public.map_err(|_| SigningError::Form("signing key"))?;
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"optag pseudonyms v1\n");
        context.update(&*seed);
        let mut pseudonyms = Secret::zeroed();
        pseudonyms.copy_from_slice(context.finish().as_ref());
        Ok(Self { seed, public, pseudonyms })
    }

    /// The public key in hexadecimal.
    pub fn public_key(&self) -> String {
        hex(&self.public)
    }

    /// A short name of this installation for object names: the first 16 digits of the public key.
    pub fn node(&self) -> String {
        self.public_key()[..16].to_owned()
    }

    /// Signs a document.
    ///
    /// Errors: it cannot be serialised as JSON.
    pub fn sign(&self, kind: &str, document: &impl Serialize) -> Result<Signed, serde_json::Error> {
        let document = serde_json::value::to_raw_value(document)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&*self.seed).expect("it made a key before");
        let signature = hex(pair.sign(&message(kind, document.get())).as_ref());
        Ok(Signed { kind: kind.to_owned(), document, public_key: self.public_key(), signature })
    }

    /// A deterministic pseudonym of a text, which cannot be reversed without the key: an audit can show
    /// whether a number was looked up without storing it.
    pub fn pseudonym(&self, text: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &*self.pseudonyms);
        hex(&hmac::sign(&key, text.as_bytes()).as_ref()[..12])
    }
}

impl Signed {
    /// Verifies the signature, and the public key if `public_key` is given.
    ///
    /// Errors: it is of another kind, forged, or signed with another key.
    pub fn verify(&self, kind: &'static str, public_key: Option<&str>) -> Result<(), SigningError> {
        if self.kind != kind {
            return Err(SigningError::Form(kind));
        }
        if let Some(expected) = public_key
            && !expected.eq_ignore_ascii_case(&self.public_key)
        {
            return Err(SigningError::OtherKey {
                found: self.public_key.clone(),
                expected: expected.to_owned(),
            });
        }
        let key = unhex(&self.public_key).ok_or(SigningError::Form(kind))?;
        let signature = unhex(&self.signature).ok_or(SigningError::Form(kind))?;
        let key = UnparsedPublicKey::new(&ED25519, key);
        // As in the file first; then in the signed form, in case a program has reformatted it.
        [self.document.get(), &compact(self.document.get())]
            .iter()
            .find_map(|document| key.verify(&message(kind, document), &signature).ok())
            .ok_or_else(|| SigningError::Forged(self.public_key.clone()))
    }

    /// Deserialises the content; call [`Signed::verify`] first.
    ///
    /// Errors: invalid format.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.document.get())
    }
}

/// JSON without white space between its tokens: the signed form. The content is the same, so a receipt saved
/// with line breaks is still valid.
fn compact(document: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    let kept = |c: &char| {
        let kept = quoted || !c.is_ascii_whitespace();
        (quoted, escaped) = match c {
            _ if escaped => (quoted, false),
            '\\' if quoted => (quoted, true),
            '"' => (!quoted, false),
            _ => (quoted, false),
        };
        kept
    };
    document.chars().filter(kept).collect()
}

fn message(kind: &str, document: &str) -> Vec<u8> {
    format!("optag {kind} v1\n{document}").into_bytes()
}

fn read(path: &Path, mut file: File) -> Result<Secret, SigningError> {
    let disk = |source| SigningError::File { path: path.to_owned(), source };
    let facts = file.metadata().map_err(disk)?;
    let mode = facts.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SigningError::Exposed { path: path.to_owned(), mode });
    }
    if facts.len() != SEED_BYTES as u64 {
        return Err(SigningError::Form("signing key"));
    }
    let mut seed = Secret::zeroed();
    file.read_exact(&mut *seed).map_err(disk)?;
    Ok(seed)
}

/// A new key file is linked in atomically, so that two concurrent starts get the same key.
fn create(path: &Path) -> Result<Secret, SigningError> {
    let disk = |source| SigningError::File { path: path.to_owned(), source };
    let mut seed = Secret::zeroed();
    rand::fill(&mut *seed).map_err(|_| disk(io::Error::other("no randomness")))?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    let linked = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(&*seed)?;
        file.sync_all()?;
        fs::hard_link(&draft, path)?;
        // A key whose directory entry may not survive a power failure must not be used, by this start or the
        // next.
        File::open(dir)?.sync_all().inspect_err(|_| drop(fs::remove_file(path)))
    })();
    let _ = fs::remove_file(&draft);
    match linked {
        Ok(()) => Ok(seed),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => read(path, File::open(path).map_err(disk)?),
        Err(error) => Err(disk(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_believed_from_its_own_key_unchanged_and_as_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("signing.key");
        let signer = Signer::load_or_create(&path).unwrap();
        assert_eq!(Signer::load_or_create(&path).unwrap().public_key(), signer.public_key());
        let signed = signer.sign("receipt", &serde_json::json!({"gone": ["a"]})).unwrap();
        let text = serde_json::to_string_pretty(&signed).unwrap();
        let signed: Signed = serde_json::from_str(&text).unwrap();
        signed.verify("receipt", Some(&signer.public_key())).unwrap();
        assert!(matches!(signed.verify("checkpoint", None), Err(SigningError::Form(_))));
        let laid_out: serde_json::Value = serde_json::from_str(&text).unwrap();
        let laid_out = serde_json::to_string_pretty(&laid_out).unwrap();
        let signed_anew: Signed = serde_json::from_str(&laid_out).unwrap();
        assert_ne!(signed_anew.document.get(), signed.document.get());
        signed_anew.verify("receipt", None).unwrap();
        let other = Signer::from_seed(&[7; 32]).unwrap();
        assert!(matches!(
            signed.verify("receipt", Some(&other.public_key())),
            Err(SigningError::OtherKey { .. })
        ));
        let forged: Signed = serde_json::from_str(&text.replace("\"a\"", "\"b\"")).unwrap();
        assert!(matches!(forged.verify("receipt", None), Err(SigningError::Forged(_))));
    }

    #[test]
    fn white_space_within_a_text_is_part_of_what_is_signed() {
        assert_eq!(compact("{ \"a \\\" b\" :\n [1, \"\\\\\" , 2] }"), "{\"a \\\" b\":[1,\"\\\\\",2]}");
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("signing.key");
        Signer::load_or_create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Signer::load_or_create(&path), Err(SigningError::Exposed { mode: 0o644, .. })));
    }

    #[test]
    fn a_pseudonym_is_one_for_a_text_and_says_nothing_of_it() {
        let signer = Signer::from_seed(&[7; 32]).unwrap();
        assert_eq!(signer.pseudonym("4512345678"), signer.pseudonym("4512345678"));
        assert_ne!(signer.pseudonym("4512345678"), signer.pseudonym("4512345679"));
        assert_ne!(
            signer.pseudonym("4512345678"),
            Signer::from_seed(&[8; 32]).unwrap().pseudonym("4512345678")
        );
    }

    #[test]
    fn invariant_05_a_signing_key_that_is_not_durable_is_not_used() {
        let faults: [&[&str]; 2] = [&["fsync:error=EIO:when=1"], &["fsync:error=EIO:when=2"]];
        optag_testing::faults::holds_under(optag_testing::test_name!(), &faults, |_| {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("signing.key");
            assert!(matches!(Signer::load_or_create(&path), Err(SigningError::File { .. })));
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left of it");
            Signer::load_or_create(&path).unwrap();
        });
    }
}
