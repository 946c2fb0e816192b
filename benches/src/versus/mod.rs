//! Parlor beside other servers: the same turn, the same model server, the same load, one
//! machine, one run. What a server loses is a row like any other, and one that dies is a
//! row that says so.
//!
//! # Layout
//! - [`options`]: what can be chosen
//! - [`rivals`]: one file for each server: installed, started, asked how
//! - [`host`], [`tree`]: a server under measurement, and what all its processes cost
//! - [`cell`]: one bounded load
//! - [`ladder`]: the rate at which the tail passes its limit
//! - [`round`]: everything that is measured of one server in one go
//! - [`run`](mod@run): the order of rounds
//! - [`results`], [`figures`], [`markdown`], [`plot`], [`write`](mod@write): what was found, as JSON,
//!   tables and pictures

pub mod cell;
pub mod figures;
pub mod host;
pub mod ladder;
pub mod markdown;
pub mod options;
pub mod plot;
pub mod results;
pub mod rivals;
pub mod round;
pub mod run;
pub mod tree;
pub mod write;

pub use self::options::Options;
pub use self::run::run;
