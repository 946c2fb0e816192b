//! What installing has in common: a folder whose mark says by which recipe it was filled,
//! and commands that are given no more of the caller's environment than they need.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde_json::Value;

/// Names the recipe by which a folder was filled.
const MARK: &str = "installed-by-versus";

/// Fills a folder by a recipe unless it was filled by the same one before.
pub fn once(
    cache: &Path,
    recipe: &str,
    fill: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mark = cache.join(MARK);
    if fs::read_to_string(&mark).is_ok_and(|found| found == recipe) {
        return Ok(());
    }
    fs::create_dir_all(cache).with_context(|| format!("creating {}", cache.display()))?;
    fill()?;
    fs::write(&mark, recipe).with_context(|| format!("writing {}", mark.display()))
}

/// Runs one step of a recipe in a folder. Installers read settings of the user, such as
/// which registry to ask, so they keep the environment.
pub fn step<S: AsRef<OsStr>>(folder: &Path, program: S, args: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command.args(args).current_dir(folder).stdin(Stdio::null());
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last: Vec<_> = said.lines().rev().take(5).collect();
    ensure!(output.status.success(), "{command:?} failed: {}", last.join(" | "));
    Ok(())
}

/// A program with an environment of only these folders.
pub fn bare<S: AsRef<OsStr>>(program: S, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", home);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// The version of an installed npm package.
pub fn npm_version(cache: &Path, package: &str) -> String {
    let file = cache.join("node_modules").join(package).join("package.json");
    let text = fs::read_to_string(file).unwrap_or_default();
    let found: Value = serde_json::from_str(&text).unwrap_or_default();
    found["version"].as_str().unwrap_or("unknown").to_owned()
}

/// The version of a package in a Python environment.
pub fn pip_version(cache: &Path, package: &str) -> String {
    let code = format!("import importlib.metadata as m; print(m.version('{package}'))");
    let output = Command::new(cache.join("bin/python")).args(["-c", &code]).output();
    let said = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    said.ok().filter(|said| !said.is_empty()).unwrap_or_else(|| "unknown".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_is_followed_once_and_again_when_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let mut n_filled = 0;
        for recipe in ["a", "a", "b"] {
            once(dir.path(), recipe, || {
                n_filled += 1;
                Ok(())
            })
            .unwrap();
        }
        assert_eq!(n_filled, 2);
    }

    #[test]
    fn a_step_that_fails_is_told_with_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let error = step(dir.path(), "sh", &["-c", "echo no network >&2; exit 1"]).unwrap_err();
        assert!(error.to_string().contains("no network"), "{error}");
    }
}
