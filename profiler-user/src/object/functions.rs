//! Functions, put together from symbols and unwind tables.
use super::Segments;
use super::frames::{self, Frame};
use super::go::Go;
use super::imports::Imports;
use super::names::{self, Arena, NameRange, StoredName};
use super::symbols::Symbol;

/// What a function is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FunctionKind {
    /// It is called, and returns to its caller.
    Ordinary,
    /// It chooses another function, which its name then stands for.
    Ifunc,
    /// It is a part of another function, which jumps to it.
    Fragment,
}

/// One function: a place in the code with any number of names.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// Virtual address of its first instruction.
    pub address: u64,
    /// Bytes; 0 where nothing tells them.
    pub size: u64,
    /// Virtual address of the table that says where exceptions land in it; 0 = none.
    pub landing_table: u64,
    /// What it is.
    pub kind: FunctionKind,
    pub(super) names: NameRange,
}

impl Function {
    /// The address behind its last byte.
    pub fn end(&self) -> u64 {
        self.address.saturating_add(self.size)
    }
}

/// Everything that tells where functions are.
pub(super) struct Sources<'a> {
    pub(super) symbols: Vec<Symbol>,
    pub(super) frames: Vec<Frame>,
    pub(super) segments: &'a Segments,
    pub(super) imports: &'a Imports,
    pub(super) go: &'a Go,
    /// The ends of the executable sections, sorted.
    pub(super) section_ends: Vec<u64>,
}

/// Puts symbols and frames together: one function per address, sorted.
pub(super) fn assemble(mut sources: Sources<'_>, arena: &mut Arena) -> Vec<Function> {
    let mut symbols = std::mem::take(&mut sources.symbols);
    symbols.retain(|symbol| !sources.imports.is_stub(symbol.address));
    symbols.sort_unstable_by_key(|symbol| symbol.address);
    let mut functions: Vec<Function> = Vec::new();
    for group in symbols.chunk_by_mut(|a, b| a.address == b.address) {
        group.sort_unstable_by(|a, b| {
            names::preference(arena.text(a.name), a.global)
                .cmp(&names::preference(arena.text(b.name), b.global))
        });
        let mut function = from_symbols(group, arena);
        // Go has functions that are called `cold`, and no fragments.
        if function.kind == FunctionKind::Fragment && sources.go.has(function.address) {
            function.kind = FunctionKind::Ordinary;
        }
        functions.push(function);
    }
    drop(symbols);
    size_by_frames(&mut functions, &sources.frames);
    size_by_neighbours(&mut functions, &sources);
    add_unnamed(&mut functions, &sources);
    functions.shrink_to_fit();
    functions
}

fn from_symbols(group: &[Symbol], arena: &mut Arena) -> Function {
    let kind = if group.iter().any(|symbol| symbol.ifunc) {
        FunctionKind::Ifunc
    } else if group
        .iter()
        .all(|symbol| names::fragment_of(arena.text(symbol.name)).is_some())
    {
        FunctionKind::Fragment
    } else {
        FunctionKind::Ordinary
    };
    // The same name comes from both symbol tables; sorted by preference the two are neighbours.
    let mut names = NameRange::default();
    let mut last = None;
    for symbol in group {
        if last.is_none_or(|last| arena.text(last) != arena.text(symbol.name)) {
            let name = StoredName {
                text: symbol.name,
                global: symbol.global,
            };
            names = arena.add_name(names, name);
        }
        last = Some(symbol.name);
    }
    let size = group.iter().map(|symbol| symbol.size).max().unwrap_or(0);
    Function {
        address: group[0].address,
        size,
        landing_table: 0,
        kind,
        names,
    }
}

fn size_by_frames(functions: &mut [Function], frames: &[Frame]) {
    for function in functions {
        if let Some(frame) = frames::starting_at(frames, function.address) {
            function.landing_table = frame.landing_table;
            if function.size == 0 {
                function.size = frame.length;
            }
        }
    }
}

/// A function without a size ends where the next one starts, or its section does; no function passes the end of
/// its segment.
fn size_by_neighbours(functions: &mut [Function], sources: &Sources<'_>) {
    let mut next = u64::MAX;
    for function in functions.iter_mut().rev() {
        let segment_end = sources
            .segments
            .code_end(function.address)
            .unwrap_or(function.address);
        if function.size == 0 {
            let after = sources
                .section_ends
                .partition_point(|end| *end <= function.address);
            let section_end = sources
                .section_ends
                .get(after)
                .copied()
                .unwrap_or(function.address);
            let after = sources
                .frames
                .partition_point(|frame| frame.start <= function.address);
            let next_frame = sources.frames.get(after).map_or(u64::MAX, |frame| frame.start);
            function.size = next
                .min(section_end)
                .min(next_frame)
                .saturating_sub(function.address);
        }
        function.size = function.size.min(segment_end.saturating_sub(function.address));
        next = function.address;
    }
}

/// Adds a function for each frame that no symbol covers.
fn add_unnamed(functions: &mut Vec<Function>, sources: &Sources<'_>) {
    let mut unnamed = Vec::new();
    let (mut next, mut covered_to) = (0, 0);
    for frame in &sources.frames {
        while let Some(function) = functions
            .get(next)
            .filter(|function| function.address <= frame.start)
        {
            covered_to = covered_to.max(function.end());
            next += 1;
        }
        let named = next > 0 && functions[next - 1].address == frame.start;
        let in_code = sources
            .segments
            .code_end(frame.start)
            .is_some_and(|end| frame.length <= end - frame.start);
        if named || frame.start < covered_to || !in_code || sources.imports.is_stub(frame.start) {
            continue;
        }
        let kind = if frame.fragment {
            FunctionKind::Fragment
        } else {
            FunctionKind::Ordinary
        };
        unnamed.push(Function {
            address: frame.start,
            size: frame.length,
            landing_table: frame.landing_table,
            kind,
            names: NameRange::default(),
        });
        covered_to = covered_to.max(frame.start + frame.length);
    }
    functions.extend(unnamed);
    functions.sort_unstable_by_key(|function| function.address);
}
