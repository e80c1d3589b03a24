//! Tests over real files, and over what damage makes of them.
use std::path::Path;
use std::process::Command;

use super::{Evidence, FunctionKind, Machine, ObjectFile};

const LIBC: &str = "/lib/x86_64-linux-gnu/libc.so.6";
const LIBSTDCXX: &str = "/usr/lib/x86_64-linux-gnu/libstdc++.so.6";

/// The C library, where it lies where this test knows.
fn libc() -> Option<ObjectFile> {
    Path::new(LIBC)
        .exists()
        .then(|| ObjectFile::open(Path::new(LIBC), "libc.so.6").unwrap())
}

fn named<'a>(file: &'a ObjectFile, name: &str) -> &'a super::Function {
    let found = file
        .functions()
        .iter()
        .find(|function| file.names(function).any(|it| it.raw == name));
    found.unwrap_or_else(|| panic!("no `{name}`"))
}

/// Compiles a program; `None` where there is no compiler.
fn compile(compiler: &str, source: &str, options: &[&str]) -> Option<ObjectFile> {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("program.cc"), folder.path().join("program"));
    std::fs::write(&input, source).unwrap();
    let language = if compiler == "cc" { "c" } else { "c++" };
    let status = Command::new(compiler)
        .args(["-x", language])
        .arg(&input)
        .arg("-o")
        .arg(&output)
        .args(options)
        .status();
    status
        .is_ok_and(|status| status.success())
        .then(|| ObjectFile::open(&output, "program").unwrap())
}

/// Check that aliases are one function, and that it is named by the plainest.
#[test]
fn symbols_of_one_address_are_one_function() {
    let Some(file) = libc() else { return };
    assert_eq!(file.machine(), Machine::X86_64);
    assert!(file.build_id().is_some_and(|id| id.len() == 20));
    let malloc = named(&file, "malloc");
    assert_eq!(file.display_name(malloc), "malloc");
    assert!(
        file.aliases(malloc).contains(&"__libc_malloc".to_owned()),
        "{:?}",
        file.aliases(malloc)
    );
    assert_eq!(named(&file, "strlen").kind, FunctionKind::Ifunc);
    assert!(file.functions().is_sorted_by(|a, b| a.address < b.address));
}

/// Check that the C library's own definitions do not count as the process's machinery.
#[test]
fn only_what_uses_machinery_is_evidence() {
    let Some(file) = libc() else { return };
    assert!(!file.evidences().any_machinery());
    if Path::new(LIBSTDCXX).exists() {
        let file = ObjectFile::open(Path::new(LIBSTDCXX), "libstdc++.so.6").unwrap();
        assert!(file.evidences().has(Evidence::Unwinding));
    }
    let coroutines =
        "#include <ucontext.h>\nint main(void) { ucontext_t u; getcontext(&u); return swapcontext(&u, &u); }";
    if let Some(file) = compile("cc", coroutines, &[]) {
        assert!(file.evidences().has(Evidence::StackSwitch) && !file.evidences().has(Evidence::Unwinding));
    }
    if let Some(file) = compile("cc", "int main(void) { return 0; }", &[]) {
        assert!(!file.evidences().any_machinery());
    }
    let throwing = "int main(int n, char **) { try { if (n) throw 1; } catch (int) {} }";
    for options in [&["-static"][..], &["-static", "-s"]] {
        if let Some(file) = compile("c++", throwing, options) {
            assert!(file.evidences().has(Evidence::Unwinding), "{options:?}");
        }
    }
}

/// Check that stubs are not functions, and are known by what they call.
#[test]
#[expect(clippy::wildcard_enum_match_arm, reason = "only calls matter here")]
fn stubs_lead_to_imported_names() {
    let source = "#include <stdlib.h>\n#include <string.h>\nint main(int n, char **a) { free(malloc(n)); return *strdup(a[0]); }";
    for options in [
        &["-fcf-protection"][..],
        &["-fcf-protection=none"],
        &["-fno-plt"],
        &["-Wl,-z,now"],
    ] {
        let Some(file) = compile("cc", source, options) else {
            return;
        };
        let code = file.load_code().unwrap();
        let main = named(&file, "main");
        let bytes = code.bytes(main.address, main.end()).unwrap();
        let mut decoder = iced_x86::Decoder::with_ip(64, bytes, main.address, iced_x86::DecoderOptions::NONE);
        let mut called: Vec<&str> = decoder
            .iter()
            .filter_map(|instruction| match instruction.flow_control() {
                iced_x86::FlowControl::Call => file.import_at(instruction.near_branch_target()),
                iced_x86::FlowControl::IndirectCall => {
                    file.import_in_slot(instruction.ip_rel_memory_address())
                }
                _ => None,
            })
            .collect();
        called.sort_unstable();
        assert_eq!(called, ["free", "malloc", "strdup"], "{options:?}");
        let is_stub = |function: &&super::Function| file.imports().is_stub(function.address);
        assert_eq!(file.functions().iter().filter(is_stub).count(), 0);
    }
}

