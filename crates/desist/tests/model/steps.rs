//! The longer operations, and the comparison.

use super::*;

/// Moves the handle that is meant, if there is any, from the one to the other.
fn hand_over<T>(
    hands: &mut [Hand; OWNERS],
    of: impl Fn(&mut Hand) -> &mut Vec<T>,
    [from, to]: [usize; 2],
    number: usize,
) {
    let handle = take(of(&mut hands[from]), number);
    of(&mut hands[to]).extend(handle);
}

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
            Then::Cancel(number)
                if can && self.owner(|hand| !hand.sources.is_empty()).is_some() =>
            {
                Some(self.source(number))
            }
            _ => None,
        };
        let panics = matches!(then, Then::Panic);
        let index = self.model.callbacks.len();
        let captured = Captured::new();
        let cancels = other.as_ref().map(|(_, id)| *id);
        let (called, woken) = (self.called.clone(), self.woken.clone());
        let handle = captured.handle();
        let source = other.map(|(source, _)| source);
        let registration = outcome(|| {
            token.on_cancel(move |_| {
                let _handle = handle;
                called.push(Call { callback: index, woken: woken.get() });
                if let Some(source) = source {
                    source.cancel_with(NESTED);
                }
                if panics {
                    resume_unwind(Box::new(Planned(index)));
                }
            })
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
        self.model.callbacks.push(Callback { on, state, held: true, cancels, panics });
        self.captured.push(captured);
        let cancel = cancelled.then(|| {
            let nested = self.model.follow(vec![index]);
            Cancel { own: vec![index], nested, woken: 0 }
        });
        let registration =
            self.check_outcome(registration, &Model::default(), &Vec::from_iter(cancel));
        match registration {
            Some(registration) => self.hand().registrations.push((registration, index)),
            None => self.model.callbacks[index].held = false,
        }
    }

    pub(super) fn scope(&mut self, number: usize, then: Then) {
        let (token, on) = self.token(number);
        let source = match then {
            Then::Cancel(number) => Some(self.source(number)),
            Then::Nothing | Then::Panic => None,
        };
        let panics = matches!(then, Then::Panic);
        let index = self.model.callbacks.len();
        let before = self.parents();
        let cancelled = on.is_some_and(|id| !self.model.live(id));
        let state = if cancelled { State::Run } else { State::Registered };
        self.model.callbacks.push(Callback { on, state, held: true, cancels: None, panics: false });
        self.captured.push(Captured::new());
        let mut cancels = Vec::new();
        if cancelled {
            cancels.push(Cancel { own: vec![index], ..Cancel::default() });
        }
        if let Some((_, id)) = &source {
            cancels.extend(self.model.cancel(*id, (Reason::Requested, Some(NESTED.to_owned()))));
        }
        let (called, woken) = (&self.called, &self.woken);
        let returned = outcome(|| {
            token.while_registered(
                |_| called.push(Call { callback: index, woken: woken.get() }),
                || {
                    if let Some((source, _)) = source {
                        source.cancel_with(NESTED);
                    }
                    if panics {
                        resume_unwind(Box::new(Planned(index)));
                    }
                },
            );
        });
        if panics {
            assert_eq!(returned, Err(index), "the panic of the body comes out");
            self.check_calls(&before, &cancels);
        } else {
            self.check_outcome(returned, &before, &cancels);
        }
        self.take_back(index);
    }

    pub(super) fn pass(&mut self, what: Handle, number: usize, to: usize) {
        let by = self.by;
        match what {
            Handle::Source => {
                hand_over(&mut self.hands, |hand| &mut hand.sources, [by, to], number)
            }
            Handle::Token => hand_over(&mut self.hands, |hand| &mut hand.tokens, [by, to], number),
            Handle::Guard => hand_over(&mut self.hands, |hand| &mut hand.guards, [by, to], number),
            Handle::Registration => {
                hand_over(&mut self.hands, |hand| &mut hand.registrations, [by, to], number);
            }
            Handle::Wait => hand_over(&mut self.hands, |hand| &mut hand.waits, [by, to], number),
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
        let Some((registration, callback)) = take(&mut self.hand().registrations, number) else {
            return;
        };
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
        let (first, second) = (counting_in(&self.woken), counting_in(&self.woken));
        let index = self.waiters.len();
        self.hand().waits.push(index);
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
        let waits = &self.hands[self.by].waits;
        let Some(index) = pick(waits, number).map(|place| waits[place]) else {
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
            let armed = outcome(|| match by_instant && self.timed(Some(id)) {
                true => source.cancel_at(self.clock.now()),
                false => source.cancel_after(Duration::ZERO),
            });
            self.check_outcome(armed, &before, &[cancel.unwrap_or_default()]);
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
        // Panics of what a deadline calls end there.
        self.clock.advance(Duration::from_millis(millis));
        self.check_calls(&before, &cancels);
    }

    /// Everything that can be asked gives the answer of the model.
    pub(crate) fn compare(&self) {
        assert!(self.called.take().is_empty(), "a callback was called for nothing");
        let (can, deadlines) = (self.model.who_can_be_cancelled(), self.model.deadlines());
        let compare = |token: &Token, id: Id| self.compare_token(token, id, can[id], deadlines[id]);
        for (token, id) in self.all_tokens() {
            match id {
                Some(id) => compare(token, *id),
                None => {
                    assert!(!token.is_cancelled() && !token.can_be_cancelled());
                    assert_eq!((token, token.deadline()), (&Token::never(), None));
                }
            }
        }
        for (source, id) in self.hands.iter().flat_map(|hand| &hand.sources) {
            assert_eq!(source.is_cancelled(), !self.model.live(*id));
            compare(&source.token(), *id);
        }
        for (waiter, wait) in self.waiters.iter().zip(&self.model.waits) {
            let wakes = waiter.wakes.each_ref().map(|wakes| wakes.get());
            assert_eq!(wakes, wait.wakes, "how often a waker was woken");
        }
        for (captured, callback) in self.captured.iter().zip(&self.model.callbacks) {
            let could_come = callback.on.is_some_and(|id| can[id]);
            let expected = usize::from(callback.state == State::Registered);
            // When a callback is dropped whose call can never come is not said.
            if expected == 0 || could_come {
                assert_eq!(captured.held(), expected, "{:?}", callback.state);
            }
        }
        for ((left, left_id), (right, right_id)) in self.all_tokens().zip(self.all_tokens().skip(1))
        {
            let cancelled = left.is_cancelled() && right.is_cancelled();
            if left_id == right_id || !cancelled {
                assert_eq!(left == right, left_id == right_id);
            }
        }
    }

    fn compare_token(&self, token: &Token, id: Id, can: bool, deadline: Option<u64>) {
        let signal = &self.model.signals[id];
        assert_eq!(token.is_cancelled(), signal.cause.is_some());
        assert_eq!(token.check().is_err(), signal.cause.is_some());
        assert_eq!(token.can_be_cancelled(), can);
        if let Some(expected) = &signal.cause {
            let cause = cause_of(token);
            assert_eq!(token.reason(), Some(expected.0));
            assert_eq!((cause.reason(), detail_text(&cause)), *expected);
            return;
        }
        assert_eq!(token.reason(), None);
        match (token.deadline(), deadline) {
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
        for by in 0..OWNERS {
            while !self.hands[by].sources.is_empty() || !self.hands[by].tokens.is_empty() {
                self.apply(by, &Operation::DropToken(self.hands[by].sources.len()));
                self.apply(by, &Operation::DropSource(self.hands[by].tokens.len()));
                self.compare();
            }
        }
        for by in 0..OWNERS {
            while !self.hands[by].registrations.is_empty() {
                self.apply(by, &Operation::DropRegistration(7));
                self.compare();
            }
            while !self.hands[by].guards.is_empty() {
                self.apply(by, &Operation::DisarmGuard(7));
                self.apply(by, &Operation::DropSource(7));
            }
        }
        for captured in &self.captured {
            assert_eq!(captured.held(), 0, "a callback is left over");
        }
    }
}
