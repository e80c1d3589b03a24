//! How long it takes until a function of a large file is found by its name, and how much memory that needs.
//! `first_symbol FILE FUNCTION` prints milliseconds, and the peak of resident memory before and after in KiB.
#![expect(unused_crate_dependencies, reason = "the dependencies are the library's")]
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;
use std::{env, fs};

use ebpf_prof::object::ObjectFile;
use ebpf_prof::probe::pattern::Pattern;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(path), Some(name)) = (arguments.next(), arguments.next()) else {
        return Err("usage: first_symbol FILE FUNCTION".into());
    };
    let pattern: Pattern = name.parse()?;
    let before = memory("VmHWM:")?;
    let start = Instant::now();
    let object = ObjectFile::open(Path::new(&path), "library")?;
    let found = object
        .functions()
        .iter()
        .find(|function| object.names(function).any(|symbol| pattern.matches(symbol.raw)))
        .ok_or_else(|| format!("`{path}` has no function `{name}`"))?;
    let taken = start.elapsed();
    println!(
        "{:.3} ms, {} KiB before, {} KiB at the peak, {} KiB after: `{}` is one of {} functions",
        taken.as_secs_f64() * 1e3,
        before,
        memory("VmHWM:")?,
        memory("VmRSS:")?,
        object.display_name(found),
        object.functions().len()
    );
    Ok(())
}

/// A line of this process's status, KiB.
fn memory(field: &str) -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|line| line.split_ascii_whitespace().next());
    Ok(number.ok_or("no such line")?.parse()?)
}
