//! What a list holds, and how it is printed.
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{ListError, containers, objects, print, processes};
use crate::cli::list::{ListConfig, ListFormat, Listed};
use crate::target::identity::{Container, Identity, Pod, Runtime};
use crate::target::process::Process;
use crate::target::selector::Selector;
use crate::ui::Style;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn server(pid: u32, container: Option<Container>) -> Identity {
    Identity {
        pid,
        inner_pid: 1,
        parent: 5,
        start_ticks: 9,
        comm: "server".into(),
        exe: Some("/srv/server".into()),
        uid: 33,
        user: Some("www-data".into()),
        cgroup: Some("/a".into()),
        unit: Some("a.service".into()),
        container: container.map(Arc::new),
    }
}

fn cart() -> Container {
    Container {
        id: ID.into(),
        runtime: Runtime::Containerd,
        name: None,
        image: Some("cart:3".into()),
        labels: BTreeMap::from([("app".to_owned(), "cart".to_owned())]),
        pod: Some(Pod {
            namespace: "shop".into(),
            name: "cart-5d".into(),
            container: Some("server".into()),
        }),
    }
}

/// A process that waits. Ended when dropped.
struct Cat(Child);

impl Cat {
    fn start() -> Self {
        let cat = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut cat = Self(cat.unwrap());
        // What it sends back it has read, so that its libraries are mapped.
        cat.0.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        cat.0.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        cat
    }

    /// A list of what it has.
    fn config(&self, what: Listed) -> ListConfig {
        let selector = Selector {
            pids: vec![self.0.id()],
            ..Selector::default()
        };
        ListConfig {
            selector,
            ..config(what)
        }
    }
}

impl Drop for Cat {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// A list of what all have.
fn config(what: Listed) -> ListConfig {
    ListConfig {
        what,
        selector: Selector::default(),
        files: Vec::new(),
        patterns: Vec::new(),
        format: ListFormat::Json,
    }
}

fn own_file() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// Of our own file, which has debug information.
fn of_file(what: Listed, patterns: &[&str]) -> ListConfig {
    ListConfig {
        files: vec![own_file()],
        patterns: patterns.iter().map(ToString::to_string).collect(),
        ..config(what)
    }
}

fn listed(config: &ListConfig) -> Vec<Value> {
    let mut out = Vec::new();
    print(config, &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn a_process_has_all_that_is_known_of_it() {
    let entry = processes::entry(&server(7, Some(cart())));
    assert_eq!(
        entry.cells,
        [
            "7",
            "1",
            "www-data",
            "server",
            "shop/cart-5d/server",
            "a.service",
            "/srv/server"
        ]
    );
    assert_eq!(
        entry.json,
        json!({"pid": 7, "inner_pid": 1, "parent": 5, "start_ticks": 9, "comm": "server", "exe": "/srv/server", "uid": 33,
            "user": "www-data", "cgroup": "/a", "unit": "a.service", "container": "shop/cart-5d/server", "container_id": ID,
            "image": "cart:3", "pod": "cart-5d", "namespace": "shop"})
    );
    let bare = processes::entry(&Identity {
        user: None,
        unit: None,
        exe: None,
        ..server(7, None)
    });
    assert_eq!(bare.cells, ["7", "1", "33", "server", "", "", ""]);
    assert_eq!(bare.json["container_id"], Value::Null);
}

#[test]
fn a_container_is_listed_once_with_its_processes() {
    let other = Container {
        id: "web".into(),
        runtime: Runtime::Lxc,
        pod: None,
        image: None,
        ..cart()
    };
    let processes = [
        server(9, Some(other)),
        server(7, Some(cart())),
        server(8, None),
        server(10, Some(cart())),
    ];
    let found = containers::with_pids(&processes);
    let entries: Vec<_> = found
        .iter()
        .map(|(it, pids)| containers::entry(it, pids))
        .collect();
    assert_eq!(
        entries[0].cells,
        [
            "0123456789ab",
            "server",
            "cart:3",
            "containerd",
            "shop/cart-5d",
            "2"
        ]
    );
    assert_eq!(
        entries[0].json,
        json!({"id": ID, "name": null, "image": "cart:3", "runtime": "containerd", "pod": "cart-5d", "namespace": "shop",
            "pod_container": "server", "labels": {"app": "cart"}, "processes": 2, "pids": [7, 10]})
    );
    assert_eq!(entries[1].cells, ["web", "", "", "lxc", "", "1"]);
    assert_eq!(entries.len(), 2);
}

#[test]
fn the_objects_of_a_file_and_of_a_process_tell_where_functions_come_from() {
    let entries = listed(&of_file(Listed::Objects, &[]));
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["path"], own_file().to_str().unwrap());
    assert_eq!(entries[0]["debug_info"], "own");
    assert_eq!(entries[0]["function_sources"][0], "symtab");
    assert!(entries[0]["functions"].as_u64().unwrap() > 1000);
    let cat = Cat::start();
    let mapped = listed(&cat.config(Listed::Objects));
    assert_eq!(mapped[0]["name"], "cat", "the program comes first");
    assert_eq!(
        (&mapped[0]["is_program"], &mapped[0]["pids"]),
        (&json!(true), &json!([cat.0.id()]))
    );
    let libc = ListConfig {
        patterns: vec!["libc".to_owned()],
        ..cat.config(Listed::Objects)
    };
    let found = listed(&libc);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["name"], "libc.so.6");
}

#[test]
fn functions_are_found_by_name_and_by_object() {
    let by_name = listed(&of_file(Listed::Functions, &["*a_function_to_be_listed"]));
    assert_eq!(by_name.len(), 1, "{by_name:?}");
    assert_eq!(
        by_name[0]["name"],
        "ebpf_prof::list::tests::a_function_to_be_listed"
    );
    assert!(by_name[0]["size"].as_u64().unwrap() > 0);
    let address = by_name[0]["address"].as_u64().unwrap();
    assert!(address > 0 && a_function_to_be_listed() == 7);
    let cat = Cat::start();
    let malloc = ListConfig {
        patterns: vec!["libc:malloc".to_owned()],
        ..cat.config(Listed::Functions)
    };
    let found = listed(&malloc);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (&found[0]["object"], &found[0]["name"]),
        (&json!("libc.so.6"), &json!("malloc"))
    );
    let elsewhere = listed(&of_file(Listed::Functions, &["libc:malloc"]));
    assert_eq!(elsewhere, Vec::<Value>::new());
}

