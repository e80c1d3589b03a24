//! Prints the functions and lines of addresses, in the form of `llvm-symbolizer --output-style=GNU -a`: to compare the
//! answers, and the time that both take. `symbolize FILE < ADDRESSES`, with addresses in hexadecimal digits.
use std::io::{self, BufRead as _, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use ebpf_prof::object::ObjectFile;
use ebpf_prof::object::debug::{Frame, Search, Units};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell.
            let _: io::Result<()> = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let path = PathBuf::from(
        std::env::args_os()
            .nth(1)
            .ok_or("usage: symbolize FILE < ADDRESSES")?,
    );
    let path = path.canonicalize()?;
    let search = Search {
        path: path.clone(),
        ..Search::default()
    };
    let file = ObjectFile::open_with(&path, "object", search)?;
    let debug = file.debug().load()?;
    let units = debug.units()?;
    let mut output = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let line = line?;
        let digits = line.trim().trim_start_matches("0x");
        let address = u64::from_str_radix(digits, 16)?;
        print(&mut output, address, &file, &units)?;
    }
    output.flush()?;
    Ok(())
}

fn print(output: &mut impl Write, address: u64, file: &ObjectFile, units: &Units<'_>) -> io::Result<()> {
    writeln!(output, "{address:#x}")?;
    let mut frames = units.frames(address);
    // The function with code of its own has a symbol, which knows its clones' names.
    let symbol = file
        .function_containing(address)
        .map(|index| &file.functions()[index]);
    let symbol = symbol.and_then(|function| file.names(function).next());
    if frames.is_empty() {
        frames.push(Frame {
            function: None,
            location: None,
        });
    }
    let last = frames.len() - 1;
    for (index, frame) in frames.iter().enumerate() {
        match (symbol.filter(|_| index == last), &frame.function) {
            (Some(symbol), _) => writeln!(output, "{}", symbol.raw)?,
            (None, Some(name)) => writeln!(output, "{name}")?,
            (None, None) => writeln!(output, "??")?,
        }
        match &frame.location {
            Some(location) => writeln!(output, "{}:{}", location.file, location.line)?,
            None => writeln!(output, "??:0")?,
        }
    }
    Ok(())
}
