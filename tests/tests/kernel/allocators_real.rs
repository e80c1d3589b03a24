//! Allocations of real programs, against what counts them without us.
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tests::kernel::with_kernel;
use tests::process::send_signal;
use tests::profiler::Profiler;
use tests::program::Program;
use tests::report::Report;
use tests::target::Target;

/// A bulk of SQL whose statements allocate many blocks of all sizes.
const SQL: &str = "CREATE TABLE t(a, b); \
    INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) SELECT i, hex(i) FROM n; \
    SELECT count(*) FROM t WHERE b LIKE '%1'; SELECT sum(a) FROM t;";

/// A number for each line, to be sorted.
fn numbers(folder: &Path) -> String {
    let file = folder.join("numbers");
    let lines: Vec<String> = (0..5000)
        .map(|number| (number * 7919 % 5000).to_string())
        .collect();
    let text = lines.join("\n");
    fs::write(&file, text).expect("a file can be written");
    file.display().to_string()
}

/// Programs of the distribution that do the same each time.
fn commands(folder: &Path) -> Vec<Vec<String>> {
    let python = "print(len({n: str(n) * 100 for n in range(3000)}))";
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    vec![
        words(&["sort", "-n", "--parallel=1", &numbers(folder)]),
        words(&["sqlite3", ":memory:", SQL]),
        words(&["/usr/bin/python3", "-I", "-S", "-c", python]),
    ]
}

fn follow_command(words: &[String], environment: &[(&str, &str)], options: &[&str]) -> Report {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let all = [&["mem"], options, &["--"], &words].concat();
    // Hashes of texts would else be other ones each time, and tables would grow at other times.
    let seed = ("PYTHONHASHSEED", "0");
    let environment = [environment, &[seed]].concat();
    let report = Profiler::start_within(&environment, &all).wait().success();
    report.assert_memory_is_complete();
    report
}

fn output(command: &mut Command) -> Output {
    command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}: run `cargo xtask setup --tests`"))
}

/// The numbers of a line of valgrind's.
fn of_line(text: &str, start: &str) -> Vec<u64> {
    let line = text.lines().find_map(|line| line.split_once(start));
    let (_, line) = line.unwrap_or_else(|| panic!("valgrind says: {text}"));
    let words = line.split(' ');
    words
        .filter_map(|word| word.replace(',', "").parse().ok())
        .collect()
}

/// Check that allocations, frees, bytes, and what is left at the end, are those that valgrind counts, which runs the program on
/// its own.
#[test]
fn allocations_and_leaks_of_real_programs_are_those_that_valgrind_counts() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    with_kernel(|_mode| {
        for words in commands(folder.path()) {
            let mut valgrind = Command::new("valgrind");
            // What the C library frees for leak checkers alone is none of the program's doing.
            let options = ["--tool=memcheck", "--run-libc-freeres=no"];
            let said = output(valgrind.args(options).args(&words).env("PYTHONHASHSEED", "0"));
            let said = String::from_utf8_lossy(&said.stderr).into_owned();
            let (total, left) = (
                of_line(&said, "total heap usage: "),
                of_line(&said, "in use at exit: "),
            );
            let report = follow_command(&words, &[], &[]);
            let number = |name| report.family("heap", name);
            let found = [number("allocations"), number("frees"), number("bytes")];
            assert_eq!(found[..], total[..], "{words:?}: {:#}", report.json);
            let found = [number("live_bytes"), number("live_count")];
            assert_eq!(found[..], left[..], "{words:?}: {:#}", report.json);
        }
    });
}

