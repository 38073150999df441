//! A viewer that was built with the interface 1.0.0: loads a plugin and uses all that there was.

use sam_octa2_abi_1_0::{ABI_VERSION, ExtensionError, Plugin, PluginError, SelfTest1, Task1};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: host-abi-1-0 PLUGIN");
        return ExitCode::from(2);
    };
    match run(Path::new(&path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn run(path: &Path) -> Result<(), String> {
    let layout = |error: ExtensionError| format!("{error}: {error:?}");
    let failed = |error: PluginError| error.message.to_string();
    println!("interface {ABI_VERSION}");
    let plugin = Plugin::load(path).map_err(|error| format!("{error}\n{}", error.detail))?;
    println!("manifest {} bytes", plugin.manifest_json().len());
    plugin.extension::<Task1>().map_err(layout)?;
    plugin.extension::<SelfTest1>().map_err(layout)?;
    println!("tasks {}", plugin.tasks_json().map_err(failed)?);
    println!("echo {}", plugin.selftest_echo("網膜").map_err(failed)?);
    match plugin.selftest_panic(&mut ()) {
        Ok(()) => return Err("a panic is no error".to_owned()),
        Err(error) => println!("panic {}", error.code),
    }
    println!("models {}", plugin.task("models", "{}", &mut ()).map_err(failed)?);
    match plugin.task("info", "{\"input\": \"/no/such/file\"}", &mut ()) {
        Ok(_) => return Err("a missing file is no error".to_owned()),
        Err(error) => println!("missing {}", error.code),
    }
    println!("unknown {}", plugin.has_extension("sam_octa2.task/999"));
    Ok(())
}
