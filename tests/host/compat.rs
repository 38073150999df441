//! Today's checks with a plugin that was built with interface 1.0.0. (A viewer of that time: `tests/compat/abi-1.0.0`.)

use crate::check::Report;
use crate::util::{Host, Ran, built_plugin};
use std::process::Command;

#[test]
fn an_old_plugin_lacks_what_is_new_and_nothing_else() {
    let host = Host::new();
    let old = built_plugin().with_file_name(format!(
        "{}sam_octa2_old_1_0{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    ));
    let ran = host.run(&["plugin", "check", old.to_str().unwrap(), "--json"]);
    let report = Report::of(&ran);
    assert_eq!(report.names_with("failed"), [""; 0], "{ran:#?}");
    assert_eq!(ran.code, Some(0));
    for name in
        ["load", "manifest", "task-layout", "selftest-layout", "consistent", "echo", "panic", "garbage", "cancel"]
    {
        assert!(report.names_with("passed").contains(&name), "{name}: {ran:#?}");
    }
    for name in ["system", "volume", "model", "session", "mask", "script"] {
        let check = format!("{name}-layout");
        assert!(report.names_with("skipped").contains(&check.as_str()), "{check}: {ran:#?}");
        assert!(report.message(&check).contains(&format!("does not have the extension `sam_octa2.{name}/1`")));
    }
    let mut models = Command::new(env!("CARGO_BIN_EXE_host-demo"));
    let models = Ran::from(models.args(["models", "--json", "--plugin"]).arg(&old).output().unwrap()).ok();
    assert_eq!(models.trim(), "[]");
}