/// Check that a stripped file's functions are found where the full file's symbols have them.
#[test]
fn a_stripped_file_has_the_functions_of_its_unwind_table() {
    let source = "__attribute__((noinline)) static int f(int n) { return n * n; }\nint main(int n, char **a) { return f(n); }";
    let Some(full) = compile("cc", source, &["-O1"]) else {
        return;
    };
    let stripped = compile("cc", source, &["-O1", "-s"]).unwrap();
    for name in ["main", "f"] {
        let function = named(&full, name);
        let found = stripped
            .function_at(function.address)
            .unwrap_or_else(|| panic!("no `{name}`"));
        let found = &stripped.functions()[found];
        assert_eq!(found.size, function.size, "{name}");
        assert_eq!(
            stripped.display_name(found),
            format!("program+{:#x}", function.address)
        );
    }
}

/// Check that a stripped file's functions have the names that its small compressed symbol table tells.
#[test]
fn a_compressed_symbol_table_names_the_functions_of_a_stripped_file() {
    let folder = tempfile::tempdir().unwrap();
    let run = |script: &str| {
        let status = Command::new("sh")
            .arg("-c")
            .arg(script)
            .current_dir(folder.path())
            .status();
        assert!(status.unwrap().success(), "{script}");
    };
    let source = "__attribute__((noinline)) static int hidden(int n) { return n * n; }\n\
                  int main(int n, char **a) { return hidden(n); }";
    std::fs::write(folder.path().join("program.c"), source).unwrap();
    run("cc -O1 program.c -o full && cp full program && strip --only-keep-debug full -o table");
    run("strip -s program && xz -k table && objcopy --add-section .gnu_debugdata=table.xz program");
    let full = ObjectFile::open(&folder.path().join("full"), "program").unwrap();
    let stripped = ObjectFile::open(&folder.path().join("program"), "program").unwrap();
    for name in ["hidden", "main"] {
        let (function, found) = (named(&full, name), named(&stripped, name));
        assert_eq!(
            (found.address, found.size),
            (function.address, function.size),
            "{name}"
        );
    }
    // A damaged table takes nothing but its names away.
    run("head -c 200 table.xz > short.xz && objcopy --update-section .gnu_debugdata=short.xz program");
    let damaged = ObjectFile::open(&folder.path().join("program"), "program").unwrap();
    assert!(damaged.function_at(named(&full, "hidden").address).is_some());
    assert!(
        damaged
            .functions()
            .iter()
            .all(|function| damaged.names(function).all(|name| name.raw != "hidden"))
    );
}

/// Check that no damage makes the reader panic.
#[test]
fn damaged_files_are_errors_at_worst() {
    let source =
        "int f(int n) { if (n > 3) __builtin_trap(); return n; } int main(int n, char **a) { return f(n); }";
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("program.c"), folder.path().join("program"));
    std::fs::write(&input, source).unwrap();
    let built = Command::new("cc")
        .args(["-O2", "-g"])
        .arg(&input)
        .arg("-o")
        .arg(&output)
        .status();
    if !built.is_ok_and(|status| status.success()) {
        return;
    }
    let good = std::fs::read(&output).unwrap();
    for length in (0..good.len()).step_by(61) {
        read_all_of(good[..length].to_vec());
    }
    // A generator of Marsaglia's, so that each run tries the same.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..3000 {
        let mut bytes = good.clone();
        for _ in 0..8 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // Half of the damage goes to the headers at both ends.
            let length = bytes.len() as u64;
            let position = match state >> 62 {
                0 => (state >> 8) % 1024,
                1 => length - 1 - (state >> 8) % 3000,
                _ => (state >> 8) % length,
            };
            bytes[position as usize] = if state & 0x80 == 0 { 0xff } else { state as u8 };
        }
        read_all_of(bytes);
    }
}

fn read_all_of(bytes: Vec<u8>) {
    let Ok(file) = ObjectFile::parse(bytes, "damaged") else {
        return;
    };
    for function in file.functions() {
        let _name = file.display_name(function);
        let _aliases = file.aliases(function);
        let _pads = file.landing_pads(function.landing_table, function.address);
    }
    let _code = file.load_code();
    crate::probe::planner::tests::plan_alone(file);
}
