//! The boundary as C sees it: handles, plain structs and function tables.
//!
//! Every function exists once and is reached in two ways: by its C name (`plugin/include/sam_octa2.h`) and through the extension tables
//! of the Rust interface (`sam_octa2.<extension>/1`), which hold the same functions. The rules (threads, ownership, errors) stand in the
//! header. Rust viewers use the safe types of this crate's root instead.

mod engine;
mod error;
mod functions;
mod types;

pub use engine::{ENGINE_SYMBOL, ENGINE_VERSION, Engine};
pub use error::ErrorBox;
pub use functions::{FUNCTIONS, FunctionInfo, Mask1, Model1, Script1, Session1, System1, Tables, Volume1};
pub use types::{
    Cancel, DTYPES, Failure, FunctionStruct, Handle, HostStruct, OnSliceStruct, Out, PROMPT_PATIENT, PROMPT_REPLACE,
    PromptStruct, Reply, ReplyStruct, Sized1, Status, Text, ViewStruct, form, opaque, status,
};
