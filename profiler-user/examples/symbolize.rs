//! Prints the functions and lines of addresses, in the form of `llvm-symbolizer --output-style=GNU -a`: to compare the
//! answers, and the time that both take. `symbolize FILE < ADDRESSES`, with addresses in hexadecimal digits;
//! `symbolize FILE --sample N` prints so many addresses of its functions.
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
    let mut words = std::env::args().skip(1);
    let path = words
        .next()
        .ok_or("usage: symbolize FILE [--sample N] < ADDRESSES")?;
    let path = PathBuf::from(path).canonicalize()?;
    let search = Search {
        path: path.clone(),
        ..Search::default()
    };
    let file = ObjectFile::open_with(&path, "object", search)?;
    if words.next().is_some_and(|word| word == "--sample") {
        let count = words.next().ok_or("how many addresses?")?.parse()?;
        return Ok(sample(&file, count)?);
    }
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

/// Prints addresses all over the code, each run the same, with a generator of Marsaglia's.
fn sample(file: &ObjectFile, count: usize) -> io::Result<()> {
    let functions: Vec<_> = file
        .functions()
        .iter()
        .filter(|function| function.size > 0)
        .collect();
    let mut output = BufWriter::new(io::stdout().lock());
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 8) % below.max(1)
    };
    for _ in 0..count {
        let number = random(functions.len() as u64) as usize;
        if let Some(function) = functions.get(number) {
            writeln!(output, "{:#x}", function.address + random(function.size))?;
        }
    }
    output.flush()
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
