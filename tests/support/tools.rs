//! Programs that were not written here and that tests run: Node with its
//! packages, Python with its own, Chromium. What is missing is named.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const OLDEST_NODE: u32 = 20;
const HOW_TO_INSTALL: &str =
    "install Node 20 or later and Python 3.10 or later, then run `tests/prepare`";
const CHROMIUM: &str = "/usr/bin/chromium";

/// A file or folder below `tests`.
pub fn tests_folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(path)
}

/// `node SCRIPT`; the script is named as it lies below `tests`, and so is the
/// folder of the package that it needs.
pub fn node(script: &str, package: &str) -> Command {
    let installed = tests_folder("node_modules").join(package).is_dir();
    assert!(installed, "the npm package {package} is not installed: {HOW_TO_INSTALL}");
    static NODE: OnceLock<Result<(), String>> = OnceLock::new();
    NODE.get_or_init(check_node).clone().unwrap_or_else(|why| panic!("{why}: {HOW_TO_INSTALL}"));
    let mut command = Command::new("node");
    command.arg(tests_folder(script));
    command
}

/// A program of the tests' own Python environment: `python`, `schemathesis`.
pub fn python(program: &str) -> Command {
    let file = tests_folder(".venv/bin").join(program);
    assert!(file.is_file(), "{program} of tests/.venv is not installed: {HOW_TO_INSTALL}");
    let mut command = Command::new(file);
    // Nothing of the tests is for a proxy.
    command.env("NO_PROXY", "*").env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// The browser.
pub fn chromium() -> &'static str {
    let installed = Path::new(CHROMIUM).is_file();
    assert!(installed, "the widget is tested in {CHROMIUM}: install Debian's package chromium");
    CHROMIUM
}

fn check_node() -> Result<(), String> {
    let output = Command::new("node").arg("--version").output();
    let output = output.map_err(|error| format!("node cannot be started ({error})"))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major = version.trim_start_matches('v').split('.').next().and_then(|n| n.parse().ok());
    match major {
        Some(OLDEST_NODE..) => Ok(()),
        _ => Err(format!("node is of version {version:?}")),
    }
}
