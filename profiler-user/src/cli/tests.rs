//! From words to configurations.
use std::time::Duration;

use clap::{CommandFactory as _, Parser as _};

use super::args::Args;
use super::config::{Action, AttachConfig, Budget, Command, OnLoss, RunConfig, StdoutUse};
use super::config::{Download, Inlined, SymbolConfig};
use super::list::{ListFormat, Listed};
use super::{ConfigError, Stop};
use crate::kernel::AttachMode;
use crate::monitor::MONITORS;
use crate::object::names::NameStyle;
use crate::probe::plan::ReturnsChoice;
use crate::recorder::{Output, RECORDERS};
use crate::ui::{SortKey, Style};

fn command(line: &str) -> Result<Command, ConfigError> {
    Args::try_parse_from(line.split_whitespace())
        .unwrap_or_else(|error| panic!("{error}"))
        .try_into()
}

fn attach(line: &str) -> Result<AttachConfig, ConfigError> {
    let Command::Attach(config) = command(&format!("ebpf-prof attach {line}"))? else {
        panic!("`{line}` is not attach")
    };
    Ok(config)
}

fn run(line: &str) -> RunConfig {
    let Command::Run(config) = command(&format!("ebpf-prof run {line}")).unwrap() else {
        panic!("`{line}` is not run")
    };
    config
}

fn refused(line: &str) -> String {
    match super::parse(line.split_whitespace().map(Into::into)) {
        Err(Stop::Wrong(text)) => text,
        Err(Stop::Print(text)) => panic!("{text}"),
        Ok(command) => panic!("{command:?}"),
    }
}

#[test]
fn the_declaration_is_sound() {
    Args::command().debug_assert();
}

#[test]
fn the_memory_monitor_always_records_and_the_usual_one_where_asked() {
    let session = |line: &str| attach(line).unwrap().session;
    let usual = session("-p 1");
    assert_eq!(
        (usual.monitor.name, usual.recording.is_some()),
        ("functions", false)
    );
    for name in ["function-memory", "function_memory"] {
        let memory = session(&format!("-p 1 --monitor {name}"));
        assert_eq!(memory.monitor.name, "function-memory");
        let recording = memory.recording.unwrap();
        assert_eq!(
            (recording.kind.name, recording.output),
            ("screen", Output::Stdout)
        );
        assert_eq!(memory.display.stdout, StdoutUse::Records);
    }
    let file = session("-p 1 --monitor function-memory -o a.csv")
        .recording
        .unwrap();
    assert_eq!(
        (file.kind.name, file.output),
        ("csv", Output::File("a.csv".into()))
    );
    let text = refused("ebpf-prof run --monitor moods -- true");
    assert!(
        MONITORS.iter().all(|monitor| text.contains(monitor.name)),
        "{text}"
    );
}

#[test]
fn without_options_attach_counts_and_has_a_budget_and_run_has_none() {
    let config = attach("-p 1").unwrap();
    assert_eq!(config.selector.pids, [1]);
    assert!(config.selector.is_fixed());
    let session = config.session;
    assert_eq!(session.action, Action::Profile);
    assert!(session.recording.is_none());
    assert_eq!(session.selection, super::config::SelectionConfig::default());
    assert_eq!(session.probing.attach_mode, None);
    assert_eq!(session.probing.returns, ReturnsChoice::Auto);
    assert_eq!(session.limits.max_overhead, Budget::Percent(25.0));
    assert_eq!(
        (session.limits.ring_bytes, session.limits.map_bytes),
        (64 << 20, 256 << 20)
    );
    assert_eq!(
        (session.limits.duration, session.limits.on_loss),
        (None, OnLoss::Report)
    );
    assert_eq!(
        (session.display.interval, session.display.top),
        (Duration::from_secs(1), Some(20))
    );
    assert_eq!(
        (session.display.sort, session.display.stdout),
        (SortKey::Total, StdoutUse::Table)
    );
    assert_eq!(session.display.log_level, log::LevelFilter::Warn);
    assert_eq!(run("-- true").session.limits.max_overhead, Budget::Unlimited);
}

#[test]
fn options_for_names_and_lines_arrive() {
    let symbols = attach("-p 1").unwrap().session.symbols;
    assert_eq!(symbols, SymbolConfig::default());
    let symbols = attach(
        "-p 1 -f g --debug-dir /a --debug-dir /b --debuginfod --strip-prefix /src --path-depth 2 --inlined --raw-names",
    )
    .unwrap()
    .session
    .symbols;
    assert_eq!(symbols.debug_dirs, ["/a", "/b"].map(std::path::PathBuf::from));
    assert_eq!(symbols.download, Download::WhenMissing);
    assert_eq!(
        (symbols.paths.strip_prefixes, symbols.paths.depth),
        (vec!["/src".to_owned()], Some(2))
    );
    assert_eq!(
        (symbols.inlined, symbols.names),
        (Inlined::Probed, NameStyle::Raw)
    );
    assert!(refused("ebpf-prof attach -p 1 --inlined").contains("--function"));
    assert!(refused("ebpf-prof attach -p 1 --path-depth 0").contains("--path-depth"));
}

