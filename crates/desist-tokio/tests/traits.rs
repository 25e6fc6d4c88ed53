//! The auto traits of every public type.

use std::future::{Future, Pending, Ready};

use desist_tokio::{
    Ended, Grace, Interval, OnFailure, Outcome, Report, RunningTask, Shield, Signal, Signals,
    Sleep, Spawner, Stop, StopSource, Straggler, TaskFailed, TaskGroup, TaskId, TaskPanic, Timeout,
    UntilCancelled, WithCurrent,
};

fn send<T: Send>() {}
fn sync<T: Sync>() {}
fn unpin<T: Unpin>() {}
fn is_static<T: 'static>() {}

/// It compiles, or a promise is broken.
#[test]
fn whatever_a_service_keeps_may_go_to_any_thread() {
    macro_rules! each {
        ($($type:ty),* $(,)?) => {
            $( send::<$type>(); sync::<$type>(); unpin::<$type>(); is_static::<$type>(); )*
        };
    }
    each!(
        Stop,
        StopSource,
        Signal,
        Grace,
        OnFailure,
        TaskId,
        TaskPanic,
        TaskFailed,
        Straggler,
        RunningTask,
        TaskGroup<u8>,
        Spawner<u8>,
        Outcome<u8>,
        Ended<u8>,
        Report<u8>,
        Interval,
        Shield<u8>,
    );
    send::<Signals>();
    send::<Sleep<'static>>();
    sync::<Sleep<'static>>();
    send::<Timeout<Pending<u8>>>();
    sync::<Timeout<Pending<u8>>>();
    send::<WithCurrent<Ready<u8>>>();
    sync::<WithCurrent<Ready<u8>>>();
    send::<UntilCancelled<Vec<u8>>>();
    unpin::<UntilCancelled<Vec<u8>>>();
}

/// Values that are not Sync may be a task's.
#[test]
fn a_group_is_as_free_as_its_values_allow() {
    send::<TaskGroup<std::cell::Cell<u8>>>();
    sync::<TaskGroup<std::cell::Cell<u8>>>();
    send::<Ended<std::cell::Cell<u8>>>();
}

#[test]
fn what_waits_for_a_group_may_be_spawned() {
    fn spawnable<F: Future + Send>(_: F) {}
    let group = TaskGroup::new();
    spawnable(group.join());
    spawnable(group.next());
    spawnable(group.wait());
    spawnable(group.stop(Grace::new(std::time::Duration::ZERO)));
}