/// Check that the calls of each function are those that a library counts that is loaded in front of the C library's.
#[test]
fn calls_of_each_allocator_are_those_that_an_interposed_library_counts() {
    let counter = Program::new("counter.c")
        .flags(&["-O1", "-shared", "-fPIC", "-fno-builtin"])
        .build();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    with_kernel(|_mode| {
        for (index, words) in commands(folder.path()).iter().enumerate() {
            let counts = folder.path().join(format!("counts-{index}"));
            let (library, counts) = (counter.display().to_string(), counts.display().to_string());
            let environment = [("LD_PRELOAD", library.as_str()), ("COUNTS", counts.as_str())];
            let report = follow_command(words, &environment, &[]);
            let rows = report.json["rows"].as_array().expect("the result has lines");
            let heap = rows.iter().filter(|row| row["family"] == "heap");
            let mut found: BTreeMap<&str, u64> = BTreeMap::new();
            for row in heap.clone() {
                let allocator = row["allocator"].as_str().expect("a line has an allocator");
                *found.entry(allocator).or_default() += row["allocations"].as_u64().expect("a number");
            }
            let pid = heap
                .clone()
                .find_map(|row| row["pid"].as_u64())
                .expect("it allocates");
            let text = fs::read_to_string(format!("{counts}.{pid}")).expect("the library writes its counts");
            let truth: BTreeMap<&str, u64> = text
                .lines()
                .filter_map(|line| line.split_once(' '))
                .map(|(name, count)| (name, count.parse().expect("a number")))
                .collect();
            for name in ["malloc", "calloc", "realloc", "reallocarray"] {
                let found = found.get(name).copied().unwrap_or(0);
                assert_eq!(found, truth[name], "{words:?}: {name}: {:#}", report.json);
            }
            // A realloc of a block frees it.
            let freed = truth["free"] + truth["resized"];
            assert_eq!(
                report.family("heap", "frees"),
                freed,
                "{words:?}: {:#}",
                report.json
            );
        }
    });
}

/// A line that heaptrack leaves out where it would be nothing.
const SUPPRESSED: &str = "suppressed leaks:";

/// What heaptrack sums up at its end: calls, temporary ones, bytes at the peak, bytes that are left.
fn heaptrack(folder: &Path, words: &[String]) -> [f64; 4] {
    let data = folder.join("heaptrack");
    output(Command::new("heaptrack").arg("-o").arg(&data).args(words));
    let data = data.with_extension("zst");
    let said = output(Command::new("heaptrack_print").arg(data));
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let number = |start: &str| {
        let line = said.lines().rev().find_map(|line| line.strip_prefix(start));
        let word = line.and_then(|line| line.split(' ').find(|word| !word.is_empty()));
        let word = word.or_else(|| (start == SUPPRESSED).then_some("0B"));
        let word = word.unwrap_or_else(|| panic!("heaptrack says: {said}"));
        let unit = match word.trim_end_matches('B').chars().last() {
            Some('K') => 1e3,
            Some('M') => 1e6,
            _ => 1.0,
        };
        let digits = word.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        digits.parse::<f64>().expect("a number") * unit
    };
    [
        number("calls to allocation functions:"),
        number("temporary memory allocations:"),
        number("peak heap memory consumption:"),
        number("total memory leaked:") + number(SUPPRESSED),
    ]
}

/// Check that calls, short-lived blocks, the peak and what is left are those of heaptrack, less what heaptrack's own library
/// allocates as it is loaded: that of a program that does nothing.
#[test]
fn totals_are_those_of_heaptrack() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let nothing = Program::new("nothing.c").build().display().to_string();
    let allocators = Program::new("allocators.c")
        .flags(&["-O1", "-fno-builtin"])
        .build();
    let allocators = allocators.display().to_string();
    let churn = Program::new("heap.cpp")
        .flags(&[
            "-O1",
            "-std=c++17",
            "-fno-builtin",
            "-Wno-unused-result",
            "-no-pie",
        ])
        .build();
    let churn = [&churn.display().to_string(), "churn", "1000", "64"].map(str::to_owned);
    let sqlite: Vec<String> = ["sqlite3", ":memory:", SQL].map(str::to_owned).into();
    with_kernel(|_mode| {
        let own = heaptrack(folder.path(), &[nothing]);
        for (words, tells_alike_apart) in [(vec![allocators], true), (churn.into(), true), (sqlite, false)] {
            let theirs = heaptrack(folder.path(), &words);
            let report = follow_command(&words, &[], &[]);
            let number = |name| report.family("heap", name) as f64;
            let difference = |index: usize, name| theirs[index] - own[index] - number(name);
            assert!(
                difference(0, "allocations").abs() < 0.5,
                "{theirs:?}: {:#}",
                report.json
            );
            // It prints five digits at most.
            let rounding = |index: usize| theirs[index] / 1e3 + 10.0;
            assert!(
                difference(2, "peak_bytes").abs() <= rounding(2),
                "{theirs:?} {own:?}: {:#}",
                report.json
            );
            assert!(
                difference(3, "live_bytes").abs() <= rounding(3),
                "{theirs:?} {own:?}: {:#}",
                report.json
            );
            // Its own block may be the last that was allocated. And it takes any block of the same size and stack for that.
            let more = theirs[1] - number("temporary");
            let is_alike = (0.0..=1.0).contains(&more) || (!tells_alike_apart && more >= 0.0);
            assert!(is_alike, "{theirs:?} {own:?}: {:#}", report.json);
        }
    });
}

