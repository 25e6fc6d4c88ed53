//! The longer operations, and the comparison.

use super::*;

impl World {
    pub(super) fn linked(&mut self, numbers: &[usize]) {
        let list: Vec<(Token, Option<Id>)> = numbers.iter().map(|n| self.token(*n)).collect();
        let parents: Vec<Option<Id>> = list.iter().map(|(_, id)| *id).collect();
        // Whose clock it is when the first parent can never be cancelled is not said.
        let first = parents.first().copied().flatten();
        let timed = first.is_some_and(|id| self.model.can_be_cancelled(id)) && self.timed(first);
        let id = self.model.add(&parents, timed);
        self.add_source(Source::linked(list.iter().map(|(token, _)| token)), id);
    }

    pub(super) fn any(&mut self, numbers: &[usize]) {
        let list: Vec<(Token, Option<Id>)> = numbers.iter().map(|n| self.token(*n)).collect();
        let mut distinct: Vec<Id> = Vec::new();
        for (_, id) in &list {
            if let Some(id) = id.filter(|id| self.model.can_be_cancelled(*id)) {
                if !distinct.contains(&id) {
                    distinct.push(id);
                }
            }
        }
        let any = Token::any(list.iter().map(|(token, _)| token));
        let id = match distinct.as_slice() {
            [] => {
                assert_eq!(any, Token::never());
                None
            }
            [one] => {
                let same = list.iter().find(|(_, id)| *id == Some(*one));
                assert_eq!(Some(&any), same.map(|(token, _)| token));
                Some(*one)
            }
            several => {
                let parents: Vec<Option<Id>> = several.iter().copied().map(Some).collect();
                Some(self.model.add(&parents, false))
            }
        };
        self.add_token(any, id);
    }

    pub(super) fn on_cancel(&mut self, number: usize, then: Then) {
        let (token, on) = self.token(number);
        let can = on.is_some_and(|id| self.model.can_be_cancelled(id));
        let other = match then {
            Then::Cancel(number) if can && !self.sources.is_empty() => Some(self.source(number)),
            _ => None,
        };
        let index = self.model.callbacks.len();
        let captured = Captured::new();
        let cancels = other.as_ref().map(|(_, id)| *id);
        let (called, handle) = (self.called.clone(), captured.handle());
        let source = other.map(|(source, _)| source);
        let registration = token.on_cancel(move |_| {
            let _handle = handle;
            called.push(index);
            if let Some(source) = source {
                source.cancel_with(NESTED);
            }
        });
        let cancelled = on.is_some_and(|id| !self.model.live(id));
        if let Some(id) = cancels {
            self.model.signals[id].sources += 1;
        }
        let state = match on {
            None => State::Gone,
            Some(_) if cancelled => State::Run,
            Some(_) => State::Registered,
        };
        self.model.callbacks.push(Callback { on, state, held: true, cancels });
        self.captured.push(captured);
        self.registrations.push((registration, index));
        if cancelled {
            let nested = self.model.follow(vec![index]);
            let cancel = Cancel { own: vec![index], nested };
            self.check_calls(&Model::default(), &[cancel]);
        }
    }

    /// In the model: the registration is dropped. True if the callback was still to come.
    pub(super) fn take_back(&mut self, callback: usize) -> bool {
        let waiting = self.model.callbacks[callback].state == State::Registered;
        self.model.callbacks[callback].held = false;
        if waiting {
            self.model.callbacks[callback].state = State::Gone;
            self.model.release(callback);
        }
        waiting
    }

    pub(super) fn unregister(&mut self, number: usize, way: Way) {
        let Some(index) = pick(&self.registrations, number) else {
            return;
        };
        let (registration, callback) = self.registrations.swap_remove(index);
        let on = self.model.callbacks[callback].on;
        let could_come = on.is_some_and(|id| self.model.can_be_cancelled(id));
        let expected = self.take_back(callback);
        let prevented = match way {
            Way::Now => registration.unregister(),
            Way::Blocking => registration.blocking_unregister(),
            Way::Awaited => match poll_once(pin!(registration.unregistered())) {
                Poll::Ready(prevented) => prevented,
                Poll::Pending => panic!("nothing is running"),
            },
        };
        // Whether a call is prevented that could not come is not said.
        if could_come {
            assert_eq!(prevented, expected);
        }
    }

    pub(super) fn wait(&mut self, number: usize, form: Form) {
        let (token, on) = self.token(number);
        let future: Pin<Box<dyn Future<Output = Cancelled>>> = match form {
            Form::Owned => Box::pin(token.cancelled_owned()),
            Form::Borrowed => Box::pin(async move { token.cancelled().await }),
            Form::Run => Box::pin(async move {
                let ran = token.run_owned(std::future::pending::<()>()).await;
                ran.expect_err("it never completes")
            }),
        };
        if let Some(id) = on {
            self.model.signals[id].tokens += 1;
        }
        let (first, second) = (counting(), counting());
        self.waiters.push(Waiter {
            future: Some(future),
            fused: matches!(form, Form::Owned),
            wakes: [first.0, second.0],
            wakers: [first.1, second.1],
        });
        let state = Waiting::Fresh;
        self.model.waits.push(reference::Wait { on, state, wakes: [0; 2] });
    }

