//! A real PostgreSQL with pgvector on a loopback port of its own; it ends with
//! the test. It refuses to run as root, so there it runs as `nobody`.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use tempfile::TempDir;

use super::ports::free_port;
use super::tools;

const START_LIMIT: Duration = Duration::from_secs(60);
/// The user `nobody` of every Linux.
const NOBODY: u32 = 65_534;
const FIND: &str = "import importlib.util as u; print(u.find_spec('pgserver').origin)";

/// A running server.
pub struct Postgres {
    child: Child,
    port: u16,
    programs: PathBuf,
    folder: TempDir,
}

impl Postgres {
    /// The password of its user `postgres`.
    pub const PASSWORD: &'static str = "a-password-of-tests";

    /// An empty server.
    pub fn start() -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let programs = programs(folder.path());
        let (data, secret) = (folder.path().join("data"), folder.path().join("secret"));
        std::fs::create_dir(&data).expect("a folder can be made");
        std::fs::write(&secret, Self::PASSWORD).expect("a file can be written");
        if is_root(folder.path()) {
            for path in [folder.path(), data.as_path(), secret.as_path()] {
                chown(path, Some(NOBODY), Some(NOBODY)).expect("root may give a folder away");
            }
        }
        let mut command = unprivileged(&programs.join("initdb"), folder.path());
        command.args(["--username=postgres", "--auth=scram-sha-256", "--encoding=utf8"]);
        command.args(["--no-sync", "--locale=C"]).arg(format!("--pwfile={}", secret.display()));
        let made = command.arg("-D").arg(&data).output().expect("initdb can be started");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // Another process may take the port before the server does.
        for _ in 0..5 {
            let port = free_port();
            if let Some(child) = spawn(&programs, folder.path(), port) {
                return Self { child, port, programs, folder };
            }
        }
        panic!("PostgreSQL does not start");
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs SQL and gives the rows, columns between `|`.
    pub fn sql(&self, statements: &str) -> Vec<String> {
        let mut command = Command::new(self.programs.join("psql"));
        command.env("PGPASSWORD", Self::PASSWORD).current_dir(self.folder.path());
        command.args(["-h", "127.0.0.1", "-U", "postgres", "-X", "-q", "-t", "-A"]);
        command.args(["-v", "ON_ERROR_STOP=1", "-p", &self.port.to_string(), "-c", statements]);
        let output = command.output().expect("psql can be started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("psql answers in UTF-8");
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGINT is a fast shutdown, which ends its other processes too.
        let pid = self.child.id().to_string();
        let asked = Command::new("kill").args(["-INT", &pid]).status();
        if !asked.is_ok_and(|status| status.success()) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// The folder of the programs; a copy of it where `nobody` cannot enter it.
fn programs(folder: &Path) -> PathBuf {
    let found = tools::python("python").args(["-c", FIND]).output().expect("Python runs");
    let origin = String::from_utf8(found.stdout).expect("a path in UTF-8");
    let package = Path::new(origin.trim()).parent().expect("pgserver is installed").to_owned();
    let programs = package.join("pginstall/bin");
    let tried = unprivileged(&programs.join("initdb"), Path::new("/")).arg("--version").output();
    if tried.is_ok_and(|output| output.status.success()) {
        return programs;
    }
    let copied = Command::new("cp").arg("-r").arg(&package).arg(folder).status();
    assert!(copied.is_ok_and(|status| status.success()), "pgserver can be copied");
    let libraries = package.with_file_name("pgserver.libs");
    let _ = Command::new("cp").arg("-r").arg(libraries).arg(folder).status();
    folder.join("pgserver/pginstall/bin")
}

/// A program, not as root.
fn unprivileged(program: &Path, folder: &Path) -> Command {
    let mut command = if is_root(Path::new("/proc/self")) {
        let mut command = Command::new("setpriv");
        let nobody = NOBODY.to_string();
        command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups", "--"]);
        command.arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir(folder);
    command
}

/// Whether the owner of what this process made is root.
fn is_root(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.uid() == 0)
}

fn spawn(programs: &Path, folder: &Path, port: u16) -> Option<Child> {
    let mut command = unprivileged(&programs.join("postgres"), folder);
    // Nothing of a test needs to outlive a power cut.
    command.args(["-h", "127.0.0.1", "-F", "-p", &port.to_string(), "-k"]).arg(folder);
    command.arg("-D").arg(folder.join("data"));
    let spawned = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.expect("PostgreSQL can be started");
    let lines = BufReader::new(child.stderr.take().expect("stderr is a pipe")).lines();
    let (sender, ready) = channel();
    // The thread reads on to the end, so that a full pipe never stops the server.
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if line.contains("ready to accept connections") {
                let _ = sender.send(());
            }
        }
    });
    if ready.recv_timeout(START_LIMIT).is_ok() {
        return Some(child);
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}
