//! What in a file speaks for machinery that return probes would break: unwinders, stack switches, Go.

/// One kind of machinery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// Exceptions, panics, or other users of the unwinder.
    Unwinding,
    /// Coroutines or fibres.
    StackSwitch,
    /// Go.
    Go,
    /// Threads may be cancelled, even at any instruction.
    Cancellation,
    /// Libraries may be loaded later, with whatever they bring.
    Loading,
    /// A garbage collector that finds its frames by their return addresses: OCaml, native Java.
    StackScan,
    /// Functions in OCaml 5, whose stacks move in memory when they grow.
    MovingStack,
}

/// The kinds of machinery that a file speaks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidences(u8);

impl Evidences {
    /// Whether it speaks for this kind.
    pub fn has(self, evidence: Evidence) -> bool {
        self.0 & (1 << evidence as u8) != 0
    }

    /// Adds a kind.
    pub fn add(&mut self, evidence: Evidence) {
        self.0 |= 1 << evidence as u8;
    }

    /// What a process could speak for that nobody has looked at.
    pub fn all() -> Self {
        let mut all = Self::default();
        for evidence in [
            Evidence::Unwinding,
            Evidence::StackSwitch,
            Evidence::Cancellation,
            Evidence::StackScan,
        ] {
            all.add(evidence);
        }
        all
    }

    /// What either speaks for.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a return probe could break the process. Cancellation alone does not: the unwinder stops at a frame
    /// that it does not know, and ends the thread; only frames with clean-ups, which are unwinding, would miss it.
    pub fn any_machinery(self) -> bool {
        [
            Evidence::Unwinding,
            Evidence::StackSwitch,
            Evidence::Go,
            Evidence::StackScan,
        ]
        .into_iter()
        .any(|evidence| self.has(evidence))
    }
}

/// Functions whose import, or definition outside the C library itself, is evidence.
const SYMBOLS: &[(&str, Evidence)] = &[
    ("_Unwind_RaiseException", Evidence::Unwinding),
    ("_Unwind_Resume", Evidence::Unwinding),
    ("_Unwind_Resume_or_Rethrow", Evidence::Unwinding),
    ("_Unwind_ForcedUnwind", Evidence::Unwinding),
    ("_Unwind_SjLj_RaiseException", Evidence::Unwinding),
    ("__cxa_throw", Evidence::Unwinding),
    ("__cxa_rethrow", Evidence::Unwinding),
    ("__gxx_personality_v0", Evidence::Unwinding),
    ("__gcc_personality_v0", Evidence::Unwinding),
    ("__gnat_personality_v0", Evidence::Unwinding),
    ("__gdc_personality_v0", Evidence::Unwinding),
    ("__objc_personality_v0", Evidence::Unwinding),
    ("unw_resume", Evidence::Unwinding),
    ("rust_panic", Evidence::Unwinding),
    ("rust_begin_unwind", Evidence::Unwinding),
    ("__rust_start_panic", Evidence::Unwinding),
    ("rust_eh_personality", Evidence::Unwinding),
    ("swapcontext", Evidence::StackSwitch),
    ("makecontext", Evidence::StackSwitch),
    ("setcontext", Evidence::StackSwitch),
    ("make_fcontext", Evidence::StackSwitch),
    ("jump_fcontext", Evidence::StackSwitch),
    ("ontop_fcontext", Evidence::StackSwitch),
    ("slp_switch", Evidence::StackSwitch),
    ("g_switch", Evidence::StackSwitch),
    ("coroutine_transfer", Evidence::StackSwitch),
    ("co_switch", Evidence::StackSwitch),
    ("caml_start_program", Evidence::StackScan),
    ("caml_call_gc", Evidence::StackScan),
    ("caml_call_realloc_stack", Evidence::MovingStack),
    ("graal_create_isolate", Evidence::StackScan),
    ("pthread_cancel", Evidence::Cancellation),
    ("pthread_setcanceltype", Evidence::Cancellation),
    ("dlopen", Evidence::Loading),
    ("dlmopen", Evidence::Loading),
];

/// Libraries that switch stacks with functions that only their full symbol table names.
const STACK_SWITCHERS: [&str; 3] = ["greenlet", "libboost_context", "libboost_coroutine"];

const SYSTEM_LIBRARIES: [&str; 11] = [
    "libc.so",
    "libc-2.",
    "libc.musl",
    "libpthread.so",
    "libpthread-2.",
    "libgcc_s",
    "ld-linux",
    "ld-musl",
    "ld-2.",
    "libdl.so",
    "librt.so",
];

/// Whether the file belongs to the C library or is the unwinder itself: these define what others import, so that
/// a definition in them says nothing about the process.
pub fn is_system_library(name: &str) -> bool {
    SYSTEM_LIBRARIES.iter().any(|start| name.starts_with(start))
}

/// What a symbol speaks for.
pub(super) fn of_symbol(raw: &str) -> Option<Evidence> {
    // Only these beginnings occur in the table: the check spares most symbols the search.
    let worth_a_look = matches!(
        raw.as_bytes().first(),
        Some(b'_' | b'u' | b'r' | b's' | b'm' | b'j' | b'o' | b'd')
    ) || raw.starts_with("g_")
        || raw.starts_with("graal_")
        || raw.starts_with("co")
        || raw.starts_with("caml_")
        || raw.starts_with("pthread_");
    if !worth_a_look || raw.len() > 32 {
        return None;
    }
    if raw.starts_with("_R") && raw.ends_with("rust_begin_unwind") {
        return Some(Evidence::Unwinding);
    }
    SYMBOLS
        .iter()
        .find(|(name, _)| *name == raw)
        .map(|(_, evidence)| *evidence)
}

/// What a file's name speaks for.
pub(super) fn of_file_name(name: &str) -> Option<Evidence> {
    STACK_SWITCHERS
        .iter()
        .any(|part| name.contains(part))
        .then_some(Evidence::StackSwitch)
}

/// What a section speaks for.
pub(super) fn of_section(name: &[u8]) -> Option<Evidence> {
    match name {
        b".go.buildinfo" | b".gopclntab" => Some(Evidence::Go),
        b".gcc_except_table" => Some(Evidence::Unwinding),
        _ => None,
    }
}
