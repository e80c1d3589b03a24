//! The kernel's array maps, mapped into our memory: reading a counter costs no system call.
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use zerocopy::{FromBytes, Immutable, KnownLayout};

use super::error::KernelError;

/// A mapped array of the kernel. Elements are read one word at a time, as other CPUs write them.
#[derive(Debug)]
pub struct MappedArray<T> {
    memory: Arc<Memory>,
    len: usize,
    element: PhantomData<T>,
}

/// A mapping.
#[derive(Debug)]
struct Memory {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the memory is shared with the kernel anyway; it is accessed by words, volatile or atomically.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

/// One word of a mapped array, for several threads.
#[derive(Clone, Debug)]
pub struct SharedWord {
    memory: Arc<Memory>,
    offset: usize,
}

impl SharedWord {
    /// Adds to it.
    pub fn add(&self, number: i64) {
        // SAFETY: an aligned word within the mapping, which this keeps.
        let word = unsafe { AtomicI64::from_ptr(self.memory.base.as_ptr().add(self.offset).cast()) };
        word.fetch_add(number, Ordering::SeqCst);
    }
}

impl<T: FromBytes + Immutable + KnownLayout + Copy> MappedArray<T> {
    /// The kernel's distance between two elements (`array_map_alloc`, kernel/bpf/arraymap.c).
    const STRIDE: usize = size_of::<T>().next_multiple_of(8);

    /// Maps the array of `len` elements behind `fd`.
    pub(super) fn new(name: &'static str, fd: BorrowedFd<'_>, len: usize) -> Result<Self, KernelError> {
        let page = 4096;
        let bytes = (len * Self::STRIDE).next_multiple_of(page);
        // SAFETY: a new shared mapping of a descriptor that is a mappable array of that size.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        let failed = || KernelError::Map {
            map: name,
            bytes,
            source: io::Error::last_os_error(),
        };
        if base == libc::MAP_FAILED {
            return Err(failed());
        }
        let base = NonNull::new(base.cast()).ok_or_else(failed)?;
        Ok(Self {
            memory: Arc::new(Memory { base, bytes }),
            len,
            element: PhantomData,
        })
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn at(&self, index: usize) -> *mut T {
        assert!(index < self.len, "index {index} of {}", self.len);
        // SAFETY: within the mapping, and aligned: the stride is a multiple of 8 and the base of a page.
        unsafe { self.memory.base.as_ptr().add(index * Self::STRIDE).cast() }
    }

    /// The element, as it stands now.
    ///
    /// # Panics
    ///
    /// Where `index` is not below [`Self::len`].
    pub fn get(&self, index: usize) -> T {
        // SAFETY: within the mapping; any bytes are a `T`.
        unsafe { self.at(index).read_volatile() }
    }

    /// Adds to a word of the element, which the programs may change at the same time.
    ///
    /// # Panics
    ///
    /// Where `index` is not below [`Self::len`], or the word not within the element.
    pub fn add(&self, index: usize, byte_offset: usize, value: u64) {
        assert!(
            byte_offset.is_multiple_of(8) && byte_offset + 8 <= size_of::<T>(),
            "byte {byte_offset} of an element"
        );
        // SAFETY: an aligned word within the mapping, which others access by single instructions.
        let word = unsafe { AtomicU64::from_ptr(self.at(index).cast::<u8>().add(byte_offset).cast()) };
        word.fetch_add(value, Ordering::Relaxed);
    }

    /// Replaces the element.
    ///
    /// # Panics
    ///
    /// Where `index` is not below [`Self::len`].
    pub fn set(&self, index: usize, value: T) {
        // SAFETY: within the mapping; the programs read aligned words of it.
        unsafe { self.at(index).write_volatile(value) }
    }
}

impl MappedArray<u64> {
    /// The element, for another thread.
    ///
    /// # Panics
    ///
    /// Where `index` is not below [`Self::len`].
    pub(super) fn shared_word(&self, index: usize) -> SharedWord {
        assert!(index < self.len, "index {index} of {}", self.len);
        SharedWord {
            memory: Arc::clone(&self.memory),
            offset: index * Self::STRIDE,
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` and nobody else has it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}
