//! The rule tests of a platform: those in its file and in the files `*.test.toml` next to it, run and reported.

pub(crate) mod report;
mod run;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use fleetform_engine::{compiled::Compiled, ids::RuleId, rule_set::RuleSet};
use fleetform_generator::{
    platform::{Platform, rule_test::RuleTest},
    rule_set,
};

pub(crate) use run::{End, Ran};

use crate::platform_files::TestFile;

/// Every test of a platform in one environment, and how it ended.
pub(crate) struct Results {
    /// The environment.
    pub(crate) environment: String,
    /// The tests, file by file, in the order of each file.
    pub(crate) tests: Vec<Tested>,
    /// Enabled rules that no test of any file is about.
    pub(crate) untested: Vec<RuleId>,
}

/// A test and how it ended.
pub(crate) struct Tested {
    /// Its file.
    pub(crate) file: String,
    /// Its first line.
    pub(crate) line: usize,
    /// The test.
    pub(crate) test: RuleTest,
    /// What happened.
    pub(crate) ran: Ran,
}

impl Results {
    /// The number of tests with such an end.
    pub(crate) fn count(&self, is: impl Fn(&End) -> bool) -> usize {
        self.tests.iter().filter(|tested| is(&tested.ran.end)).count()
    }

    /// Whether no test failed.
    pub(crate) fn is_good(&self) -> bool {
        !self.tests.iter().any(|tested| matches!(tested.ran.end, End::Failed(_)))
    }
}

/// Runs the tests of all files whose name or rule contains `filter`.
pub(crate) fn run(files: Vec<TestFile>, platform: &Platform, filter: Option<&str>) -> Results {
    let set = relaxed(rule_set(platform));
    let rules = Arc::new(Compiled::new(&set, RuleSet::sha256(&set.to_bytes())));
    let about: BTreeSet<RuleId> =
        files.iter().flat_map(|file| file.tests.iter().map(|test| test.rule.clone())).collect();
    let mut tests = Vec::new();
    for file in files {
        let lines = file.lines();
        for test in file.tests {
            if filter.is_some_and(|filter| !test.name.contains(filter) && !test.rule.as_str().contains(filter)) {
                continue;
            }
            let line = lines[&test.place];
            let ran = run::run(&set, &rules, &test);
            tests.push(Tested { file: file.path.to_string(), line, test, ran });
        }
    }
    let untested = platform.rules.iter().filter(|(id, rule)| rule.enabled && !about.contains(*id));
    let untested = untested.map(|(id, _)| id.clone()).collect();
    Results { environment: platform.environment.id.to_string(), tests, untested }
}

/// The rule set of a test. Its device sends only what the series state, so no reading is required.
fn relaxed(mut set: RuleSet) -> RuleSet {
    let readings = set.device_types.values_mut().flat_map(|device_type| device_type.readings.values_mut());
    readings.for_each(|reading| reading.required = false);
    set
}

impl TestFile {
    /// The line of each test.
    fn lines(&self) -> BTreeMap<usize, usize> {
        let mut lines = BTreeMap::new();
        let mut places: Vec<usize> = self.tests.iter().map(|test| test.place).collect();
        places.sort_unstable();
        let (mut from, mut line) = (0, 1);
        for place in places {
            let to = place.min(self.bytes.len());
            line += self.bytes[from..to].iter().filter(|byte| **byte == b'\n').count();
            from = to;
            lines.insert(place, line);
        }
        lines
    }
}
