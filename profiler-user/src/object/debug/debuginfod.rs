//! Debug files from servers (debuginfod): asked only when the user wants it, and kept on disk as its C client does.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::http::{self, Reply};

/// For all downloads of a session together, unless `DEBUGINFOD_TIMEOUT` says otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a server's “no” is believed.
const MISS_LASTS: Duration = Duration::from_mins(10);
/// The program that speaks TLS for us.
const CLIENT: &str = "debuginfod-find";

/// Why nothing came.
#[derive(Debug, thiserror::Error)]
pub enum DebuginfodError {
    /// There is nowhere to keep files.
    #[error("debuginfod: there is no folder for downloads: set `DEBUGINFOD_CACHE_PATH` or `HOME`")]
    NoCache,
    /// No servers were named.
    #[error(
        "debuginfod: `DEBUGINFOD_URLS` names no server (under sudo: `sudo --preserve-env=DEBUGINFOD_URLS …`)"
    )]
    NoServers,
    /// A server speaks TLS only.
    #[error("debuginfod: `{url}` needs the program `{CLIENT}` (package debuginfod), which is not installed")]
    NoClient {
        /// The server.
        url: String,
    },
    /// A server could not be asked.
    #[error("debuginfod: failed to fetch from `{url}`: {source}")]
    Fetch {
        /// The server.
        url: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The time for downloads is over.
    #[error("debuginfod: the time for downloads is over (`DEBUGINFOD_TIMEOUT`, seconds)")]
    TimeOver,
    /// A download could not be kept.
    #[error("debuginfod: failed to write to `{}`: {source}", .path.display())]
    Cache {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Servers of debug files.
#[derive(Debug)]
pub struct Debuginfod {
    urls: Vec<String>,
    cache: PathBuf,
    left: Mutex<Duration>,
}

impl Debuginfod {
    /// Servers, the folder of downloads, and the time for all downloads together.
    pub fn new(urls: Vec<String>, cache: PathBuf, timeout: Duration) -> Self {
        Self {
            urls,
            cache,
            left: Mutex::new(timeout),
        }
    }

    /// As the environment says: `DEBUGINFOD_URLS`, `DEBUGINFOD_TIMEOUT`, `DEBUGINFOD_CACHE_PATH`, `XDG_CACHE_HOME`.
    pub fn from_environment() -> Result<Self, DebuginfodError> {
        let text = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let urls: Vec<String> = text("DEBUGINFOD_URLS")
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        if urls.is_empty() {
            return Err(DebuginfodError::NoServers);
        }
        let cache = text("DEBUGINFOD_CACHE_PATH").map(PathBuf::from);
        let under = |base: PathBuf| base.join("debuginfod_client");
        let cache = cache
            .or_else(|| text("XDG_CACHE_HOME").map(|base| under(base.into())))
            .or_else(|| text("HOME").map(|home| under(Path::new(&home).join(".cache"))))
            .ok_or(DebuginfodError::NoCache)?;
        let seconds = text("DEBUGINFOD_TIMEOUT").and_then(|seconds| seconds.parse().ok());
        Ok(Self::new(
            urls,
            cache,
            seconds.map_or(TIMEOUT, Duration::from_secs),
        ))
    }

    /// The debug file with this build id, in hexadecimal digits; none if no server has it.
    pub fn fetch(&self, build_id: &str) -> Result<Option<PathBuf>, DebuginfodError> {
        let folder = self.cache.join(build_id);
        let file = folder.join("debuginfo");
        match fs::metadata(&file) {
            Ok(metadata) if metadata.len() > 0 => return Ok(Some(file)),
            // An empty file is a “no”.
            Ok(metadata) if age(&metadata) < MISS_LASTS => return Ok(None),
            Ok(_) | Err(_) => {}
        }
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if left.is_zero() {
            return Err(DebuginfodError::TimeOver);
        }
        let started = Instant::now();
        let fetched = self.ask_all(build_id, &folder, started + *left);
        *left = left.saturating_sub(started.elapsed());
        fetched
    }

    fn ask_all(
        &self,
        build_id: &str,
        folder: &Path,
        deadline: Instant,
    ) -> Result<Option<PathBuf>, DebuginfodError> {
        let cache_error = |path: &Path| {
            let path = path.to_owned();
            move |source| DebuginfodError::Cache { path, source }
        };
        fs::create_dir_all(folder).map_err(cache_error(folder))?;
        let mut failure = None;
        for url in &self.urls {
            if url.starts_with("https://") {
                match self.ask_client(url, build_id, deadline) {
                    Ok(Some(path)) => return Ok(Some(path)),
                    Ok(None) => {}
                    Err(error) => failure = Some(error),
                }
                continue;
            }
            // Whole or not at all: another process may look for the same file.
            let unfinished = folder.join(format!("debuginfo.{}", std::process::id()));
            let mut output = fs::File::create(&unfinished).map_err(cache_error(&unfinished))?;
            let address = format!("{}/buildid/{build_id}/debuginfo", url.trim_end_matches('/'));
            match http::get(&address, deadline, &mut output) {
                Ok(Reply::Fetched) => {
                    let file = folder.join("debuginfo");
                    fs::rename(&unfinished, &file).map_err(cache_error(&file))?;
                    return Ok(Some(file));
                }
                Ok(Reply::Missing) => {}
                Err(source) => {
                    let url = url.clone();
                    failure = Some(DebuginfodError::Fetch { url, source });
                }
            }
            // It may be there no more; the folder is a cache.
            let _: io::Result<()> = fs::remove_file(&unfinished);
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        let file = folder.join("debuginfo");
        fs::write(&file, b"").map_err(cache_error(&file))?;
        Ok(None)
    }

    /// Has the C client ask a server that speaks TLS. It keeps the file at the same place.
    fn ask_client(
        &self,
        url: &str,
        build_id: &str,
        deadline: Instant,
    ) -> Result<Option<PathBuf>, DebuginfodError> {
        let failed = |source| DebuginfodError::Fetch {
            url: url.to_owned(),
            source,
        };
        let child = Command::new(CLIENT)
            .args(["debuginfo", build_id])
            .env("DEBUGINFOD_URLS", url)
            .env("DEBUGINFOD_CACHE_PATH", &self.cache)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(DebuginfodError::NoClient { url: url.to_owned() });
            }
            Err(error) => return Err(failed(error)),
        };
        if !ends_before(&mut child, deadline).map_err(failed)? {
            return Err(DebuginfodError::TimeOver);
        }
        let file = self.cache.join(build_id).join("debuginfo");
        Ok(fs::metadata(&file)
            .is_ok_and(|metadata| metadata.len() > 0)
            .then_some(file))
    }
}

/// Waits for a program; one that takes too long is ended.
fn ends_before(child: &mut Child, deadline: Instant) -> io::Result<bool> {
    while child.try_wait()?.is_none() {
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(true)
}

fn age(metadata: &fs::Metadata) -> Duration {
    let written = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    written.elapsed().unwrap_or_default()
}
