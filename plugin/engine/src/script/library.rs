//! What scripts can use, each function registered together with its documentation. From this one list come docs/scripting.md, the
//! definitions for editors, the help of a viewer, and what `check` knows.
//!
//! A signature is written as scripts think of it: `click(session: Session, frame: int, x: float, y: float, options: #{object, positive})
//! -> Map #{frame, object, iou}`. What is in a map that is returned, or that a closure is given (`FnPtr(#{epoch, loss})`), is part of the
//! signature, so that a mistyped property is an error ([`shapes`](super::shapes)). A function whose first parameter is one of the product's types
//! is a method: `session.click(3, 120, 80)`.

use super::shapes::Kind;
use rhai::{Engine, FuncRegistration, Module, RhaiFunc, RhaiNativeFunc, Shared, Variant};

/// Registers functions and remembers what they are.
pub struct Library<'e> {
    engine: &'e mut Engine,
    functions: Module,
    sections: Vec<Section>,
}

/// A page's section: one type, or functions that belong together.
pub struct Section {
    /// its heading
    pub title: &'static str,
    /// a paragraph under the heading, or nothing
    pub intro: &'static str,
    /// in the order in which they were registered
    pub entries: Vec<Entry>,
}

/// One function or property.
#[derive(Clone)]
pub struct Entry {
    /// its name in scripts
    pub name: String,
    /// what it takes
    pub parameters: Vec<Parameter>,
    /// what it returns; nothing: `()`
    pub returns: Option<String>,
    /// what is in that, if it is a map or a list of maps, as the signature writes it
    pub shape: Option<String>,
    /// the same, read
    pub result: Kind,
    /// `volume.frames` rather than `volume.frames()`
    pub property: bool,
    /// one or two sentences
    pub doc: &'static str,
    /// a line that the tests run
    pub example: &'static str,
}

/// One parameter.
#[derive(Clone)]
pub struct Parameter {
    /// its name
    pub name: String,
    /// what scripts call its type; `#{...}`: a map of options
    pub kind: String,
    /// the keys of a map of options
    pub keys: Vec<String>,
    /// what a closure is given, as the signature writes it
    pub given: Option<String>,
    /// the same, read
    pub kind_seen: Kind,
    /// may it be left out?
    pub optional: bool,
}

/// The product's types, as signatures name them.
pub const TYPES: [&str; 7] = ["Volume", "Model", "Segmenter", "Session", "Labels", "Mask", "Error"];

impl<'e> Library<'e> {
    /// Nothing yet.
    pub fn new(engine: &'e mut Engine) -> Self {
        Self { engine, functions: Module::new(), sections: Vec::new() }
    }

    /// The engine, for what needs no documentation.
    pub fn engine(&mut self) -> &mut Engine {
        self.engine
    }

    /// Begins a section.
    pub fn section(&mut self, title: &'static str, intro: &'static str) -> &mut Self {
        self.sections.push(Section { title, intro, entries: Vec::new() });
        self
    }

