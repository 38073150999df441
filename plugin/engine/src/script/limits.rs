//! What a script may use up, and what its errors say of it.

use crate::convert;
use rhai::{EvalAltResult, ParseErrorType};
use sam_octa2_abi::PluginError;
use serde::{Deserialize, Serialize};

/// What a script may use up. The defaults stop a runaway script within seconds and leave room for long honest ones.
#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// steps of the interpreter; work inside functions such as `propagate` does not count; 0: any number
    pub operations: u64,
    /// seconds from the start, inside functions too; time in the host's own functions does not count; 0: for ever
    pub seconds: f64,
    /// functions inside functions
    pub call_depth: usize,
    /// brackets and blocks inside one another
    pub expression_depth: usize,
    /// bytes that calls inside calls may take of the thread's stack
    pub stack_bytes: usize,
    /// bytes of one string, and of a text file that is read at once
    pub string_bytes: usize,
    /// elements of one array, those of arrays in it counted
    pub array_elements: usize,
    /// entries of one map
    pub map_entries: usize,
    /// lists, maps and closures inside one another
    pub nesting: usize,
    /// variables at one time
    pub variables: usize,
    /// `import`s at one time
    pub imports: usize,
    /// bytes by which the process may grow while the script runs, voxels and models included
    pub memory_bytes: u64,
    /// bytes of all files written
    pub disk_bytes: u64,
    /// files written
    pub files: u64,
    /// bytes of text printed or logged
    pub output_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            operations: 200_000_000,
            seconds: 0.0,
            call_depth: 64,
            expression_depth: 64,
            stack_bytes: 1 << 20,
            string_bytes: 16 << 20,
            array_elements: 100_000,
            map_entries: 100_000,
            nesting: 256,
            variables: 10_000,
            imports: 1000,
            memory_bytes: 16 << 30,
            disk_bytes: 64 << 30,
            files: 100_000,
            output_bytes: 64 << 20,
        }
    }
}

impl Limits {
    /// Refuses what is no number of seconds.
    pub fn check(&self) -> Result<(), PluginError> {
        let sound = self.seconds >= 0.0 && self.seconds.is_finite();
        sound
            .then_some(())
            .ok_or_else(|| convert::invalid(format!("`limits.seconds`: {} makes no sense", self.seconds)))
    }

    /// What to say when Rhai's own count went over a limit; `None`: the error is another one.
    pub fn exceeded(&self, error: &EvalAltResult) -> Option<String> {
        Some(match error {
            EvalAltResult::ErrorTooManyOperations(_) => self.stopped("operations"),
            EvalAltResult::ErrorStackOverflow(_) => over("too many calls inside calls", "call_depth", self.call_depth),
            EvalAltResult::ErrorTooManyVariables(_) => over("too many variables", "variables", self.variables),
            EvalAltResult::ErrorTooManyModules(_) => over("too many imports", "imports", self.imports),
            EvalAltResult::ErrorDataTooLarge(what, _) if what == "nesting" => {
                over("too many lists or maps inside one another", "nesting", self.nesting)
            }
            EvalAltResult::ErrorDataTooLarge(what, _) if what.contains("string") => {
                over("a string is too large", "string_bytes", self.string_bytes)
            }
            EvalAltResult::ErrorDataTooLarge(what, _) if what.contains("map") => {
                over("a map is too large", "map_entries", self.map_entries)
            }
            EvalAltResult::ErrorDataTooLarge(..) => {
                over("an array is too large", "array_elements", self.array_elements)
            }
            EvalAltResult::ErrorParsing(ParseErrorType::ExprTooDeep, _) => {
                over("brackets or blocks too deep inside one another", "expression_depth", self.expression_depth)
            }
            EvalAltResult::ErrorParsing(ParseErrorType::LiteralTooLarge(what, _), _) if what.contains("string") => {
                over("a string is too large", "string_bytes", self.string_bytes)
            }
            _ => return None,
        })
    }

    /// What to say when a script was ended because it went over this limit.
    pub fn stopped(&self, name: &str) -> String {
        let reply = match name {
            "operations" => format!("after {} operations", self.operations),
            "seconds" => format!("after {} seconds", self.seconds),
            "stack_bytes" => format!("calls inside calls took more than {} kB of the stack", self.stack_bytes >> 10),
            "memory_bytes" => format!("it took more than {} MB of memory", self.memory_bytes >> 20),
            "disk_bytes" => format!("it would have written more than {} MB", self.disk_bytes >> 20),
            "files" => format!("it would have written more than {} files", self.files),
            _ => format!("it printed more than {} kB", self.output_bytes >> 10),
        };
        format!("the script was stopped: {reply}, the limit ({})", how(name))
    }
}

fn over(what: &str, name: &str, value: usize) -> String {
    format!("{what}: the limit is {value} ({})", how(name))
}

/// How the host raises a limit.
fn how(name: &str) -> String {
    let option = match name {
        "operations" => "--max-operations N".to_owned(),
        "seconds" => "--max-seconds S".to_owned(),
        "memory_bytes" => "--max-memory MB".to_owned(),
        "disk_bytes" => "--max-disk MB".to_owned(),
        _ => format!("--limit {name}=N"),
    };
    format!("the host can raise `limits.{name}`; host-demo: {option}")
}
