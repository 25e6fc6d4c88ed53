//! What the driver tells of what it does.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::Driver;
use crate::handle::Status;
use crate::news::{News, Told};
use crate::supervisor::{Event, How, Stage, State};

impl Driver {
    pub(super) fn news(&mut self, news: News) {
        self.news.push(news);
    }

    /// All that one event has brought.
    pub(super) fn tell_news(&mut self) {
        let news = mem::take(&mut self.news);
        let Some(listeners) = &self.listeners else { return };
        let next = self.supervisor.next();
        // Also where nothing is to be told but that it takes longer.
        if listeners.is_empty() || (news.is_empty() && next == self.told_next) {
            return;
        }
        self.told_next = next;
        let within = next.map(|next| next.saturating_sub(self.now()));
        listeners.tell(&Told { news: news.into(), within });
    }

    pub(super) fn tell_event(&mut self, event: Event, before: &[State]) {
        if let Event::Did(index, Stage::Start, How::Done) = event {
            self.news(News::Started { service: self.name(index) });
        }
        if let (Some((cause, words)), false) = (&self.cause, self.has_told_cause) {
            let news = News::Stop { cause: cause.clone(), detail: Arc::clone(words) };
            self.has_told_cause = true;
            self.news(news);
        }
        self.tell_ends(before);
    }

    pub(super) fn set_status(&self) {
        self.handle.set(Status {
            phase: self.supervisor.phase(),
            waits_for: self.waits_for(),
            cause: self.cause.as_ref().map(|(cause, _)| cause.clone()),
        });
    }

    pub(super) fn name(&self, index: usize) -> Arc<str> {
        Arc::clone(&self.names[index])
    }

    pub(super) fn asked_for(&self, index: usize) -> Option<Duration> {
        let times = &self.supervisor.services()[index].times;
        let asked = times.asked?;
        Some(times.over.unwrap_or_else(|| self.now()).saturating_sub(asked))
    }

    fn tell_ends(&mut self, before: &[State]) {
        for (index, before) in before.iter().enumerate() {
            let service = &self.supervisor.services()[index];
            if service.state == *before {
                continue;
            }
            // Of those alone: this reads the clock, and is called for every event.
            let (name, asked_for) = (self.name(index), self.asked_for(index));
            let has_begun = service.times.begun.is_some();
            if service.state == State::Over {
                // Its value, if that is still there, goes now.
                self.crew[index].lives.end();
            }
            match self.supervisor.services()[index].state {
                State::Over if has_begun => {
                    self.news(News::Over { service: name, asked_for });
                }
                State::Lost => {
                    // If it ever comes to it, there is nobody left to wait for it.
                    self.crew[index].abort_cleanup.cancel();
                    self.news(News::GivenUp { service: name, asked_for });
                }
                _ => {}
            }
        }
    }

    fn waits_for(&self) -> Arc<[Arc<str>]> {
        let services = self.supervisor.services().iter().zip(self.names.iter());
        let waits = services.filter(|(service, _)| self.supervisor.waits_for(service));
        waits.map(|(_, name)| Arc::clone(name)).collect()
    }
}
