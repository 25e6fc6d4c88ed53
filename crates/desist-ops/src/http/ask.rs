//! The hook is asked.

use axum::http::StatusCode;
use axum::http::request::Parts;

use super::access::{Access, Ask, Verb};
use super::problem::Problem;
use super::{Rule, Served, guard, loopback};
use crate::store::Store;
use crate::{Operation, OperationId};

/// Who does it.
pub(crate) type Actor = Option<String>;

impl<S: Store> Served<S> {
    fn access(&self, ask: &Ask<'_>) -> Result<Access, Problem> {
        if ask.verb.changes() {
            self.may_be_changed(ask.request)?;
        }
        self.rule(ask)
    }

    /// What is said of it, from wherever it is asked.
    fn rule(&self, ask: &Ask<'_>) -> Result<Access, Problem> {
        match &self.rule {
            Rule::Hook(hook) => Ok(hook(ask)),
            Rule::Loopback(actor) => {
                loopback::checked(ask.request)?;
                Ok(Access::granted(actor))
            }
            Rule::Nothing => {
                let says = "it is not said who may do what with operations; set \
                            `Routes::authorize(|ask| ..)` in the service";
                Err(Problem::new(StatusCode::FORBIDDEN, says))
            }
        }
    }

    /// Whether it makes sense to read what is asked about: the rest is the hook's.
    fn may_be_read(&self, request: &Parts) -> Result<(), Problem> {
        if matches!(self.rule, Rule::Hook(_)) {
            return Ok(());
        }
        let (verb, operation, kind, tag) = (Verb::List, None, None, None);
        self.rule(&Ask { verb, request, operation, kind, tag }).map(drop)
    }

    /// The same for what is to be changed.
    pub(super) fn may_be_changed(&self, request: &Parts) -> Result<(), Problem> {
        self.may_be_read(request)?;
        if let Some(says) = self.reads_only {
            return Err(Problem::new(StatusCode::FORBIDDEN, says));
        }
        guard::checked(request)
    }

    pub(super) fn may(&self, ask: &Ask<'_>) -> Result<Actor, Problem> {
        match self.access(ask)? {
            Access::Granted { actor } => Ok(actor),
            Access::Denied => Err(Problem::new(StatusCode::FORBIDDEN, "you may not do that")),
            Access::Unknown => Err(unknown()),
        }
    }

    /// Something that is to none.
    pub(crate) fn may_without(&self, verb: Verb, request: &Parts) -> Result<Actor, Problem> {
        self.may(&Ask { verb, request, operation: None, kind: None, tag: None })
    }

    /// Something to that one, which is given if it may be.
    pub(super) async fn may_with(
        &self,
        verb: Verb,
        request: &Parts,
        id: &str,
    ) -> Result<(Actor, Operation), Problem> {
        let operation = match id.parse::<OperationId>() {
            Ok(id) => {
                // Before the database is asked by whoever may ask nothing.
                if verb.changes() {
                    self.may_be_changed(request)?;
                    self.operations.to_change(id).await?
                } else {
                    self.may_be_read(request)?;
                    self.operations.get(id).await?
                }
            }
            Err(_) => None,
        };
        let ask =
            |verb| Ask { verb, request, operation: operation.as_ref(), kind: None, tag: None };
        let access = self.access(&ask(verb))?;
        let Some(found) = &operation else {
            return Err(if access == Access::Unknown { unknown() } else { Problem::not_found() });
        };
        match access {
            Access::Granted { actor } => Ok((actor, found.clone())),
            Access::Unknown => Err(unknown()),
            Access::Denied if self.may_see(request, found) => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "you may see this operation, and not do that",
            )),
            Access::Denied => Err(Problem::not_found()),
        }
    }

    pub(crate) fn may_see(&self, request: &Parts, operation: &Operation) -> bool {
        self.may_do(Verb::Show, request, operation)
    }

    /// Whether they still may.
    pub(super) fn may_watch(&self, request: &Parts, operation: &Operation) -> bool {
        self.may_do(Verb::Watch, request, operation)
    }

    pub(super) fn may_stop(&self, request: &Parts, operation: &Operation) -> bool {
        self.may_do(Verb::Cancel, request, operation)
    }

    /// Whether a page shall have a button for it. It is asked about once more when that is pressed.
    pub(crate) fn could_stop(&self, request: &Parts, operation: &Operation) -> bool {
        let verb = Verb::Cancel;
        let ask = Ask { verb, request, operation: Some(operation), kind: None, tag: None };
        self.reads_only.is_none() && matches!(self.rule(&ask), Ok(Access::Granted { .. }))
    }

    fn may_do(&self, verb: Verb, request: &Parts, operation: &Operation) -> bool {
        let ask = Ask { verb, request, operation: Some(operation), kind: None, tag: None };
        matches!(self.access(&ask), Ok(Access::Granted { .. }))
    }
}

fn unknown() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "it is not known who you are; sign in first")
}
