//! The wire format of Protocol Buffers (protobuf.dev/programming-guides/encoding), as far as OTLP needs it.
//!
//! A message is written where it stays: one byte is kept for its length, and a longer one moves what was written behind it.
//! Measuring first, as `prost` does, walks through every value once more for each message around it.

/// What kind of value follows a field's number.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Varint = 0,
    Fixed64 = 1,
    Length = 2,
    Fixed32 = 5,
}

/// Writes fields, in the order in which it is told them.
#[derive(Debug)]
pub(super) struct Wire(Vec<u8>);

impl Wire {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// A value of proto3's implicit presence: none is written for the default, here and below.
    pub(super) fn varint(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.present_varint(field, value);
        }
    }

    pub(super) fn fixed32(&mut self, field: u32, value: u32) {
        if value != 0 {
            self.key(field, Kind::Fixed32);
            self.0.extend_from_slice(&value.to_le_bytes());
        }
    }

    pub(super) fn fixed64(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.present_fixed64(field, value.to_le_bytes());
        }
    }

    pub(super) fn bytes(&mut self, field: u32, value: &[u8]) {
        if !value.is_empty() {
            self.present_bytes(field, value);
        }
    }

    pub(super) fn text(&mut self, field: u32, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    /// A value of a `oneof`: that it is there is a statement, whatever it is.
    pub(super) fn present_varint(&mut self, field: u32, value: u64) {
        self.key(field, Kind::Varint);
        self.number(value);
    }

    pub(super) fn present_double(&mut self, field: u32, value: f64) {
        self.present_fixed64(field, value.to_le_bytes());
    }

    fn present_fixed64(&mut self, field: u32, value: [u8; 8]) {
        self.key(field, Kind::Fixed64);
        self.0.extend_from_slice(&value);
    }

    pub(super) fn present_bytes(&mut self, field: u32, value: &[u8]) {
        self.key(field, Kind::Length);
        self.number(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// A message, with what `content` writes in it.
    pub(super) fn message(&mut self, field: u32, content: impl FnOnce(&mut Self)) {
        self.key(field, Kind::Length);
        let at = self.0.len();
        self.0.push(0);
        content(self);
        let length = self.0.len() - at - 1;
        match u8::try_from(length) {
            Ok(short @ 0..0x80) => self.0[at] = short,
            _ => self.widen(at, length),
        }
    }

    /// Makes room at `at` for a length of more than one byte.
    fn widen(&mut self, at: usize, length: usize) {
        let (mut prefix, mut size, mut rest) = ([0; 10], 0, length as u64);
        while rest >= 0x80 {
            prefix[size] = rest as u8 | 0x80;
            rest >>= 7;
            size += 1;
        }
        prefix[size] = rest as u8;
        // the kept byte is the last one's place, were there no more
        let end = self.0.len();
        self.0.resize(end + size, 0);
        self.0.copy_within(at + 1..end, at + 1 + size);
        self.0[at..=at + size].copy_from_slice(&prefix[..=size]);
    }

    /// Fields that are encoded already.
    pub(super) fn encoded(&mut self, fields: &[u8]) {
        self.0.extend_from_slice(fields);
    }

    fn key(&mut self, field: u32, kind: Kind) {
        self.number(u64::from(field << 3 | kind as u32));
    }

    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
