//! Process confinement: what a started recorder is limited to, even if compromised. It may read files, write below its
//! own directories, connect to the ports of its store and database, and execute its own program file. Enforced by the
//! kernel: Landlock for files and connections, seccomp for system calls, no new privileges, no capabilities.
//!
//! In: the configuration. Out: [`Confined`], what is enforced and what the kernel does not support. Must be called before
//! the first thread starts, since Landlock applies to a thread and its descendants. A program started by an upgrade
//! (SIGUSR2) inherits the confinement unchanged: directories and ports added to the configuration need a restart. If the
//! previous program was not confined, the new one confines itself.
//!
//! Source: landlock(7), seccomp(2), capabilities(7).

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use caps::{CapSet, Capability, CapsHashSet};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

use crate::app::open::prepare;
use crate::auth::provider::settings::ProviderSettings;
use crate::config::{Config, MasterKeySource, StoreConfig};
use crate::index::IndexPlace;
use optag_files::durable_dir;

/// Minimum Landlock version for files: renames between directories and truncation.
const FILES_SINCE: i64 = 3;
/// Minimum Landlock version for connections.
const CONNECTIONS_SINCE: i64 = 4;
/// Directories of the dynamic loader, which is executed with every program.
const LOADERS: [&str; 4] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64"];

/// Restrictions enforced by the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confined {
    /// What is enforced.
    pub enforced: Vec<&'static str>,
    /// What is not enforced, and why.
    pub missing: Vec<String>,
}

/// What can be enforced.
pub const PARTS: [&str; 4] = ["capabilities", "files", "connections", "system calls"];

impl Confined {
    /// Restrictions inherited from the previous program, as reported by it.
    pub fn inherited(reported: &[String]) -> Self {
        let enforced = PARTS.into_iter().filter(|part| reported.iter().any(|one| one == part)).collect();
        Self { enforced, missing: Vec::new() }
    }

    fn note<E: Display>(&mut self, what: &'static str, done: Result<(), E>) {
        match done {
            Ok(()) => self.enforced.push(what),
            Err(error) => self.missing.push(format!("{what}: {error}")),
        }
    }
}

/// Confines the calling thread and its descendants. Creates the directories that are written to.
pub fn confine(config: &Config, program: &Path) -> Confined {
    let mut confined = Confined::default();
    confined.note("capabilities", drop_capabilities(config));
    let version = landlock_version();
    let ports = match (version >= CONNECTIONS_SINCE, outward_ports(config)) {
        (true, None) => Err("seal.master_key_command may connect anywhere, or a port is not known".into()),
        (true, Some(ports)) => Ok(ports),
        (false, _) => Err(format!("Landlock {CONNECTIONS_SINCE} is needed, the kernel has {version}")),
    };
    if version >= FILES_SINCE {
        let done = restrict(config, program, ports.as_deref().ok());
        if done.is_ok() && ports.is_ok() {
            confined.enforced.push("connections");
        }
        confined.note("files", done);
    } else {
        confined.missing.push(format!("files: Landlock {FILES_SINCE} is needed, the kernel has {version}"));
    }
    confined.missing.extend(ports.err().map(|why| format!("connections: {why}")));
    confined.note("system calls", restrict_system_calls());
    confined
}

/// 0 if the kernel has no Landlock.
fn landlock_version() -> i64 {
    const VERSION: libc::c_ulong = 1;
    // SAFETY: with this flag the call uses no memory and returns a number.
    let version = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<libc::c_void>(), 0usize, VERSION)
    };
    version.max(0)
}

/// Every directory that a running recorder writes to, and creates if missing.
fn written(config: &Config) -> Vec<PathBuf> {
    let parent = |path: &Path| path.parent().filter(|dir| !dir.as_os_str().is_empty()).map(Path::to_owned);
    let mut dirs = vec![config.data_dir.clone(), config.spool.dir.clone(), config.seal.keys_dir.clone()];
    dirs.extend(parent(&config.tokens_path));
    dirs.extend(parent(&config.signing_key_file));
    if let StoreConfig::Local { dir } = &config.store {
        dirs.push(dir.clone());
    }
    if let IndexPlace::Sqlite(file) = &config.index {
        dirs.extend(parent(file));
    }
    if let MasterKeySource::File(file) = &config.spool.master_key {
        dirs.extend(parent(file));
    }
    dirs
}

