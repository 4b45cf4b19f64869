//! What must not be seen: one set of rules for everything that is sent or shown.
//!
//! A value is hidden by its name ([`Redactor::is_secret_name`]) or by its shape ([`Shape`]); what is hidden becomes
//! `REDACTED`. The pipeline applies one [`Redactor`] to log fields and messages, span and metric attributes and the
//! resource; pages and endpoints apply the same to what they show. `Telemetry::builder().with_redaction(…)` replaces it.
//!
//! ```
//! use tracewell::redaction::Redactor;
//!
//! let redactor = Redactor::new();
//! assert_eq!(redactor.value("DB_PASSWORD", "hunter2"), "REDACTED");
//! assert_eq!(redactor.value("author", "Ada"), "Ada");
//! assert_eq!(redactor.text("connecting to postgres://app:hunter2@db/shop"),
//!     "connecting to postgres://REDACTED:REDACTED@db/shop");
//! ```

mod memory;
mod names;
mod scan;
mod shapes;
#[cfg(test)]
mod tests;
mod values;

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, OnceLock},
};

use arc_swap::{ArcSwap, Guard};

pub(crate) use self::memory::Memory;

/// What stands where a secret was.
pub const REDACTED: &str = "REDACTED";

/// Bytes of one text that are looked at; what is beyond is cut off, not shown unseen.
const MOST: usize = 1 << 20;

/// The parameters that the semantic conventions hide in `url.query` and `url.full` (HTTP spans, 1.44). Case-sensitive.
pub(crate) const SECRET_PARAMETERS: [&str; 7] = [
    "AWSAccessKeyId",
    "Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Goog-Signature",
    "sig",
];

/// A secret that is known by its looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Shape {
    /// User and password of a URL: `scheme://user:password@host`, and for HTTP a user alone, which is often a token.
    UrlPassword,
    /// What follows `Bearer` or `Basic`, unless it is a plain word.
    Bearer,
    /// A JSON web token: `eyJ….….…`.
    Jwt,
    /// A PEM private key, to its end line or to the end of the text.
    PrivateKey,
    /// Keys with a vendor's own prefix: `ghp_…`, `glpat-…`, `xoxb-…`, `sk_live_…`, `AKIA…`, `AIza…`, `npm_…`.
    ApiKey,
    /// 32 and more letters, digits, `+`, `-` and `_` in a row, of which the parts of 12 and more letters and digits have
    /// 24 together, 12 of them different, and in which letters and digits alternate as only chance makes them: at
    /// least at every eighth place when both cases occur (and the case changes as often), at every fifth with one case.
    ///
    /// Hexadecimal parts never count: trace ids, UUIDs and hashes stay; so do digests named as such (`sha256-…`,
    /// `SHA256:…`). An opaque id that looks like this is hidden too: nothing tells it from a key.
    RandomString,
    /// 13 to 19 digits with single spaces or dashes between them and a right check digit. By choice.
    CardNumber,
    /// `name@host.domain`. By choice.
    Email,
}

impl Shape {
    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// What is hidden. Cloning is cheap. The default hides by name and by every [`Shape`] that is not by choice.
#[derive(Clone)]
pub struct Redactor(Arc<ArcSwap<Rules>>);

/// Rules that something was looked through with.
#[derive(Debug)]
pub(crate) struct Mark(Arc<Rules>);

#[derive(Debug, Clone)]
struct Rules {
    /// Whether the built-in names count.
    names: bool,
    /// Whether anything is hidden at all.
    on: bool,
    shapes: u8,
    /// The user's own names, each as its lower-case words.
    own: Vec<Vec<String>>,
    /// Names that are never secret, lower-case.
    harmless: Vec<String>,
}

impl Rules {
    fn has(&self, shape: Shape) -> bool {
        self.shapes & shape.bit() != 0
    }

    fn is_secret_name(&self, name: &str) -> bool {
        if !self.own.is_empty() && names::contains(name, &self.own) {
            return true;
        }
        self.names && names::is_secret(name) && !self.harmless.iter().any(|h| name.eq_ignore_ascii_case(h))
    }

    /// See [`Redactor::value`].
    fn value<'a>(&self, name: &str, value: &'a str) -> Cow<'a, str> {
        if !self.on || value.is_empty() {
            return Cow::Borrowed(value);
        }
        if self.is_secret_name(name) { Cow::Borrowed(REDACTED) } else { self.text(value) }
    }

    /// See [`Redactor::text`].
    fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.on { scan::scan(text, self) } else { Cow::Borrowed(text) }
    }

    /// See [`Redactor::query`].
    fn query<'a>(&self, query: &'a str) -> Cow<'a, str> {
        if !self.on {
            return Cow::Borrowed(query);
        }
        let secret = |pair: &str| {
            pair.split_once('=').is_some_and(|(key, value)| {
                !value.is_empty() && (SECRET_PARAMETERS.contains(&key) || self.is_secret_name(key))
            })
        };
        if !query.split('&').any(secret) {
            return self.text(query);
        }
        let mut shown = String::with_capacity(query.len());
        for (index, pair) in query.split('&').enumerate() {
            if index > 0 {
                shown.push('&');
            }
            match pair.split_once('=') {
                Some((key, _)) if secret(pair) => {
                    shown.push_str(key);
                    shown.push('=');
                    shown.push_str(REDACTED);
                }
                _ => shown.push_str(&self.text(pair)),
            }
        }
        Cow::Owned(shown)
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Redactor").field(&**self.rules()).finish()
    }
}