#[test]
fn every_option_arrives() {
    let session = attach(
        "-p 1 --function a* --function b -x c --object libz.so --focus d --focused-on e --dry-run \
         --attach-mode perf-event --returns uretprobe --duration 2m --max-overhead 5% --ring-size 5000 \
         --max-map-memory 1G --fail-on-loss --interval 200ms --sort p99 --top 0 --no-color --log-level trace",
    )
    .unwrap()
    .session;
    assert_eq!(session.selection.functions, ["a*", "b"]);
    assert_eq!(session.selection.exclude, ["c"]);
    assert_eq!(session.selection.objects, ["libz.so"]);
    assert_eq!(session.selection.focus, ["d", "e"]);
    assert_eq!(session.action, Action::DryRun);
    assert_eq!(session.probing.attach_mode, Some(AttachMode::PerfEvent));
    assert_eq!(session.probing.returns, ReturnsChoice::ReturnProbe);
    assert_eq!(session.limits.duration, Some(Duration::from_mins(2)));
    assert_eq!(session.limits.max_overhead, Budget::Percent(5.0));
    assert_eq!(
        (session.limits.ring_bytes, session.limits.map_bytes),
        (8192, 1 << 30)
    );
    assert_eq!(session.limits.on_loss, OnLoss::Fail);
    assert_eq!(
        (session.display.interval, session.display.top),
        (Duration::from_millis(200), None)
    );
    assert_eq!(
        (session.display.sort, session.display.style),
        (SortKey::P99, Style::Plain)
    );
    assert_eq!(session.display.log_level, log::LevelFilter::Trace);
}

#[test]
fn processes_are_taken_once_each_in_the_order_typed() {
    assert_eq!(attach("-p 3,1 --pid 3 -p 2,1").unwrap().selector.pids, [3, 1, 2]);
}

#[test]
fn processes_are_chosen_by_all_that_is_known_of_them() {
    let line = "--container web-* --container 0123abcd --pod shop/cart-* --systemd-unit nginx --cgroup \
        /sys/fs/cgroup/system.slice/ --user www-data --user 1000 --exe /usr/sbin/nginx --comm nginx --children";
    let selector = attach(line).unwrap().selector;
    assert_eq!(
        selector.to_string(),
        "container web-* or 0123abcd, pod shop/cart-*, systemd unit nginx, cgroup /system.slice, \
         user www-data or 1000, program /usr/sbin/nginx, command nginx and children"
    );
    assert!(selector.children && !selector.is_fixed() && !selector.all);
    let all = attach("-a --function libc.so.6:malloc").unwrap().selector;
    assert_eq!((all.all, all.to_string().as_str()), (true, "all processes"));
    assert!(!attach("-p 1 --children").unwrap().selector.is_fixed());
    let error = attach("-a --function malloc").unwrap_err().to_string();
    assert!(error.contains("say in which file"), "{error}");
}

#[test]
fn a_list_knows_what_of_whom_and_how() {
    let list = |line: &str| {
        let Command::List(config) = command(&format!("ebpf-prof list {line}")).unwrap() else {
            panic!("`{line}` is not list")
        };
        config
    };
    let functions = list("functions parse_* libc:malloc -p 1 --file ./server --json");
    assert_eq!(functions.what, Listed::Functions);
    assert_eq!(functions.patterns, ["parse_*", "libc:malloc"]);
    assert_eq!(functions.selector.pids, [1]);
    assert_eq!(functions.files, [std::path::Path::new("./server")]);
    assert_eq!(functions.format, ListFormat::Json);
    for what in Listed::ALL {
        assert_eq!(list(&format!("{} -p 1", what.name())).what, what);
    }
    let all = list("containers --no-color");
    assert!(all.selector.is_empty() && all.patterns.is_empty());
    assert_eq!(all.format, ListFormat::Table(Style::Plain));
    let error = |line: &str| {
        command(&format!("ebpf-prof list {line}"))
            .unwrap_err()
            .to_string()
    };
    assert!(error("objects").contains("`list objects` needs something to look into"));
    assert!(error("functions *").contains("`list functions` needs something to look into"));
    assert!(error("processes --file x").contains("`--file` has no processes"));
}

#[test]
fn all_words_from_the_command_on_belong_to_the_command() {
    let short = run("--top 3 ./program -p 1 --top 9 -- --help");
    let config = run("--top 3 -- ./program -p 1 --top 9 -- --help");
    assert_eq!(
        (&short.program, &short.arguments),
        (&config.program, &config.arguments)
    );
    assert_eq!(config.program, "./program");
    assert_eq!(config.arguments, ["-p", "1", "--top", "9", "--", "--help"]);
    assert_eq!(config.session.display.top, Some(3));
}

