//! A session that follows resident memory: what the kernel side has counted, by place, with names.
mod files;
mod rows;

use std::collections::HashMap;

use profiler_common::rss::{PAGE_KINDS, PlaceCounters, PlaceKey};

use super::SessionError;
use super::display::Display;
use super::memory::OutputFile;
use super::memory::known::Known;
use super::reader::{Reader, ReaderResult};
use super::state::State;
use crate::aggregate::growth::{GrowthSummary, ResidentProcess};
use crate::cli::mem_config::{GrowthConfig, MemFormat};
use crate::kernel::memory::page_size;
use crate::kernel::rss::RssMaps;
use crate::ui::growth_table;

use rows::{Named, Source};

/// What such a session has in its hands.
pub(super) struct Growth {
    config: GrowthConfig,
    pub(super) known: Known,
    named: HashMap<PlaceKey, Named>,
    outputs: Vec<OutputFile>,
}

impl Growth {
    /// Opens the outputs: one that cannot be written costs the target nothing.
    pub(super) fn new(config: &GrowthConfig) -> Result<Self, SessionError> {
        let outputs = config.outputs.iter().map(OutputFile::create);
        Ok(Self {
            config: config.clone(),
            known: Known::new(),
            named: HashMap::new(),
            outputs: outputs.collect::<Result<_, _>>()?,
        })
    }

    /// A target runs another program: what it did until now is named by what it ran.
    pub(super) fn replaced(&mut self, pid: u32, maps: &RssMaps) {
        self.left(pid, maps);
        self.known.names.forget(pid);
    }

    /// A process has ended. What cannot be read now is read at the end.
    pub(super) fn left(&mut self, pid: u32, maps: &RssMaps) {
        match maps.places() {
            Ok(mut places) => {
                places.retain(|(key, _)| key.tgid == pid);
                self.name(&places, maps);
            }
            Err(error) => log::warn!("places may stay without names: {error}"),
        }
    }

    /// Names the places that have no names yet.
    fn name(&mut self, places: &[(PlaceKey, PlaceCounters)], maps: &RssMaps) {
        for (key, _) in places {
            if !self.named.get(key).is_some_and(|named| named.is_final) {
                let named = Named::of(key, &mut self.known.names, maps);
                self.named.insert(*key, named);
            }
        }
    }

    fn find_lines(&mut self) {
        for (key, named) in &mut self.named {
            if key.ip != 0 {
                named.line = self.known.names.line(key.tgid, key.ip);
            }
        }
    }

    fn processes(&self, maps: &RssMaps) -> Result<Vec<ResidentProcess>, SessionError> {
        let own = maps.sizes()?.into_iter().filter(|(_, size)| size.lender == 0);
        let mut processes: Vec<ResidentProcess> = own
            .map(|(pid, size)| ResidentProcess {
                pid,
                comm: self
                    .known
                    .who
                    .get(&pid)
                    .map_or(String::new(), |who| who.comm.clone()),
                bytes: size.pages.map(|pages| pages * page_size()),
            })
            .filter(|process| process.bytes != [0; PAGE_KINDS])
            .collect();
        processes.sort_by_key(|process| process.pid);
        Ok(processes)
    }
}

impl State {
    /// What was followed so far. `None`: it is not what this session follows.
    fn growth_summary(&mut self, is_last: bool) -> Result<Option<GrowthSummary>, SessionError> {
        let losses = self.all_losses();
        let (Some(growth), Some(maps)) = (&mut self.growth, &self.kernel.growth) else {
            return Ok(None);
        };
        let places = maps.places()?;
        growth.name(&places, maps);
        if is_last && !growth.outputs.is_empty() {
            growth.find_lines();
        }
        let source = Source {
            named: &growth.named,
            who: &growth.known.who,
            plan: &self.setup.plan,
            shown: &growth.config.shown,
        };
        let rows = source.rows(&places, &maps.others());
        Ok(Some(GrowthSummary {
            title: self.title.clone(),
            rows,
            processes: growth.processes(maps)?,
            sees_faults: maps.sees_faults,
            losses,
            notes: self.notes.clone(),
            elapsed: self.elapsed(),
        }))
    }

    /// Shows the table of now. `false`: resident memory is not what is followed.
    pub(super) fn refresh_growth(&mut self, display: &mut Display) -> Result<bool, SessionError> {
        let Some(summary) = self.growth_summary(false)? else {
            return Ok(false);
        };
        if let Some(growth) = &self.growth {
            let shown = growth.config.shown;
            display.refresh_text(&|view| growth_table::render(&summary, &shown, view))?;
        }
        Ok(true)
    }

    /// Detaches, writes the outputs, and prints the last table. Returns whether anything was lost.
    pub(super) fn conclude_growth(mut self, reader: Reader, display: Display) -> Result<bool, SessionError> {
        self.ended_after = Some(self.attached.elapsed());
        std::mem::take(&mut self.attachments).close();
        let mut summary = self.growth_summary(true)?.unwrap_or_default();
        let ReaderResult { counts, failure, .. } = reader.finish(&summary.losses);
        if let Some(failure) = failure {
            return Err(failure.into());
        }
        if counts.undecodable() > 0 {
            let undecodable = counts.undecodable();
            let note = format!("{undecodable} messages of the kernel could not be read");
            summary.notes.push(note);
        }
        let Some(growth) = self.growth.take() else {
            return Ok(false);
        };
        let shown = growth.config.shown;
        for output in growth.outputs {
            let format = output.format;
            output.write(&match format {
                MemFormat::Csv => files::csv(&summary, shown.by)?,
                MemFormat::Json => files::json(&summary, (&shown, self.kernel.mode))?,
                MemFormat::Folded => files::folded(&summary),
            })?;
        }
        display.conclude_text(&|view| growth_table::render(&summary, &shown, view))?;
        Ok(!summary.is_complete())
    }
}