impl Default for Redactor {
    fn default() -> Self {
        static DEFAULT: OnceLock<Redactor> = OnceLock::new();
        DEFAULT.get_or_init(Self::fresh).clone()
    }
}

impl Redactor {
    /// The default rules.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Hides nothing.
    #[must_use]
    pub fn off() -> Self {
        let rules = Rules { names: false, on: false, shapes: 0, own: Vec::new(), harmless: Vec::new() };
        Self::of(rules)
    }

    fn fresh() -> Self {
        let shapes = [
            Shape::UrlPassword,
            Shape::Bearer,
            Shape::Jwt,
            Shape::PrivateKey,
            Shape::ApiKey,
            Shape::RandomString,
        ];
        let shapes = shapes.into_iter().fold(0, |all, shape| all | shape.bit());
        Self::of(Rules { names: true, on: true, shapes, own: Vec::new(), harmless: Vec::new() })
    }

    /// Hides values of these names too, wherever a name has their words in a row: `customer_number` stands for
    /// `customer.number` and `x-customer-number` as well.
    #[must_use]
    pub fn with_names<N: AsRef<str>>(self, names: impl IntoIterator<Item = N>) -> Self {
        self.change(|rules| {
            let words = names.into_iter().map(|name| names::words(name.as_ref()));
            rules.own.extend(words.filter(|words| !words.is_empty()));
        })
    }

    /// Shows values of exactly these names (in any case), although a word in them would hide them.
    #[must_use]
    pub fn with_harmless_names<N: AsRef<str>>(self, names: impl IntoIterator<Item = N>) -> Self {
        self.change(|rules| {
            rules.harmless.extend(names.into_iter().map(|name| name.as_ref().to_ascii_lowercase()));
        })
    }

    /// Hides this shape too.
    #[must_use]
    pub fn with_shape(self, shape: Shape) -> Self {
        self.change(|rules| rules.shapes |= shape.bit())
    }

    /// Shows this shape.
    #[must_use]
    pub fn without_shape(self, shape: Shape) -> Self {
        self.change(|rules| rules.shapes &= !shape.bit())
    }

    /// The rules as they are now; see [`is`](Self::is).
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.0.load_full())
    }

    /// Whether the rules are still those of the mark, not just equal ones.
    pub(crate) fn is(&self, mark: &Mark) -> bool {
        Arc::ptr_eq(&self.0.load(), &mark.0)
    }

    fn of(rules: Rules) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(rules)))
    }

    fn rules(&self) -> Guard<Arc<Rules>> {
        self.0.load()
    }

    /// Follows these rules from now on, and so do its clones.
    pub(crate) fn follow(&self, rules: &Self) {
        self.0.store(rules.0.load_full());
    }

    /// The same rules, in a redactor that follows others on its own.
    pub(crate) fn apart(&self) -> Self {
        Self::of(Rules::clone(&self.rules()))
    }

    fn change(self, change: impl FnOnce(&mut Rules)) -> Self {
        let mut rules = Rules::clone(&self.rules());
        change(&mut rules);
        rules.on = rules.names || rules.shapes != 0 || !rules.own.is_empty();
        Self::of(rules)
    }

    /// Whether a value of this name is hidden whatever it looks like.
    ///
    /// A name is taken apart at every character that is no letter or digit and at changes of case; a word among `key`,
    /// `token`, `pass`, `password`, `secret`, `auth`, `authorization`, `cookie`, `credential`, `dsn`, `session` and
    /// their kin hides it: `api_key`, `x-auth-token`, `dbPassword`; not `monkey`, `author`, `passenger`. Words that
    /// say otherwise do not: `public_key`, `routing_key`, `token.type`, `session_count`.
    #[must_use]
    pub fn is_secret_name(&self, name: &str) -> bool {
        let rules = self.rules();
        rules.on && rules.is_secret_name(name)
    }

    /// What may be seen of a value with a name: an attribute, a field, a header, a variable.
    #[must_use]
    pub fn value<'a>(&self, name: &str, value: &'a str) -> Cow<'a, str> {
        self.rules().value(name, value)
    }

    /// What may be seen of a text without a name, such as a message: shapes, and the values of secret names that are
    /// written in it (`password=…`, `"token": "…"`, `secret: Some("…")`, `x-api-key: …`).
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.rules().text(text)
    }

    /// What may be seen of a URL's query: the conventions' seven parameters, secret names, shapes.
    #[must_use]
    pub fn query<'a>(&self, query: &'a str) -> Cow<'a, str> {
        self.rules().query(query)
    }
}
