//! Why a recording in the store cannot be read or sealed.

use crate::archive::manifest::ManifestError;
use crate::archive::seal::SealError;
use crate::archive::seal::day_keys::KeyError;
use crate::store::StoreError;

/// Why a recording cannot be read or sealed.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// There is no such object.
    #[error("there is no such object")]
    Missing,
    /// The key of its day was destroyed, or never reached this node.
    #[error("the key that opens it is not here")]
    NoKey,
    /// It is not what was stored.
    #[error("what is stored is damaged: {0}")]
    Damaged(&'static str),
    /// A newer program stored it.
    #[error("stored by a newer program: {0}")]
    Newer(ManifestError),
    /// The store.
    #[error(transparent)]
    Store(StoreError),
    /// The keys of the days.
    #[error(transparent)]
    Keys(#[from] KeyError),
}

impl VaultError {
    /// What a newer program wrote, where that is why.
    pub fn newer(&self) -> Option<&'static str> {
        match self {
            Self::Newer(_) => Some("manifest"),
            Self::Keys(KeyError::Newer { .. }) => Some("day_key"),
            _ => None,
        }
    }
}

impl From<ManifestError> for VaultError {
    fn from(error: ManifestError) -> Self {
        match error {
            ManifestError::Newer(_) => Self::Newer(error),
            ManifestError::Form => Self::Damaged("its manifest"),
        }
    }
}

impl From<StoreError> for VaultError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Missing => Self::Missing,
            other => Self::Store(other),
        }
    }
}

impl From<SealError> for VaultError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::OtherKey => Self::NoKey,
            SealError::Form | SealError::Key => Self::Damaged("it is no sealed file of ours"),
            SealError::Damaged => Self::Damaged("its seal is broken"),
            SealError::Crypto => Self::Keys(KeyError::Seal(error)),
        }
    }
}
