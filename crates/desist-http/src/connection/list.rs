//! The requests of a connection.

use std::sync::{Arc, Weak};
use std::time::Instant;

use slab::Slab;

use crate::request::Request;

#[derive(Default)]
pub(super) struct Requests {
    /// On HTTP/1.1 all that there are, at hand.
    first: Option<Entry>,
    others: Slab<Entry>,
    /// The last one that is over, to be made the next one.
    pub(super) over: Option<Arc<Request>>,
    /// When the last of many was over.
    pub(super) answered: Option<Instant>,
    /// There is no stream to begin more of them.
    pub(super) closed: bool,
    /// The registry has it no longer.
    gone: bool,
}

/// The place of the first; no slab has as many.
const FIRST: usize = usize::MAX - 1;

impl Requests {
    #[inline]
    pub(super) fn insert(&mut self, request: &Arc<Request>) {
        let entry = Entry::Running(Arc::clone(request));
        request.set_place(if self.first.is_none() {
            self.first = Some(entry);
            FIRST
        } else {
            self.others.insert(entry)
        });
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut Entry> {
        match place {
            FIRST => self.first.as_mut(),
            other => self.others.get_mut(other),
        }
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.first.iter().chain(self.others.iter().map(|(_, entry)| entry))
    }

    /// It is taken from the list, and kept for the next one if it is as good as new. A
    /// connection whose stream is gone keeps none, for that would keep the connection.
    #[inline]
    pub(super) fn remove(&mut self, place: usize) -> Option<Entry> {
        let removed = match place {
            FIRST => self.first.take(),
            other => self.others.try_remove(other),
        };
        match removed? {
            Entry::Running(request) if !self.closed && request.is_as_new() => {
                self.over.replace(request).map(Entry::Running)
            }
            entry => Some(entry),
        }
    }

    /// Whether it is open no longer, said once.
    pub(super) fn ends(&mut self) -> bool {
        let ends = !self.gone && self.closed && self.len() == 0;
        self.gone |= ends;
        ends
    }
}

pub(super) enum Entry {
    Running(Arc<Request>),
    /// It became a stream, and ends with the last of its tokens.
    Upgraded(Weak<Request>),
}

impl Entry {
    pub(super) fn request(&self) -> Option<Arc<Request>> {
        match self {
            Self::Running(request) => Some(Arc::clone(request)),
            Self::Upgraded(request) => request.upgrade(),
        }
    }
}
