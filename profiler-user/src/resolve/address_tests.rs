//! Tests over this very process, over one that has ended, and over recorded texts.
use std::process::{Command, Stdio};

use super::{AddressResolver, Kind, Place};
use crate::object::ObjectFile;
use crate::target::mappings::{Backing, Mappings};

#[inline(never)]
fn landmark(number: u64) -> u64 {
    std::hint::black_box(number) + 1
}

#[test]
fn a_function_of_this_process_has_its_name() {
    let address = landmark as fn(u64) -> u64 as usize as u64;
    let mut resolver = AddressResolver::new();
    let place = resolver.resolve(std::process::id(), address);
    assert_eq!(place.kind, Kind::File, "{place:?}");
    assert!(
        place
            .function
            .as_deref()
            .is_some_and(|name| name.ends_with("::landmark")),
        "{place:?}"
    );
    assert_eq!(place.offset, 0);
    let inside = resolver.resolve(std::process::id(), address + 1);
    assert_eq!((inside.function, inside.offset), (place.function, 1));
}

#[test]
fn a_function_of_the_vdso_has_its_name() {
    let pid = std::process::id();
    let mappings = Mappings::of(pid).unwrap();
    let Some(bytes) = mappings.read_vdso(pid) else {
        return;
    };
    let vdso = mappings
        .iter()
        .find(|mapping| mapping.backing == Backing::Vdso)
        .unwrap();
    let file = ObjectFile::parse(bytes, "[vdso]").unwrap();
    let function = file
        .functions()
        .iter()
        .find(|function| {
            file.names(function)
                .any(|name| name.raw.ends_with("clock_gettime"))
        })
        .expect("every vDSO tells the time");
    let place = AddressResolver::new().resolve(pid, vdso.start + function.address + 3);
    assert_eq!(
        (place.kind, place.offset, &*place.object),
        (Kind::Vdso, 3, "[vdso]")
    );
    assert!(place.function.is_some_and(|name| name.ends_with("clock_gettime")));
}

#[test]
fn what_was_learnt_outlives_the_process() {
    let mut child = Command::new("sleep")
        .arg("1000")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let pid = child.id();
    let mut resolver = AddressResolver::new();
    // It has its own program only from a moment after its start on.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let library = loop {
        let mappings = Mappings::of(pid).unwrap();
        let mut files = mappings.iter().filter(|mapping| match &mapping.backing {
            Backing::File(path) => path.to_string_lossy().contains("libc.so"),
            Backing::Vdso | Backing::Uprobes | Backing::Anonymous(_) => false,
        });
        let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        if let Some(library) = files.next()
            && program.ends_with("sleep")
        {
            break library.clone();
        }
        assert!(std::time::Instant::now() < deadline, "`sleep` maps no C library");
        std::thread::yield_now();
    };
    resolver.learn(pid).unwrap();
    let (_id, file) = library.open(pid).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let file = ObjectFile::from_file(file, "libc").unwrap();
    let malloc = file
        .functions()
        .iter()
        .find(|function| file.names(function).any(|name| name.raw == "malloc"))
        .unwrap();
    let offset = file.segments().code_offset(malloc.address).unwrap();
    let place = resolver.resolve(pid, library.start + offset - library.offset);
    assert_eq!(
        (place.kind, place.function.as_deref(), place.offset),
        (Kind::File, Some("malloc"), 0)
    );
    // What nobody knows of it stays unknown, without an error.
    assert_eq!(resolver.resolve(pid, 0x10).kind, Kind::Unknown);
    resolver.forget(pid);
    assert_eq!(resolver.resolve(pid, library.start).kind, Kind::Unknown);
}

#[test]
fn code_without_a_file_is_named_by_its_compiler() {
    let mut child = Command::new("sleep")
        .arg("1000")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let pid = child.id();
    let path = format!("/tmp/perf-{pid}.map");
    std::fs::write(&path, "7f0000000100 20 first compiled\n").unwrap();
    let text = "7f0000000000-7f0000010000 r-xp 00000000 00:00 0 \n\
                7f1000000000-7f1000010000 r-xp 00001000 fe:00 99999999     /no/such/lib.so\n\
                7ffff0000000-7ffff0001000 --xp 00000000 00:00 0     [uprobes]\n";
    let mut resolver = AddressResolver::new();
    resolver.learn_from(pid, Mappings::parse(text));
    let compiled = resolver.resolve(pid, 0x7f00_0000_0104);
    assert_eq!(compiled.kind, Kind::Jit);
    assert_eq!(compiled.to_string(), "first compiled+0x4");
    let unnamed = resolver.find(pid, 0x7f00_0000_0200);
    assert_eq!(
        (unnamed.kind, unnamed.to_string()),
        (Kind::Anonymous, "[anonymous]+0x7f0000000200".to_owned())
    );
    // The compiler goes on.
    let more = std::fs::OpenOptions::new().append(true).open(&path);
    std::io::Write::write_all(&mut more.unwrap(), b"7f0000000200 20 second\n").unwrap();
    resolver.learn_from(pid, Mappings::parse(text));
    assert_eq!(resolver.resolve(pid, 0x7f00_0000_0200).to_string(), "second");
    let page = resolver.resolve(pid, 0x7fff_f000_0010);
    assert!(page.is_skipped() && page.kind == Kind::Uprobes, "{page:?}");
    // A file that is not there names nothing, and is still named itself.
    assert_eq!(
        resolver.resolve(pid, 0x7f10_0000_0010).to_string(),
        "lib.so+0x1010"
    );
    std::fs::remove_file(&path).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_resolver_may_move_to_another_thread() {
    let mut resolver = AddressResolver::new();
    let place = std::thread::spawn(move || resolver.resolve(u32::MAX, 0x1000))
        .join()
        .unwrap();
    assert_eq!(place.kind, Kind::Unknown);
}

#[test]
fn the_kernels_half_is_the_kernel() {
    let place = AddressResolver::new().resolve(std::process::id(), 0xffff_ffff_8100_0000);
    assert_eq!(place.kind, Kind::Kernel);
}

#[test]
fn places_are_shown_with_what_is_known() {
    let place = |function: Option<&str>, object: &str, offset| {
        let place = Place {
            kind: Kind::File,
            function: function.map(Into::into),
            object: object.into(),
            offset,
        };
        place.to_string()
    };
    assert_eq!(place(Some("f(int)"), "a.so", 0), "f(int)");
    assert_eq!(place(Some("f(int)"), "a.so", 16), "f(int)+0x10");
    assert_eq!(place(None, "a.so", 0x1234), "a.so+0x1234");
    assert_eq!(place(None, "", 0x1234), "0x1234");
}
