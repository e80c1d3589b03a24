//! The table of allocators: which functions allocate and free, and how their arguments are read.
//!
//! A row is a symbol. To teach the profiler another allocator is to add its names here, or to name them on the command
//! line (`--allocator`).
use std::collections::HashMap;

use profiler_common::alloc::{Action, FAMILIES, Family, NO_ARGUMENT, Shape};

use super::allocator_rows::UserRow;
use super::planner::MappedObject;
use super::selection::Selected;

/// Functions of one shape. Arguments are numbered from 0.
struct Rows {
    shape: Shape,
    /// Nothing unwinds through it, and no stack is switched in it: a return probe does no harm.
    harmless: bool,
    /// Their symbols, with spaces between them.
    names: &'static str,
}

impl Rows {
    fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.names.split_ascii_whitespace()
    }
}

const fn shape(action: Action, family: Family, (size, count, pointer): (u8, u8, u8)) -> Shape {
    Shape {
        action,
        family,
        size,
        count,
        pointer,
    }
}

const fn allocates(family: Family, size: u8) -> Shape {
    shape(Action::Allocate, family, (size, NO_ARGUMENT, NO_ARGUMENT))
}

const fn alone(size: u8, count: u8) -> Shape {
    shape(Action::AllocateAlone, Family::Heap, (size, count, NO_ARGUMENT))
}

const fn allocates_many(family: Family, count: u8, size: u8) -> Shape {
    shape(Action::Allocate, family, (size, count, NO_ARGUMENT))
}

const fn writes(family: Family, pointer: u8, size: u8) -> Shape {
    shape(Action::AllocateOut, family, (size, NO_ARGUMENT, pointer))
}

const fn resizes(family: Family, pointer: u8, size: u8) -> Shape {
    shape(Action::Reallocate, family, (size, NO_ARGUMENT, pointer))
}

const fn resizes_many(family: Family, pointer: u8, (count, size): (u8, u8)) -> Shape {
    shape(Action::Reallocate, family, (size, count, pointer))
}

const fn frees(family: Family, pointer: u8) -> Shape {
    shape(Action::Free, family, (NO_ARGUMENT, NO_ARGUMENT, pointer))
}

const fn rows(shape: Shape, names: &'static str) -> Rows {
    Rows {
        shape,
        harmless: true,
        names,
    }
}

/// What may unwind.
const fn throws(shape: Shape, names: &'static str) -> Rows {
    Rows {
        shape,
        harmless: false,
        names,
    }
}

const HEAP: Family = Family::Heap;
const PYTHON: Family = Family::Python;
const MAPPING: Family = Family::Mapping;

