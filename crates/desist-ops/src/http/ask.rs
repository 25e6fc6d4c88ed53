//! The hook is asked.

use axum::http::StatusCode;
use axum::http::request::Parts;

use super::access::{Access, Ask, Verb};
use super::problem::Problem;
use super::{Served, guard};
use crate::store::Store;
use crate::{Operation, OperationId};

/// Who does it.
pub(super) type Actor = Option<String>;

impl<S: Store> Served<S> {
    fn access(&self, ask: &Ask<'_>) -> Result<Access, Problem> {
        let Some(hook) = &self.hook else {
            let says = "it is not said who may do what with operations; set \
                        `Routes::authorize(|ask| ..)` in the service";
            return Err(Problem::new(StatusCode::FORBIDDEN, says));
        };
        if ask.verb.changes() {
            guard::checked(ask.request)?;
        }
        Ok(hook(ask))
    }

    /// Whether it makes sense to read what is asked for.
    pub(super) fn may_be_asked(&self, request: &Parts) -> Result<(), Problem> {
        if self.hook.is_none() {
            self.may_without(Verb::List, request)?;
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
    pub(super) fn may_without(&self, verb: Verb, request: &Parts) -> Result<Actor, Problem> {
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
                    self.may_be_asked(request)?;
                } else if self.hook.is_none() {
                    self.may_without(verb, request)?;
                }
                if verb.changes() {
                    self.operations.to_change(id).await?
                } else {
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

    pub(super) fn may_see(&self, request: &Parts, operation: &Operation) -> bool {
        self.may_do(Verb::Show, request, operation)
    }

    /// Whether they still may.
    pub(super) fn may_watch(&self, request: &Parts, operation: &Operation) -> bool {
        self.may_do(Verb::Watch, request, operation)
    }

    pub(super) fn may_stop(&self, request: &Parts, operation: &Operation) -> bool {
        self.may_do(Verb::Cancel, request, operation)
    }

    fn may_do(&self, verb: Verb, request: &Parts, operation: &Operation) -> bool {
        let ask = Ask { verb, request, operation: Some(operation), kind: None, tag: None };
        matches!(self.access(&ask), Ok(Access::Granted { .. }))
    }
}

fn unknown() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "it is not known who you are; sign in first")
}
