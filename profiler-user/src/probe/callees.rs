//! The C library's functions of which it is known that nothing unwinds through them or switches stacks in them,
//! and those whose return address must be left alone.

/// Allocators. Whoever defines them, they keep the C library's contract.
const ALLOCATORS: &[&str] = &[
    "malloc",
    "calloc",
    "realloc",
    "reallocarray",
    "free",
    "cfree",
    "posix_memalign",
    "aligned_alloc",
    "memalign",
    "valloc",
    "pvalloc",
    "malloc_usable_size",
    "free_sized",
    "free_aligned_sized",
    "__libc_malloc",
    "__libc_calloc",
    "__libc_realloc",
    "__libc_free",
    "__libc_memalign",
];

/// String, memory and number functions without callbacks that are no cancellation points. Sorted.
const PLAIN: &[&str] = &[
    "__ctype_b_loc",
    "__ctype_tolower_loc",
    "__ctype_toupper_loc",
    "__errno_location",
    "__isoc23_strtol",
    "__isoc23_strtoll",
    "__isoc23_strtoul",
    "__isoc23_strtoull",
    "__memcpy_chk",
    "__memmove_chk",
    "__mempcpy_chk",
    "__memset_chk",
    "__rawmemchr",
    "__stack_chk_fail",
    "__stpcpy",
    "__stpcpy_chk",
    "__stpncpy",
    "__strcat_chk",
    "__strchrnul",
    "__strcpy_chk",
    "__strdup",
    "__strlen_chk",
    "__strncat_chk",
    "__strncpy_chk",
    "__strndup",
    "__strtod_internal",
    "__strtof_internal",
    "__strtok_r",
    "__strtol_internal",
    "__strtoll_internal",
    "__strtoul_internal",
    "__strtoull_internal",
    "__tls_get_addr",
    "abs",
    "atof",
    "atoi",
    "atol",
    "atoll",
    "bcmp",
    "bcopy",
    "bzero",
    "clock",
    "clock_gettime",
    "div",
    "drand48",
    "erand48",
    "explicit_bzero",
    "ffs",
    "ffsl",
    "ffsll",
    "getegid",
    "getenv",
    "geteuid",
    "getgid",
    "getpid",
    "getppid",
    "gettimeofday",
    "getuid",
    "gmtime_r",
    "htonl",
    "htons",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isblank",
    "iscntrl",
    "isdigit",
    "isgraph",
    "islower",
    "isprint",
    "ispunct",
    "isspace",
    "isupper",
    "iswalnum",
    "iswalpha",
    "iswctype",
    "iswdigit",
    "iswspace",
    "isxdigit",
    "jrand48",
    "labs",
    "ldiv",
    "llabs",
    "lldiv",
    "lrand48",
    "memccpy",
    "memchr",
    "memcmp",
    "memcpy",
    "memfrob",
    "memmem",
    "memmove",
    "mempcpy",
    "memrchr",
    "memset",
    "mrand48",
    "nrand48",
    "ntohl",
    "ntohs",
    "rand",
    "rand_r",
    "random",
    "random_r",
    "rawmemchr",
    "rindex",
    "sched_getcpu",
    "stpcpy",
    "stpncpy",
    "strcasecmp",
    "strcasestr",
    "strcat",
    "strchr",
    "strchrnul",
    "strcmp",
    "strcoll",
    "strcpy",
    "strcspn",
    "strdup",
    "strlcat",
    "strlcpy",
    "strlen",
    "strncasecmp",
    "strncat",
    "strncmp",
    "strncpy",
    "strndup",
    "strnlen",
    "strpbrk",
    "strrchr",
    "strsep",
    "strspn",
    "strstr",
    "strtod",
    "strtof",
    "strtok",
    "strtok_r",
    "strtol",
    "strtold",
    "strtoll",
    "strtoul",
    "strtoull",
    "strverscmp",
    "strxfrm",
    "swab",
    "time",
    "toascii",
    "tolower",
    "toupper",
    "towlower",
    "towupper",
    "wcscat",
    "wcschr",
    "wcscmp",
    "wcscpy",
    "wcscspn",
    "wcslen",
    "wcsncmp",
    "wcsncpy",
    "wcsnlen",
    "wcspbrk",
    "wcsrchr",
    "wcsspn",
    "wcsstr",
    "wmemchr",
    "wmemcmp",
    "wmemcpy",
    "wmemmove",
    "wmemset",
];