    /// A function.
    pub fn function<A: 'static, const N: usize, const X: bool, R, const F: bool, T>(
        &mut self,
        signature: &'static str,
        doc: &'static str,
        example: &'static str,
        function: T,
    ) -> &mut Self
    where
        R: Variant + Clone,
        T: RhaiNativeFunc<A, N, X, R, F> + Send + Sync + 'static,
    {
        let entry = Entry::parse(signature, false, doc, example);
        self.add(FuncRegistration::new(entry.name.as_str()), &entry, function);
        self.keep(entry)
    }

    /// A property that is read.
    pub fn property<A: 'static, const N: usize, const X: bool, R, const F: bool, T>(
        &mut self,
        signature: &'static str,
        doc: &'static str,
        example: &'static str,
        get: T,
    ) -> &mut Self
    where
        R: Variant + Clone,
        T: RhaiNativeFunc<A, N, X, R, F> + Send + Sync + 'static,
    {
        let entry = Entry::parse(signature, true, doc, example);
        self.add(FuncRegistration::new_getter(&entry.name), &entry, get);
        self.keep(entry)
    }

    /// The same function with fewer or other arguments, documented just before.
    pub fn also<A: 'static, const N: usize, const X: bool, R, const F: bool, T>(
        &mut self,
        name: &'static str,
        function: T,
    ) -> &mut Self
    where
        R: Variant + Clone,
        T: RhaiNativeFunc<A, N, X, R, F> + Send + Sync + 'static,
    {
        let entries = self.sections.last().into_iter().flat_map(|section| &section.entries);
        let documented = entries.rev().find(|entry| entry.name == name && !entry.property).cloned();
        match documented {
            Some(entry) => self.add(FuncRegistration::new(name), &entry, function),
            None => _ = self.engine.register_fn(name, function),
        }
        self
    }

    /// Registers a function whose results carry the mark of their shape.
    fn add<A: 'static, const N: usize, const X: bool, R, const F: bool, T>(
        &mut self,
        registration: FuncRegistration,
        entry: &Entry,
        function: T,
    ) where
        R: Variant + Clone,
        T: RhaiNativeFunc<A, N, X, R, F> + Send + Sync + 'static,
    {
        let function = function.into_rhai_function(true, false);
        let function = if entry.result.has_records() { marking(function, entry) } else { function };
        registration.in_global_namespace().set_into_module_raw(&mut self.functions, T::param_types(), function);
    }

    fn keep(&mut self, entry: Entry) -> &mut Self {
        if self.sections.is_empty() {
            self.section("", "");
        }
        if let Some(section) = self.sections.last_mut() {
            section.entries.push(entry);
        }
        self
    }

    /// What was registered.
    pub fn into_sections(self) -> Vec<Section> {
        self.engine.register_global_module(self.functions.into());
        self.sections
    }
}

/// The same function, with the maps in its result marked.
fn marking(function: RhaiFunc, entry: &Entry) -> RhaiFunc {
    let (kind, of) = (entry.result.clone(), entry.name.clone());
    macro_rules! marked {
        ($func:expr) => {
            Shared::new(move |context: Option<rhai::NativeCallContext>, arguments: &mut [&mut rhai::Dynamic]| {
                let mut result = $func(context, arguments)?;
                kind.mark(&mut result, &of);
                Ok(result)
            })
        };
    }
    match function {
        RhaiFunc::Pure { func, has_context, is_pure, is_volatile } => {
            RhaiFunc::Pure { func: marked!(func), has_context, is_pure, is_volatile }
        }
        RhaiFunc::Method { func, has_context, is_pure, is_volatile } => {
            RhaiFunc::Method { func: marked!(func), has_context, is_pure, is_volatile }
        }
        other => other,
    }
}

impl Entry {
    /// Reads a signature, which is part of the program: a mistake in it shows in the tests.
    fn parse(signature: &str, property: bool, doc: &'static str, example: &'static str) -> Self {
        let (head, returns) = match signature.rsplit_once("->") {
            Some((head, returns)) => (head.trim(), Some(returns.trim().to_owned())),
            None => (signature.trim(), None),
        };
        let (name, inside) = head.split_once('(').unwrap_or((head, ")"));
        let inside = inside.strip_suffix(')').unwrap_or(inside);
        let parameters = split(inside).into_iter().map(|text| Parameter::parse(&text, name)).collect();
        let (returns, shape) = match returns.as_deref().and_then(|text| text.split_once(' ')) {
            Some((kind, shape)) => (Some(kind.to_owned()), Some(shape.to_owned())),
            None => (returns, None),
        };
        let result = Kind::parse(shape.as_ref().or(returns.as_ref()).map_or("", String::as_str), name);
        Self { name: name.to_owned(), parameters, returns, shape, result, property, doc, example }
    }

    /// What is in its maps, for people.
    pub fn shapes(&self) -> String {
        let kind_seen = self.parameters.iter().filter_map(|parameter| parameter.given.as_deref());
        let kind_seen = kind_seen.map(|shape| format!(" Its closure receives `{shape}`."));
        kind_seen.chain(self.shape.iter().map(|shape| format!(" Returns `{shape}`."))).collect()
    }

