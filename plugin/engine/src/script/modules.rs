//! `import "name" as m;`: files of the script's own folder and of the library that the host names, and nothing else.

use super::errors::{Failure, thrown};
use super::rewrite::{Shifts, Tokens};
use super::values::Checked;
use rhai::{AST, Engine, EvalAltResult, GlobalRuntimeState, Module, ModuleResolver, Position, Scope, Shared};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where modules are looked for, and what was found.
pub struct Modules {
    /// the script's own, then the library; links followed
    folders: Vec<PathBuf>,
    tokens: Tokens,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    /// the text of each, for errors
    texts: BTreeMap<PathBuf, String>,
    /// how columns of what was compiled differ from it
    shifts: BTreeMap<PathBuf, Shifts>,
    ready: BTreeMap<PathBuf, Shared<Module>>,
    /// those that are being run now, outermost first
    loading: Vec<PathBuf>,
}

/// The modules as the engine sees them.
pub struct Resolver(pub Arc<Modules>);

impl Modules {
    /// For a script that lies in `own`, if it lies anywhere.
    pub fn new(own: Option<&Path>, library: Option<&Path>, tokens: Tokens) -> Self {
        let folder =
            |path: &Path| if path.as_os_str().is_empty() { Path::new(".").canonicalize() } else { path.canonicalize() };
        let folders = [own, library].into_iter().flatten().filter_map(|path| folder(path).ok()).collect();
        Self { folders, tokens, found: Mutex::default() }
    }

    /// The file of a module.
    pub fn find(&self, name: &str) -> Checked<PathBuf> {
        let path = Path::new(name);
        let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        if !plain || name.is_empty() || name.contains('\0') {
            return Err(refused(
                name,
                "a name such as \"tools\" or \"folder/tools\" is wanted, below the script's own folder",
            ));
        }
        let named = if name.ends_with(".rhai") { path.to_path_buf() } else { PathBuf::from(format!("{name}.rhai")) };
        for folder in &self.folders {
            let Ok(file) = folder.join(&named).canonicalize() else { continue };
            if !file.starts_with(folder) {
                return Err(refused(name, "a link leads out of the folder"));
            }
            if file.is_file() {
                return Ok(file);
            }
        }
        let folders: Vec<_> = self.folders.iter().map(|folder| folder.display().to_string()).collect();
        let places = if folders.is_empty() { "no folder".to_owned() } else { folders.join(" and ") };
        let message = format!(
            "there is no {} in {places}; scripts import from their own folder and from the library that the host names (`library`; \
             host-demo: --library DIR)",
            named.display()
        );
        Err(Failure { code: "not_found", ..refused(name, &message) })
    }

    /// Reads a module and parses it, as it is written.
    pub fn parse(&self, engine: &Engine, file: &Path) -> Result<AST, Box<EvalAltResult>> {
        Ok(engine.compile(self.read(file)?).map_err(EvalAltResult::from)?)
    }

    /// Reads a module and compiles it; its functions know where they come from.
    fn compile(&self, engine: &Engine, file: &Path) -> Result<AST, Box<EvalAltResult>> {
        let compiled = self.tokens.compile(&self.read(file)?, |text| engine.compile(text));
        let (mut tree, shifts) = compiled.map_err(EvalAltResult::from)?;
        tree.set_source(file.to_string_lossy().as_ref());
        self.lock().shifts.insert(file.to_path_buf(), shifts);
        Ok(tree)
    }

    fn read(&self, file: &Path) -> Result<String, Box<EvalAltResult>> {
        let text = std::fs::read_to_string(file).map_err(sam_octa2_core::Error::io(file));
        let text = text.map_err(|error| thrown(error.into(), Position::NONE))?;
        self.lock().texts.insert(file.to_path_buf(), text.clone());
        Ok(text)
    }

    /// How columns of a compiled module differ from those of its text.
    pub fn shifts(&self, file: &Path) -> Option<Shifts> {
        self.lock().shifts.get(file).cloned()
    }

    /// The text of a module that was read.
    pub fn text(&self, file: &Path) -> Option<String> {
        self.lock().texts.get(file).cloned()
    }

    /// Was this file imported?
    pub fn knows(&self, file: &Path) -> bool {
        self.lock().texts.contains_key(file)
    }

    fn lock(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load(
        &self,
        engine: &Engine,
        name: &str,
        place: Position,
        run: impl FnOnce(&AST) -> Result<Module, Box<EvalAltResult>>,
    ) -> Result<Shared<Module>, Box<EvalAltResult>> {
        let file = self.find(name).map_err(|failure| thrown(failure, place))?;
        {
            let mut found = self.lock();
            if let Some(module) = found.ready.get(&file) {
                return Ok(module.clone());
            }
            if let Some(at) = found.loading.iter().position(|other| *other == file) {
                let names = found.loading[at..].iter().chain([&file]).map(|path| stem(path));
                let circle = names.collect::<Vec<_>>().join(" imports ");
                return Err(thrown(refused(name, &format!("the modules go in a circle: {circle}")), place));
            }
            found.loading.push(file.clone());
        }
        let module = self.compile(engine, &file).and_then(|tree| run(&tree));
        let mut found = self.lock();
        found.loading.pop();
        let inside = |error| Box::new(EvalAltResult::ErrorInModule(file.to_string_lossy().into_owned(), error, place));
        let module: Shared<Module> = module.map_err(inside)?.into();
        found.ready.insert(file, module.clone());
        Ok(module)
    }
}

impl ModuleResolver for Resolver {
    fn resolve(
        &self,
        engine: &Engine,
        _source: Option<&str>,
        path: &str,
        place: Position,
    ) -> Result<Shared<Module>, Box<EvalAltResult>> {
        self.0.load(engine, path, place, |tree| Module::eval_ast_as_new(Scope::new(), tree, engine))
    }

    fn resolve_raw(
        &self,
        engine: &Engine,
        global: &mut GlobalRuntimeState,
        _scope: &mut Scope<'_>,
        path: &str,
        place: Position,
    ) -> Result<Shared<Module>, Box<EvalAltResult>> {
        // a scope of its own: a module sees none of the script's variables
        let run = |tree: &AST| Module::eval_ast_as_new_raw(engine, &mut Scope::new(), global, tree);
        self.0.load(engine, path, place, run)
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn refused(name: &str, why: &str) -> Failure {
    Failure { code: "refused", message: format!("cannot import \"{name}\": {why}") }
}