/// One rule set for files and connections, since a second one without file rules forbids renames between directories.
/// `ports`: permitted ports; `None` permits all.
fn restrict(config: &Config, program: &Path, ports: Option<&[u16]>) -> Result<(), RulesetError> {
    let abi = ABI::V3;
    let read = BitFlags::from(AccessFs::ReadFile) | AccessFs::ReadDir;
    let all = AccessFs::from_all(abi);
    let mut rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(all)?;
    if ports.is_some() {
        rules = rules.handle_access(AccessNet::ConnectTcp)?;
    }
    let mut rules = rules.create()?;
    for port in ports.unwrap_or_default() {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    rules = beneath(rules, Path::new("/"), read)?;
    rules = beneath(rules, Path::new("/dev/null"), read | AccessFs::WriteFile)?;
    // The data directory first, while it is empty: with directories in it, one of mode 0755 would pass for somebody
    // else's. A failure is reported when the directory is opened, and nothing is created until then.
    let is_ours = prepare(config).is_ok();
    for dir in written(config) {
        if is_ours {
            let _ = durable_dir::make(&dir);
        }
        rules = beneath(rules, &dir, all & !BitFlags::from(AccessFs::Execute))?;
    }
    // May be on a network share: if unmounted, it must not be created on the local disk.
    let escrow = config.seal.escrow.as_ref().and_then(|escrow| escrow.dir.as_deref());
    for dir in [config.audit.anchor_dir.as_deref(), escrow].into_iter().flatten() {
        rules = beneath(rules, dir, all & !BitFlags::from(AccessFs::Execute))?;
    }
    // The program's directory instead of its file: an upgrade puts another file under its name.
    let execute = BitFlags::from(AccessFs::Execute);
    let dir = program.parent().unwrap_or(Path::new("/"));
    let commands = matches!(config.spool.master_key, MasterKeySource::Command(_));
    for place in LOADERS.iter().map(Path::new).chain([dir]).chain(commands.then_some(Path::new("/"))) {
        rules = beneath(rules, place, execute)?;
    }
    if commands {
        // Tools that query a key service keep their state there.
        let home = std::env::var_os("HOME").map(PathBuf::from);
        for dir in home.into_iter().chain([std::env::temp_dir()]) {
            rules = beneath(rules, &dir, all & !BitFlags::from(AccessFs::Execute))?;
        }
    }
    rules.restrict_self().map(|_| ())
}

/// Permits `access` below `path` if it exists.
fn beneath(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let Ok(file) = PathFd::new(path) else { return Ok(rules) };
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(ABI::V3) };
    rules.add_rule(PathBeneath::new(file, access))
}

/// Ports of store, database, proxies and name servers; `None` if one is unknown.
fn outward_ports(config: &Config) -> Option<Vec<u16>> {
    if matches!(config.spool.master_key, MasterKeySource::Command(_)) {
        // The command may query the key anywhere.
        return None;
    }
    let port = |text: &str| url::Url::parse(text).ok()?.port_or_known_default();
    let mut ports = vec![53];
    if let StoreConfig::S3(s3) = &config.store {
        ports.push(s3.endpoint.as_deref().map_or(Some(443), port)?);
        if s3.credentials.is_none() && s3.credentials_file.is_none() {
            // Keys then come from the machine's or the container's role, or from STS.
            ports.extend([80, 443]);
            let uri = std::env::var("AWS_CONTAINER_CREDENTIALS_FULL_URI").ok();
            ports.extend(uri.as_deref().and_then(port));
        }
        ports.extend(s3.proxy.as_ref().and_then(|proxy| port(proxy.reveal())));
        let names = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
        let proxies =
            names.iter().filter_map(|name| std::env::var(name).ok()).filter(|text| !text.is_empty());
        ports.extend(proxies.filter_map(|text| port(&text).or_else(|| port(&format!("http://{text}")))));
    }
    if let IndexPlace::Postgres(address) = &config.index {
        ports.extend(IndexPlace::servers(address.reveal()).ok()?.iter().map(|server| server.get_port()));
    }
    ports.extend(config.cluster.iter().flat_map(|cluster| &cluster.peer_ports));
    ports.extend(config.webhooks.iter().map(|target| target.port));
    ports.extend(config.sign_in.provider.iter().flat_map(ProviderSettings::ports));
    Some(ports)
}

