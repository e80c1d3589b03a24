//! From patterns to probes: what to probe ([`selection`]), where exactly ([`site`]), how its returns are seen
//! ([`returns`]), and all of it together ([`plan`], made by [`planner`]).
pub mod allocator_file;
pub mod allocator_rows;
pub mod allocators;
mod analysis;
mod body;
mod callees;
mod entries;
mod glob;
pub mod inlined;
mod intruders;
mod object_plan;
mod parallel;
mod part;
pub mod pattern;
pub mod plan;
pub mod planner;
pub mod returns;
pub mod selection;
pub mod site;
mod source;
#[cfg(test)]
mod source_tests;
mod tables;
mod tails;
#[cfg(test)]
mod test_code;
#[cfg(test)]
mod tests;
mod x86;
