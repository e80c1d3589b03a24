//! One question to a daemon over its socket: `GET`, and no more of HTTP than that takes.
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

/// Bytes of an answer that are read.
const LONGEST_ANSWER: usize = 4 << 20;

/// The body of the answer; none = there is no such thing. All of it takes no longer than until `deadline`.
pub(super) fn get(socket: &Path, target: &str, deadline: Instant) -> io::Result<Option<Vec<u8>>> {
    let mut stream = connect(socket, deadline)?;
    stream.set_write_timeout(Some(left(deadline)?))?;
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let answer = read(&mut stream, deadline)?;
    parse(&answer)
}

/// A daemon that hangs lets its queue fill up: connecting waits, too.
fn connect(path: &Path, deadline: Instant) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_write_timeout(Some(left(deadline)?))?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(UnixStream::from(OwnedFd::from(socket)))
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        Err(io::ErrorKind::TimedOut.into())
    } else {
        Ok(left)
    }
}

/// Reads until the daemon closes, or the answer is complete.
fn read(stream: &mut UnixStream, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    let mut chunk = [0; 16 << 10];
    loop {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(answer),
            Ok(length) => answer.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if answer.len() > LONGEST_ANSWER {
            return Err(malformed("the answer is too long"));
        }
        if is_complete(&answer) {
            return Ok(answer);
        }
    }
}

/// The body of an answer, when that is complete, or the connection has ended.
pub(super) fn body(answer: &[u8]) -> Option<Vec<u8>> {
    let _complete = is_complete(answer);
    parse(answer).ok()?
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

struct Head<'a> {
    status: u16,
    length: Option<usize>,
    chunked: bool,
    body: &'a [u8],
}

/// What stands before the body; none = it is not all there yet.
fn head(answer: &[u8]) -> Option<Head<'_>> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&answer[..end]);
    let mut lines = text.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let mut head = Head {
        status,
        length: None,
        chunked: false,
        body: &answer[end + 4..],
    };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => head.length = value.parse().ok(),
            "transfer-encoding" => head.chunked = value.eq_ignore_ascii_case("chunked"),
            _ => {}
        }
    }
    Some(head)
}

fn is_complete(answer: &[u8]) -> bool {
    let Some(head) = head(answer) else { return false };
    if head.chunked {
        return matches!(joined(head.body), Some(Joined::Whole(_)));
    }
    head.length.is_some_and(|length| head.body.len() >= length)
}

fn parse(answer: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let head = head(answer).ok_or_else(|| malformed("the answer is not HTTP"))?;
    match head.status {
        200 => {}
        404 => return Ok(None),
        _ => return Err(malformed("the answer is an error")),
    }
    if head.chunked {
        return match joined(head.body) {
            Some(Joined::Whole(body)) => Ok(Some(body)),
            Some(Joined::Part) | None => Err(malformed("the answer is cut off")),
        };
    }
    match head.length {
        Some(length) => {
            let body = head.body.get(..length);
            body.map(|body| Some(body.to_vec()))
                .ok_or_else(|| malformed("the answer is cut off"))
        }
        None => Ok(Some(head.body.to_vec())),
    }
}

enum Joined {
    Whole(Vec<u8>),
    /// More is to come.
    Part,
}

/// Puts chunks together; none = they are malformed.
fn joined(mut rest: &[u8]) -> Option<Joined> {
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|window| window == b"\r\n") else {
            return Some(Joined::Part);
        };
        let digits = std::str::from_utf8(&rest[..end]).ok()?;
        let digits = digits.split(';').next()?.trim();
        let length = usize::from_str_radix(digits, 16).ok()?;
        if length == 0 {
            return Some(Joined::Whole(body));
        }
        let chunk_end = (end + 2).checked_add(length)?;
        let Some(chunk) = rest.get(end + 2..chunk_end) else {
            return Some(Joined::Part);
        };
        body.extend_from_slice(chunk);
        let Some(next) = rest.get(chunk_end + 2..) else {
            return Some(Joined::Part);
        };
        rest = next;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read as _, Write as _};
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;
    use std::thread::JoinHandle;
    use std::time::{Duration, Instant};

    use super::get;

    /// Answers one question with these pieces, and gives the question.
    struct Daemon {
        _folder: tempfile::TempDir,
        path: PathBuf,
        thread: JoinHandle<String>,
    }

    fn daemon(pieces: &'static [&'static str]) -> Daemon {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = Vec::new();
            let mut byte = [0];
            while !question.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).unwrap();
                question.push(byte[0]);
            }
            for piece in pieces {
                // Whoever has heard enough does not listen any more.
                let told = stream.write_all(piece.as_bytes()).and_then(|()| stream.flush());
                if told.is_err() {
                    break;
                }
            }
            String::from_utf8(question).unwrap()
        });
        Daemon {
            _folder: folder,
            path,
            thread,
        }
    }

    fn ask(pieces: &'static [&'static str]) -> io::Result<Option<String>> {
        let daemon = daemon(pieces);
        let answer = get(&daemon.path, "/x/json", Instant::now() + Duration::from_secs(10));
        let question = daemon.thread.join().unwrap();
        assert!(
            question.starts_with("GET /x/json HTTP/1.1\r\nHost: localhost\r\n"),
            "{question}"
        );
        answer.map(|body| body.map(|body| String::from_utf8(body).unwrap()))
    }

    #[test]
    fn answers_with_a_length_in_chunks_and_until_the_end_are_read() {
        for pieces in [
            &["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "hello", "more"][..],
            &["HTTP/1.1 200 OK\r\ncontent-length:5\r\n", "\r\nhel", "lo"],
            &[
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",
                "2;x=y\r\nlo\r\n0\r\n\r\n",
            ],
            &[
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n",
                "5\r",
                "\nhel",
                "lo\r",
                "\n0\r\n\r\n",
            ],
            &["HTTP/1.0 200 OK\r\n\r\nhel", "lo"],
        ] {
            assert_eq!(ask(pieces).unwrap().as_deref(), Some("hello"), "{pieces:?}");
        }
    }

    #[test]
    fn what_is_not_there_is_none_and_everything_else_an_error() {
        assert_eq!(
            ask(&["HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"]).unwrap(),
            None
        );
        for pieces in [
            &["HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"][..],
            &["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"],
            &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello"],
            &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello"],
            &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhello"],
            &["SSH-2.0\r\n\r\n"],
            &[],
        ] {
            assert!(ask(pieces).is_err(), "{pieces:?}");
        }
    }

    #[test]
    fn a_daemon_that_does_not_answer_is_given_up_at_the_deadline() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        // The first waits for an answer; when the queue is full the last wait for being accepted.
        let patience = Duration::from_millis(20);
        let mut held = Vec::new();
        for _ in 0..3 {
            let start = Instant::now();
            let error = get(&path, "/", start + patience).unwrap_err();
            assert!(
                matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
                "{error}"
            );
            assert!(start.elapsed() >= patience);
        }
        loop {
            let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            if socket.connect(&socket2::SockAddr::unix(&path).unwrap()).is_err() {
                break;
            }
            held.push(socket);
        }
        let error = get(&path, "/", Instant::now() + patience).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
        drop((held, listener));
        assert!(
            get(&path, "/", Instant::now() + patience).is_err(),
            "nobody listens"
        );
        let past = Instant::now();
        assert_eq!(get(&path, "/", past).unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
