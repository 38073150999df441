//! Undo and redo, of whatever was done, and the record of all of it.
//!
//! Objects and their tensors never change: a verb replaces objects by changed copies that share the rest. A state of the session is the
//! list of its objects, so that keeping the state before every step costs what the step replaced, and undo and redo compute nothing. What
//! only the history holds goes to the temporary file like everything else, and is limited by [`Settings::history_bytes`]; the record
//! itself, which a script is written from, is always whole.
//!
//! [`Settings::history_bytes`]: super::Settings::history_bytes

use super::object::Object;
use super::{Session, Step};
use crate::progress::stoppable;
use crate::{Error, Result};
use serde::Serialize;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// levels of undo, however small
const LEVELS: usize = 500;

/// The objects at one time.
pub(super) type State = Vec<Arc<Object>>;

/// What was done, and the states to go back and forth to.
#[derive(Default)]
pub(super) struct History {
    /// everything in order, undo and redo included
    pub record: Vec<Step>,
    /// places in the record of the steps in force
    pub done: Vec<usize>,
    /// the state before each of the last of them, newest last
    pub past: VecDeque<State>,
    /// steps that were undone, each with the state after it; the next to be redone last
    pub undone: Vec<(usize, State)>,
}

/// What was done to a session.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct HistoryInfo<'a> {
    /// the steps in force, in order
    pub done: Vec<&'a Step>,
    /// how many of them can be undone
    pub undo: usize,
    /// the steps that were undone and can be redone, the next one first
    pub undone: Vec<&'a Step>,
    /// everything that was done, in order, undo and redo included: doing the same again gives the same
    pub record: &'a [Step],
}

impl History {
    /// Can it be the history of a session?
    pub fn is_sound(&self) -> bool {
        let undone = self.undone.iter().map(|(at, _)| at);
        self.done.iter().chain(undone).all(|&at| at < self.record.len())
            && self.done.is_sorted()
            && self.past.len() <= self.done.len().min(LEVELS)
    }

    /// All states.
    pub fn states(&self) -> impl Iterator<Item = &State> {
        self.past.iter().rev().chain(self.undone.iter().rev().map(|(_, state)| state))
    }
}

impl Session {
    /// What was done so far.
    pub fn history(&self) -> HistoryInfo<'_> {
        let History { record, done, past, undone } = &self.history;
        HistoryInfo {
            done: done.iter().map(|&at| &record[at]).collect(),
            undo: past.len(),
            undone: undone.iter().rev().map(|&(at, _)| &record[at]).collect(),
            record,
        }
    }

    /// Takes the last step back, whatever it was: everything is as it was before, bit for bit, and so is whatever is done next.
    /// Returns the step. Errors: there is none, or its state was given up ([`Settings::history_bytes`](super::Settings::history_bytes)).
    pub fn undo(&mut self) -> Result<&Step> {
        let History { record, done, past, undone } = &mut self.history;
        let Some(&at) = done.last() else {
            return Err(Error::invalid("there is nothing to undo"));
        };
        let before = past.pop_back().ok_or_else(|| {
            Error::invalid(format!("step {at} ({}) cannot be undone any more: history_bytes keeps no more", record[at]))
        })?;
        done.pop();
        undone.push((at, std::mem::replace(&mut self.objects, before)));
        record.push(Step::Undo);
        Ok(&record[at])
    }

    /// Does the step again that was undone last, without computing it again. Returns the step. Errors: there is none; a step of
    /// another kind since the undo leaves none.
    pub fn redo(&mut self) -> Result<&Step> {
        let History { record, done, past, undone } = &mut self.history;
        let (at, after) = undone.pop().ok_or_else(|| Error::invalid("there is nothing to redo"))?;
        done.push(at);
        past.push_back(std::mem::replace(&mut self.objects, after));
        record.push(Step::Redo);
        Ok(&record[at])
    }

    /// Does something that is one step. An error leaves everything as it was.
    pub(super) fn change<T>(&mut self, step: Step, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let before = self.objects.clone();
        match stoppable(|| work(self)) {
            Ok(answer) => {
                self.commit(before, step);
                Ok(answer)
            }
            Err(error) => {
                self.objects = before;
                Err(error)
            }
        }
    }

    /// A step was done; what was undone before it cannot be redone any more.
    pub(super) fn commit(&mut self, before: State, step: Step) {
        let history = &mut self.history;
        history.undone.clear();
        history.done.push(history.record.len());
        history.record.push(step);
        history.past.push_back(before);
        if history.past.len() > LEVELS {
            history.past.pop_front();
        }
        self.limit_history();
    }

    /// Keeps the history within its budget; the last step can always be undone.
    pub(super) fn limit_history(&mut self) {
        let (store, settings, history) = (&self.store, &self.settings, &mut self.history);
        let over = |held: u64| store.bytes() > held.saturating_add(settings.history_bytes as u64);
        if !over(0) && store.live_bytes() <= settings.state_bytes {
            return;
        }
        let present = tensors(&self.objects);
        let held = present.values().sum();
        while history.past.len() > 1 && over(held) {
            history.past.pop_front();
        }
        if store.live_bytes() > settings.state_bytes {
            let slots = history.states().flatten().flat_map(|object| object.slots());
            let parked = slots.filter(|slot| !present.contains_key(&slot.id())).try_for_each(|slot| slot.park());
            if parked.is_err() {
                history.past.clear(); // the disk is full: the session is worth more than its past
            }
        }
    }
}

/// The tensors of some objects, each once: which, and its bytes.
pub(super) fn tensors(objects: &[Arc<Object>]) -> HashMap<usize, u64> {
    objects.iter().flat_map(|object| object.slots()).map(|slot| (slot.id(), slot.bytes())).collect()
}