/// What a Python makes of `n` bytearrays and as many objects of the smallest kind, after the handshake.
const PYTHON: &str = "import sys
n = int(sys.argv[1])
class Small:
    __slots__ = ()
numbers = list(range(n)); arrays = [None] * n; smalls = [None] * n
print('ready', flush=True); sys.stdin.buffer.raw.read(1)
for number in numbers:
    arrays[number] = bytearray(1000)
    smalls[number] = Small()
print('made', flush=True); sys.stdin.buffer.raw.read(1)
";

/// Follows a Python until it has made them.
fn python(program: &str, number: u64) -> Report {
    let mut command = Command::new(program);
    command.args(["-I", "-S", "-c", PYTHON, &number.to_string()]);
    let environment = [("PYTHONHASHSEED", "0"), ("PYTHONMALLOC", "pymalloc")];
    let mut target = Target::spawn(command.envs(environment));
    let pid = target.pid().to_string();
    let profiler = Profiler::start(&["mem", "-p", &pid, "--family", "heap,python"]);
    profiler.wait_until_attached();
    target.go();
    target.wait_for_line("made");
    send_signal(profiler.pid(), libc::SIGINT);
    let report = profiler.wait().success();
    report.assert_memory_is_complete();
    target.finish();
    report
}

/// Check that a Python's allocations are all seen where its allocator is a function: objects, also the small ones that the C
/// library knows nothing of, and the C library's blocks apart from them.
#[test]
fn bytearrays_and_small_objects_of_python_are_seen_apart_from_the_heap() {
    with_kernel(|_mode| {
        let [few, many] = [1000, 2000].map(|number| python("/usr/bin/python3-dbg", number));
        let more = |family, name| many.family(family, name) - few.family(family, name);
        // A thousand of each more: the object of a bytearray, its bytes, and a small object.
        assert_eq!(more("python", "live_count"), 3000, "{:#}", many.json);
        // Only what is larger than 512 bytes is the C library's.
        assert_eq!(more("heap", "live_count"), 1000, "{:#}", many.json);
        let bytes = more("heap", "live_bytes");
        assert!((1_000_000..1_100_000).contains(&bytes), "{:#}", many.json);
    });
}

/// Check that in the distribution's own Python, whose allocator is inlined in part, the blocks of bytearrays are seen, and that
/// it is said what is not.
#[test]
fn an_optimized_python_shows_its_bytearrays_and_says_what_it_hides() {
    with_kernel(|_mode| {
        let report = python("/usr/bin/python3", 1000);
        let arrays = report.memory(&|row| {
            let what = row["what"].as_str().unwrap_or_default();
            row["family"] == "python" && what.starts_with("PyByteArray_Resize")
        });
        assert_eq!(arrays["live_count"], 1000, "{:#}", report.json);
        assert_eq!(arrays["live_bytes"], 1001 * 1000, "{:#}", report.json);
        let says = |note: &String| note.contains("inlined into");
        assert!(report.notes.iter().any(says), "{:?}", report.notes);
    });
}
