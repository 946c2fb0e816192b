//! The short form of the crash run: what was acknowledged before a kill is
//! there after it, once, whole and in order. The long form is the program
//! `crash` of the benches.

use std::path::PathBuf;

use parlor_benches::crash::{Options, run};

#[tokio::test]
async fn p1_a_server_that_is_killed_under_load_loses_doubles_and_mixes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        kills: 3,
        seconds: 1.5,
        // A busy machine takes longer for them.
        least: 10,
        seed: 7,
        connections: 8,
        parlor: Some(PathBuf::from(env!("CARGO_BIN_EXE_parlor"))),
        dir: Some(folder.path().to_owned()),
        json: true,
    };
    let findings = run(&options, |line| eprintln!("{line}")).await.unwrap();
    assert!(findings.is_clean(), "{:#}", findings.to_json());
    assert_eq!(findings.n_kills, 3);
    assert!(findings.n_acknowledged > 20, "{:#}", findings.to_json());
    assert!(findings.n_unknown > 0, "no turn was under way at any kill");
}
