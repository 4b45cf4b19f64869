//! A panic as a log event in its own span.

use std::{backtrace::Backtrace, cell::Cell, panic::PanicHookInfo, sync::Once};

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Logs every panic once, then calls the hook that was set before.
pub(crate) fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // a panic while this one is being logged goes to the other hook only
            if !INSIDE.replace(true) {
                log(panic);
                INSIDE.set(false);
            }
            before(panic);
        }));
    });
}

/// The event of the conventions (exceptions/exceptions-logs.md), with the current span's ids.
fn log(panic: &PanicHookInfo<'_>) {
    let message = panic
        .payload()
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.payload().downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is no text");
    let (file, line) = panic.location().map_or(("", 0), |place| (place.file(), place.line()));
    // only captured when RUST_BACKTRACE asks for it
    let backtrace = Backtrace::capture();
    let backtrace = match backtrace.status() {
        std::backtrace::BacktraceStatus::Captured => Some(backtrace.to_string()),
        _ => None,
    };
    let thread = std::thread::current();
    tracing::event!(
        name: "exception",
        target: "tracewell::panic",
        tracing::Level::ERROR,
        exception.type = "panic",
        exception.message = message,
        exception.stacktrace = backtrace,
        code.file.path = file,
        code.line.number = line,
        thread.name = thread.name(),
        "panicked at {file}:{line}: {message}"
    );
}