/// Drops every capability except that for low ports, if one is listened on.
fn drop_capabilities(config: &Config) -> Result<(), caps::errors::CapsError> {
    let sip = &config.sip.listen;
    let sip = [&sip.udp, &sip.tcp, &sip.tls].into_iter().flatten().copied();
    let cluster = config.cluster.iter().map(|cluster| cluster.listen);
    let mut listening = [config.api.listen, config.metrics_listen].into_iter().chain(sip).chain(cluster);
    let low = listening.any(|address| (1..1_024).contains(&address.port()));
    let kept: CapsHashSet = low.then_some(Capability::CAP_NET_BIND_SERVICE).into_iter().collect();
    let had = caps::read(None, CapSet::Permitted)?;
    if had.contains(&Capability::CAP_SETPCAP) {
        for one in caps::all().difference(&kept) {
            // The kernel may know fewer capabilities.
            let _ = caps::drop(None, CapSet::Bounding, *one);
        }
    }
    caps::clear(None, CapSet::Ambient)?;
    let kept: CapsHashSet = had.intersection(&kept).copied().collect();
    for set in [CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        caps::set(None, set, &kept)?;
    }
    Ok(())
}

/// System calls that a recorder does not need and an attacker does.
const FORBIDDEN: &[libc::c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_move_pages,
    libc::SYS_open_by_handle_at,
    libc::SYS_perf_event_open,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
];

