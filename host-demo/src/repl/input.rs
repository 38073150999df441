//! Lines from a terminal, with history and completion, or from a pipe.

use super::complete::Known;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

/// What came.
pub enum Line {
    /// a line, without its end
    Text(String),
    /// Ctrl-C: the line is dropped
    Interrupted,
    /// Ctrl-D, or the end of the pipe
    End,
}

/// Where lines come from.
pub enum Input {
    /// a terminal
    Terminal(Box<Editor<Known, FileHistory>>, Option<PathBuf>),
    /// a pipe or file
    Pipe,
}

impl Input {
    /// Looks at stdin.
    pub fn new(history: Option<PathBuf>, known: Known) -> anyhow::Result<Self> {
        if !std::io::stdin().is_terminal() {
            return Ok(Self::Pipe);
        }
        let config = Config::builder().completion_type(CompletionType::List).auto_add_history(false).build();
        let mut editor = Editor::<Known, FileHistory>::with_config(config)?;
        editor.set_helper(Some(known));
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".sam_octa2_history"));
        let history = history.or_else(home);
        if let Some(path) = &history {
            let _ = editor.load_history(path); // there is none the first time
        }
        Ok(Self::Terminal(Box::new(editor), history))
    }

    /// Is a person typing?
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal(..))
    }

    /// The next line.
    pub fn line(&mut self, goes_on: bool) -> anyhow::Result<Line> {
        match self {
            Self::Terminal(editor, _) => match editor.readline(if goes_on { "... " } else { "> " }) {
                Ok(line) => Ok(Line::Text(line)),
                Err(ReadlineError::Interrupted) => Ok(Line::Interrupted),
                Err(ReadlineError::Eof) => Ok(Line::End),
                Err(error) => Err(error.into()),
            },
            Self::Pipe => {
                let mut line = String::new();
                Ok(match std::io::stdin().lock().read_line(&mut line)? {
                    0 => Line::End,
                    _ => Line::Text(line.trim_end_matches(['\n', '\r']).to_owned()),
                })
            }
        }
    }

    /// For the arrow keys, here and the next time.
    pub fn remember(&mut self, text: &str) {
        if let Self::Terminal(editor, _) = self {
            let _ = editor.add_history_entry(text);
        }
    }

    /// Keeps the history.
    pub fn save(&mut self) {
        if let Self::Terminal(editor, Some(path)) = self {
            let _ = editor.save_history(path);
        }
    }
}