const TABLE: &[Rows] = &[
    // The C library's: glibc, musl, and whatever stands in for them (jemalloc, tcmalloc, mimalloc, snmalloc).
    rows(
        alone(0, NO_ARGUMENT),
        "malloc __libc_malloc valloc pvalloc __libc_valloc __libc_pvalloc",
    ),
    rows(alone(1, 0), "calloc __libc_calloc"),
    rows(resizes(HEAP, 0, 1), "realloc __libc_realloc reallocf"),
    rows(resizes_many(HEAP, 0, (1, 2)), "reallocarray __libc_reallocarray"),
    rows(allocates(HEAP, 1), "aligned_alloc memalign __libc_memalign"),
    rows(writes(HEAP, 0, 2), "posix_memalign __posix_memalign"),
    rows(
        frees(HEAP, 0),
        "free cfree __libc_free free_sized free_aligned_sized",
    ),
    // C++: `operator new`, `new[]`, plain, aligned; they throw.
    throws(
        allocates(HEAP, 0),
        "_Znwm _Znam _ZnwmSt11align_val_t _ZnamSt11align_val_t",
    ),
    throws(
        allocates(HEAP, 0),
        "_ZnwmRKSt9nothrow_t _ZnamRKSt9nothrow_t _ZnwmSt11align_val_tRKSt9nothrow_t \
         _ZnamSt11align_val_tRKSt9nothrow_t _Znwm12__hot_cold_t _Znam12__hot_cold_t",
    ),
    rows(
        frees(HEAP, 0),
        "_ZdlPv _ZdaPv _ZdlPvm _ZdaPvm _ZdlPvSt11align_val_t _ZdaPvSt11align_val_t \
         _ZdlPvmSt11align_val_t _ZdaPvmSt11align_val_t _ZdlPvRKSt9nothrow_t _ZdaPvRKSt9nothrow_t \
         _ZdlPvmRKSt9nothrow_t _ZdaPvmRKSt9nothrow_t _ZdlPvSt11align_val_tRKSt9nothrow_t \
         _ZdaPvSt11align_val_tRKSt9nothrow_t _ZdlPvmSt11align_val_tRKSt9nothrow_t \
         _ZdaPvmSt11align_val_tRKSt9nothrow_t",
    ),
    // Rust, and jemalloc as Rust's crates build it.
    throws(
        allocates(HEAP, 0),
        "__rust_alloc __rust_alloc_zeroed __rdl_alloc __rdl_alloc_zeroed __rg_alloc \
         __rg_alloc_zeroed",
    ),
    throws(resizes(HEAP, 0, 3), "__rust_realloc __rdl_realloc __rg_realloc"),
    rows(frees(HEAP, 0), "__rust_dealloc __rdl_dealloc __rg_dealloc"),
    // jemalloc.
    rows(
        allocates(HEAP, 0),
        "je_malloc je_valloc je_mallocx mallocx _rjem_malloc _rjem_valloc _rjem_mallocx \
         _rjem_je_malloc _rjem_je_valloc _rjem_je_mallocx",
    ),
    rows(
        allocates_many(HEAP, 0, 1),
        "je_calloc _rjem_calloc _rjem_je_calloc",
    ),
    rows(
        allocates(HEAP, 1),
        "je_aligned_alloc je_memalign _rjem_aligned_alloc _rjem_memalign _rjem_je_aligned_alloc \
         _rjem_je_memalign",
    ),
    rows(
        writes(HEAP, 0, 2),
        "je_posix_memalign _rjem_posix_memalign _rjem_je_posix_memalign",
    ),
    rows(
        resizes(HEAP, 0, 1),
        "je_realloc je_rallocx rallocx _rjem_realloc _rjem_rallocx _rjem_je_realloc \
         _rjem_je_rallocx",
    ),
    rows(
        shape(Action::Resize, HEAP, (1, NO_ARGUMENT, 0)),
        "xallocx je_xallocx _rjem_xallocx _rjem_je_xallocx",
    ),
    rows(
        frees(HEAP, 0),
        "je_free je_dallocx je_sdallocx dallocx sdallocx _rjem_free _rjem_dallocx _rjem_sdallocx \
         _rjem_je_free _rjem_je_dallocx _rjem_je_sdallocx",
    ),
    // tcmalloc.
    rows(
        allocates(HEAP, 0),
        "tc_malloc tc_malloc_skip_new_handler tc_valloc tc_pvalloc tc_new_nothrow \
         tc_newarray_nothrow",
    ),
    throws(
        allocates(HEAP, 0),
        "tc_new tc_newarray tc_new_aligned tc_newarray_aligned tc_new_aligned_nothrow \
         tc_newarray_aligned_nothrow",
    ),
    rows(allocates_many(HEAP, 0, 1), "tc_calloc"),
    rows(allocates(HEAP, 1), "tc_memalign"),
    rows(writes(HEAP, 0, 2), "tc_posix_memalign"),
    rows(resizes(HEAP, 0, 1), "tc_realloc"),
    rows(
        frees(HEAP, 0),
        "tc_free tc_free_sized tc_cfree tc_delete tc_delete_sized tc_delete_nothrow \
         tc_deletearray tc_deletearray_sized tc_deletearray_nothrow tc_delete_aligned \
         tc_delete_sized_aligned tc_deletearray_aligned tc_deletearray_sized_aligned",
    ),
    // mimalloc.
    rows(
        allocates(HEAP, 0),
        "mi_malloc mi_zalloc mi_malloc_small mi_zalloc_small mi_malloc_aligned mi_zalloc_aligned \
         mi_malloc_aligned_at mi_zalloc_aligned_at mi_valloc mi_pvalloc mi_new_nothrow \
         mi_new_aligned_nothrow",
    ),
    throws(allocates(HEAP, 0), "mi_new mi_new_aligned"),
    rows(
        allocates_many(HEAP, 0, 1),
        "mi_calloc mi_mallocn mi_calloc_aligned mi_calloc_aligned_at",
    ),
    throws(allocates_many(HEAP, 0, 1), "mi_new_n"),
    rows(
        allocates(HEAP, 1),
        "mi_memalign mi_aligned_alloc mi_heap_malloc mi_heap_zalloc mi_heap_malloc_small \
         mi_heap_malloc_aligned mi_heap_zalloc_aligned mi_heap_malloc_aligned_at \
         mi_heap_zalloc_aligned_at",
    ),
    rows(
        allocates_many(HEAP, 1, 2),
        "mi_heap_calloc mi_heap_mallocn mi_heap_calloc_aligned mi_heap_calloc_aligned_at",
    ),
    throws(allocates(HEAP, 1), "mi_heap_alloc_new"),
    throws(allocates_many(HEAP, 1, 2), "mi_heap_alloc_new_n"),
    rows(writes(HEAP, 0, 2), "mi_posix_memalign"),
    rows(
        resizes(HEAP, 0, 1),
        "mi_realloc mi_reallocf mi_rezalloc mi_realloc_aligned mi_rezalloc_aligned \
         mi_realloc_aligned_at mi_rezalloc_aligned_at",
    ),
    throws(resizes(HEAP, 0, 1), "mi_new_realloc"),
    throws(resizes_many(HEAP, 0, (1, 2)), "mi_new_reallocn"),
    rows(
        resizes_many(HEAP, 0, (1, 2)),
        "mi_reallocn mi_reallocarray mi_recalloc mi_recalloc_aligned mi_recalloc_aligned_at \
         mi_aligned_recalloc mi_aligned_offset_recalloc",
    ),
    rows(
        resizes(HEAP, 1, 2),
        "mi_heap_realloc mi_heap_reallocf mi_heap_rezalloc mi_heap_realloc_aligned \
         mi_heap_realloc_aligned_at mi_heap_rezalloc_aligned mi_heap_rezalloc_aligned_at",
    ),
    rows(
        resizes_many(HEAP, 1, (2, 3)),
        "mi_heap_reallocn mi_heap_recalloc mi_heap_recalloc_aligned mi_heap_recalloc_aligned_at",
    ),
    rows(
        frees(HEAP, 0),
        "mi_free mi_cfree mi_free_size mi_free_aligned mi_free_size_aligned",
    ),
    // snmalloc, as it is linked beside the C library's, and as Rust's crate builds it.
    rows(
        allocates(HEAP, 0),
        "sn_malloc sn_valloc sn_pvalloc sn_mallocx snmalloc_malloc",
    ),
    rows(allocates_many(HEAP, 0, 1), "sn_calloc"),
    rows(resizes(HEAP, 0, 1), "sn_realloc sn_rallocx"),
    rows(shape(Action::Resize, HEAP, (1, NO_ARGUMENT, 0)), "sn_xallocx"),
    rows(resizes_many(HEAP, 0, (1, 2)), "sn_reallocarray"),
    rows(
        allocates(HEAP, 1),
        "sn_aligned_alloc sn_memalign sn_rust_alloc sn_rust_alloc_zeroed",
    ),
    rows(writes(HEAP, 0, 2), "sn_posix_memalign"),
    rows(resizes(HEAP, 0, 3), "sn_rust_realloc"),
    rows(
        frees(HEAP, 0),
        "sn_free sn_cfree sn_dallocx sn_sdallocx sn_rust_dealloc",
    ),
    // Mappings.
    rows(
        shape(Action::Map, MAPPING, (1, NO_ARGUMENT, NO_ARGUMENT)),
        "mmap mmap64 __mmap",
    ),
    rows(
        shape(Action::Unmap, MAPPING, (1, NO_ARGUMENT, 0)),
        "munmap __munmap",
    ),
    rows(
        shape(Action::Remap, MAPPING, (2, NO_ARGUMENT, 0)),
        "mremap __mremap",
    ),
    rows(
        shape(Action::Break, MAPPING, (0, NO_ARGUMENT, NO_ARGUMENT)),
        "sbrk __sbrk",
    ),
    rows(
        shape(Action::BreakTo, MAPPING, (0, NO_ARGUMENT, NO_ARGUMENT)),
        "brk __brk",
    ),
    // CPython: the raw, the mem and the object domain.
    rows(
        allocates(PYTHON, 0),
        "PyMem_RawMalloc PyMem_Malloc PyObject_Malloc",
    ),
    rows(
        allocates_many(PYTHON, 0, 1),
        "PyMem_RawCalloc PyMem_Calloc PyObject_Calloc",
    ),
    rows(
        resizes(PYTHON, 0, 1),
        "PyMem_RawRealloc PyMem_Realloc PyObject_Realloc",
    ),
    rows(frees(PYTHON, 0), "PyMem_RawFree PyMem_Free PyObject_Free"),
    rows(
        allocates(PYTHON, 1),
        "_PyMem_RawMalloc _PyMem_Malloc _PyObject_Malloc _PyMem_MiMalloc _PyObject_MiMalloc",
    ),
    rows(
        allocates_many(PYTHON, 1, 2),
        "_PyMem_RawCalloc _PyMem_Calloc _PyObject_Calloc _PyMem_MiCalloc _PyObject_MiCalloc",
    ),
    rows(
        resizes(PYTHON, 1, 2),
        "_PyMem_RawRealloc _PyMem_Realloc _PyObject_Realloc _PyMem_MiRealloc _PyObject_MiRealloc",
    ),
    rows(
        frees(PYTHON, 1),
        "_PyMem_RawFree _PyMem_Free _PyObject_Free _PyMem_MiFree _PyObject_MiFree",
    ),
    // GLib's slices.
    rows(
        allocates(Family::Glib, 0),
        "g_slice_alloc g_slice_alloc0 g_slice_copy",
    ),
    rows(frees(Family::Glib, 1), "g_slice_free1"),
    // CUDA: device memory, and the host's that the device can reach.
    throws(
        writes(Family::Cuda, 0, 1),
        "cudaMalloc cudaMallocManaged cudaMallocHost cudaHostAlloc cudaMallocAsync cuMemAlloc_v2 \
         cuMemAllocManaged cuMemAllocHost_v2 cuMemHostAlloc cuMemAllocAsync",
    ),
    throws(
        shape(Action::AllocateOut, Family::Cuda, (2, 3, 0)),
        "cudaMallocPitch",
    ),
    throws(
        frees(Family::Cuda, 0),
        "cudaFree cudaFreeHost cudaFreeAsync cuMemFree_v2 cuMemFreeHost cuMemFreeAsync",
    ),
];