    pub(super) fn poll(&mut self, number: usize, other: bool) {
        let Some(index) = pick(&self.waiters, number) else {
            return;
        };
        let waiter = &mut self.waiters[index];
        let Some(future) = waiter.future.as_mut() else {
            return;
        };
        let wait = &mut self.model.waits[index];
        let cause = wait.on.and_then(|id| self.model.signals[id].cause.clone());
        match (poll_with(future.as_mut(), &waiter.wakers[usize::from(other)]), cause) {
            (Poll::Ready(cancelled), Some(expected)) => {
                assert_eq!((cancelled.reason(), detail_text(&cancelled)), expected);
                wait.state = Waiting::Woken;
                if !waiter.fused {
                    waiter.future = None;
                }
            }
            (Poll::Pending, None) => wait.state = Waiting::Pending(other),
            (Poll::Ready(_), None) => panic!("ready, and not cancelled"),
            (Poll::Pending, Some(_)) => panic!("pending, and cancelled"),
        }
    }

    pub(super) fn drop_wait(&mut self, index: usize) {
        let wait = &mut self.model.waits[index];
        if wait.state == Waiting::Dropped {
            return;
        }
        wait.state = Waiting::Dropped;
        if let Some(id) = wait.on {
            self.model.signals[id].tokens -= 1;
        }
        self.waiters[index].future = None;
    }

    pub(super) fn arm(&mut self, number: usize, steps: u8, by_instant: bool) {
        let (source, id) = self.source(number);
        let at = self.free_deadline(steps);
        let before = self.parents();
        if steps == 0 {
            let cancel = self.model.cancel(id, (Reason::Deadline, None));
            match by_instant && self.timed(Some(id)) {
                true => source.cancel_at(self.clock.now()),
                false => source.cancel_after(Duration::ZERO),
            }
            self.check_calls(&before, &[cancel.unwrap_or_default()]);
        } else if self.timed(Some(id)) {
            self.model.signals[id].armed = self.model.live(id).then_some(at);
            match by_instant {
                true => source.cancel_at(self.begin + Duration::from_millis(at)),
                false => source.cancel_after(self.after(at)),
            }
        }
    }

    pub(super) fn advance(&mut self, millis: u64) {
        let until = self.model.now + millis;
        let before = self.parents();
        let mut cancels = Vec::new();
        while let Some(due) = self.model.next_due(until) {
            cancels.extend(self.model.cancel(due, (Reason::Deadline, None)));
            self.model.sweep();
        }
        self.model.now = until;
        self.clock.advance(Duration::from_millis(millis));
        self.check_calls(&before, &cancels);
    }

    /// Everything that can be asked gives the answer of the model.
    pub(crate) fn compare(&self) {
        assert!(self.called.take().is_empty(), "a callback was called for nothing");
        for (token, id) in &self.tokens {
            match id {
                Some(id) => self.compare_token(token, *id),
                None => {
                    assert!(!token.is_cancelled() && !token.can_be_cancelled());
                    assert_eq!((token, token.deadline()), (&Token::never(), None));
                }
            }
        }
        for (source, id) in &self.sources {
            assert_eq!(source.is_cancelled(), !self.model.live(*id));
            self.compare_token(&source.token(), *id);
        }
        for (waiter, wait) in self.waiters.iter().zip(&self.model.waits) {
            let wakes = waiter.wakes.each_ref().map(|wakes| wakes.get());
            assert_eq!(wakes, wait.wakes, "how often a waker was woken");
        }
        for (captured, callback) in self.captured.iter().zip(&self.model.callbacks) {
            let could_come = callback.on.is_some_and(|id| self.model.can_be_cancelled(id));
            let expected = usize::from(callback.state == State::Registered);
            // When a callback is dropped whose call can never come is not said.
            if expected == 0 || could_come {
                assert_eq!(captured.held(), expected, "{:?}", callback.state);
            }
        }
        for pair in self.tokens.windows(2) {
            let [(left, left_id), (right, right_id)] = pair else {
                unreachable!("windows of two");
            };
            let cancelled = left.is_cancelled() && right.is_cancelled();
            if left_id == right_id || !cancelled {
                assert_eq!(left == right, left_id == right_id);
            }
        }
    }

    fn compare_token(&self, token: &Token, id: Id) {
        let signal = &self.model.signals[id];
        assert_eq!(token.is_cancelled(), signal.cause.is_some());
        assert_eq!(token.check().is_err(), signal.cause.is_some());
        assert_eq!(token.can_be_cancelled(), self.model.can_be_cancelled(id));
        if let Some(expected) = &signal.cause {
            let cause = cause_of(token);
            assert_eq!(token.reason(), Some(expected.0));
            assert_eq!((cause.reason(), detail_text(&cause)), *expected);
            return;
        }
        assert_eq!(token.reason(), None);
        match (token.deadline(), self.model.deadline(id)) {
            (None, None) => assert_eq!(token.remaining(), None),
            (Some(seen), Some(at)) => {
                let exact = self.begin + Duration::from_millis(at);
                assert!(exact <= seen && seen <= exact + TICK, "{:?} late", seen - exact);
                if signal.timed {
                    assert_eq!(token.remaining(), Some(seen - self.clock.now()));
                }
            }
            (seen, expected) => panic!("deadline {seen:?}, expected {expected:?}"),
        }
    }

    /// Everything is dropped, one after the other, and nothing is left.
    pub(crate) fn end(mut self) {
        for index in 0..self.waiters.len() {
            self.drop_wait(index);
            self.model.sweep();
        }
        while !self.sources.is_empty() || !self.tokens.is_empty() {
            self.apply(&Operation::DropToken(self.sources.len()));
            self.apply(&Operation::DropSource(self.tokens.len()));
            self.compare();
        }
        while !self.registrations.is_empty() {
            self.apply(&Operation::DropRegistration(7));
            self.compare();
        }
        while !self.guards.is_empty() {
            self.apply(&Operation::DisarmGuard(7));
            self.apply(&Operation::DropSource(7));
        }
        for captured in &self.captured {
            assert_eq!(captured.held(), 0, "a callback is left over");
        }
    }
}
