//! Where separate debug files are found, and which are refused.
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{Built, check};
use crate::object::debug::{DebugError, Debuginfod, DebuginfodError, Finder, Search, hex};

fn with_debug_dir(folder: &Path) -> Search {
    Search {
        finder: Arc::new(Finder {
            debug_dirs: vec![folder.to_owned()],
            debuginfod: None,
        }),
        ..Search::default()
    }
}

fn by_build_id(built: &Built) -> PathBuf {
    let id = hex(built.open().build_id().unwrap());
    PathBuf::from(format!(".build-id/{}/{}.debug", &id[..2], &id[2..]))
}

fn move_to(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::rename(from, to).unwrap();
}

/// Check that a stripped program's functions and lines come from the file that its link names.
#[test]
fn a_linked_file_is_found_beside_the_program_and_in_the_folder_for_debug_files() {
    for options in [&["-g"][..], &["-g", "-Wl,--build-id=none"]] {
        let Some(built) = Built::new(options) else { return };
        built.strip();
        check(&built.open());
        move_to(&built.path("program.debug"), &built.path(".debug/program.debug"));
        check(&built.open());
        let debug_dir = built.path("debug");
        let inside = built
            .folder
            .path()
            .strip_prefix("/")
            .unwrap()
            .join("program.debug");
        move_to(&built.path(".debug/program.debug"), &debug_dir.join(inside));
        check(&built.open_with(with_debug_dir(&debug_dir)));
        let found_nowhere = built.open();
        assert!(matches!(
            found_nowhere.debug().load(),
            Err(DebugError::Missing { .. })
        ));
        assert!(!found_nowhere.debug().is_there());
    }
}

#[test]
fn a_file_is_found_by_its_build_id() {
    let Some(built) = Built::new(&["-g"]) else { return };
    built.strip();
    let debug_dir = built.path("debug");
    move_to(&built.path("program.debug"), &debug_dir.join(by_build_id(&built)));
    check(&built.open_with(with_debug_dir(&debug_dir)));
}

/// Check that the target's own file system comes before the host's, and that paths are those of the target.
#[test]
fn a_file_is_found_in_the_targets_own_file_system() {
    let Some(built) = Built::new(&["-g"]) else { return };
    built.strip();
    let root = built.path("root");
    let search = Search {
        root: Some(root.clone()),
        path: PathBuf::from("/app/program"),
        ..Search::default()
    };
    let open = || crate::object::ObjectFile::open_with(&built.program, "program", search.clone()).unwrap();
    assert!(!open().debug().is_there());
    move_to(&built.path("program.debug"), &root.join("app/program.debug"));
    check(&open());
    let standard = root.join("usr/lib/debug").join(by_build_id(&built));
    move_to(&root.join("app/program.debug"), &standard);
    check(&open());
}

/// Check that what a target names is looked for below its root, links included, and never on the host.
#[test]
fn paths_of_a_target_with_a_root_of_its_own_are_never_those_of_the_host() {
    let Some(built) = Built::new(&["-g"]) else { return };
    built.strip();
    let (root, debug) = (built.path("root"), built.path("program.debug"));
    fs::create_dir_all(root.join("app")).unwrap();
    let in_root = |root: &Path, path: &Path| {
        built.open_with_path(
            path,
            Search {
                root: Some(root.to_owned()),
                ..Search::default()
            },
        )
    };
    let beside = built.program.clone();
    // The debug file lies beside the program, but on the host.
    assert!(!in_root(&root, &beside).debug().is_there());
    let own = Path::new("/proc/self/root");
    check(&in_root(own, &beside));
    // A link of the target means a file of the target, though there is such a file on the host.
    let inside = Path::new("/app/program");
    std::os::unix::fs::symlink(&debug, root.join("app/program.debug")).unwrap();
    assert!(!in_root(&root, inside).debug().is_there());
    let copy = root.join(debug.strip_prefix("/").unwrap());
    fs::create_dir_all(copy.parent().unwrap()).unwrap();
    fs::copy(&debug, copy).unwrap();
    check(&in_root(&root, inside));
}