/// Rust gives its allocator's functions names of its own since 1.88: `_RNvCs…_7___rustc12___rust_alloc`.
const RUST: [&str; 4] = [
    "__rust_alloc",
    "__rust_alloc_zeroed",
    "__rust_realloc",
    "__rust_dealloc",
];

/// Libraries whose `operator new` is known to call `malloc`, and to return what that returns.
const FORWARDING: [&str; 2] = ["libstdc++.so", "libc++.so"];

/// How a function allocates or frees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocator {
    /// How its arguments are read.
    pub shape: Shape,
    /// A return probe does no harm.
    pub harmless: bool,
}

/// The allocators that a session looks for.
#[derive(Clone, Debug)]
pub struct Allocators {
    table: HashMap<&'static str, Allocator>,
    user: Vec<UserRow>,
}

impl Allocators {
    /// Those of some families, and those that the user named.
    pub fn new(families: &[Family], user: Vec<UserRow>) -> Self {
        let wanted = TABLE.iter().filter(|rows| families.contains(&rows.shape.family));
        let table = wanted.flat_map(|rows| {
            let allocator = Allocator {
                shape: rows.shape,
                harmless: rows.harmless,
            };
            rows.names().map(move |name| (name, allocator))
        });
        Self {
            table: table.collect(),
            user,
        }
    }

