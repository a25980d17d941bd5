//! A PostgreSQL server for one test, if installed.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use optag::index::IndexPlace;

use crate::three_nodes::network::Host;

/// A server that ends with the test. It listens only on a socket in its own directory.
pub(crate) struct Postgres {
    sockets: tempfile::TempDir,
    dir: tempfile::TempDir,
    programs: PathBuf,
    /// User and group that it runs as if the test is root, which PostgreSQL refuses.
    user: Option<(u32, u32)>,
    /// Where it runs and listens over TCP as well; `None`: where the test runs, on its socket alone.
    host: Option<Host>,
}

impl Postgres {
    /// Starts an empty server; `None`, with a note on the test's output, if not installed.
    pub(crate) fn start() -> Option<Self> {
        Self::start_on(None)
    }

    /// The same on a host of its own, open to its network.
    pub(crate) fn start_on(host: Option<Host>) -> Option<Self> {
        let Some(programs) = programs() else {
            println!("skipped: PostgreSQL is not installed");
            return None;
        };
        // SAFETY: no argument, and it never fails.
        let is_root = unsafe { libc::geteuid() } == 0;
        let server = Self {
            dir: tempfile::tempdir().unwrap(),
            sockets: tempfile::tempdir().unwrap(),
            programs,
            user: is_root.then(postgres_user),
            host,
        };
        if let Some((user, group)) = server.user {
            std::os::unix::fs::chown(server.dir.path(), Some(user), Some(group)).unwrap();
            // Outside its data, and open: the recorder drops the capability to bypass file modes.
            std::os::unix::fs::chown(server.sockets.path(), Some(user), Some(group)).unwrap();
            let open = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(server.sockets.path(), open).unwrap();
        }
        server.run(
            "initdb",
            &["--username=optag", "--auth=trust", "--encoding=UTF8", "--no-sync", "--pgdata", "."],
        );
        if server.host.is_some() {
            let rules = std::fs::OpenOptions::new().append(true).open(server.dir.path().join("pg_hba.conf"));
            std::io::Write::write_all(&mut rules.unwrap(), b"host all all samenet trust\n").unwrap();
        }
        server.begin();
        Some(server)
    }

    /// Its own database.
    pub(crate) fn place(&self) -> IndexPlace {
        IndexPlace::Postgres(self.address().into())
    }

    pub(crate) fn address(&self) -> String {
        match &self.host {
            Some(host) => format!("postgres://optag@{}/postgres", host.ip),
            None => format!("postgres://optag@localhost/postgres?host={}", self.sockets.path().display()),
        }
    }

    /// As one host of an address with several.
    pub(crate) fn host(&self) -> String {
        self.sockets.path().display().to_string().replace('/', "%2F")
    }

    /// Starts it again.
    pub(crate) fn begin(&self) {
        let ip = self.host.as_ref().map(|host| host.ip.to_string()).unwrap_or_default();
        let options = format!("-k {} -c listen_addresses={ip}", self.sockets.path().display());
        self.run(
            "pg_ctl",
            &["start", "--wait", "--silent", "--pgdata", ".", "--log", "log", "--options", &options],
        );
    }

    /// Ends it as a crash would.
    pub(crate) fn crash(&self) {
        self.run("pg_ctl", &["stop", "--wait", "--silent", "--mode", "immediate", "--pgdata", "."]);
    }

    /// Crashes and returns as a standby without a primary: readable, not writable.
    pub(crate) fn becomes_standby(&self) {
        self.crash();
        std::fs::write(self.dir.path().join("standby.signal"), "").unwrap();
        self.begin();
    }

    /// Promotes the standby.
    pub(crate) fn promote(&self) {
        self.run("pg_ctl", &["promote", "--wait", "--silent", "--pgdata", "."]);
    }

    /// Changes a setting of the running server.
    pub(crate) fn set(&self, setting: &str) {
        self.execute(&[&format!("ALTER SYSTEM SET {setting}"), "SELECT pg_reload_conf()"]);
    }

    /// Executes statements, each on its own.
    pub(crate) fn execute(&self, statements: &[&str]) {
        let sockets = self.sockets.path().display().to_string();
        let mut args = vec!["-X", "-v", "ON_ERROR_STOP=1", "-h", &sockets, "-U", "optag", "-d", "postgres"];
        args.extend(statements.iter().flat_map(|statement| ["-c", statement]));
        self.run("psql", &args);
    }

    fn run(&self, program: &str, args: &[&str]) {
        let mut command = Command::new(self.programs.join(program));
        // A server that inherits the test's output would keep it open.
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null()).stdout(Stdio::null());
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command.stderr(Stdio::null());
        let status = match &self.host {
            Some(host) => host.within(|| command.status()),
            None => command.status(),
        }
        .unwrap();
        assert!(status.success(), "{program}: {status}");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if !std::thread::panicking() || self.dir.path().join("postmaster.pid").exists() {
            self.crash();
        }
    }
}

/// Directory of its programs: Debian installs them outside the path, by version.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let newest = versions.flatten().map(|version| version.path().join("bin")).max()?;
    newest.join("initdb").exists().then_some(newest)
}

fn postgres_user() -> (u32, u32) {
    // SAFETY: a valid string; the answer is read before anything else asks.
    let found = unsafe { libc::getpwnam(c"postgres".as_ptr()).as_ref() }.expect("the package makes the user");
    (found.pw_uid, found.pw_gid)
}
