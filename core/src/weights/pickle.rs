//! The pickle inside a PyTorch checkpoint, read by a machine that knows containers, numbers, text and the calls that rebuild tensors.
//!
//! `data.pkl -> names and places of tensors` ([`torch`](super::torch) fetches their bytes). A pickle is a program; this machine has
//! no way to call anything. Every instruction makes at most one node, and nodes refer to each other by index, so that neither depth
//! nor repetition costs more than the file's own length. Format: Python's `pickletools`, PyTorch's `torch/_weights_only_unpickler.py`.

use std::collections::HashMap;
use tch::Kind;

type Result<T> = std::result::Result<T, String>;
type Id = usize;

const MOST_DIMENSIONS: usize = 16;
const RESAVE: &str = "save the weights alone: torch.save({\"model\": model.state_dict()}, path)";

/// A tensor as the pickle describes it.
#[derive(Debug, Clone)]
pub struct TensorRef<'a> {
    pub storage: StorageRef<'a>,
    pub offset: i64,
    pub size: Vec<i64>,
    pub stride: Vec<i64>,
}

/// The file `data/{key}` beside the pickle.
#[derive(Debug, Clone, Copy)]
pub struct StorageRef<'a> {
    pub key: &'a str,
    pub kind: Kind,
    /// elements
    pub len: i64,
}

#[derive(Debug, Clone, Copy)]
enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    /// `torch.Size`, `torch.device`: their arguments are their value
    Identity,
    Storage(Kind),
}

#[derive(Debug)]
enum Node<'a> {
    /// None, numbers with a fraction, bytes: nothing that a tensor needs
    Other,
    Int(i64),
    Text(&'a str),
    Tuple(Vec<Id>),
    List,
    Dict(Vec<(Id, Id)>),
    Global(Global),
    Storage(StorageRef<'a>),
    Tensor(TensorRef<'a>),
}

/// A pickle that has been read.
#[derive(Debug)]
pub struct Pickle<'a> {
    nodes: Vec<Node<'a>>,
    root: Id,
}

impl<'a> Pickle<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut machine = Machine { rest: bytes, ..Machine::default() };
        let root = loop {
            if let Some(root) = machine.step()? {
                break root;
            }
        };
        Ok(Self { nodes: machine.nodes, root })
    }

    /// Names and tensors; the dict may lie under `model` or `state_dict`.
    pub fn tensors(&self) -> Result<Vec<(&'a str, &TensorRef<'a>)>> {
        let mut dict = self.dict(self.root).ok_or_else(|| format!("holds no dict of tensors; {RESAVE}"))?;
        for _ in 0..4 {
            let inner = dict.iter().find_map(|&(key, value)| {
                matches!(self.nodes[key], Node::Text("model" | "state_dict" | "model_state_dict"))
                    .then(|| self.dict(value))?
            });
            match inner {
                Some(inner) => dict = inner,
                None => break,
            }
        }
        dict.iter()
            .map(|&(key, value)| match (&self.nodes[key], &self.nodes[value]) {
                (Node::Text(name), Node::Tensor(tensor)) => Ok((*name, tensor)),
                (Node::Text(name), _) => Err(format!("\"{name}\" is no tensor; {RESAVE}")),
                _ => Err(format!("a key of its dict is no text; {RESAVE}")),
            })
            .collect()
    }

    fn dict(&self, id: Id) -> Option<&[(Id, Id)]> {
        if let Node::Dict(items) = &self.nodes[id] { Some(items) } else { None }
    }
}

