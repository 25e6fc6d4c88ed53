//! The auto traits of every public type, and the sizes of the handles.

use std::cell::Cell;
use std::future::{Pending, Ready};
use std::marker::PhantomData;
use std::mem::size_of;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;

use desist::{
    Cancelled, Cause, Clock, Guard, Reason, Registration, Run, Source, Token, Unregistered,
    WeakClock, WhenCancelled,
};

/// Whether a type has a trait: the inherent constant is preferred where its bound holds.
struct Has<T: ?Sized, Trait>(PhantomData<T>, PhantomData<Trait>);

/// The answer where the bound does not hold.
trait Not {
    const HAS: bool = false;
}

impl<T: ?Sized, Trait> Not for Has<T, Trait> {}

macro_rules! asked {
    ($($name:ident: $bound:path;)*) => {
        $(
            enum $name {}

            impl<T: ?Sized + $bound> Has<T, $name> {
                const HAS: bool = true;
            }
        )*
    };
}

asked! {
    IsSend: Send;
    IsSync: Sync;
    IsUnpin: Unpin;
    IsUnwindSafe: UnwindSafe;
    IsRefUnwindSafe: RefUnwindSafe;
    IsClone: Clone;
    IsCopy: Copy;
}

/// `Send, Sync, Unpin, UnwindSafe, RefUnwindSafe` of a type, each as it must be.
macro_rules! auto_traits {
    ($($type:ty: $($trait:ident = $expected:literal),*;)*) => {
        $($(
            const _: () = assert!(
                <Has<$type, $trait>>::HAS == $expected,
                concat!(stringify!($trait), " of ", stringify!($type)),
            );
        )*)*
    };
}

auto_traits! {
    Source: IsSend = true, IsSync = true, IsUnpin = true, IsUnwindSafe = true, IsRefUnwindSafe = true;
    Token: IsSend = true, IsSync = true, IsUnpin = true, IsUnwindSafe = true, IsRefUnwindSafe = true;
    Cancelled: IsSend = true, IsSync = true, IsUnpin = true, IsUnwindSafe = true, IsRefUnwindSafe = true;
    Reason: IsSend = true, IsSync = true, IsUnpin = true, IsUnwindSafe = true, IsRefUnwindSafe = true;
    Guard: IsSend = true, IsSync = true, IsUnpin = true, IsUnwindSafe = true, IsRefUnwindSafe = true;
    Cause: IsSend = true, IsSync = true, IsUnpin = true;
    Registration: IsSend = true, IsSync = true, IsUnpin = true;
    Unregistered: IsSend = true, IsSync = true;
    Clock: IsSend = true, IsSync = true, IsUnpin = true;
    WeakClock: IsSend = true, IsSync = true, IsUnpin = true;
    // Futures that stand in a list of the token must not move once polled.
    WhenCancelled<'static>: IsSend = true, IsSync = true, IsUnpin = false;
    Run<'static, Ready<u8>>: IsSend = true, IsUnpin = false;
    Run<'static, Pending<u8>>: IsSend = true, IsUnpin = false;
    // A run is what its future is.
    Run<'static, Ready<Rc<u8>>>: IsSend = false, IsSync = false;
    Run<'static, Ready<Cell<u8>>>: IsSend = true, IsSync = false;
}

auto_traits! {
    Source: IsClone = true, IsCopy = false;
    Token: IsClone = true, IsCopy = false;
    Cancelled: IsClone = true, IsCopy = false;
    Reason: IsClone = true, IsCopy = true;
    Clock: IsClone = true, IsCopy = false;
    // One duty, one owner.
    Guard: IsClone = false;
    Registration: IsClone = false;
    Unregistered: IsClone = false;
    WhenCancelled<'static>: IsClone = false;
}

#[cfg(feature = "testing")]
auto_traits! {
    desist::testing::ManualClock: IsSend = true, IsSync = true, IsUnpin = true;
}

// The question itself gives both answers.
auto_traits! {
    u8: IsSend = true, IsSync = true, IsUnpin = true, IsUnwindSafe = true, IsRefUnwindSafe = true;
    Rc<u8>: IsSend = false, IsSync = false, IsUnpin = true;
    Cell<u8>: IsSend = true, IsSync = false, IsRefUnwindSafe = false;
    &'static mut u8: IsUnwindSafe = false, IsRefUnwindSafe = true;
    std::marker::PhantomPinned: IsUnpin = false;
}

const fn is_static<T: 'static>() {}

const _: () = {
    is_static::<Source>();
    is_static::<Token>();
    is_static::<Cancelled>();
    is_static::<Cause>();
    is_static::<Reason>();
    is_static::<Registration>();
    is_static::<Unregistered>();
    is_static::<Guard>();
    is_static::<Clock>();
    is_static::<WhenCancelled<'static>>();
    is_static::<Run<'static, Ready<u8>>>();
};

#[test]
fn handles_are_one_pointer_also_where_there_may_be_none() {
    let pointer = size_of::<usize>();
    assert_eq!(size_of::<Token>(), pointer);
    assert_eq!(size_of::<Source>(), pointer);
    assert_eq!(size_of::<Cancelled>(), pointer);
    assert_eq!(size_of::<Option<Source>>(), pointer);
    assert_eq!(size_of::<Option<Cancelled>>(), pointer);
    assert_eq!(size_of::<Result<(), Cancelled>>(), pointer);
    assert_eq!(size_of::<Reason>(), 1);
    assert_eq!(size_of::<Option<Reason>>(), 1);
}

#[test]
fn a_callback_needs_no_sync_and_a_scoped_one_no_static() {
    let source = Source::new();
    let cell = Cell::new(1);
    let _held = source.token().on_cancel(move |_| cell.set(cell.get() + 1));
    let mut borrowed = String::new();
    source.token().while_registered(|_| borrowed.push('x'), || source.cancel());
    assert_eq!(borrowed, "x");
}

#[test]
fn futures_may_be_spawned() {
    fn spawnable<F: Future + Send + 'static>(_: F)
    where
        F::Output: Send,
    {
    }

    let token = Token::never();
    spawnable(token.clone().cancelled_owned());
    spawnable(token.clone().run_owned(std::future::ready(1)));
    spawnable(async move {
        let ran = token.run(std::future::pending::<()>()).await;
        let waited = token.cancelled().await;
        (ran.is_err(), waited.reason(), token.await.reason())
    });
    let source = Source::new();
    spawnable(source.token().on_cancel(|_| ()).unregistered());
    spawnable(async move { source.guard().token().cancelled_owned().await });
}

#[test]
fn a_signal_goes_through_catch_unwind() {
    let source = Source::new();
    let token = source.token();
    let child = std::panic::catch_unwind(|| {
        assert!(!token.is_cancelled());
        source.child()
    });
    assert!(child.is_ok());
}
