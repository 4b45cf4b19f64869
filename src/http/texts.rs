//! Texts that come again with request after request, shared instead of copied.

use std::{cell::RefCell, net::IpAddr, sync::Arc, thread::LocalKey};

use http::HeaderValue;
use opentelemetry::StringValue;

/// Texts of each kind kept per thread.
const SLOTS: usize = 16;
/// Longest text that is kept, in bytes.
const MAX: usize = 256;

type Kept<T> = RefCell<[Option<T>; SLOTS]>;
type Texts = Kept<Arc<str>>;
type Address = (IpAddr, Arc<str>);
type Host = (Box<[u8]>, Arc<str>, Option<u16>);

thread_local! {
    static FEW: Texts = const { RefCell::new([const { None }; SLOTS]) };
    // apart from the others, which many different ones would drive away
    static PATHS: Texts = const { RefCell::new([const { None }; SLOTS]) };
    static ADDRESSES: Kept<Address> = const { RefCell::new([const { None }; SLOTS]) };
    // as it was asked for, and taken apart
    static HOSTS: Kept<Host> = const { RefCell::new([const { None }; SLOTS]) };
}

/// The text as a value: of one that came lately, without a copy.
///
/// For what few clients send again and again (a host's name, a client's address and program). Each text has one place
/// where it can be, and gives way to the next one there.
pub(crate) fn shared(text: &str) -> StringValue {
    of(&FEW, text).into()
}

/// The same for paths and queries: what is asked for again and again costs no copy, and all the others one.
pub(super) fn path(text: &str) -> Arc<str> {
    of(&PATHS, text)
}

/// The same of a header's beginning, `None` where it is no visible text: one that came lately is compared as it is, and
/// not looked through again.
pub(in crate::http) fn header(value: &HeaderValue, clip: impl FnOnce(&str) -> &str) -> Option<StringValue> {
    match kept(&FEW, value.as_bytes()) {
        Some(kept) => Some(kept.into()),
        None => Some(shared(clip(value.to_str().ok()?))),
    }
}

/// The same of an address; `text` makes it.
pub(in crate::http) fn address(address: IpAddr, text: impl FnOnce() -> Arc<str>) -> StringValue {
    let place = match address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    };
    let kept = ADDRESSES.try_with(|addresses| {
        let mut addresses = addresses.try_borrow_mut().ok()?;
        let place = addresses.get_mut(usize::from(place) % SLOTS)?;
        match place {
            Some((kept, text)) if *kept == address => Some(Arc::clone(text)),
            _ => {
                let text = text();
                *place = Some((address, Arc::clone(&text)));
                Some(text)
            }
        }
    });
    // a thread on its way out keeps nothing
    kept.ok().flatten().unwrap_or_else(|| Arc::from(address.to_string())).into()
}

/// The name and port in what a client asked for; `parse` takes it apart if it did not come lately.
pub(in crate::http) fn host<'a>(
    asked: &[u8],
    parse: impl FnOnce() -> Option<(&'a str, Option<u16>)>,
) -> Option<(StringValue, Option<u16>)> {
    let kept = HOSTS.try_with(|hosts| {
        let hosts = hosts.try_borrow().ok()?;
        match hosts.get(place(asked))? {
            Some((kept, name, port)) if **kept == *asked => Some((Arc::clone(name), *port)),
            _ => None,
        }
    });
    if let Ok(Some((name, port))) = kept {
        return Some((name.into(), port));
    }
    let (name, port) = parse()?;
    let name: Arc<str> = Arc::from(name);
    if asked.len() <= MAX {
        // a thread on its way out keeps nothing
        let _ = HOSTS.try_with(|hosts| {
            let mut hosts = hosts.try_borrow_mut().ok()?;
            *hosts.get_mut(place(asked))? = Some((asked.into(), Arc::clone(&name), port));
            Some(())
        });
    }
    Some((name.into(), port))
}

fn of(texts: &'static LocalKey<Texts>, text: &str) -> Arc<str> {
    kept(texts, text.as_bytes()).unwrap_or_else(|| keep(texts, text))
}

fn kept(texts: &'static LocalKey<Texts>, text: &[u8]) -> Option<Arc<str>> {
    let kept = texts.try_with(|texts| {
        let texts = texts.try_borrow().ok()?;
        texts.get(place(text))?.as_ref().filter(|kept| kept.as_bytes() == text).cloned()
    });
    kept.ok()?
}

fn keep(texts: &'static LocalKey<Texts>, text: &str) -> Arc<str> {
    let text: Arc<str> = Arc::from(text);
    if text.len() <= MAX {
        // a thread on its way out keeps nothing
        let _ = texts.try_with(|texts| {
            let mut texts = texts.try_borrow_mut().ok()?;
            *texts.get_mut(place(text.as_bytes()))? = Some(Arc::clone(&text));
            Some(())
        });
    }
    text
}

/// The length and a few bytes spread hosts, addresses and programs well enough.
fn place(text: &[u8]) -> usize {
    let byte = |at: usize| text.get(at).copied().map_or(0, usize::from);
    let last = text.len().saturating_sub(1);
    (text.len().wrapping_mul(7) ^ byte(last).wrapping_mul(5) ^ byte(last / 2).wrapping_mul(3) ^ byte(0))
        % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_comes_again_is_the_same_memory_and_any_text_is_itself() {
        let address = |value: &StringValue| value.as_str().as_ptr();
        let first = shared("shop.example");
        assert_eq!(address(&first), address(&shared("shop.example")));
        for length in 0..2 * MAX {
            let text = "ab€".repeat(length);
            assert_eq!(shared(&text).as_str(), text);
            assert_eq!(shared(&text).as_str(), text);
        }
    }

    #[test]
    fn headers_addresses_and_hosts_are_themselves_whatever_came_before() {
        for number in (0..4 * SLOTS).chain(0..4 * SLOTS) {
            let agent = format!("agent/{number}");
            let value = HeaderValue::from_str(&agent).unwrap();
            let read = || header(&value, |text| &text[..text.len().min(100)]);
            assert_eq!([read(), read()], [Some(agent.clone().into()), Some(agent.into())]);
            let ip = IpAddr::from([192, 0, 2, number as u8]);
            let of = || address(ip, || ip.to_string().into());
            assert_eq!([of(), of()], [ip.to_string().into(), ip.to_string().into()]);
            let asked = format!("shop{number}.example:80{number}");
            let parsed =
                || host(asked.as_bytes(), || Some((asked.split(':').next()?, number.try_into().ok())));
            let expected = Some((format!("shop{number}.example").into(), u16::try_from(number).ok()));
            assert_eq!([parsed(), parsed()], [expected.clone(), expected]);
        }
        assert_eq!(header(&HeaderValue::from_bytes(b"caf\xe9").unwrap(), |text| text), None);
        let long = "x".repeat(300);
        let cut = header(&HeaderValue::from_str(&long).unwrap(), |text| &text[..280]);
        assert_eq!(cut.map(|cut| cut.as_str().len()), Some(280));
    }
}
