//! Just enough of HTTP/1.1 to fetch a file from a server of debug files.
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

/// Longer lines and headers are no server's.
const MAX_LINE: u64 = 1 << 14;
const MAX_HEADERS: usize = 200;
const MAX_REDIRECTS: usize = 5;
/// Larger debug files are not fetched, bytes.
const MAX_BODY: u64 = 4 << 30;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// The file was written.
    Fetched,
    /// The server does not have it.
    Missing,
}

struct Url<'a> {
    host: &'a str,
    port: u16,
    path: &'a str,
}

/// A connection whose every wait ends with the deadline.
struct Timed {
    stream: TcpStream,
    deadline: Instant,
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.deadline)?))?;
        self.stream.read(buffer)
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "it took too long"));
    }
    Ok(left)
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Fetches `http://…` into `output`.
pub(super) fn get(url: &str, deadline: Instant, output: &mut dyn Write) -> io::Result<Reply> {
    let mut url = url.to_owned();
    for _ in 0..MAX_REDIRECTS {
        match once(&url, deadline, output)? {
            Ok(reply) => return Ok(reply),
            Err(elsewhere) => url = elsewhere,
        }
    }
    Err(wrong("the server redirects in circles"))
}

/// One request: the reply, or where the server says that the file is.
fn once(url: &str, deadline: Instant, output: &mut dyn Write) -> io::Result<Result<Reply, String>> {
    let Url { host, port, path } = split(url).ok_or_else(|| wrong("it is no `http://` address"))?;
    let mut stream = connect(host, port, deadline)?;
    stream.set_write_timeout(Some(left(deadline)?))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: ebpf-prof/{}\r\nAccept-Encoding: identity\r\n\
         Connection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    )?;
    let mut reader = BufReader::new(Timed { stream, deadline });
    let status = line(&mut reader)?;
    let code = status.split(' ').nth(1).and_then(|code| code.parse::<u16>().ok());
    let (mut length, mut chunked, mut location) = (None, false, None);
    for _ in 0..MAX_HEADERS {
        let header = line(&mut reader)?;
        let Some((name, value)) = header.split_once(':') else {
            break;
        };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse::<u64>().ok(),
            "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
            "location" => location = Some(value.to_owned()),
            _ => {}
        }
    }
    match (code, location) {
        (Some(200), _) => {}
        (Some(404 | 406 | 410), _) => return Ok(Ok(Reply::Missing)),
        (Some(301 | 302 | 303 | 307 | 308), Some(location)) if location.starts_with('/') => {
            return Ok(Err(format!("http://{host}:{port}{location}")));
        }
        (Some(301 | 302 | 303 | 307 | 308), Some(location)) => return Ok(Err(location)),
        _ => return Err(wrong(&format!("the server said `{status}`"))),
    }
    if chunked {
        copy_chunks(&mut reader, output)?;
    } else {
        let copied = io::copy(
            &mut reader.by_ref().take(length.unwrap_or(MAX_BODY).min(MAX_BODY)),
            output,
        )?;
        if length.is_some_and(|length| length != copied) {
            return Err(wrong("the connection ended too early"));
        }
    }
    Ok(Ok(Reply::Fetched))
}

fn split(url: &str) -> Option<Url<'_>> {
    let rest = url.strip_prefix("http://")?;
    let (server, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    // An address of IPv6 is in brackets.
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        Some(_) | None => (server, 80),
    };
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    (!host.is_empty() && is_plain(host) && is_plain(path)).then_some(Url {
        host,
        port,
        path: if path.is_empty() { "/" } else { path },
    })
}

fn connect(host: &str, port: u16, deadline: Instant) -> io::Result<TcpStream> {
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let mut last = wrong("its host has no address");
    for address in (name, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left(deadline)?) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        return Err(wrong("the answer is no HTTP"));
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

fn copy_chunks(reader: &mut impl BufRead, output: &mut dyn Write) -> io::Result<()> {
    let mut total = 0_u64;
    loop {
        let size = line(reader)?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_text| wrong("the answer's parts are damaged"))?;
        total = total.saturating_add(size);
        if total > MAX_BODY {
            return Err(wrong("the file is too large"));
        }
        if size == 0 {
            return Ok(());
        }
        if io::copy(&mut reader.by_ref().take(size), output)? != size || !line(reader)?.is_empty() {
            return Err(wrong("the connection ended too early"));
        }
    }
}
