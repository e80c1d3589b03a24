//! Keeps what the probes cost within a budget: the hottest functions are first demoted from events to counters, then
//! detached. Functions that the user named come last. Every decision is said.
use profiler_common::cookie::FunctionId;

use crate::cli::config::Budget;
use crate::kernel::calibrate::ProbeCost;
use crate::probe::plan::{Plan, PlannedFunction, Price, Returns};

/// What our programs do at a hit, beside the hit itself: a share of an empty hit (`cargo xtask bench`, full accounting).
const WORK_SHARE: f64 = 0.3;
/// What sending and writing one event costs, in the target and in user space together, ns (`cargo xtask bench`).
const EVENT_NS: f64 = 350.0;
/// Decisions aim below the budget, so that they need not be made again at once.
const AIM: f64 = 0.8;

/// What a call of each function costs the machine.
pub struct CostModel {
    cost: ProbeCost,
}

impl CostModel {
    /// Built on what was measured on this machine.
    pub fn new(cost: ProbeCost) -> Self {
        Self { cost }
    }

    /// What a hit costs, ns.
    pub fn hit(&self, price: Price) -> f64 {
        match price {
            Price::Emulated => self.cost.emulated_ns,
            Price::SingleStepped => self.cost.single_stepped_ns,
        }
    }

    /// What of the probes' own time lies within a measured duration, ns a call: the way back from the entry's trap, the
    /// way into the return's, and the second trap of a single-stepped entry.
    pub fn within_duration(&self, entry: Price) -> f64 {
        let pair = self
            .cost
            .entry_and_return_ns
            .unwrap_or(2.0 * self.cost.emulated_ns);
        pair / 2.0 + self.hit(entry) - self.cost.emulated_ns
    }

    /// ns of the target's time per call, and how many hits that is.
    pub fn call(&self, function: &PlannedFunction) -> (f64, u64) {
        let entry = self.hit(function.entry.price);
        let (hits, ns) = match &function.returns {
            Returns::EntryOnly(_) => (1, entry),
            Returns::ReturnProbe(_) => {
                let pair = self
                    .cost
                    .entry_and_return_ns
                    .unwrap_or(2.0 * self.cost.emulated_ns);
                (2, entry + (pair - self.cost.emulated_ns).max(0.0))
            }
            Returns::ExitSites(exits, _) => {
                let prices = exits.iter().map(|exit| self.hit(exit.price));
                (2, entry + prices.fold(0.0, f64::max))
            }
        };
        (ns * (1.0 + WORK_SHARE), hits)
    }
}

/// What the governor wants done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// From events to counters.
    pub demote: Vec<FunctionId>,
    /// Off.
    pub detach: Vec<FunctionId>,
}

impl Decision {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.demote.is_empty() && self.detach.is_empty()
    }
}

/// What a function does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Events,
    Counters,
    Off,
}

/// Watches the cost.
pub struct Governor {
    budget: Budget,
    first: Level,
    levels: Vec<Level>,
    calls: Vec<u64>,
}

impl Governor {
    /// For a session of a plan.
    pub fn new(budget: Budget, functions: usize, records: bool) -> Self {
        let level = if records { Level::Events } else { Level::Counters };
        Self {
            budget,
            first: level,
            levels: vec![level; functions],
            calls: vec![0; functions],
        }
    }

    /// The plan has so many functions now.
    pub fn grow(&mut self, functions: usize) {
        self.levels.resize(functions, self.first);
        self.calls.resize(functions, 0);
    }

    /// Looks at the calls counted so far, `elapsed_ns` after the last look.
    pub fn observe(&mut self, plan: &Plan, model: &CostModel, calls: &[u64], elapsed_ns: f64) -> Decision {
        let percent = match self.budget {
            Budget::Unlimited => return Decision::default(),
            Budget::Percent(percent) => percent,
        };
        let allowed = elapsed_ns * percent / 100.0;
        let mut spenders: Vec<Spender> = Vec::new();
        for (index, now) in calls.iter().enumerate().take(self.calls.len()) {
            let new = now.saturating_sub(std::mem::replace(&mut self.calls[index], *now));
            if new > 0 && self.levels[index] != Level::Off {
                spenders.push(self.spender(plan, model, index, new));
            }
        }
        let spent: f64 = spenders
            .iter()
            .map(|spender| spender.probe_ns + spender.event_ns)
            .sum();
        if spent <= allowed {
            return Decision::default();
        }
        spenders.sort_by(|one, other| {
            let cost = |spender: &Spender| spender.probe_ns + spender.event_ns;
            one.named
                .cmp(&other.named)
                .then(cost(other).total_cmp(&cost(one)))
        });
        self.decide(&spenders, spent, allowed * AIM)
    }

