//! Texts that name code which no file holds: the map that a just-in-time compiler writes, and the kernel's symbols.
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use super::TargetError;
use super::mapped::root_of;
use super::process::{field, read};

/// The most that is read of a compiler's map at once, bytes.
const MAX_PIECE: u64 = 64 << 20;

/// The most that is read of the kernel's symbols, bytes: ten times what large kernels have.
const MAX_KERNEL_SYMBOLS: u64 = 256 << 20;

/// The map `/tmp/perf-PID.map` that the compiler of a process appends to, as the process itself sees it.
#[derive(Debug)]
pub struct CodeMap {
    file: File,
    read: u64,
}

impl CodeMap {
    /// That of a process, if there is one that is its own.
    pub fn open(pid: u32) -> Result<Option<Self>, TargetError> {
        let status = read(pid, "status")?;
        let number = |text: &str| text.parse::<u32>().ok();
        let inner = field(&status, "NSpid:").and_then(|ids| number(ids.split_whitespace().last()?));
        let owner = field(&status, "Uid:").and_then(|ids| number(ids.split_whitespace().nth(1)?));
        let path = format!("tmp/perf-{}.map", inner.unwrap_or(pid));
        let failed = |source| TargetError::Read {
            pid,
            file: "root/tmp/perf-*.map",
            source,
        };
        let file = match root_of(pid).open_unlinked(Path::new(&path)) {
            Ok(file) => file,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::InvalidInput
                ) =>
            {
                return Ok(None);
            }
            Err(source) => return Err(failed(source)),
        };
        let metadata = file.metadata().map_err(failed)?;
        // Anybody may leave a file of that name in `/tmp`.
        let trusted = metadata.uid() == 0 || Some(metadata.uid()) == owner;
        Ok(trusted.then_some(Self { file, read: 0 }))
    }

    /// What was appended since the last call, up to the end of a line; empty where nothing was. A large map comes in
    /// pieces.
    pub fn read_more(&mut self) -> io::Result<Vec<u8>> {
        let length = self
            .file
            .metadata()?
            .len()
            .saturating_sub(self.read)
            .min(MAX_PIECE);
        let mut bytes = vec![0; length as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            match self
                .file
                .read_at(&mut bytes[filled..], self.read + filled as u64)?
            {
                0 => break,
                read => filled += read,
            }
        }
        bytes.truncate(filled);
        let end = bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |last| last + 1);
        // A line as long as a piece is none.
        let end = if end == 0 && filled as u64 == MAX_PIECE {
            filled
        } else {
            end
        };
        bytes.truncate(end);
        self.read += end as u64;
        Ok(bytes)
    }
}

/// The kernel's symbols, in the form of `/proc/kallsyms`.
pub fn kernel_symbols() -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open("/proc/kallsyms")?
        .take(MAX_KERNEL_SYMBOLS)
        .read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::symlink;
    use std::process::{Child, Command, Stdio};

    use super::CodeMap;

    /// A process to lay maps for; ends with the test.
    struct Sleeper(Child);

    impl Sleeper {
        fn start() -> Self {
            let child = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn();
            Self(child.unwrap())
        }

        fn path(&self) -> String {
            format!("/tmp/perf-{}.map", self.0.id())
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _removed = std::fs::remove_file(self.path());
            let _ended = self.0.kill().and_then(|()| self.0.wait());
        }
    }

    #[test]
    fn a_map_is_read_as_it_grows_and_by_whole_lines() {
        let process = Sleeper::start();
        let pid = process.0.id();
        assert!(CodeMap::open(pid).unwrap().is_none());
        let mut file = std::fs::File::create(process.path()).unwrap();
        file.write_all(b"10 5 one\n20 5 tw").unwrap();
        let mut map = CodeMap::open(pid).unwrap().unwrap();
        assert_eq!(map.read_more().unwrap(), b"10 5 one\n");
        assert_eq!(map.read_more().unwrap(), b"");
        file.write_all(b"o\n").unwrap();
        assert_eq!(map.read_more().unwrap(), b"20 5 two\n");
    }

    #[test]
    fn links_and_pipes_are_no_maps() {
        let process = Sleeper::start();
        symlink("/etc/passwd", process.path()).unwrap();
        assert!(CodeMap::open(process.0.id()).is_err());
        std::fs::remove_file(process.path()).unwrap();
        let made = Command::new("mkfifo").arg(process.path()).status().unwrap();
        assert!(made.success());
        assert!(CodeMap::open(process.0.id()).unwrap().is_none());
    }
}
