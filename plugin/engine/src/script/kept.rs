//! What scripts leave to the scripts after them, if the host wants it: variables and functions.

use super::captured;
use super::rewrite::{Shifts, Tokens};
use super::watch::Watch;
use rhai::{AST, Dynamic, Engine, EvalAltResult, Expr, Scope, Stmt};
use sam_octa2_core::progress;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Variables and functions of the scripts so far.
#[derive(Default)]
pub struct Kept {
    scope: Scope<'static>,
    functions: AST,
    /// `import`s, which last for one run: they are done again before each
    imports: String,
    /// the scripts by the names that errors give them
    texts: BTreeMap<PathBuf, String>,
    /// how columns of what was compiled differ from them
    shifts: BTreeMap<PathBuf, Shifts>,
    /// in which script each function was written
    origins: BTreeMap<String, PathBuf>,
    /// the same before a script that failed
    undo: Option<BTreeMap<String, PathBuf>>,
}

impl Kept {
    /// Runs a script after the others.
    pub fn run(
        &mut self,
        (engine, tokens): (&Engine, &Tokens),
        path: &Path,
        watch: &Arc<Watch>,
        source: String,
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        self.texts.insert(path.to_path_buf(), source.clone());
        let imports = engine.compile(&self.imports).map_err(EvalAltResult::from)?;
        let compiled = tokens.compile(&source, |text| engine.compile_with_scope(&self.scope, text));
        let (mut tree, shifts) = compiled.map_err(EvalAltResult::from)?;
        self.shifts.insert(path.to_path_buf(), shifts);
        tree.set_source(path.to_string_lossy().as_ref());
        let whole = imports.merge(&self.functions).merge(&tree);
        self.origins = self.undo.take().unwrap_or_else(|| std::mem::take(&mut self.origins));
        self.undo = Some(self.origins.clone());
        self.origins.extend(tree.iter_functions().map(|function| (function.name.to_owned(), path.to_path_buf())));
        let variables = self.scope.len();
        let result =
            progress::watched(watch.clone(), || Ok::<_, Stopped>(engine.eval_ast_with_scope(&mut self.scope, &whole)));
        let result = result.unwrap_or_else(|stopped| Err(stopped.0));
        match result {
            Ok(value) => {
                self.functions = whole.clone_functions_only();
                self.undo = None;
                for statement in tree.statements() {
                    if let Stmt::Import(import, _) = statement
                        && let (Expr::StringConstant(name, ..), alias) = &**import
                    {
                        self.imports.push_str(&format!("import {:?} as {};\n", name.as_str(), alias.name));
                    }
                }
                Ok(value)
            }
            Err(error) => {
                self.scope.rewind(variables); // as if it had not been typed, but for what it changed
                Err(captured::explained(error, Some(&tree)))
            }
        }
    }

    /// The name of the next script.
    pub fn name(&self) -> PathBuf {
        PathBuf::from(format!("[{}]", self.texts.len() + 1))
    }

    /// The text of a script that was run before.
    pub fn text(&self, name: &Path) -> Option<&str> {
        self.texts.get(name).map(String::as_str)
    }

    /// How columns of a compiled script differ from those of its text.
    pub fn shifts(&self, name: &Path) -> Option<&Shifts> {
        self.shifts.get(name)
    }

    /// The script in which a function was written.
    pub fn origin(&self, function: &str) -> Option<&Path> {
        self.origins.get(function).map(PathBuf::as_path)
    }

    /// The names of the variables.
    pub fn variables(&self) -> Value {
        self.scope.iter_raw().map(|(name, ..)| name.to_owned()).collect()
    }
}

/// A checkpoint outside of any native function stopped the script.
struct Stopped(Box<EvalAltResult>);

impl From<sam_octa2_core::Error> for Stopped {
    fn from(_: sam_octa2_core::Error) -> Self {
        Self(EvalAltResult::ErrorTerminated(Dynamic::UNIT, rhai::Position::NONE).into())
    }
}