/// Check the same for the parts of split debug information, whose paths stand in the debug information itself.
#[test]
fn split_parts_of_a_target_with_a_root_of_its_own_are_never_those_of_the_host() {
    let Some(built) = Built::new(&["-g", "-gsplit-dwarf"]) else {
        return;
    };
    let root = built.path("root");
    fs::create_dir(&root).unwrap();
    let open = || {
        let search = Search {
            root: Some(root.clone()),
            ..Search::default()
        };
        built.open_with_path(Path::new("/app/program"), search)
    };
    let names = |file: &crate::object::ObjectFile| {
        let debug = file.debug().load().unwrap();
        let units = debug.units().unwrap();
        units.inlined(&|name| name == "twice").len()
    };
    assert_eq!(names(&open()), 0);
    let inside = root.join(built.folder.path().strip_prefix("/").unwrap());
    fs::create_dir_all(&inside).unwrap();
    for entry in fs::read_dir(built.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|kind| kind == "dwo") {
            fs::copy(&path, inside.join(path.file_name().unwrap())).unwrap();
        }
    }
    assert_eq!(names(&open()), 2);
}

/// Check that a file of another build is refused, and that this is said.
#[test]
fn a_file_that_does_not_belong_to_the_program_is_refused() {
    for (options, why) in [
        (&["-g"][..], "its build id is another"),
        (&["-g", "-Wl,--build-id=none"], "its check sum is another"),
    ] {
        let (Some(built), Some(other)) = (Built::new(options), Built::new(&[options, &["-DOTHER"]].concat()))
        else {
            return;
        };
        built.strip();
        fs::write(other.path("src/main.c"), "int main(void) { return 0; }").unwrap();
        assert!(other.run("cc", &[&["-o", "program", "src/main.c"], options].concat()));
        other.strip();
        fs::copy(other.path("program.debug"), built.path("program.debug")).unwrap();
        let file = built.open();
        let Err(DebugError::Missing { refused, .. }) = file.debug().load() else {
            panic!("it was taken")
        };
        assert!(refused.len() == 1 && refused[0].ends_with(why), "{refused:?}");
        fs::write(built.path("program.debug"), "no ELF file").unwrap();
        let Err(DebugError::Missing { refused, .. }) = built.open().debug().load() else {
            panic!("it was taken")
        };
        assert!(refused[0].ends_with("it is not a 64-bit ELF file"), "{refused:?}");
    }
}

/// Check that opening a pipe in place of a debug file does not wait for its other end.
#[test]
fn a_pipe_in_place_of_a_debug_file_is_no_file() {
    let Some(built) = Built::new(&["-g"]) else { return };
    built.strip();
    fs::remove_file(built.path("program.debug")).unwrap();
    if built.run("mkfifo", &["program.debug"]) {
        assert!(!built.open().debug().is_there());
    }
}

#[test]
fn a_program_without_debug_information_says_what_to_do() {
    let Some(built) = Built::new(&["-g0"]) else { return };
    let text = built.open().debug().load().unwrap_err().to_string();
    for part in [
        "`program` has no debug information",
        "-dbgsym",
        "--debug-dir",
        "--debuginfod",
        "build id",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

/// A server of one file, which counts the requests. `answer` makes the answer to a path.
fn serve(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let request = lines.next().unwrap().unwrap();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            counter.fetch_add(1, Ordering::SeqCst);
            // A client that has gone is the test's business.
            let _: std::io::Result<()> = stream.write_all(&answer(request.split(' ').nth(1).unwrap()));
        }
    });
    (url, requests)
}

fn plain(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for part in body.chunks(1000) {
        answer.extend(format!("{:x}\r\n", part.len()).bytes());
        answer.extend(part);
        answer.extend(b"\r\n");
    }
    answer.extend(b"0\r\n\r\n");
    answer
}

fn asking(url: &str, cache: &Path) -> Search {
    let server = Debuginfod::new(vec![url.to_owned()], cache.to_owned(), Duration::from_secs(20));
    Search {
        finder: Arc::new(Finder {
            debug_dirs: Vec::new(),
            debuginfod: Some(server),
        }),
        download: true,
        ..Search::default()
    }
}

