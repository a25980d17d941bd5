//! The seal against the reference program, in both directions.

use std::process::Command;

use optag_storage::archive::seal::head::{self, FileKey, HEAD_BYTES};
use optag_storage::archive::seal::identity::Identity;
use optag_storage::archive::seal::stream::{CHUNK_BYTES, Opener, Sealer, plain_bytes};

fn age(args: &[&str]) -> bool {
    Command::new("age").args(args).status().unwrap().success()
}

#[test]
fn the_reference_program_opens_what_we_seal_and_we_what_it_seals() {
    if let Err(error) = Command::new("age").arg("--version").output() {
        println!("skipped: age is not installed ({error})");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let identity = Identity::draw().unwrap();
    let recipient = identity.recipient().unwrap();
    std::fs::write(path("key"), format!("# a day\n{}\n", identity.reveal().as_str())).unwrap();
    for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 77] {
        let plain: Vec<u8> = (0..length).map(|n| (n % 253) as u8).collect();
        let mut sealer = Sealer::new(&FileKey::draw().unwrap(), &recipient).unwrap();
        sealer.push(&plain).unwrap();
        std::fs::write(path("ours.age"), sealer.finish().unwrap()).unwrap();
        assert!(age(&["-d", "-i", &path("key"), "-o", &path("opened"), &path("ours.age")]), "{length}");
        // It makes no file of nothing.
        assert!(std::fs::read(path("opened")).unwrap_or_default() == plain, "{length}");

        std::fs::write(path("plain"), &plain).unwrap();
        assert!(age(&["-r", &recipient.to_string(), "-o", &path("theirs.age"), &path("plain")]));
        let theirs = std::fs::read(path("theirs.age")).unwrap();
        let total = plain_bytes(theirs.len() as u64).unwrap();
        let key = head::open(&theirs[..HEAD_BYTES], &identity).unwrap();
        let mut opener = Opener::new(key, 0, total);
        let mut opened = opener.push(&theirs[HEAD_BYTES..]).unwrap();
        opened.extend(opener.finish().unwrap());
        assert!(opened == plain, "{length}");
    }
}
