//! Keeps secrets in this process from the programs that it runs, which have the same user: the environment that the
//! kernel shows in /proc, and the memory.

/// Moves the environment to where only this process sees it. The kernel shows the block with which the process was
/// started, in `/proc/PID/environ`, to every process of the user; what remains there is blank. Variables are read as
/// before.
///
/// # Safety
///
/// No other thread may run yet: others may be reading the environment.
#[cfg(target_os = "linux")]
pub unsafe fn hide_environment() {
    use std::ffi::{CStr, c_char};
    unsafe extern "C" {
        static mut environ: *mut *mut c_char;
    }
    // SAFETY: POSIX has `environ` point to an array of pointers to strings that ends with a null pointer, all of which
    // a process may write to; nothing else reads or writes them meanwhile. A copy lives as long as the process does.
    unsafe {
        let mut place = environ;
        while !place.is_null() && !(*place).is_null() {
            let shown = *place;
            let length = CStr::from_ptr(shown).to_bytes().len();
            *place = CStr::from_ptr(shown).to_owned().into_raw();
            // Volatile: nothing reads it here, so a plain write might be optimised away.
            (0..length).for_each(|at| shown.add(at).write_volatile(0));
            place = place.add(1);
        }
    }
}

/// # Safety
///
/// None is needed here.
#[cfg(not(target_os = "linux"))]
pub(crate) unsafe fn hide_environment() {}

/// Prevents processes of the same user from reading this one's memory, environment or open files, unless they may trace
/// all processes (`CAP_SYS_PTRACE`). No core is dumped either.
#[cfg(target_os = "linux")]
pub(crate) fn keep_memory_private() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(
            "programs that `exec` runs may be able to read this worker's memory: {error}"
        );
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn keep_memory_private() {}
