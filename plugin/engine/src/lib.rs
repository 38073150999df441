//! What the plugin computes with: `libsam_octa2_engine.so`, opened by `libsam_octa2.so` on the first call that needs it.
//!
//! Layers: `c` and `task` convert what hosts send (C structs, JSON), `script` what scripts say; `service` keeps what handles stand for
//! and how they may be used; the work is done by `sam_octa2_core`. What a call
//! goes through first (guard, errors, arguments) is `sam_octa2_boundary`, which the other library has too.

mod c;
mod script;
mod selftest;
mod service;
mod task;

use sam_octa2_abi::SelfTest1;
use sam_octa2_abi::raw::{ENGINE_VERSION, Engine, Mask1, Model1, Script1, Session1, Volume1};
use sam_octa2_boundary::{convert, guard};

/// The libtorch that this library was built for (`tch` 0.26).
const TORCH_VERSION: &str = "2.13.0";

/// The functions of all modules but `system`, most of which the other library does itself.
macro_rules! engine {
    ($(
        $(#[$about:meta])+
        $module:ident $table:ident $id:literal $prefix:literal {
            $($(#[$doc:meta])+ $name:ident($($argument:ident: $kind:ty),*) $(-> $result:ty)?;)+
        }
    )+) => {
        engine! { @modules $($module $table { $($name)+ })+ }
    };
    (@modules system $system:ident { $($done:ident)+ } $($module:ident $table:ident { $($name:ident)+ })+) => {
        Engine {
            version: ENGINE_VERSION.as_ptr(),
            version_length: ENGINE_VERSION.len(),
            run_task: task::run,
            selftest: SelfTest1 { panic: selftest::panic, echo: selftest::echo, sleep: selftest::sleep },
            capabilities: c::system::capabilities,
            run_c_task: c::system::task,
            set_threads: c::system::set_threads,
            run_selftest: c::system::selftest,
            $($module: $table { $($name: c::$module::$name),+ },)+
        }
    };
}
static ENGINE: Engine = sam_octa2_abi::functions!(engine);

/// What `libsam_octa2.so` looks for.
#[unsafe(no_mangle)]
pub extern "C" fn sam_octa2_engine() -> *const Engine {
    // before anything is computed: later it would come too late
    std::panic::catch_unwind(sam_octa2_core::device::cuda::prepare).ok();
    &raw const ENGINE
}