    /// The type whose method or property this is.
    pub fn receiver(&self) -> Option<&Parameter> {
        self.parameters.first().filter(|first| TYPES.contains(&first.kind.as_str()))
    }

    /// How it looks in a script: `session.click(frame, x, y, [options])`.
    pub fn call(&self) -> String {
        let (before, rest) = match self.receiver() {
            Some(receiver) => (format!("{}.", receiver.name), &self.parameters[1..]),
            None => (String::new(), &self.parameters[..]),
        };
        if self.property {
            return format!("{before}{}", self.name);
        }
        let names = rest.iter().map(|p| if p.optional { format!("[{}]", p.name) } else { p.name.clone() });
        format!("{before}{}({})", self.name, names.collect::<Vec<_>>().join(", "))
    }

    /// The same with types: `session.click(frame: int, x: float, y: float, [options: #{object, positive}])`.
    pub fn typed_call(&self) -> String {
        let (before, rest) = match self.receiver() {
            Some(receiver) => (format!("{}.", receiver.name), &self.parameters[1..]),
            None => (String::new(), &self.parameters[..]),
        };
        let shown = |p: &Parameter| format!("{}: {}", p.name, p.shown_kind());
        let names = rest.iter().map(|p| if p.optional { format!("[{}]", shown(p)) } else { shown(p) });
        format!("{before}{}({})", self.name, names.collect::<Vec<_>>().join(", "))
    }

    /// How many arguments it takes at least and at most, a method's own value not counted.
    pub fn arguments(&self) -> (usize, usize) {
        let own = usize::from(self.receiver().is_some());
        let optional = self.parameters.iter().filter(|parameter| parameter.optional).count();
        let all = self.parameters.len() - own;
        (all - optional, all)
    }
}

impl Parameter {
    fn parse(text: &str, function: &str) -> Self {
        let (name, kind) = text.split_once(':').unwrap_or((text, "?"));
        let optional = name.ends_with('?');
        let kind = kind.trim();
        let keys = match kind.strip_prefix("#{").and_then(|rest| rest.strip_suffix('}')) {
            Some(inside) => {
                split(inside).iter().map(|key| key.split(':').next().unwrap_or_default().to_owned()).collect()
            }
            None => Vec::new(),
        };
        let given = kind.strip_prefix("FnPtr(").and_then(|rest| rest.strip_suffix(')')).map(str::to_owned);
        let kind_seen = given.as_deref().map_or(Kind::Any, |given| Kind::parse(given, function));
        let kind = if given.is_some() { "FnPtr" } else { kind }.to_owned();
        Self { name: name.trim_end_matches('?').to_owned(), kind, keys, given, kind_seen, optional }
    }

    /// The type for people; of a map its keys.
    pub fn shown_kind(&self) -> String {
        if self.keys.is_empty() { self.kind.clone() } else { format!("#{{{}}}", self.keys.join(", ")) }
    }
}

/// Splits at the commas that are not inside of brackets.
pub(super) fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for letter in text.chars() {
        match letter {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        match (letter, depth, parts.last_mut()) {
            (',', 0, _) => parts.push(String::new()),
            (_, _, Some(last)) => last.push(letter),
            _ => {}
        }
    }
    parts.into_iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_understood() {
        let entry = Entry::parse(
            "click(session: Session, frame: int, x: float, options?: #{object: int, positive: bool}) -> Map",
            false,
            "",
            "",
        );
        assert_eq!((entry.name.as_str(), entry.returns.as_deref()), ("click", Some("Map")));
        assert_eq!(entry.receiver().map(|p| p.name.as_str()), Some("session"));
        assert_eq!(entry.parameters[3].keys, ["object", "positive"]);
        assert_eq!(entry.call(), "session.click(frame, x, [options])");
        assert_eq!(entry.arguments(), (2, 3));
        let property = Entry::parse("frames(volume: Volume) -> int", true, "", "");
        assert_eq!((property.call(), property.arguments()), ("volume.frames".to_owned(), (0, 0)));
        assert_eq!(Entry::parse("reset()", false, "", "").arguments(), (0, 0));
    }
}
