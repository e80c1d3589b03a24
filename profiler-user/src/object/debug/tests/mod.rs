//! Tests over small programs, built with debug information of every form.
mod find;
mod forms;
mod hostile;
mod reference;

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{Search, SourceLine, Units};
use crate::object::ObjectFile;
use crate::object::source::Source;

/// `twice` is inlined in line 9 of `parse_number` and in line 14 of `parse_word`.
const PARSER: &str = "\
static inline __attribute__((always_inline)) int twice(volatile int *n)
{
    return *n * 2;
}
__attribute__((noinline)) int parse_number(volatile int *n)
{
    int sum = 0;
    for (int i = 0; i < *n; i++)
        sum += twice(n);
    return sum;
}
__attribute__((noinline)) int parse_word(volatile int *n)
{
    return twice(n) + 1;
}
";
const MAIN: &str = "\
int parse_number(volatile int *), parse_word(volatile int *);
int main(int count, char **arguments)
{
    (void)arguments;
    volatile int n = count;
    return parse_number(&n) + parse_word(&n);
}
";

/// A program that was built from [`MAIN`] and [`PARSER`].
struct Built {
    folder: TempDir,
    program: PathBuf,
}

impl Built {
    /// Builds it; `None` where the compiler is missing, or does not have the options.
    fn new(options: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("src")).unwrap();
        for (name, text) in [("src/main.c", MAIN), ("src/parser.c", PARSER)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let built = Self {
            program: folder.path().join("program"),
            folder,
        };
        let arguments = ["-O1", "-o", "program", "src/main.c", "src/parser.c"];
        built.run("cc", &[&arguments, options].concat()).then_some(built)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a tool in the folder. Whether it is there and succeeds.
    fn run(&self, tool: &str, arguments: &[&str]) -> bool {
        let output = Command::new(tool)
            .args(arguments)
            .current_dir(self.folder.path())
            .output();
        output.is_ok_and(|output| output.status.success())
    }

    /// Splits the debug information off into `program.debug`, and names it in the program.
    fn strip(&self) {
        for (tool, arguments) in [
            ("objcopy", &["--only-keep-debug", "program", "program.debug"][..]),
            ("strip", &["--strip-all", "program"]),
            ("objcopy", &["--add-gnu-debuglink=program.debug", "program"]),
        ] {
            assert!(self.run(tool, arguments), "{tool} {arguments:?}");
        }
    }

    fn source(&self) -> Source {
        Source::open(&self.program).unwrap()
    }

    fn open(&self) -> ObjectFile {
        self.open_with(Search::default())
    }

    fn open_with(&self, search: Search) -> ObjectFile {
        self.open_with_path(&self.program, search)
    }

    /// The same, with the path that the target knows it by.
    fn open_with_path(&self, path: &Path, search: Search) -> ObjectFile {
        let path = path.to_owned();
        ObjectFile::open_with(&self.program, "program", Search { path, ..search }).unwrap()
    }
}

fn address(file: &ObjectFile, name: &str) -> u64 {
    let mut functions = file.functions().iter();
    let found = functions.find(|function| file.names(function).any(|it| it.raw == name));
    found.unwrap_or_else(|| panic!("no `{name}`")).address
}

/// File name and line.
fn short(line: Option<&SourceLine>) -> String {
    line.map_or_else(String::new, |SourceLine { file, line }| {
        let name = Path::new(&**file).file_name().unwrap().to_str().unwrap();
        format!("{name}:{line}")
    })
}

/// Check every question to the debug information of the program.
fn check(file: &ObjectFile) {
    let debug = file.debug().load().unwrap();
    let units = debug.units().unwrap();
    let (number, word) = (address(file, "parse_number"), address(file, "parse_word"));
    for (name, expected) in [
        ("parse_number", "parser.c:5"),
        ("parse_word", "parser.c:12"),
        ("main", "main.c:2"),
    ] {
        let line = units.declaration(address(file, name));
        assert_eq!(short(line.as_ref()), expected, "{name}");
        let at_entry = units.location(address(file, name));
        assert!(short(at_entry.as_ref()).starts_with(&expected[..expected.find(':').unwrap()]));
    }
    let full = units.declaration(number).unwrap().file;
    assert!(full.starts_with('/') && full.ends_with("/src/parser.c"), "{full}");
    let entries: Vec<u64> = units.declarations().iter().map(|found| found.entry).collect();
    assert!(
        [number, word].iter().all(|entry| entries.contains(entry)),
        "{entries:x?}"
    );
    check_inlined(&units, [number, word]);
    let in_line_3 = units.addresses_of_line(&|path| path.ends_with("parser.c"), 3);
    let mut holders: Vec<u64> = in_line_3
        .iter()
        .filter_map(|address| units.entry_of(*address))
        .collect();
    holders.sort_unstable();
    holders.dedup();
    assert_eq!(holders, [number, word], "{in_line_3:x?}");
    assert!(
        units
            .addresses_of_line(&|path| path.ends_with("other.c"), 3)
            .is_empty()
    );
    // Outside of everything.
    for nowhere in [0, 1, u64::MAX] {
        assert!(units.frames(nowhere).is_empty() && units.declaration(nowhere).is_none());
    }
}

fn check_inlined(units: &Units<'_>, callers: [u64; 2]) {
    let places = units.inlined(&|name| name == "twice");
    let found: Vec<(u64, &str, String, String)> = places
        .iter()
        .map(|place| {
            let caller = place.caller_name.as_deref().unwrap();
            (
                place.caller,
                caller,
                short(place.call.as_ref()),
                short(place.declared.as_ref()),
            )
        })
        .collect();
    let expected = |caller, name, call: &str| (caller, name, call.to_owned(), "parser.c:1".to_owned());
    assert_eq!(
        found,
        [
            expected(callers[0], "parse_number", "parser.c:9"),
            expected(callers[1], "parse_word", "parser.c:14")
        ]
    );
    assert!(units.inlined(&|name| name == "thrice").is_empty());
    for (place, caller) in places
        .iter()
        .zip(["parse_number at parser.c:9", "parse_word at parser.c:14"])
    {
        let frames: Vec<String> = units
            .frames(place.entry)
            .iter()
            .map(|frame| {
                let function = frame.function.as_deref().unwrap_or_default();
                format!("{function} at {}", short(frame.location.as_ref()))
            })
            .collect();
        assert_eq!(frames, ["twice at parser.c:3", caller]);
    }
}
