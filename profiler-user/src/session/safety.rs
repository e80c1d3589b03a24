//! What is said of following, and the safety net under it.
use super::SessionError;
use super::follow::End;
use super::reader::Notice;
use super::roster::Origin;
use super::state::State;
use crate::kernel::lifecycle::LifeEvent;

impl State {
    /// Something that appeared could not be followed: that is said, and the session goes on.
    pub(super) fn note_failure(&mut self, error: &SessionError) {
        log::warn!("not followed: {error}");
        if self.roster_notes.failures == 0 {
            self.roster_notes.first_failure = error.to_string();
        }
        self.roster_notes.failures += 1;
    }

    /// Looks at all processes of the host: the safety net under the kernel's messages. What fails is noted, and the next
    /// process looked at.
    pub(super) fn rescan(&mut self) -> Vec<End> {
        let held = self.kernel.last_hold();
        let failures = self.roster_notes.failures;
        for pid in self.roster.pids() {
            if let Err(error) = self.look_again(pid) {
                self.note_failure(&error);
            }
        }
        let mut ends = Vec::new();
        for identity in self.tracker.find() {
            if !self.is_still(identity.pid) {
                let origin = if self.tracker.selector.matches(&identity) {
                    Origin::Matched
                } else {
                    Origin::Child
                };
                ends.extend(self.join(identity.pid, origin, Some(identity.parent)));
            }
        }
        if self.roster_notes.failures == failures {
            // All that runs now has been looked at, whatever word of it was lost.
            self.kernel.release(held);
            for _ in 0..std::mem::take(&mut self.unexamined) {
                self.suspension.end();
            }
        }
        ends
    }

    /// Says what was done, once it is in force.
    pub(super) fn tell_news(&mut self) {
        if self.kernel.is_held(self.unexamined.into()) {
            return;
        }
        for news in self.news.drain(..) {
            log::info!("{news}");
        }
    }

    /// What was told when the session had ended: children are counted, and no more.
    pub(super) fn too_late(&mut self, notice: &Notice) {
        if let (Some(known), Notice::Life(LifeEvent::Mapped(mapping))) = (self.known(), notice) {
            known.told(mapping);
        }
        let (parent, child) = match notice {
            Notice::Forked { parent, child } | Notice::Life(LifeEvent::Forked { parent, child }) => {
                (*parent, *child)
            }
            Notice::Life(_) | Notice::Exec { .. } | Notice::Change(_) | Notice::Failed => return,
        };
        if self.roster.contains(parent) && !self.roster.has_come(child) {
            self.roster.came(child, Origin::Child);
            self.roster.missed += 1;
        }
    }
}
