//! Listens to what happens to the processes of the host, on a thread of its own.
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::SessionError;
use super::reader::Notice;
use crate::kernel::lifecycle::Lifecycle;
use crate::kernel::ring::Waker;

/// The longest wait: only a safety net, as every message and the end of the session wake the thread.
const WAIT: Duration = Duration::from_secs(10);

/// The listening thread. It ends when it is dropped.
pub(super) struct Watch {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

struct Stop {
    asked: AtomicBool,
    waker: Waker,
}

impl Watch {
    /// Begins to listen. `None`: perf events are not allowed here, which is said; followed is then only what hits probes.
    pub(super) fn start(notices: UnboundedSender<Notice>) -> Result<Option<Self>, SessionError> {
        let lifecycle = match Lifecycle::listen() {
            Ok(lifecycle) => lifecycle,
            Err(error) => {
                log::warn!(
                    "new processes and libraries are found late, by looking every few seconds: {error}"
                );
                return Ok(None);
            }
        };
        let failed = |what: &'static str| move |source: io::Error| SessionError::System { what, source };
        let stop = Arc::new(Stop {
            asked: AtomicBool::new(false),
            waker: Waker::new().map_err(failed("make an event descriptor"))?,
        });
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("lifecycle".to_owned())
            .spawn(move || listen(lifecycle, &stopped, &notices))
            .map_err(failed("start the thread that watches processes"))?;
        Ok(Some(Self {
            stop,
            thread: Some(thread),
        }))
    }
}

fn listen(mut lifecycle: Lifecycle, stop: &Stop, notices: &UnboundedSender<Notice>) {
    while !stop.asked.load(Ordering::Acquire) {
        lifecycle.wait(&stop.waker, WAIT);
        // The session may be gone already.
        lifecycle.drain(|event| drop(notices.send(Notice::Life(event))));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.asked.store(true, Ordering::Release);
        self.stop.waker.wake();
        if let Some(thread) = self.thread.take() {
            // A panic there is a bug of ours; the session has its results.
            let _: std::thread::Result<()> = thread.join();
        }
    }
}
