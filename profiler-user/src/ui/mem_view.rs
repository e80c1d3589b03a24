//! What is shown of allocations.
use std::time::Duration;

use crate::object::names::NameStyle;

/// What is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemView {
    /// What is alive.
    #[default]
    Live,
    /// What is alive and old.
    Leaks,
    /// What was alive at the peak.
    Peak,
    /// What lived shortly.
    Temporary,
    /// What is allocated most often.
    Hot,
    /// Sizes.
    Sizes,
}

/// What has a line of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemBy {
    /// Each place that allocates.
    #[default]
    Site,
    /// The function that it lies in.
    Function,
    /// The file that it lies in.
    Object,
    /// The thread.
    Thread,
    /// The process.
    Process,
    /// The container.
    Container,
}

impl MemBy {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Site,
        Self::Function,
        Self::Object,
        Self::Thread,
        Self::Process,
        Self::Container,
    ];

    /// What the command line and files call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Function => "function",
            Self::Object => "object",
            Self::Thread => "thread",
            Self::Process => "process",
            Self::Container => "container",
        }
    }
}

/// By what the table is sorted, the largest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemSort {
    /// Bytes that are alive.
    Live,
    /// Blocks that are alive.
    Blocks,
    /// Bytes at the peak.
    Peak,
    /// Allocations.
    Allocations,
    /// Bytes that were allocated.
    Bytes,
    /// Allocations that lived shortly.
    Temporary,
    /// Bytes that are alive and old.
    Old,
}

impl MemSort {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Live,
        Self::Blocks,
        Self::Peak,
        Self::Allocations,
        Self::Bytes,
        Self::Temporary,
        Self::Old,
    ];

    /// What the command line calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Blocks => "blocks",
            Self::Peak => "peak",
            Self::Allocations => "allocations",
            Self::Bytes => "bytes",
            Self::Temporary => "temporary",
            Self::Old => "old",
        }
    }

    /// That of a view, unless another one is asked for.
    pub const fn of(view: MemView) -> Self {
        match view {
            MemView::Live => Self::Live,
            MemView::Leaks => Self::Old,
            MemView::Peak => Self::Peak,
            MemView::Temporary => Self::Temporary,
            MemView::Hot | MemView::Sizes => Self::Allocations,
        }
    }
}

/// How a result about resident memory is shown.
#[derive(Clone, Copy, Debug)]
pub struct GrowthShown {
    /// What has a line of its own.
    pub by: MemBy,
    /// How many lines; none = all.
    pub top: Option<usize>,
    /// How functions' names are shown.
    pub names: NameStyle,
}

/// How the result is shown.
#[derive(Clone, Copy, Debug)]
pub struct MemShown {
    /// What is shown.
    pub view: MemView,
    /// What has a line of its own.
    pub by: MemBy,
    /// By what it is sorted.
    pub sort: MemSort,
    /// How many lines; none = all.
    pub top: Option<usize>,
    /// What is old.
    pub min_age: Duration,
    /// How functions' names are shown.
    pub names: NameStyle,
}