/// Check that a file is fetched once, whole or in parts, also from elsewhere, and kept.
#[test]
fn a_server_is_asked_once_and_its_file_is_kept() {
    let Some(built) = Built::new(&["-g"]) else { return };
    built.strip();
    let id = hex(built.open().build_id().unwrap());
    let body = fs::read(built.path("program.debug")).unwrap();
    fs::remove_file(built.path("program.debug")).unwrap();
    let wanted = format!("/buildid/{id}/debuginfo");
    for (number, encode) in [plain, chunked].into_iter().enumerate() {
        let (body, wanted) = (body.clone(), wanted.clone());
        let (url, requests) = serve(move |path| match path {
            "/moved" => encode(&body),
            path if path == wanted => b"HTTP/1.1 302 Found\r\nLocation: /moved\r\n\r\n".to_vec(),
            path => panic!("{path}"),
        });
        let cache = built.path(&format!("cache{number}"));
        for _ in 0..2 {
            check(&built.open_with(asking(&url, &cache)));
            assert_eq!(requests.load(Ordering::SeqCst), 2);
        }
        assert!(cache.join(&id).join("debuginfo").exists());
        // Nobody is asked for what nobody wants.
        let quiet = Search {
            download: false,
            ..asking(&url, &built.path("unused"))
        };
        assert!(!built.open_with(quiet).debug().is_there());
        assert_eq!(requests.load(Ordering::SeqCst), 2);
    }
}

#[test]
fn a_no_is_remembered_and_a_wrong_file_is_refused() {
    let Some(built) = Built::new(&["-g"]) else { return };
    built.strip();
    fs::remove_file(built.path("program.debug")).unwrap();
    let (url, requests) = serve(|_| b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec());
    for _ in 0..2 {
        let file = built.open_with(asking(&url, &built.path("cache")));
        assert!(
            matches!(file.debug().load(), Err(DebugError::Missing { refused, .. }) if refused.is_empty())
        );
    }
    assert_eq!(requests.load(Ordering::SeqCst), 1);
    let own = fs::read(&built.program).unwrap();
    let (url, _) = serve(move |_| plain(&own[..own.len() / 2]));
    let file = built.open_with(asking(&url, &built.path("other-cache")));
    assert!(matches!(file.debug().load(), Err(DebugError::Missing { refused, .. }) if refused.len() == 1));
}

/// Check that a server that never answers costs no more than the time for downloads, once.
#[test]
fn a_silent_server_costs_the_time_for_downloads_once() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = Debuginfod::new(vec![url], folder.path().to_owned(), Duration::from_millis(50));
    assert!(matches!(server.fetch("0123"), Err(DebuginfodError::Fetch { .. })));
    assert!(matches!(server.fetch("4567"), Err(DebuginfodError::TimeOver)));
    assert!(!folder.path().join("0123/debuginfo").exists());
}

#[test]
fn what_is_no_http_is_an_error_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    for answer in [
        &b"SSH-2.0-server\r\n"[..],
        b"HTTP/1.1 500 No\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /again\r\n\r\n",
        b"",
    ] {
        let (url, _) = serve(move |_| answer.to_vec());
        let server = Debuginfod::new(vec![url], folder.path().to_owned(), Duration::from_secs(20));
        assert!(
            matches!(server.fetch("0123"), Err(DebuginfodError::Fetch { .. })),
            "{answer:?}"
        );
        let left: Vec<_> = fs::read_dir(folder.path().join("0123")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn a_server_that_speaks_tls_needs_its_client() {
    let folder = tempfile::tempdir().unwrap();
    let url = "https://localhost:1".to_owned();
    let server = Debuginfod::new(vec![url], folder.path().to_owned(), Duration::from_secs(20));
    match server.fetch("0123456789abcdef0123456789abcdef01234567") {
        Err(DebuginfodError::NoClient { url }) => assert_eq!(url, "https://localhost:1"),
        // Where the client is installed it finds no server.
        Ok(None) => {}
        other => panic!("{other:?}"),
    }
}
