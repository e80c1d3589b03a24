//! Holds an empty probe on a function of a process until standard input ends: what a profiler's own work is compared
//! with. `empty_session PID FUNCTION` prints `attached` when the probe is in place.
#![expect(unused_crate_dependencies, reason = "the dependencies are the library's")]
#![expect(clippy::print_stdout, reason = "who started it waits for the line")]

use std::error::Error;
use std::path::PathBuf;
use std::{env, io};

use ebpf_prof::kernel::calibrate::attach_empty_to;
use ebpf_prof::kernel::capability::choose_mode;
use ebpf_prof::object::ObjectFile;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(pid), Some(name)) = (arguments.next(), arguments.next()) else {
        return Err("usage: empty_session PID FUNCTION".into());
    };
    let path = PathBuf::from(format!("/proc/{pid}/exe"));
    let object = ObjectFile::open(&path, "target")?;
    let offset = object
        .functions()
        .iter()
        .find(|function| object.display_name(function) == name)
        .and_then(|function| object.segments().code_offset(function.address))
        .ok_or_else(|| format!("process {pid} has no function `{name}`"))?;
    let _probe = attach_empty_to(choose_mode(None)?, &path, offset, pid.parse()?)?;
    println!("attached");
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