    /// What a function of this object is, by its symbols as compilers write them.
    pub fn find<'a>(
        &self,
        object: (&str, &std::path::Path),
        names: impl Iterator<Item = &'a str>,
    ) -> Option<Allocator> {
        let mut found: Option<Allocator> = None;
        for raw in names {
            let user = self.user.iter().find(|row| row.names(object, raw));
            if let Some(row) = user {
                return Some(Allocator {
                    shape: row.shape,
                    harmless: false,
                });
            }
            if found.is_none() {
                found = self.table.get(plain(raw)).copied();
            }
        }
        let mut found = found?;
        let forwards = FORWARDING.iter().any(|start| object.0.starts_with(start));
        if forwards && !found.harmless && found.shape.action == Action::Allocate {
            found.shape.action = Action::Forward;
        }
        Some(found)
    }

    /// The object's allocators.
    pub(super) fn select(&self, object: &MappedObject) -> Vec<Selected> {
        let functions = object.file.functions().iter().enumerate();
        let selected = functions.filter_map(|(index, function)| {
            let names = object.file.names(function).map(|name| name.raw);
            let allocator = self.find((&object.name, &object.path), names)?;
            Some(Selected {
                function: index,
                focus: false,
                named: false,
                excluded: false,
                allocator: Some(allocator),
            })
        });
        selected.collect()
    }
}

/// Whether the table has a function of this name.
pub(super) fn is_known(raw: &str) -> bool {
    TABLE
        .iter()
        .any(|rows| rows.names().any(|name| name == plain(raw)))
}

/// What compilers append where they make a file's own function visible to other parts of the program (GCC's and LLVM's
/// link-time optimization). The function stays what it is, other than with `.constprop`, `.isra`, `.part`, `.cold`.
const PROMOTED: [&str; 2] = [".lto_priv.", ".llvm."];
/// And where a function calls itself by a name that nothing can take the place of.
const ALIAS: &str = ".localalias";

