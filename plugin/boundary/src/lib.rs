//! What `libsam_octa2.so` and its engine both do where a host's call comes in: `c` reads a C host's arguments and gives the results, `task`
//! does a task through either interface, `watch` lets the host stop it anywhere, `json` reads requests, `convert` has the errors, `guard` lets no panic out.

pub mod c;
pub mod convert;
pub mod guard;
pub mod json;
pub mod task;
pub mod watch;
