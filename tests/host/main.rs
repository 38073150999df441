//! Drives the built host with the built plugin, as a user at a terminal does: command line in, output and exit code out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(unix)]
mod attacks;
#[cfg(unix)]
mod batch;
mod check;
#[cfg(unix)]
mod clients;
mod demo;
mod errors;
mod folds;
mod gallery;
mod imports;
mod interrupt;
mod loading;
mod models;
mod oct;
mod phantom;
mod predict;
mod record;
mod reference;
mod repl;
mod reports;
mod results;
#[cfg(unix)]
mod roots;
mod script;
mod scripts;
mod seg;
mod segment;
#[cfg(unix)]
mod serve;
mod server;
mod usage;
mod util;
mod vessels;