/// Check that a stripped program's functions are named by its debug file, and that it is said where that is.
#[test]
fn a_stripped_program_is_listed_with_the_names_of_its_debug_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let source = "static __attribute__((noinline)) int hidden(int n) { return n * 3; }\nint main(int n, char **a) \
                  { (void)a; return hidden(n); }\n";
    std::fs::write(path("program.c"), source).unwrap();
    let run = |tool: &str, arguments: &[&str]| {
        let status = Command::new(tool)
            .args(arguments)
            .current_dir(folder.path())
            .status();
        status.is_ok_and(|status| status.success())
    };
    if !run("cc", &["-O1", "-g", "-o", "program", "program.c"]) {
        return;
    }
    assert!(run("objcopy", &["--only-keep-debug", "program", "program.debug"]));
    let link = "--add-gnu-debuglink=program.debug";
    assert!(run("objcopy", &["--strip-all", link, "program"]));
    let list = |what| {
        let config = ListConfig {
            files: vec![path("program")],
            ..config(what)
        };
        listed(&config)
    };
    let names = || {
        list(Listed::Functions)
            .iter()
            .any(|entry| entry["name"] == "hidden")
    };
    assert_eq!(list(Listed::Objects)[0]["debug_info"], "separate file");
    assert!(names());
    std::fs::remove_file(path("program.debug")).unwrap();
    assert_eq!(list(Listed::Objects)[0]["debug_info"], "none");
    assert!(!names());
}

/// Check that a program that cannot be read, here one that is no ELF file of 64 bits, ends no list of others.
#[test]
fn a_program_that_cannot_be_read_ends_no_list() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("text"), "no ELF file").unwrap();
    let process = Process::open(std::process::id()).unwrap();
    let mut file = process.file_at(&folder.path().join("text")).unwrap();
    file.is_main = true;
    let mut files = HashMap::new();
    objects::add(&mut files, file, process.pid);
    let unreadable = files.into_values().next().unwrap();
    let read = objects::open(&unreadable);
    assert!(read.is_err() && unreadable.unless_unreadable(read).unwrap().is_none());
}

#[inline(never)]
fn a_function_to_be_listed() -> u32 {
    std::hint::black_box(7)
}

#[test]
fn processes_are_found_by_name_program_and_id() {
    let name = own_file().file_name().unwrap().to_str().unwrap().to_owned();
    let cat = Cat::start();
    let find = |pattern: &str| {
        let config = ListConfig {
            patterns: vec![pattern.to_owned()],
            ..config(Listed::Processes)
        };
        let pids = listed(&config);
        pids.iter()
            .map(|it| it["pid"].as_u64().unwrap() as u32)
            .collect::<Vec<_>>()
    };
    let id = cat.0.id();
    assert!(find("cat").contains(&id) && find("c?t").contains(&id));
    assert_eq!(find(&id.to_string()), [id]);
    assert_eq!(find("no-such-process"), Vec::<u32>::new());
    assert!(
        !find(&name).contains(&std::process::id()),
        "we are not what is looked for"
    );
}

#[test]
fn a_table_has_a_header_and_a_line_for_each_entry() {
    let mut out = Vec::new();
    let config = ListConfig {
        format: ListFormat::Table(Style::Plain),
        ..of_file(Listed::Functions, &["*a_function_to_be_listed"])
    };
    print(&config, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0], ["function", "object", "address", "size"]);
    assert_eq!(lines[1][0], "ebpf_prof::list::tests::a_function_to_be_listed");
    assert_eq!(lines.len(), 2);
}

#[test]
fn what_cannot_be_listed_is_named() {
    let missing = ListConfig {
        files: vec!["/nonexistent/file".into()],
        ..config(Listed::Objects)
    };
    let error = print(&missing, &mut io::sink()).unwrap_err();
    assert!(
        error.to_string().contains("/nonexistent/file") && !error.is_usage(),
        "{error}"
    );
    let text = ListConfig {
        files: vec![Path::new("/etc/passwd").into()],
        ..missing
    };
    let error = print(&text, &mut io::sink()).unwrap_err();
    assert_eq!(error.to_string(), "`passwd` is not a 64-bit ELF file");
    let glob = ListConfig {
        patterns: vec!["[z-a]".to_owned()],
        ..config(Listed::Processes)
    };
    assert!(print(&glob, &mut io::sink()).unwrap_err().is_usage());
}

/// A pipe whose reader has gone, or a full disk.
struct Failing(io::ErrorKind);

impl Write for Failing {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_has_gone_is_no_failure_and_a_full_disk_is() {
    for format in [ListFormat::Json, ListFormat::Table(Style::Plain)] {
        let config = ListConfig {
            format,
            ..config(Listed::Containers)
        };
        print(&config, &mut Failing(io::ErrorKind::BrokenPipe)).unwrap();
        let error = print(&config, &mut Failing(io::ErrorKind::StorageFull)).unwrap_err();
        assert!(matches!(error, ListError::Print(_)), "{error}");
    }
}
