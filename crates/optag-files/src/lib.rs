//! Files that must not be lost and that nobody else may read: what the spool needs of a file system,
//! small files replaced as a whole, modes, and the lock on a directory. In: paths and bytes. Out: bytes and
//! the system's errors. Not here: what the bytes mean.

pub mod atomic_file;
pub mod dir_lock;
pub mod disk;
pub mod private_files;