/// Functions that keep, move or judge their own return address: a return probe's trampoline would be taken for it.
/// (`dlsym` finds its caller by it, `setjmp` stores it and `longjmp` would jump to it later.)
const RETURN_ADDRESS_READERS: &[&str] = &[
    "_longjmp",
    "_setjmp",
    "__libc_longjmp",
    "__libc_siglongjmp",
    "__longjmp",
    "__longjmp_chk",
    "__sigsetjmp",
    "__vfork",
    "_dl_catch_error",
    "_dl_catch_exception",
    "_dl_open",
    "_dl_sym",
    "_dl_vsym",
    "dladdr",
    "dladdr1",
    "dlmopen",
    "dlopen",
    "dlsym",
    "dlvsym",
    "getcontext",
    "longjmp",
    "makecontext",
    "setcontext",
    "setjmp",
    "siglongjmp",
    "sigsetjmp",
    "swapcontext",
    "vfork",
    "backtrace",
    "__backtrace",
    "jump_fcontext",
    "make_fcontext",
    "ontop_fcontext",
];

/// Code that starts without a return address at the stack pointer, or replaces it.
const FOREIGN_STACK: &[&str] = &[
    "_start",
    "_dl_start_user",
    "__restore_rt",
    "__start_context",
    "__fentry__",
    "mcount",
    "_mcount",
];

/// The same, by how the names begin.
const FOREIGN_STACK_BEGINNINGS: &[&str] = &[
    "_dl_runtime_resolve",
    "_dl_runtime_profile",
    "__x86_return_thunk",
    "__x86_indirect_thunk",
    "__llvm_retpoline",
];

/// Whether the name is an allocator's.
pub(super) fn is_allocator(raw: &str) -> bool {
    ALLOCATORS.contains(&raw)
}

/// Whether a call of a function of this name in another object does no more than return.
pub(super) fn is_harmless(raw: &str) -> bool {
    PLAIN.binary_search(&raw).is_ok() || is_allocator(raw)
}

/// Whether a file is the C library, or its mathematics.
pub(super) fn is_c_library(object: &str) -> bool {
    ["libc.so", "libc-2.", "libc.musl", "ld-musl"]
        .iter()
        .any(|start| object.starts_with(start))
}

/// Whether a file holds nothing but functions on numbers.
pub(super) fn is_mathematics(object: &str) -> bool {
    ["libm.so", "libm-2.", "libmvec"]
        .iter()
        .any(|start| object.starts_with(start))
}

/// Whether a function minds its return address.
pub(super) fn reads_return_address(raw: &str) -> bool {
    RETURN_ADDRESS_READERS.contains(&raw) || raw.starts_with("_Unwind_")
}

/// Whether what lies at the stack pointer when it starts is no return address to it.
pub(super) fn has_foreign_stack(raw: &str) -> bool {
    FOREIGN_STACK.contains(&raw)
        || FOREIGN_STACK_BEGINNINGS
            .iter()
            .any(|start| raw.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::{PLAIN, has_foreign_stack, is_harmless};

    #[test]
    fn the_table_is_sorted() {
        assert!(PLAIN.is_sorted(), "binary search needs it");
    }

    #[test]
    fn functions_with_callbacks_are_not_harmless() {
        for name in [
            "qsort",
            "bsearch",
            "pthread_once",
            "read",
            "printf",
            "_Znwm",
            "__cxa_throw",
        ] {
            assert!(!is_harmless(name), "{name}");
        }
        assert!(is_harmless("malloc") && is_harmless("strlen"));
    }

    #[test]
    fn the_start_of_a_program_has_no_return_address() {
        assert!(has_foreign_stack("_start") && has_foreign_stack("_dl_runtime_resolve_xsavec"));
        assert!(!has_foreign_stack("_start_server") && !has_foreign_stack("mcounter"));
    }
}
