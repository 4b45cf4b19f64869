//! What a `tracing` span cannot say of itself when it starts.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    fmt,
    time::SystemTime,
};

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanBuilder, SpanContext, SpanKind},
};
use tracing::{Dispatch, Id};
use tracing_subscriber::{Registry, registry::LookupSpan as _};

thread_local! {
    static SEED: RefCell<Option<Sown>> = const { RefCell::new(None) };
    static ATTACHED: Cell<bool> = const { Cell::new(false) };
    static STARTED: Cell<Option<Context>> = const { Cell::new(None) };
}

/// The context of a span that tracing-opentelemetry knows nothing of; kept with the span.
#[derive(Debug)]
pub(crate) struct Own(pub(crate) Context);

/// The context of a span, as far as the pipeline's layers made one for it.
pub(crate) fn context_of(id: &Id, dispatch: &Dispatch) -> Option<Context> {
    let own = dispatch.downcast_ref::<Registry>().and_then(|registry| {
        let span = registry.span(id)?;
        let extensions = span.extensions();
        extensions.get::<Own>().map(|own| own.0.clone())
    });
    own.or_else(|| tracing_opentelemetry::get_otel_context(id, dispatch))
}

/// Hands the context of the span being started on this thread to whoever starts it.
pub(crate) fn started(context: Context) {
    STARTED.set(Some(context));
}

/// The context of the span that was started last on this thread, if the pipeline made it without tracing-opentelemetry.
pub(crate) fn take_started() -> Option<Context> {
    STARTED.take()
}

/// Whether the span being entered, exited or closed on this thread has its OpenTelemetry context attached by its owner:
/// the pipeline then has nothing to do for it.
pub(crate) fn is_attached() -> bool {
    // a thread on its way out attaches nothing
    ATTACHED.try_with(Cell::get).unwrap_or(false)
}

/// Whether the span being closed is such a span. Asked once: the next one to close is its parent.
pub(crate) fn was_attached() -> bool {
    ATTACHED.try_with(|attached| attached.replace(false)).unwrap_or(false)
}

/// While it lives, [`is_attached`] says yes on this thread.
struct Attached(bool);

impl Attached {
    fn begin() -> Self {
        Self(ATTACHED.try_with(|attached| attached.replace(true)).unwrap_or(false))
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // a thread on its way out has nothing left to say
        let _ = ATTACHED.try_with(|attached| attached.set(self.0));
    }
}

/// A span that is entered by the owner of its OpenTelemetry context, who attaches that itself: for `tracing` and for
/// layers of the user's it is entered like any other.
pub(crate) struct Entered<'a>(Option<tracing::span::Entered<'a>>);

impl<'a> Entered<'a> {
    pub(crate) fn new(span: &'a tracing::Span) -> Self {
        let _attached = Attached::begin();
        Self(Some(span.enter()))
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let _attached = Attached::begin();
        drop(self.0.take());
    }
}

impl fmt::Debug for Entered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entered").finish_non_exhaustive()
    }
}

/// Gives up a span whose OpenTelemetry span was ended by its owner. Where somebody else still holds it, it closes later as
/// any other span.
pub(crate) fn release(span: tracing::Span) {
    let _attached = Attached::begin();
    drop(span);
}

/// Name, kind, start, attributes and links of the one span that this thread is about to start.
///
/// The pipeline's tracer takes it when `tracing-opentelemetry` starts the span. It costs no field of the `tracing` span,
/// no formatting, and no lock on the started span; a value may have any OpenTelemetry type.
#[derive(Debug)]
pub(crate) struct SpanSeed {
    pub(crate) name: Cow<'static, str>,
    pub(crate) kind: SpanKind,
    pub(crate) start_time: SystemTime,
    pub(crate) attributes: Vec<KeyValue>,
    pub(crate) links: Vec<Link>,
}

/// A seed in the ground.
#[derive(Debug)]
pub(crate) struct Sown {
    seed: SpanSeed,
    /// The parent, where it is in another process and in no context of this one.
    remote: Option<SpanContext>,
    /// What the span will be, once that is decided.
    decided: Option<SpanContext>,
}

impl SpanSeed {
    /// Runs `start`, which starts a span, with this seed in the ground; what was not taken is removed.
    pub(crate) fn around<T>(self, start: impl FnOnce() -> T) -> T {
        self.around_below(None, start)
    }

    /// The same below a parent that no context has.
    pub(crate) fn around_below<T>(self, remote: Option<SpanContext>, start: impl FnOnce() -> T) -> T {
        struct Cleared;
        impl Drop for Cleared {
            fn drop(&mut self) {
                Sown::clear();
                drop(take_started());
            }
        }
        SEED.with_borrow_mut(|ground| *ground = Some(Sown { seed: self, remote, decided: None }));
        let _cleared = Cleared;
        start()
    }
}

impl Sown {
    /// The seed of the span being started, once.
    pub(crate) fn take() -> Option<Self> {
        // most spans have none, and a seed is large: it is moved only if there is one
        SEED.with(|ground| {
            let mut ground = ground.try_borrow_mut().ok()?;
            if ground.is_some() { ground.take() } else { None }
        })
    }

    /// The same, if it is that of a request's own span.
    pub(crate) fn take_request() -> Option<Self> {
        SEED.with_borrow_mut(|ground| match ground {
            Some(sown) if sown.seed.kind == SpanKind::Server => ground.take(),
            _ => None,
        })
    }

    /// What the seed of a request's own span will be: as it was decided, or is by `decide`, which is shown the seed and the
    /// parent that no context has.
    pub(crate) fn decided(
        decide: impl FnOnce(&SpanSeed, Option<&SpanContext>) -> SpanContext,
    ) -> Option<SpanContext> {
        SEED.with_borrow_mut(|ground| {
            let sown = ground.as_mut().filter(|sown| sown.seed.kind == SpanKind::Server)?;
            let Self { seed, remote, decided } = sown;
            Some(decided.get_or_insert_with(|| decide(seed, remote.as_ref())).clone())
        })
    }

    fn clear() {
        SEED.with_borrow_mut(|ground| {
            if ground.is_some() {
                *ground = None;
            }
        });
    }

    /// Makes the span what the seed says; what is known of it besides.
    pub(crate) fn plant(self, builder: &mut SpanBuilder) -> Planted {
        let SpanSeed { name, kind, start_time, attributes, links } = self.seed;
        builder.name = name;
        builder.span_kind = Some(kind);
        builder.start_time = Some(start_time);
        match &mut builder.attributes {
            Some(own) if !own.is_empty() => own.extend(attributes),
            own => *own = Some(attributes),
        }
        if !links.is_empty() {
            builder.links.get_or_insert_default().extend(links);
        }
        Planted { remote: self.remote, decided: self.decided }
    }
}

/// What no builder can say.
#[derive(Debug, Default)]
pub(crate) struct Planted {
    /// The parent that the context does not have.
    pub(crate) remote: Option<SpanContext>,
    /// What the span is, where that is decided already.
    pub(crate) decided: Option<SpanContext>,
}
