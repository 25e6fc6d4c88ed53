//! A waker whose every use calls out: `std::task::Wake` hides clone and drop.

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::task::{RawWaker, RawWakerVTable, Waker};

/// What is called when a waker is used.
pub(crate) trait WakerHooks: Send + Sync + 'static {
    fn cloned(&self);
    fn woken(&self);
    fn dropped(&self);
}

/// A waker that calls `hooks` and owns a count of it.
pub(crate) fn hooked_waker<H: WakerHooks>(hooks: Arc<H>) -> Waker {
    let raw = RawWaker::new(Arc::into_raw(hooks).cast(), vtable::<H>());
    // SAFETY: I12: the functions below keep the contract of `RawWaker`.
    unsafe { Waker::from_raw(raw) }
}

fn vtable<H: WakerHooks>() -> &'static RawWakerVTable {
    &const { RawWakerVTable::new(clone::<H>, wake::<H>, wake_by_ref::<H>, drop_waker::<H>) }
}

/// # Safety
///
/// I12: `data` is a count of an `Arc<H>` that the waker owns.
unsafe fn clone<H: WakerHooks>(data: *const ()) -> RawWaker {
    // SAFETY: I12: the waker's count keeps the hooks.
    let hooks = ManuallyDrop::new(unsafe { Arc::from_raw(data.cast::<H>()) });
    hooks.cloned();
    RawWaker::new(Arc::into_raw(Arc::clone(&hooks)).cast(), vtable::<H>())
}

/// # Safety
///
/// I12, and the waker is used up.
unsafe fn wake<H: WakerHooks>(data: *const ()) {
    // SAFETY: I12: the waker's count is ours now.
    unsafe { Arc::from_raw(data.cast::<H>()) }.woken();
}

/// # Safety
///
/// I12.
unsafe fn wake_by_ref<H: WakerHooks>(data: *const ()) {
    // SAFETY: I12: the waker's count keeps the hooks.
    ManuallyDrop::new(unsafe { Arc::from_raw(data.cast::<H>()) }).woken();
}

/// # Safety
///
/// I12, and the waker is used up.
unsafe fn drop_waker<H: WakerHooks>(data: *const ()) {
    // SAFETY: I12: the waker's count is ours now.
    unsafe { Arc::from_raw(data.cast::<H>()) }.dropped();
}
