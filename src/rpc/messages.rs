//! Counts messages in passing, by their prefixes alone (grpc/doc/PROTOCOL-HTTP2.md "Length-Prefixed-Message").

use bytes::Buf;

/// A flag and four bytes of length.
const PREFIX: usize = 5;

/// Where in a stream of messages its frames have got to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Messages {
    begun: u64,
    /// Bytes of the current message that have not been seen.
    left: u64,
    prefix: [u8; PREFIX],
    /// Bytes of the next prefix that have.
    have: usize,
    /// Data in pieces, which cannot be looked at without taking it.
    lost: bool,
}

impl Messages {
    /// Looks at a frame's data; nothing is copied but a prefix that is in two frames.
    pub(crate) fn see(&mut self, data: &impl Buf) {
        let mut bytes = data.chunk();
        if self.lost || bytes.len() != data.remaining() {
            self.lost = true;
            return;
        }
        while !bytes.is_empty() {
            let passed = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            self.left -= passed as u64;
            bytes = &bytes[passed..];
            let taken = (PREFIX - self.have).min(bytes.len());
            self.prefix[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == PREFIX {
                let [_, length @ ..] = self.prefix;
                self.left = u64::from(u32::from_be_bytes(length));
                self.have = 0;
                self.begun += 1;
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.begun == 0 && !self.lost
    }

    /// Messages that have begun; `None` when they could not be counted.
    pub(crate) fn count(&self) -> Option<u64> {
        (!self.lost).then_some(self.begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages of these lengths.
    fn stream(lengths: &[u16]) -> Vec<u8> {
        let message = |length: &u16| {
            let mut message = vec![0];
            message.extend(u32::from(*length).to_be_bytes());
            message.extend(vec![7; usize::from(*length)]);
            message
        };
        lengths.iter().flat_map(message).collect()
    }

    #[test]
    fn messages_are_counted_however_frames_cut_them() {
        let stream = stream(&[0, 3, 0, 300]);
        for size in 1..=stream.len() {
            let mut messages = Messages::default();
            stream.chunks(size).for_each(|frame| messages.see(&frame));
            assert_eq!(messages.count(), Some(4), "frames of {size}");
        }
        let mut messages = Messages::default();
        messages.see(&(&stream[..3]).chain(&stream[3..]));
        assert_eq!(messages.count(), None);
    }
}
