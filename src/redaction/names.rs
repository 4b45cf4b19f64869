//! Names taken apart into words, and the words that make a value secret.

/// The longest word that is compared; of a longer one its end.
const LONGEST: usize = 24;

/// Words after a secret one that say the value is about it, not it.
const ABOUT: [&[u8]; 28] = [
    b"type",
    b"kind",
    b"count",
    b"total",
    b"length",
    b"len",
    b"size",
    b"name",
    b"names",
    b"expiry",
    b"expires",
    b"ttl",
    b"age",
    b"timeout",
    b"duration",
    b"rate",
    b"method",
    b"scheme",
    b"mode",
    b"status",
    b"result",
    b"provider",
    b"enabled",
    b"through",
    b"url",
    b"uri",
    b"endpoint",
    b"limit",
];

/// Words before `key` that say it is no secret.
const OPEN_KEYS: [&[u8]; 12] = [
    b"public",
    b"primary",
    b"foreign",
    b"partition",
    b"sort",
    b"routing",
    b"message",
    b"idempotency",
    b"s3",
    b"group",
    b"unique",
    b"map",
];

/// One word, lower-case, without digits at its end unless it has nothing else.
#[derive(Clone, Copy)]
struct Word {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Word {
    fn new(text: &[u8]) -> Self {
        let end = text.iter().rposition(|b| !b.is_ascii_digit()).map_or(text.len(), |at| at + 1);
        // `s3` is a word of its own
        let text = if end < 2 { text } else { &text[..end] };
        let text = &text[text.len().saturating_sub(LONGEST)..];
        let mut bytes = [0; LONGEST];
        for (lower, byte) in bytes.iter_mut().zip(text) {
            *lower = byte.to_ascii_lowercase();
        }
        Self { bytes, len: text.len() }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn is_secret(&self) -> bool {
        let word = self.as_bytes();
        match word.len() {
            0..=2 => false,
            3..=5 => matches!(
                word,
                b"key" | b"pass" | b"auth" | b"token" | b"dsn" | b"pwd" | b"creds" | b"oauth" | b"jwt"
            ),
            _ => {
                matches!(
                    word,
                    b"authorization"
                        | b"session"
                        | b"sessionid"
                        | b"sessid"
                        | b"phpsessid"
                        | b"jsessionid"
                        | b"secrets"
                        | b"passwords"
                        | b"cookies"
                        | b"passphrase"
                        | b"passcode"
                        | b"credentials"
                        | b"bearer"
                ) || ["password", "passwd", "secret", "token", "cookie", "credential"]
                    .iter()
                    .any(|end| word.ends_with(end.as_bytes()))
                    || [
                        "apikey",
                        "accesskey",
                        "secretkey",
                        "privatekey",
                        "signingkey",
                        "encryptionkey",
                        "authkey",
                    ]
                    .iter()
                    .any(|end| word.ends_with(end.as_bytes()))
            }
        }
    }
}

/// Calls `each` with every word until it says stop.
fn each_word(name: &str, mut each: impl FnMut(Word) -> bool) {
    let bytes = name.as_bytes();
    let mut start = 0;
    for at in 0..=bytes.len() {
        let boundary = match bytes.get(at) {
            None => true,
            Some(byte) if !byte.is_ascii_alphanumeric() => true,
            Some(byte) if byte.is_ascii_uppercase() && at > start => {
                // `dbPassword`, and the last capital of `APIKey`
                !bytes[at - 1].is_ascii_uppercase() || bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase)
            }
            Some(_) => false,
        };
        if boundary {
            if at > start && each(Word::new(&bytes[start..at])) {
                return;
            }
            let separator = bytes.get(at).is_some_and(|byte| !byte.is_ascii_alphanumeric());
            start = if separator { at + 1 } else { at };
        }
    }
}

/// The beginnings of every secret word: most names hold none, and are not taken apart.
const STEMS: [[u8; 3]; 12] = [
    *b"key", *b"tok", *b"pas", *b"pwd", *b"sec", *b"aut", *b"coo", *b"cre", *b"dsn", *b"ses", *b"jwt",
    *b"bea",
];

/// For each of three places in a row, the stems that have a byte there.
static PLACES: [[u16; 256]; 3] = places();

const fn places() -> [[u16; 256]; 3] {
    let mut places = [[0; 256]; 3];
    let mut stem = 0;
    while stem < STEMS.len() {
        let mut place = 0;
        while place < 3 {
            let letter = STEMS[stem][place];
            places[place][letter as usize] |= 1 << stem;
            places[place][letter.to_ascii_uppercase() as usize] |= 1 << stem;
            place += 1;
        }
        stem += 1;
    }
    places
}

fn holds_stem(name: &str) -> bool {
    name.as_bytes().windows(3).any(|three| {
        let at = |place: usize| PLACES[place][usize::from(three[place])];
        at(0) & at(1) & at(2) != 0
    })
}

/// Whether a built-in word makes values of this name secret.
pub(super) fn is_secret(name: &str) -> bool {
    if !holds_stem(name) {
        return false;
    }
    let (mut before, mut pending, mut secret) = (None::<Word>, false, false);
    each_word(name, |word| {
        let about = ABOUT.contains(&word.as_bytes());
        secret = pending && !about;
        if !secret {
            let open = word.as_bytes() == b"key"
                && before.is_some_and(|before| OPEN_KEYS.contains(&before.as_bytes()));
            pending = word.is_secret() && !open;
            before = Some(word);
        }
        secret
    });
    secret || pending
}

/// The words of a name, lower-case.
pub(super) fn words(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    each_word(name, |word| {
        words.push(String::from_utf8_lossy(word.as_bytes()).into_owned());
        false
    });
    words
}

/// Whether a name holds the words of one of these names in a row.
pub(super) fn contains(name: &str, own: &[Vec<String>]) -> bool {
    let words = words(name);
    own.iter().any(|own| words.windows(own.len()).any(|window| window == own))
}
