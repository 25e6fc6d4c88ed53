#![no_main]
#![forbid(unsafe_code)]

use desist_fuzz::Target;

// libFuzzer's panic hook aborts. Callbacks that panic on purpose do so past any hook.
libfuzzer_sys::fuzz_target!(|data: &[u8]| Target::Threads.run(data));
