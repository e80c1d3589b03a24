//! Runs the parsers over bytes that may be anything: shared by the tests and by `fuzz/`. What comes back does not matter;
//! that it comes back does.
use std::path::PathBuf;

use ebpf_prof::object::{GoLines, ObjectFile, xz};
use ebpf_prof::probe::plan::ReturnsChoice;
use ebpf_prof::probe::planner::{self, MappedObject};
use ebpf_prof::probe::returns::ProcessFacts;
use ebpf_prof::probe::selection::Request;
use ebpf_prof::resolve::jit::JitMap;
use ebpf_prof::resolve::kernel_symbols::KernelSymbols;
use ebpf_prof::target::mappings::Mappings;
use ebpf_prof::target::outside;

/// A parser, by the name of its corpus.
pub(crate) type Parser = fn(&[u8]);

/// Every parser.
pub(crate) const PARSERS: &[(&str, Parser)] = &[
    ("cgroup", cgroup),
    ("elf", elf),
    ("gopclntab", gopclntab),
    ("http", http),
    ("mountinfo", mountinfo),
    ("perf_map", perf_map),
    ("proc", proc),
    ("runtime", runtime),
    ("xz", unpack),
];

/// Runs the parser of this name.
pub(crate) fn run(name: &str, bytes: &[u8]) {
    for (_, parser) in PARSERS.iter().filter(|(other, _)| *other == name) {
        parser(bytes);
    }
}

/// Everything that can be asked of debug information.
pub(crate) fn debug_information(file: &ObjectFile) {
    let Ok(debug) = file.debug().load() else { return };
    let Ok(units) = debug.units() else { return };
    let declarations = units.declarations();
    let places = units.inlined(&|_| true);
    let _lines = units.lines_where(&|_| true, &|_| true);
    let addresses = file.functions().iter().map(|function| function.address);
    let declared = declarations.iter().map(|declaration| declaration.entry);
    let inlined = places.iter().map(|place| place.entry);
    for address in addresses
        .chain(declared)
        .chain(inlined)
        .chain([0, u64::MAX])
        .take(256)
    {
        let _answers = (units.frames(address), units.declaration(address));
    }
}

/// An ELF file: its functions, their names, and the plan of all of them.
pub(crate) fn elf(bytes: &[u8]) {
    let Ok(file) = ObjectFile::parse(bytes.to_vec(), "hostile") else {
        return;
    };
    for (index, function) in file.functions().iter().enumerate() {
        // Each of a few, then some: names are long to demangle where they were made to be.
        if index < 64 || index % 64 == 0 {
            let _name = file.display_name(function);
            let _aliases = file.aliases(function);
        }
        let _pads = file.landing_pads(function.landing_table, function.address);
        let _go = file.go_function(function.address);
    }
    if let Some(first) = file.functions().first() {
        let _declared = file.declaration(first.address);
    }
    debug_information(&file);
    let _code = file.load_code();
    let nowhere = PathBuf::from("/nonexistent");
    let object = MappedObject {
        attach_path: nowhere.clone(),
        path: nowhere,
        name: "hostile".to_owned(),
        is_main: true,
        file,
    };
    for returns in [ReturnsChoice::Auto, ReturnsChoice::Sites] {
        let request = Request {
            returns,
            ..Request::default()
        };
        let _plan = planner::plan(std::slice::from_ref(&object), &request, ProcessFacts::default());
    }
}

/// Go's table of functions and lines.
pub(crate) fn gopclntab(bytes: &[u8]) {
    let Some(lines) = GoLines::parse(bytes.to_vec(), 0x1000) else {
        return;
    };
    let functions: Vec<u64> = lines.functions().take(256).map(|(address, _)| address).collect();
    for address in functions {
        let _declared = lines.declaration(address);
        let _inside = lines.position(address.wrapping_add(3));
    }
}

/// The map of a just-in-time compiler.
pub(crate) fn perf_map(bytes: &[u8]) {
    let mut map = JitMap::default();
    map.add(bytes);
    for address in [0, 0x1000, u64::MAX] {
        let _found = map.lookup(address);
    }
}

/// The texts of `/proc`.
pub(crate) fn proc(bytes: &[u8]) {
    let mappings = Mappings::parse(&String::from_utf8_lossy(bytes));
    let symbols = KernelSymbols::parse(bytes);
    for address in [0, 0x1000, u64::MAX] {
        let _mapping = mappings.at(address);
        let _symbol = symbols.lookup(address);
    }
    let _problem = symbols.problem();
}

/// A compressed symbol table.
pub(crate) fn unpack(bytes: &[u8]) {
    if let Ok(unpacked) = xz::unpack(bytes, 1 << 20) {
        elf(&unpacked);
    }
}

/// The groups of a process.
pub(crate) fn cgroup(bytes: &[u8]) {
    let _container = outside::cgroup(&String::from_utf8_lossy(bytes));
}

/// The mounts of a process.
pub(crate) fn mountinfo(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for id in ["0123456789ab", "", "containers"] {
        let _folder = outside::mountinfo(&text, id);
    }
}

/// A document in which a runtime tells of a container.
pub(crate) fn runtime(bytes: &[u8]) {
    let _containers = outside::document(bytes);
}

/// A daemon's answer, whose body is a document.
pub(crate) fn http(bytes: &[u8]) {
    if let Some(body) = outside::answer(bytes) {
        runtime(&body);
    }
}
