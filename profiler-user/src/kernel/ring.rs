//! A ring of the kernel's messages.
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, RawFd};
use std::time::Duration;

use aya::maps::{MapData, RingBuf};

/// A ring: one reader, one message at a time, no copy.
pub struct Ring(pub(super) RingBuf<MapData>);

impl Ring {
    /// Hands the next message to `read`. `None`: nothing waits.
    #[inline]
    pub fn next<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.0.next().map(|message| read(&message))
    }
}

/// Ends a wait for messages, from another thread.
#[derive(Debug)]
pub struct Waker(File);

impl Waker {
    /// A waker that was not used yet.
    pub fn new() -> io::Result<Self> {
        // SAFETY: plain numbers; the kernel returns a new descriptor.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and ours.
        Ok(Self(unsafe { File::from_raw_fd(fd) }))
    }

    /// Ends the wait that goes on, and all later ones.
    pub fn wake(&self) {
        // It fails only where it has been woken 2^64 times.
        let _: io::Result<()> = (&self.0).write_all(&1_u64.to_ne_bytes());
    }

    pub(super) fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Waits for messages in one of two rings, for the waker, or for the end of `timeout`.
pub fn wait(rings: [&Ring; 2], waker: &Waker, timeout: Duration) {
    let poll = |fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    let [one, other] = rings.map(|ring| poll(ring.0.as_raw_fd()));
    let mut fds = [one, other, poll(waker.0.as_raw_fd())];
    // SAFETY: the array outlives the call. An error means a shorter wait.
    unsafe {
        libc::poll(
            fds.as_mut_ptr(),
            fds.len() as libc::nfds_t,
            timeout.as_millis() as libc::c_int,
        )
    };
}

/// `CLOCK_MONOTONIC`, as the programs read it.
pub fn monotonic_time() -> Duration {
    clock(libc::CLOCK_MONOTONIC)
}

/// CPU time of the calling thread.
pub fn thread_cpu_time() -> Duration {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn clock(number: libc::clockid_t) -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` outlives the call.
    let result = unsafe { libc::clock_gettime(number, &raw mut time) };
    if result == 0 {
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    } else {
        Duration::ZERO
    }
}
