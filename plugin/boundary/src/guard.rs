//! The last line before the boundary: a panic of anything below becomes an error with the code `panic`.
//!
//! Its text goes to the caller and to the host's log rather than to the terminal.

use sam_octa2_abi::abi_stable::std_types::{RErr, ROk, RResult};
use sam_octa2_abi::{HostCalls, PluginError, Severity};
use serde_json::json;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

/// Runs `work`; whatever goes wrong in it is an error.
pub fn guarded<T>(host: Option<&HostCalls>, work: impl FnOnce() -> Result<T, PluginError>) -> RResult<T, PluginError> {
    match caught(work) {
        Ok(Ok(value)) => ROk(value),
        Ok(Err(error)) => RErr(one_line(error)),
        Err(panic) => {
            if let Some(host) = host {
                host.log(Severity::ERROR, &format!("panic in the plugin at {}: {}", panic.place, panic.text));
            }
            let detail = json!({"panic": panic.text, "place": panic.place}).to_string();
            let message = format!("internal error of the plugin (please report it): {} at {}", panic.text, panic.place);
            RErr(PluginError::new("panic", message).with_detail(detail))
        }
    }
}

/// Names of files and what scripts throw may hold anything; a sentence for a person is one line.
fn one_line(mut error: PluginError) -> PluginError {
    if error.message.contains(['\n', '\r']) {
        let lines = error.message.lines().map(|line| line.trim()).filter(|line| !line.is_empty());
        error.message = lines.collect::<Vec<_>>().join(" ").replace('\r', " ").into();
    }
    error
}

/// Runs `work`, which has no way to report an error; an empty value if it panics.
pub fn infallible<T: Default>(work: impl FnOnce() -> T) -> T {
    caught(work).unwrap_or_default()
}

#[derive(Clone, Default)]
struct Panic {
    text: String,
    place: String,
}

thread_local! {
    /// how many guarded calls are under way on this thread
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// what the hook heard last on this thread
    static LAST: RefCell<Panic> = RefCell::default();
}

fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    install_hook();
    DEPTH.set(DEPTH.get() + 1);
    let result = catch_unwind(AssertUnwindSafe(work));
    DEPTH.set(DEPTH.get() - 1);
    result.map_err(|payload| {
        std::mem::forget(payload); // its drop could panic; the hook has the text
        LAST.take()
    })
}

/// Keeps quiet about panics that a guard will catch; others are treated as before.
fn install_hook() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| match DEPTH.get() {
            0 => previous(info),
            _ => LAST.set(describe(info)),
        }));
    });
}

fn describe(info: &PanicHookInfo<'_>) -> Panic {
    let payload = info.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
    let place = info.location().map(|place| format!("{}:{}", place.file(), place.line()));
    // libtorch's texts carry a C++ stack of many lines
    Panic {
        text: text.unwrap_or("no text").lines().next().unwrap_or_default().to_owned(),
        place: place.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_and_the_next_call_works() {
        let error = guarded::<()>(None, || panic!("at frame {}\nC++ stack", 3)).into_result().unwrap_err();
        assert_eq!(error.code, "panic");
        assert!(error.message.contains("at frame 3") && error.message.contains("guard.rs"), "{error}");
        assert!(!error.message.contains("C++"), "{error}");
        assert_eq!(guarded(None, || Ok(5)), ROk(5));
    }

    #[test]
    fn a_sentence_is_one_line() {
        let error =
            guarded::<()>(None, || Err(PluginError::new("io", "a\nb.nii:\r\n  gone\n"))).into_result().unwrap_err();
        assert_eq!(error.message, "a b.nii: gone");
    }

    #[test]
    fn the_host_hears_of_it() {
        struct Log(Vec<String>);
        impl sam_octa2_abi::HostObserver for Log {
            fn log(&mut self, _: Severity, message: &str) {
                self.0.push(message.to_owned());
            }
        }
        let mut log = Log(Vec::new());
        HostCalls::scope(&mut log, |host| guarded::<()>(Some(host), || panic!("oops"))).into_result().unwrap_err();
        assert!(log.0.len() == 1 && log.0[0].contains("oops"), "{:?}", log.0);
    }

    #[test]
    fn an_entry_without_errors_returns_an_empty_value() {
        assert_eq!(infallible(|| -> String { panic!("oops") }), "");
    }
}
