//! What is recorded about work is not worth a panic in it, and two panics that meet would end the process.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    thread,
};

/// Runs what calls code of the program's (a processor, a layer, an error's text). Should that panic, this part is lost: the panic
/// hook has said so, and the work goes on, also where it is being dropped while another panic unwinds.
pub(crate) fn quietly(record: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(record));
}

/// Runs the program's own work while what `enter` makes current is, and gives back a panic of either.
///
/// Both are contained: a layer that is told of the exit may panic because the work did, and the work may be one that is dropped
/// while something around it unwinds.
pub(crate) fn contained<C, T>(enter: impl FnOnce() -> C, work: impl FnOnce() -> T) -> thread::Result<T> {
    let entered = || {
        let _current = enter();
        catch_unwind(AssertUnwindSafe(work))
    };
    catch_unwind(AssertUnwindSafe(entered)).and_then(|result| result)
}

/// Lets a contained panic go on out of a `drop`, where none is under way already.
pub(crate) fn resume_in_drop(panic: Box<dyn std::any::Any + Send>) {
    if !thread::panicking() {
        resume_unwind(panic);
    }
}
