//! A ring of the kernel's messages.
use std::os::fd::{AsRawFd as _, RawFd};

use aya::maps::{MapData, RingBuf};

/// A ring: one reader, one message at a time, no copy.
pub struct Ring(pub(super) RingBuf<MapData>);

impl Ring {
    /// Hands the next message to `read`. `None`: nothing waits.
    #[inline]
    pub fn next<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.0.next().map(|message| read(&message))
    }

    /// A descriptor that becomes readable when the kernel wakes the reader.
    pub fn wake_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