    fn spender(&self, plan: &Plan, model: &CostModel, index: usize, calls: u64) -> Spender {
        let function = &plan.functions[index];
        let (ns, hits) = model.call(function);
        let events = if self.levels[index] == Level::Events {
            hits
        } else {
            0
        };
        Spender {
            function: function.id,
            named: function.named || function.focus,
            probe_ns: ns * calls as f64,
            event_ns: EVENT_NS * (events * calls) as f64,
        }
    }

    /// Demotes first, and detaches only what is still too much.
    fn decide(&mut self, spenders: &[Spender], spent: f64, aim: f64) -> Decision {
        let mut decision = Decision::default();
        let mut left = spent;
        for spender in spenders.iter().filter(|spender| spender.event_ns > 0.0) {
            if left <= aim {
                break;
            }
            left -= spender.event_ns;
            self.levels[spender.function.0 as usize] = Level::Counters;
            decision.demote.push(spender.function);
        }
        if left <= aim || !decision.demote.is_empty() {
            // What demotion brings is seen at the next look.
            return decision;
        }
        for spender in spenders {
            if left <= aim {
                break;
            }
            left -= spender.probe_ns;
            self.levels[spender.function.0 as usize] = Level::Off;
            decision.detach.push(spender.function);
        }
        decision
    }
}

struct Spender {
    function: FunctionId,
    named: bool,
    probe_ns: f64,
    event_ns: f64,
}

#[cfg(test)]
mod tests {
    use profiler_common::cookie::FunctionId;

    use super::{CostModel, Decision, Governor};
    use crate::cli::config::Budget;
    use crate::kernel::calibrate::ProbeCost;
    use crate::probe::plan::{Plan, PlannedFunction, Price, ReturnProbeReason, Returns, Site};

    const SECOND: f64 = 1e9;

    fn plan(named: &[bool]) -> Plan {
        let function = |(index, named): (usize, &bool)| PlannedFunction {
            id: FunctionId(index as u32),
            object: 0,
            name: format!("f{index}"),
            aliases: vec![],
            address: index as u64,
            entry: Site {
                offset: 0,
                distance: 0,
                price: Price::Emulated,
            },
            returns: Returns::ReturnProbe(ReturnProbeReason::Leaf),
            stack: profiler_common::cookie::CallStack::Thread,
            focus: false,
            named: *named,
            allocator: None,
        };
        Plan {
            notes: Vec::new(),
            functions: named.iter().enumerate().map(function).collect(),
            ..Plan::default()
        }
    }

    fn model() -> CostModel {
        CostModel::new(ProbeCost {
            emulated_ns: 500.0,
            single_stepped_ns: 9000.0,
            entry_and_return_ns: Some(1000.0),
        })
    }

    fn detached(decision: &Decision) -> Vec<u32> {
        decision.detach.iter().map(|function| function.0).collect()
    }

    #[test]
    fn a_cost_within_the_budget_changes_nothing() {
        let mut governor = Governor::new(Budget::Percent(25.0), 2, true);
        let decision = governor.observe(&plan(&[false, false]), &model(), &[1000, 1000], SECOND);
        assert!(decision.is_empty(), "{decision:?}");
    }

    #[test]
    fn the_hottest_is_demoted_first_and_detached_only_when_that_was_not_enough() {
        let (plan, model) = (plan(&[false, false]), model());
        let mut governor = Governor::new(Budget::Percent(25.0), 2, true);
        let first = governor.observe(&plan, &model, &[400_000, 1000], SECOND);
        assert_eq!(first.demote.first(), Some(&FunctionId(0)));
        assert!(first.detach.is_empty());
        let second = governor.observe(&plan, &model, &[800_000, 2000], SECOND);
        assert_eq!(detached(&second), [0]);
        let third = governor.observe(&plan, &model, &[1_200_000, 3000], SECOND);
        assert!(third.is_empty(), "what is off costs nothing more: {third:?}");
    }

    #[test]
    fn a_function_that_the_user_named_comes_last() {
        let (plan, model) = (plan(&[true, false]), model());
        let mut governor = Governor::new(Budget::Percent(25.0), 2, false);
        let decision = governor.observe(&plan, &model, &[150_000, 100_000], SECOND);
        assert_eq!(detached(&decision), [1]);
    }

    #[test]
    fn no_budget_means_no_governor() {
        let mut governor = Governor::new(Budget::Unlimited, 1, false);
        assert!(
            governor
                .observe(&plan(&[false]), &model(), &[u64::MAX / 2], SECOND)
                .is_empty()
        );
    }
}
