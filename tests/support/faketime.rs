//! A clock that a test can turn, for the real server: libfaketime (Debian's
//! package `faketime`) stands between the process and the system's clock.

use std::path::PathBuf;

use tempfile::TempDir;

use super::server::Options;

const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// The clock of one server.
pub struct Clock {
    folder: TempDir,
}

impl Clock {
    /// A clock that stands at this time: `2026-06-15 12:00:00`.
    pub fn set(time: &str) -> Self {
        assert!(
            PathBuf::from(LIBRARY).exists(),
            "{LIBRARY} is missing; install Debian's package faketime"
        );
        let clock = Self { folder: TempDir::new().expect("a temporary folder can be made") };
        clock.jump(time);
        clock
    }

    /// Turns the clock, forwards or back.
    pub fn jump(&self, time: &str) {
        // A whole new file in one step: the server must not read half a time.
        let next = self.folder.path().join("next");
        std::fs::write(&next, time).expect("the time can be written");
        std::fs::rename(&next, self.file()).expect("the time can be put in its place");
    }

    /// A server that lives by this clock. Its timers do not: they measure
    /// spans, and a jump of the clock is none.
    pub fn for_server(&self, options: Options) -> Options {
        options
            .env("LD_PRELOAD", LIBRARY)
            .env("FAKETIME_TIMESTAMP_FILE", &self.file().to_string_lossy())
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("TZ", "UTC")
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("time")
    }
}
