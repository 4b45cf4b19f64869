//! What is recorded about work is not worth a panic in it.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs what calls code of the program's (a processor, a layer, an error's text). Should that panic, this part is lost: the panic
/// hook has said so, and the work goes on, also where it is being dropped while another panic unwinds.
pub(crate) fn quietly(record: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(record));
}
