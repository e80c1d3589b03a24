//! The course of processes' memory: how much each has, at each interval.
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use profiler_common::alloc::{FAMILIES, Family};

use super::known::Who;
use super::monotonic_ns;
use super::view::family_of;
use crate::aggregate::memory::ProcessMemory;
use crate::kernel::heap::HeapMaps;
use crate::probe::plan::Plan;
use crate::session::state::State;
use crate::target::usage::MemoryUsage;

/// The columns that there always are.
const COLUMNS: [&str; 14] = [
    "time_ns",
    "who",
    "pid",
    "comm",
    "container",
    "RSS",
    "rss_peak_bytes",
    "VMS",
    "vms_peak_bytes",
    "anonymous_bytes",
    "file_bytes",
    "shared_bytes",
    "swap_bytes",
    "processes",
];

/// By family: bytes that are alive.
type Live = [u64; FAMILIES];

/// Whose memory a line is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Whose {
    Process(u32),
    Container(String),
    All,
}

/// How much memory somebody has.
#[derive(Clone, Copy, Debug, Default)]
struct Amount {
    usage: MemoryUsage,
    live: Live,
    processes: u64,
}

impl Amount {
    fn add(&mut self, other: &Self) {
        self.usage.add(&other.usage);
        for (live, more) in self.live.iter_mut().zip(other.live) {
            *live = live.saturating_add(more);
        }
        self.processes += other.processes;
    }
}

/// The most that somebody had when it was looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Highest {
    rss: u64,
    vms: u64,
    live: Live,
}

impl Highest {
    fn raise(&mut self, amount: &Amount) {
        self.rss = self.rss.max(amount.usage.rss);
        self.vms = self.vms.max(amount.usage.vms);
        for (highest, live) in self.live.iter_mut().zip(amount.live) {
            *highest = live.max(*highest);
        }
    }
}

/// What was seen of processes' memory, and the file that it is written to, if one is wanted.
#[derive(Default)]
pub(super) struct Course {
    file: Option<CourseFile>,
    highest: HashMap<Whose, Highest>,
    /// By process: what it had when it was last looked at, also of those that have ended.
    last: BTreeMap<u32, ProcessMemory>,
}

struct CourseFile {
    path: PathBuf,
    writer: csv::Writer<BufWriter<File>>,
    families: Vec<Family>,
    failure: Option<io::Error>,
}

impl Course {
    /// Opens the file, and writes the header.
    pub(super) fn create(path: &Path, families: &[Family]) -> io::Result<Self> {
        let mut writer = csv::Writer::from_writer(BufWriter::new(File::create(path)?));
        let live = families.iter().flat_map(|family| {
            let name = family.name();
            [format!("{name}_live_bytes"), format!("{name}_live_peak_bytes")]
        });
        writer.write_record(COLUMNS.map(str::to_owned).into_iter().chain(live))?;
        writer.flush()?;
        Ok(Self {
            file: Some(CourseFile {
                path: path.to_owned(),
                writer,
                families: families.to_vec(),
                failure: None,
            }),
            ..Self::default()
        })
    }

    /// Looks at what these processes have now.
    fn look(&mut self, time_ns: u64, pids: &[u32], seen: &Seen<'_>) {
        let live = live_by_process(seen.heap, seen.plan);
        let mut amounts: BTreeMap<Whose, Amount> = BTreeMap::new();
        let nobody = Who::default();
        for pid in pids {
            let Some(usage) = MemoryUsage::of(*pid) else {
                continue;
            };
            let amount = Amount {
                usage,
                live: live.get(pid).copied().unwrap_or_default(),
                processes: 1,
            };
            let who = seen.who.get(pid).unwrap_or(&nobody);
            self.last.insert(*pid, process_memory(*pid, who, &amount));
            amounts.insert(Whose::Process(*pid), amount);
            if !who.container.is_empty() {
                let container = Whose::Container(who.container.clone());
                amounts.entry(container).or_default().add(&amount);
            }
            amounts.entry(Whose::All).or_default().add(&amount);
        }
        for (whose, amount) in &amounts {
            let highest = self.highest.entry(whose.clone()).or_default();
            highest.raise(amount);
            let highest = *highest;
            if let Some(file) = &mut self.file {
                file.write(time_ns, whose, (amount, &highest), seen.who);
            }
        }
        if let Some(file) = &mut self.file {
            file.flush();
        }
    }

    /// What was last seen of each process.
    pub(super) fn processes(&self) -> Vec<ProcessMemory> {
        self.last.values().cloned().collect()
    }

    /// A process has ended: another one may get its id.
    pub(super) fn left(&mut self, pid: u32) {
        self.highest.remove(&Whose::Process(pid));
        if let Some(process) = self.last.get_mut(&pid) {
            process.has_ended = true;
        }
    }

    /// Ends the file, or tells why it ended too early.
    pub(super) fn finish(&mut self) -> Result<(), (PathBuf, io::Error)> {
        let Some(mut file) = self.file.take() else {
            return Ok(());
        };
        file.flush();
        file.failure.map_or(Ok(()), |error| Err((file.path, error)))
    }
}

/// What a look needs to know.
struct Seen<'a> {
    heap: &'a HeapMaps,
    plan: &'a Plan,
    who: &'a HashMap<u32, Who>,
}

impl State {
    /// Whether the course of processes' memory is written at each interval.
    pub(in crate::session) fn has_course(&self) -> bool {
        let course = self.memory.as_ref().map(|memory| &memory.course);
        course.is_some_and(|course| course.file.is_some())
    }

