//! Files that must not be lost and that nobody else may read: the file system operations of the spool,
//! atomically replaced files, modes, and directory locks. In: paths and bytes. Out: bytes and the system's
//! errors. Not here: the meaning of the bytes.

pub mod atomic_file;
pub mod dir_lock;
pub mod disk;
pub mod durable_dir;
pub mod private_files;