#[derive(Default)]
struct Machine<'a> {
    rest: &'a [u8],
    nodes: Vec<Node<'a>>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    /// One instruction; the last one gives the root.
    fn step(&mut self) -> Result<Option<Id>> {
        let opcode = self.byte()?;
        match opcode {
            b'.' => return self.pop().map(Some),
            0x80 => self.skip(1)?, // protocol
            0x95 => self.skip(8)?, // frame
            b'(' => self.marks.push(self.stack.len()),
            b'0' => _ = self.pop()?,
            b'1' => _ = self.pop_mark()?,
            b'2' => self.stack.push(self.top()?),
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.memo(opcode)?,
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(module, name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (name, module) = (self.text(name)?, self.text(module)?);
                self.global(module, name)?;
            }
            b'R' => self.call()?,
            b'b' => _ = self.pop()?, // attributes, like the versions in `_metadata`: nothing that is needed
            b'Q' => self.persistent()?,
            b'a' | b'e' | b's' | b'u' => self.fill(opcode)?,
            b')' | b't' | 0x85..=0x87 | b']' | b'l' | b'}' | b'd' => self.container(opcode)?,
            _ => self.scalar(opcode)?,
        }
        Ok(None)
    }

    fn scalar(&mut self, opcode: u8) -> Result<()> {
        let node = match opcode {
            b'N' => Node::Other,
            0x88 | 0x89 => Node::Int(i64::from(opcode == 0x88)),
            b'K' => Node::Int(i64::from(self.byte()?)),
            b'M' => Node::Int(i64::from(u16::from_le_bytes(self.array()?))),
            b'J' => Node::Int(i64::from(i32::from_le_bytes(self.array()?))),
            0x8a => {
                let length = self.byte()?;
                Node::Int(long(self.take(usize::from(length))?)?)
            }
            b'G' => self.other(8)?,
            0x8c => {
                let length = u64::from(self.byte()?);
                self.utf8(length)?
            }
            b'X' => {
                let length = u64::from(u32::from_le_bytes(self.array()?));
                self.utf8(length)?
            }
            0x8d => {
                let length = u64::from_le_bytes(self.array()?);
                self.utf8(length)?
            }
            b'U' | b'C' => {
                let length = u64::from(self.byte()?);
                self.other(length)?
            }
            b'T' | b'B' => {
                let length = u64::from(u32::from_le_bytes(self.array()?));
                self.other(length)?
            }
            _ => {
                return Err(format!(
                    "its pickle uses an instruction (0x{opcode:02x}) that no checkpoint needs; {RESAVE}"
                ));
            }
        };
        self.push(node);
        Ok(())
    }

    fn container(&mut self, opcode: u8) -> Result<()> {
        let node = match opcode {
            b')' => Node::Tuple(Vec::new()),
            b't' => Node::Tuple(self.pop_mark()?),
            0x85..=0x87 => {
                let start = self.stack.len().checked_sub(usize::from(opcode - 0x84)).ok_or(UNDERFLOW)?;
                self.above_mark(start)?;
                Node::Tuple(self.stack.split_off(start))
            }
            b'l' => (self.pop_mark()?, Node::List).1,
            b'd' => Node::Dict(pairs(&self.pop_mark()?)?),
            b']' => Node::List,
            _ => Node::Dict(Vec::new()),
        };
        self.push(node);
        Ok(())
    }

    /// Items into the container below them.
    fn fill(&mut self, opcode: u8) -> Result<()> {
        let items = match opcode {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.pop_mark()?,
        };
        let container = self.top()?;
        match (&mut self.nodes[container], opcode) {
            (Node::List, b'a' | b'e') => Ok(()),
            (Node::Dict(dict), b's' | b'u') => {
                dict.extend(pairs(&items)?);
                Ok(())
            }
            _ => Err("its pickle is damaged: items without a container".into()),
        }
    }

    fn memo(&mut self, opcode: u8) -> Result<()> {
        let index = match opcode {
            b'q' | b'h' => u32::from(self.byte()?),
            b'r' | b'j' => u32::from_le_bytes(self.array()?),
            _ => u32::try_from(self.memo.len()).map_err(|_| UNDERFLOW)?,
        };
        if matches!(opcode, b'h' | b'j') {
            let id = *self.memo.get(&index).ok_or("its pickle is damaged: a reference to nothing")?;
            self.stack.push(id);
        } else {
            self.memo.insert(index, self.top()?);
        }
        Ok(())
    }

    /// The only names that mean something here; a name is never looked up anywhere.
    fn global(&mut self, module: &str, name: &str) -> Result<()> {
        let global = match (module, name) {
            ("collections", "OrderedDict") => Global::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Global::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Global::RebuildParameter,
            ("torch", "Size" | "device") => Global::Identity,
            ("torch", "FloatStorage") => Global::Storage(Kind::Float),
            ("torch", "DoubleStorage") => Global::Storage(Kind::Double),
            ("torch", "HalfStorage") => Global::Storage(Kind::Half),
            ("torch", "BFloat16Storage") => Global::Storage(Kind::BFloat16),
            ("torch", "LongStorage") => Global::Storage(Kind::Int64),
            ("torch", "IntStorage") => Global::Storage(Kind::Int),
            ("torch", "ShortStorage") => Global::Storage(Kind::Int16),
            ("torch", "CharStorage") => Global::Storage(Kind::Int8),
            ("torch", "ByteStorage") | ("torch.storage", "UntypedStorage") => Global::Storage(Kind::Uint8),
            ("torch", "BoolStorage") => Global::Storage(Kind::Bool),
            _ => {
                let name = format!("{module}.{name}").chars().filter(|c| !c.is_control()).take(100).collect::<String>();
                return Err(format!("refused: its pickle asks for {name}, and only tensors are read; {RESAVE}"));
            }
        };
        self.push(Node::Global(global));
        Ok(())
    }

    fn call(&mut self) -> Result<()> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let (Node::Global(global), Node::Tuple(arguments)) = (&self.nodes[callee], &self.nodes[arguments]) else {
            return Err("its pickle is damaged: a call of something that is no function".into());
        };
        match (global, &arguments[..]) {
            (Global::OrderedDict, []) => self.push(Node::Dict(Vec::new())),
            (Global::Identity, [value, ..]) | (Global::RebuildParameter, [value, ..]) => self.stack.push(*value),
            (Global::RebuildTensor, &[storage, offset, size, stride, ..]) => {
                let tensor = self.tensor(storage, offset, size, stride)?;
                self.push(Node::Tensor(tensor));
            }
            _ => return Err(format!("its pickle makes a {global:?} in a way that is not known; {RESAVE}")),
        }
        Ok(())
    }

    /// A tensor that lies within its storage.
    fn tensor(&self, storage: Id, offset: Id, size: Id, stride: Id) -> Result<TensorRef<'a>> {
        let &Node::Storage(storage) = &self.nodes[storage] else {
            return Err("its pickle is damaged: a tensor without storage".into());
        };
        let (offset, size, stride) = (self.int(offset)?, self.ints(size)?, self.ints(stride)?);
        let fits = || {
            let mut last = (offset >= 0 && size.len() == stride.len()).then_some(offset)?;
            let mut count = 1i64;
            for (&n, &step) in size.iter().zip(&stride) {
                (n >= 0 && step >= 0).then_some(())?;
                count = count.checked_mul(n)?;
                last = last.checked_add(step.checked_mul((n - 1).max(0))?)?;
            }
            (count == 0 || last < storage.len).then_some(())
        };
        fits().ok_or("its pickle is damaged: a tensor reaches beyond its storage")?;
        Ok(TensorRef { storage, offset, size, stride })
    }

    /// `("storage", type, key, device, elements)`
    fn persistent(&mut self) -> Result<()> {
        let id = self.pop()?;
        let fields = if let Node::Tuple(fields) = &self.nodes[id] { &fields[..] } else { &[] };
        let &[tag, kind, key, _, len] = fields else { return Err(NO_STORAGE.into()) };
        let (Node::Text("storage"), &Node::Global(Global::Storage(kind))) = (&self.nodes[tag], &self.nodes[kind])
        else {
            return Err(NO_STORAGE.into());
        };
        let storage = StorageRef { key: self.text(key)?, kind, len: self.int(len)? };
        self.push(Node::Storage(storage));
        Ok(())
    }

    fn push(&mut self, node: Node<'a>) {
        self.stack.push(self.nodes.len());
        self.nodes.push(node);
    }

    fn top(&self) -> Result<Id> {
        self.above_mark(self.stack.len().checked_sub(1).ok_or(UNDERFLOW)?)?;
        self.stack.last().copied().ok_or_else(|| UNDERFLOW.into())
    }

    fn pop(&mut self) -> Result<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().ok_or(UNDERFLOW)?;
        Ok(self.stack.split_off(mark))
    }

    /// Nothing is taken from below the last mark.
    fn above_mark(&self, index: usize) -> Result<()> {
        if self.marks.last().is_some_and(|&mark| index < mark) { Err(UNDERFLOW.into()) } else { Ok(()) }
    }

    fn int(&self, id: Id) -> Result<i64> {
        if let Node::Int(value) = self.nodes[id] { Ok(value) } else { Err("its pickle is damaged: no number".into()) }
    }

    fn ints(&self, id: Id) -> Result<Vec<i64>> {
        match &self.nodes[id] {
            Node::Tuple(items) if items.len() <= MOST_DIMENSIONS => items.iter().map(|&item| self.int(item)).collect(),
            _ => Err("its pickle is damaged: no shape".into()),
        }
    }

    fn text(&self, id: Id) -> Result<&'a str> {
        if let Node::Text(text) = self.nodes[id] { Ok(text) } else { Err("its pickle is damaged: no text".into()) }
    }

    fn utf8(&mut self, length: u64) -> Result<Node<'a>> {
        let bytes = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        str::from_utf8(bytes).map(Node::Text).map_err(|_| "its pickle is damaged: no UTF-8".into())
    }

    fn other(&mut self, length: u64) -> Result<Node<'a>> {
        self.skip(usize::try_from(length).unwrap_or(usize::MAX))?;
        Ok(Node::Other)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| TRUNCATED.into())
    }

    fn line(&mut self) -> Result<&'a str> {
        let end = self.rest.iter().position(|&byte| byte == b'\n').ok_or(TRUNCATED)?;
        let line = self.take(end)?;
        self.skip(1)?;
        str::from_utf8(line).map_err(|_| "its pickle is damaged: no UTF-8".into())
    }

    fn skip(&mut self, length: usize) -> Result<()> {
        self.take(length).map(|_| ())
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(taken)
    }
}

const UNDERFLOW: &str = "its pickle is damaged: its stack is empty";
const TRUNCATED: &str = "its pickle is cut short";
const NO_STORAGE: &str = "its pickle is damaged: a reference to something that is no storage";

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>> {
    if !items.len().is_multiple_of(2) {
        return Err("its pickle is damaged: a key without a value".into());
    }
    Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

/// Little-endian two's complement of up to eight bytes.
fn long(bytes: &[u8]) -> Result<i64> {
    if bytes.len() > 8 {
        return Err("its pickle is damaged: a number too large".into());
    }
    let fill = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
    let mut wide = [fill; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    Ok(i64::from_le_bytes(wide))
}
