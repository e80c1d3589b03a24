//! The kernel's hash maps and its map of stacks: what is read of them.
use std::os::fd::{AsFd as _, OwnedFd};

use aya::Ebpf;
use aya::maps::{Map, MapData, StackTraceMap};
use profiler_common::alloc::STACK_DEPTH;
use zerocopy::FromBytes;

use super::error::KernelError;
use super::syscall;

/// What a stack takes, bytes.
pub(super) const STACK_BYTES: u64 = STACK_DEPTH as u64 * 8 + 48;

/// Elements that are read at a time.
const BATCH: usize = 4096;

/// A hash map that is read as a whole.
pub(super) struct Table {
    name: &'static str,
    descriptor: OwnedFd,
}

impl Table {
    pub(super) fn new(ebpf: &Ebpf, name: &'static str) -> Result<Self, KernelError> {
        let Some(Map::HashMap(data)) = ebpf.map(name) else {
            return Err(KernelError::Object { what: "map", name });
        };
        let descriptor = data.fd().as_fd().try_clone_to_owned();
        let descriptor = descriptor.map_err(|source| KernelError::ReadMap { map: name, source })?;
        Ok(Self { name, descriptor })
    }

    /// Hands every element to `see`. What comes or goes meanwhile may or may not be among them.
    pub(super) fn each<K: FromBytes, V: FromBytes>(
        &self,
        mut see: impl FnMut(K, V),
    ) -> Result<(), KernelError> {
        let mut batch = syscall::Batch::new(size_of::<K>(), size_of::<V>(), BATCH);
        loop {
            let more = batch
                .read(self.descriptor.as_fd())
                .map_err(|source| self.failed(source))?;
            for (key, value) in batch.elements() {
                if let (Ok(key), Ok(value)) = (K::read_from_bytes(key), V::read_from_bytes(value)) {
                    see(key, value);
                }
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// Takes an element out. `false`: it is not there.
    pub(super) fn remove(&self, key: &[u8]) -> Result<bool, KernelError> {
        match syscall::delete_element(self.descriptor.as_fd(), key) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(self.failed(source)),
        }
    }

    fn failed(&self, source: std::io::Error) -> KernelError {
        KernelError::ReadMap {
            map: self.name,
            source,
        }
    }
}

/// The stacks that the programs kept.
pub struct Stacks(StackTraceMap<MapData>);

impl Stacks {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, KernelError> {
        let name = "STACKS";
        let map = ebpf
            .take_map(name)
            .ok_or(KernelError::Object { what: "map", name })?;
        let stacks = StackTraceMap::try_from(map);
        let stacks = stacks.map_err(|error| Box::new(aya::EbpfError::MapError(error)))?;
        Ok(Self(stacks))
    }

    /// The frames of a stack, innermost first. Empty: it is not there.
    pub fn frames(&self, number: i32) -> Vec<u64> {
        let Ok(number) = u32::try_from(number) else {
            return Vec::new();
        };
        let stack = self.0.get(&number, 0);
        stack.map_or_else(
            |_error| Vec::new(),
            |stack| stack.frames().iter().map(|frame| frame.ip).collect(),
        )
    }
}