/// Forbidden calls fail with `EPERM`.
fn restrict_system_calls() -> io::Result<()> {
    let rules: BTreeMap<i64, Vec<_>> = FORBIDDEN.iter().map(|call| (*call, Vec::new())).collect();
    let architecture = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let refused = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, architecture);
    let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(io::Error::other)?;
    apply_filter(&program).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind::PermissionDenied;
    use std::net::{TcpListener, TcpStream};
    use std::process::Command;

    use super::*;

    /// Runs `probe` on a confined thread; returns its result and what is enforced.
    fn confined<T: Send>(
        config: &Config,
        program: &Path,
        probe: impl FnOnce() -> T + Send,
    ) -> (Vec<String>, T) {
        std::thread::scope(|scope| {
            let work = || {
                let Confined { enforced, missing } = confine(config, program);
                missing.iter().for_each(|one| println!("skipped: {one}"));
                (enforced.into_iter().map(str::to_owned).collect(), probe())
            };
            scope.spawn(work).join().unwrap()
        })
    }

    fn config(dir: &Path, more: &str) -> Config {
        Config::parse(&format!("data_dir = '{}'\n{more}", dir.display()), []).unwrap()
    }

    #[test]
    fn files_are_written_below_the_data_directory_and_read_everywhere() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let data = inside.path().join("data");
        fs::write(outside.path().join("there"), "text").unwrap();
        if landlock_version() < FILES_SINCE {
            return println!("skipped: the kernel has no Landlock that holds files");
        }
        let (enforced, errors) = confined(&config(&data, ""), Path::new("/none/optag"), || {
            fs::create_dir_all(data.join("a/b")).unwrap();
            fs::write(data.join("a/b/file"), "x").unwrap();
            fs::rename(data.join("a/b/file"), data.join("file")).unwrap();
            fs::write("/dev/null", "x").unwrap();
            assert_eq!(fs::read_to_string(outside.path().join("there")).unwrap(), "text");
            [
                fs::write(outside.path().join("new"), "x").unwrap_err(),
                fs::write(outside.path().join("there"), "x").unwrap_err(),
                fs::remove_file(outside.path().join("there")).unwrap_err(),
                fs::create_dir(outside.path().join("dir")).unwrap_err(),
                std::os::unix::fs::symlink("/etc", outside.path().join("link")).unwrap_err(),
                fs::rename(data.join("file"), outside.path().join("moved")).unwrap_err(),
            ]
        });
        if enforced.iter().any(|one| one == "files") {
            let kinds = errors.map(|error| error.raw_os_error());
            assert!(
                kinds.iter().all(|kind| [Some(libc::EACCES), Some(libc::EXDEV)].contains(kind)),
                "{kinds:?}"
            );
        }
    }

    #[test]
    fn no_program_is_executed_but_ours() {
        let (data, bin) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let ours = bin.path().join("optag");
        fs::copy("/bin/true", &ours).unwrap();
        let run = |program: &Path| Command::new(program).status();
        let planted = data.path().join("planted");
        if landlock_version() < FILES_SINCE {
            return println!("skipped: the kernel has no Landlock that holds files");
        }
        let (enforced, ()) = confined(&config(data.path(), ""), &ours, || {
            assert!(run(&ours).unwrap().success());
            fs::copy("/bin/true", &planted).unwrap();
            for other in [Path::new("/bin/sh"), Path::new("/bin/true"), &planted] {
                assert_eq!(run(other).unwrap_err().kind(), PermissionDenied, "{}", other.display());
            }
        });
        assert!(enforced.iter().any(|one| one == "files"));
        let command = config(data.path(), "[seal]\nmaster_key_command = 'true'");
        confined(&command, &ours, || assert!(run(Path::new("/bin/true")).unwrap().success()));
    }

    #[test]
    fn connections_go_to_the_store_alone() {
        let data = tempfile::tempdir().unwrap();
        let (store, other) =
            (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let address = store.local_addr().unwrap();
        let text =
            format!("[store]\nkind = 's3'\nbucket = 'b'\nendpoint = 'http://{address}'\nallow_http = true");
        let (enforced, refused) = confined(&config(data.path(), &text), Path::new("/none/optag"), || {
            TcpStream::connect(address).unwrap();
            TcpListener::bind("127.0.0.1:0").unwrap();
            TcpStream::connect(other.local_addr().unwrap())
        });
        if enforced.iter().any(|one| one == "connections") {
            assert_eq!(refused.unwrap_err().kind(), PermissionDenied);
        }
    }

    #[test]
    fn system_calls_of_intruders_are_refused_and_privileges_cannot_come_back() {
        let data = tempfile::tempdir().unwrap();
        let (enforced, ()) = confined(&config(data.path(), ""), Path::new("/none/optag"), || {
            // SAFETY: the calls take plain values; each is rejected before it has an effect.
            let refused = unsafe {
                [libc::unshare(libc::CLONE_NEWNET), libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) as i32]
            };
            assert_eq!(refused, [-1, -1]);
            let status = fs::read_to_string("/proc/thread-self/status").unwrap();
            let line = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
                line.trim_start_matches(':').trim().to_owned()
            };
            assert_eq!((line("NoNewPrivs"), line("Seccomp")), ("1".to_owned(), "2".to_owned()));
            for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
                assert_eq!(u64::from_str_radix(&line(set), 16), Ok(0), "{set}");
            }
        });
        assert!(enforced.iter().any(|one| one == "system calls"));
    }

    #[test]
    fn ports_of_databases_and_proxies_are_known() {
        let dir = tempfile::tempdir().unwrap();
        let ports = |text: &str| outward_ports(&config(dir.path(), text)).unwrap();
        assert_eq!(ports(""), [53]);
        assert!(ports("[index]\npostgres = 'postgres://optag@db.example/optag'").contains(&5_432));
        assert!(ports("[index]\npostgres = 'postgres://optag@db.example:6432/optag'").contains(&6_432));
        let s3 = "[store]\nkind = 's3'\nbucket = 'b'\n";
        let nodes = "[index]\npostgres = 'postgres://db/optag'\n[cluster]\nlisten = '10.0.0.1:7946'\n\
                     certificate_file = 'c'\nkey_file = 'k'\nca_file = 'a'\npeer_ports = '7001,7002'";
        assert!(ports(nodes).ends_with(&[7_001, 7_002]));
        assert!(ports(s3).contains(&443) && ports(s3).contains(&80), "role credentials");
        let provider = "[sign_in]\nurl = 'https://o.example'\n[sign_in.oidc]\nissuer = 'https://login.example:8443/realms/x'\n\
                        client_id = 'optag'\n[[sign_in.oidc.mapping]]\ngroup = 'a'\nroles = 'auditor'";
        assert!(ports(provider).ends_with(&[8_443, 443]));
        let proxied = provider.replace("client_id", "proxy = 'http://proxy:3129'\nclient_id");
        assert!(ports(&proxied).ends_with(&[3_129]));
        let of_command = "[seal]\nmaster_key_command = 'vault read key'";
        assert_eq!(outward_ports(&config(dir.path(), of_command)), None);
        let through =
            ports(&format!("{s3}endpoint = 'https://s3.example:9000'\nproxy = 'http://u:p@proxy:3128'"));
        assert!(through.contains(&9_000) && through.contains(&3_128), "{through:?}");
    }
}