    /// Looks at how much memory the targets have.
    pub(in crate::session) fn look_at_processes(&mut self) {
        if let (Some(memory), Some(heap)) = (&mut self.memory, &self.kernel.heap) {
            let seen = Seen {
                heap,
                plan: &self.setup.plan,
                who: &memory.known.who,
            };
            memory.course.look(monotonic_ns(), &self.roster.pids(), &seen);
        }
    }
}

fn process_memory(pid: u32, who: &Who, amount: &Amount) -> ProcessMemory {
    ProcessMemory {
        pid,
        comm: who.comm.clone(),
        container: who.container.clone(),
        has_ended: false,
        usage: amount.usage,
    }
}

/// What each process has alive, by family. What a program had that was replaced by another is gone.
fn live_by_process(heap: &HeapMaps, plan: &Plan) -> HashMap<u32, Live> {
    let mut live: HashMap<u32, Live> = HashMap::new();
    for number in 1..heap.sites_in_use() {
        let site = heap.sites.get(number);
        let process = heap.processes.get(site.key.process as usize);
        if site.live_bytes == 0 || process.executed_ns != 0 {
            continue;
        }
        let family = family_of(plan, &site) as usize;
        let of_process = live.entry(process.tgid).or_default();
        of_process[family] = of_process[family].saturating_add(site.live_bytes);
    }
    live
}

impl CourseFile {
    fn write(
        &mut self,
        time_ns: u64,
        whose: &Whose,
        (amount, highest): (&Amount, &Highest),
        who: &HashMap<u32, Who>,
    ) {
        if self.failure.is_some() {
            return;
        }
        let MemoryUsage {
            rss,
            rss_peak,
            vms,
            vms_peak,
            anonymous,
            file,
            shared,
            swap,
        } = amount.usage;
        // The kernel keeps the peaks of processes; those of several are what was seen.
        let (rss_peak, vms_peak) = match whose {
            Whose::Process(_) => (rss_peak, vms_peak),
            Whose::Container(_) | Whose::All => (highest.rss, highest.vms),
        };
        let [name, pid, comm, container] = names(whose, who);
        let numbers = [
            rss,
            rss_peak,
            vms,
            vms_peak,
            anonymous,
            file,
            shared,
            swap,
            amount.processes,
        ];
        let live = self.families.iter().flat_map(|family| {
            let family = *family as usize;
            [amount.live[family], highest.live[family]]
        });
        let cells = [time_ns.to_string(), name, pid, comm, container]
            .into_iter()
            .chain(numbers.into_iter().chain(live).map(|number| number.to_string()));
        if let Err(error) = self.writer.write_record(cells) {
            self.failure = Some(error.into());
        }
    }

    fn flush(&mut self) {
        if self.failure.is_none()
            && let Err(error) = self.writer.flush()
        {
            self.failure = Some(error);
        }
    }
}

/// What a line is called, and its process, name and container.
fn names(whose: &Whose, who: &HashMap<u32, Who>) -> [String; 4] {
    match whose {
        Whose::Process(pid) => {
            let Who { comm, container } = who.get(pid).cloned().unwrap_or_default();
            [format!("{comm} {pid}"), pid.to_string(), comm, container]
        }
        Whose::Container(name) => [
            format!("container {name}"),
            String::new(),
            String::new(),
            name.clone(),
        ],
        Whose::All => ["all".to_owned(), String::new(), String::new(), String::new()],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use profiler_common::alloc::Family;

    use super::{Amount, Course, Highest, Whose};
    use crate::session::memory::known::Who;
    use crate::target::usage::MemoryUsage;

    fn amount(rss: u64, live: u64) -> Amount {
        let mut amount = Amount {
            usage: MemoryUsage {
                rss,
                rss_peak: rss + 1000,
                ..MemoryUsage::default()
            },
            processes: 1,
            ..Amount::default()
        };
        amount.live[Family::Heap as usize] = live;
        amount
    }

    #[test]
    fn a_line_tells_what_is_and_what_was_highest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("course.csv");
        let mut course = Course::create(&path, &[Family::Heap, Family::Mapping]).unwrap();
        let who = HashMap::from([(
            7,
            Who {
                comm: "web".to_owned(),
                container: "web-1".to_owned(),
            },
        )]);
        let mut highest = Highest::default();
        let file = course.file.as_mut().unwrap();
        for (time_ns, amount) in [(1, amount(200, 50)), (2, amount(100, 20))] {
            highest.raise(&amount);
            for whose in [
                Whose::Process(7),
                Whose::Container("web-1".to_owned()),
                Whose::All,
            ] {
                file.write(time_ns, &whose, (&amount, &highest), &who);
            }
        }
        course.finish().unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "time_ns,who,pid,comm,container,RSS,rss_peak_bytes,VMS,vms_peak_bytes,anonymous_bytes,file_bytes,\
                 shared_bytes,swap_bytes,processes,\
                 heap_live_bytes,heap_live_peak_bytes,mapping_live_bytes,mapping_live_peak_bytes",
                "1,web 7,7,web,web-1,200,1200,0,0,0,0,0,0,1,50,50,0,0",
                "1,container web-1,,,web-1,200,200,0,0,0,0,0,0,1,50,50,0,0",
                "1,all,,,,200,200,0,0,0,0,0,0,1,50,50,0,0",
                "2,web 7,7,web,web-1,100,1100,0,0,0,0,0,0,1,20,50,0,0",
                "2,container web-1,,,web-1,100,200,0,0,0,0,0,0,1,20,50,0,0",
                "2,all,,,,100,200,0,0,0,0,0,0,1,20,50,0,0",
            ]
        );
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Course::create(&folder.path().join("none/course.csv"), &[]).is_err());
    }
}