#[test]
fn records_go_where_their_format_or_the_user_says() {
    let recording = |line: &str| {
        attach(&format!("-p 1 {line}"))
            .unwrap()
            .session
            .recording
            .unwrap()
    };
    for kind in RECORDERS {
        let config = recording(&format!("--recording {}", kind.name));
        assert_eq!(
            (config.kind.name, config.output),
            (kind.name, kind.default_output())
        );
        assert_eq!(
            recording(&format!("--recording {} -o -", kind.name)).output,
            Output::Stdout
        );
    }
    let by_extension = recording("-o /tmp/calls.csv");
    assert_eq!(
        (by_extension.kind.name, by_extension.output),
        ("csv", Output::File("/tmp/calls.csv".into()))
    );
    assert_eq!(recording("--recording text -o a.csv").kind.name, "text");
    let stdout = |line: &str| attach(line).unwrap().session.display.stdout;
    assert_eq!(stdout("-p 1 --recording csv -o -"), StdoutUse::Records);
    assert_eq!(stdout("-p 1 --recording screen"), StdoutUse::Records);
    assert_eq!(stdout("-p 1 --recording csv"), StdoutUse::Table);
}

#[test]
fn combinations_that_mean_nothing_are_refused_in_one_line_that_says_what_to_do() {
    let own = std::process::id();
    for (line, error) in [
        (
            format!("-p {own}"),
            format!("process {own} is ebpf-prof itself: give the id of another process to `--pid`"),
        ),
        (
            "-p 1 -o -".into(),
            "the name `-` does not tell the format of the records: add `--recording screen|text|csv`".into(),
        ),
        (
            "-p 1 -o records".into(),
            "the name `records` does not tell the format of the records: add `--recording text|csv`".into(),
        ),
        (
            "-p 1 --recording screen -o a.log".into(),
            "`--recording screen` writes to standard output, not to `a.log`: use `--recording text`".into(),
        ),
        (
            "-p 1 --focus=".into(),
            "`--focus` is empty: write a name or a glob, such as 'parse_*'".into(),
        ),
        (
            "-p 1 --ring-size 1".into(),
            "`--ring-size 1` is out of range: write 4K to 1G".into(),
        ),
        (
            "-p 1 --interval 0".into(),
            "`--interval` is too short: write 50ms or more".into(),
        ),
    ] {
        assert_eq!(attach(&line).unwrap_err().to_string(), error, "{line}");
    }
}

#[test]
fn wrong_words_are_named_in_one_line() {
    for (line, named) in [
        ("ebpf-prof attach", "`-p PID`, or choose by `--container`"),
        ("ebpf-prof attach --children", "no process is named"),
        ("ebpf-prof attach --container=", "it is empty"),
        ("ebpf-prof attach --comm [z-a]", "`[z-a]` is no valid glob"),
        ("ebpf-prof attach -p 0", "`0` is not a process id"),
        ("ebpf-prof attach -p 1,x", "`x` is not a process id"),
        ("ebpf-prof attach -p 1 --recording xml", "xml"),
        ("ebpf-prof attach -p 1 --sort size", "size"),
        (
            "ebpf-prof attach -p 1 --duration soon",
            "`soon` is not a duration",
        ),
        (
            "ebpf-prof attach -p 1 --max-overhead 0",
            "`0` is not a share of one core",
        ),
        ("ebpf-prof attach -p 1 --ring-size big", "`big` is not a size"),
        ("ebpf-prof run", "<COMMAND>"),
        ("ebpf-prof attach -p 1 --durration 1", "--duration"),
        ("ebpf-prof attach -p 1 -o x", "`x`"),
        ("ebpf-prof run --no-such -- ls", "--no-such"),
    ] {
        let error = refused(line);
        assert!(error.contains(named), "{line}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.starts_with("error: "), "{error}");
    }
}

#[test]
fn help_names_every_format_and_group() {
    let mut attach = Args::command().find_subcommand("attach").cloned().unwrap();
    let help = attach.render_long_help().to_string();
    for kind in RECORDERS {
        assert!(help.contains(kind.name) && help.contains(kind.summary), "{help}");
    }
    for group in ["Targeting:", "Functions:", "Output:", "Limits:", "Examples:"] {
        assert!(help.contains(group), "{group} in {help}");
    }
}

#[test]
fn help_is_printed_and_nothing_at_all_is_wrong() {
    let words = |line: &str| line.split(' ').map(Into::into).collect::<Vec<_>>();
    assert!(
        matches!(super::parse(words("ebpf-prof --help")), Err(Stop::Print(text)) if text.contains("Examples:"))
    );
    assert!(
        matches!(super::parse(words("ebpf-prof --version")), Err(Stop::Print(text)) if text.contains("0.1"))
    );
    assert!(matches!(super::parse(words("ebpf-prof")), Err(Stop::Wrong(text)) if text.contains("Usage:")));
}