/// The name that the table has it under.
fn plain(raw: &str) -> &str {
    let parts = PROMOTED.iter().find_map(|mark| raw.split_once(mark));
    let raw = raw.strip_suffix(ALIAS).unwrap_or(raw);
    let raw = match parts {
        Some((name, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => raw,
    };
    let is_rust = raw.starts_with("_R") && raw.contains("_7___rustc");
    let rust = RUST.iter().find(|name| is_rust && raw.ends_with(*name));
    rust.copied().unwrap_or(raw)
}

/// The functions of a family, as the table has them.
pub fn names_of(family: Family) -> impl Iterator<Item = &'static str> {
    let rows = TABLE.iter().filter(move |rows| rows.shape.family == family);
    rows.flat_map(Rows::names)
}

/// Functions of the table, by family: what help and documents say.
pub fn table_sizes() -> [usize; FAMILIES] {
    let mut sizes = [0; FAMILIES];
    for rows in TABLE {
        sizes[rows.shape.family as usize] += rows.names().count();
    }
    sizes
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::Path;

    use profiler_common::alloc::{Action, Family, Shape};

    use super::{Allocators, TABLE};

    fn find(object: &str, names: &[&str]) -> Option<Shape> {
        let allocators = Allocators::new(&Family::ALL, Vec::new());
        let found = allocators.find((object, Path::new(object)), names.iter().copied());
        found.map(|allocator| allocator.shape)
    }

    #[test]
    fn functions_that_link_time_optimization_renamed_are_known_and_changed_ones_are_not() {
        let shape = find("python3.11", &["_PyObject_Malloc"]);
        assert!(shape.is_some());
        for name in [
            "_PyObject_Malloc.lto_priv.0",
            "_PyObject_Malloc.llvm.1234567",
            "_PyObject_Malloc.localalias",
        ] {
            assert_eq!(find("python3.11", &[name]), shape, "{name}");
        }
        for name in [
            "_PyObject_Malloc.lto_priv.0.cold",
            "_PyObject_Malloc.constprop.0",
            "_PyObject_Malloc.isra.0",
            "_PyObject_Malloc.part.0",
        ] {
            assert_eq!(find("python3.11", &[name]), None, "{name}");
        }
    }

    #[test]
    fn no_function_has_two_rows() {
        let mut seen = HashSet::new();
        for name in TABLE.iter().flat_map(super::Rows::names) {
            assert!(seen.insert(name), "{name}");
        }
        assert!(seen.len() > 150, "{}", seen.len());
    }

    #[test]
    fn every_shape_names_the_arguments_that_its_action_needs() {
        for rows in TABLE {
            let Shape {
                action,
                size,
                pointer,
                ..
            } = rows.shape;
            let needs_size = !matches!(action, Action::Free);
            let needs_pointer = !matches!(
                action,
                Action::Allocate | Action::AllocateAlone | Action::Map | Action::Break | Action::BreakTo
            );
            assert_eq!(size < 6, needs_size, "{:?}", rows.names);
            assert_eq!(pointer < 6, needs_pointer, "{:?}", rows.names);
        }
    }

    #[test]
    fn a_function_is_found_by_any_of_its_names() {
        assert_eq!(
            find("libc.so.6", &["__libc_free", "cfree", "free"])
                .unwrap()
                .action,
            Action::Free
        );
        assert_eq!(find("libc.so.6", &["malloc_trim"]), None);
        let rust = find("x", &["_RNvCs691rhTbG0Ee_7___rustc12___rust_alloc"]).unwrap();
        assert_eq!((rust.action, rust.size), (Action::Allocate, 0));
        let realloc = find("x", &["_RNvCs691rhTbG0Ee_7___rustc14___rust_realloc"]).unwrap();
        assert_eq!(
            (realloc.action, realloc.pointer, realloc.size),
            (Action::Reallocate, 0, 3)
        );
    }

    #[test]
    fn new_of_the_cpp_library_passes_on_to_malloc_and_another_one_is_an_allocator_itself() {
        let action = |object| find(object, &["_Znwm"]).unwrap().action;
        assert_eq!(action("libstdc++.so.6.0.30"), Action::Forward);
        assert_eq!(action("libjemalloc.so.2"), Action::Allocate);
    }

    #[test]
    fn families_that_are_not_asked_for_are_not_there() {
        let allocators = Allocators::new(&[Family::Mapping], Vec::new());
        let find = |name| allocators.find(("libc.so.6", Path::new("/lib/libc.so.6")), [name].into_iter());
        assert!(find("malloc").is_none() && find("mmap").is_some());
    }
}
