//! The cost of each stage of the generator: for the `platform.toml` in the repository's root, and for a platform of a
//! thousand zones.
//!
//! The result of every iteration is checked: a stage that became faster by doing less fails here.

use std::hint::black_box;

use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use fleetform_engine::rule_set::RuleSet;
use fleetform_generator::{Selection, check, platform::Project, render, rule_set};
use fleetform_tests::platforms::{self, Size};
use toml::de::DeTable;

const LARGE: Size = Size { zones: 1_000, device_types: 200, contacts: 400, rules: 10_000 };

/// A stage takes a good part of a second on the large platform.
const LARGE_SAMPLES: usize = 10;

fn stages(criterion: &mut Criterion) {
    let text = include_str!("../../platform.toml");
    let mut group = criterion.benchmark_group("platform.toml");
    measure(&mut group, text);
    group.finish();

    let text = platforms::platform(LARGE);
    let mut group = criterion.benchmark_group("1,000 zones");
    group.sample_size(LARGE_SAMPLES);
    measure(&mut group, &text);
    group.finish();
}

fn measure(group: &mut BenchmarkGroup<'_, WallTime>, text: &str) {
    let project = project(text);
    let platform = project.environments.values().next().expect("an environment");
    let set = rule_set(platform);
    let bytes = set.to_bytes();
    let tree = render(&project, Selection::All);
    let tables = DeTable::parse(text).expect("TOML").get_ref().len();

    // The parser of whole documents only. `check` needs it only for a text that may contain errors.
    group.bench_function("parse", |bencher| {
        bencher.iter(|| {
            let (table, errors) = DeTable::parse_recoverable(black_box(text));
            assert!(errors.is_empty() && table.get_ref().len() == tables, "the same tables, and no error");
        });
    });
    group.bench_function("check", |bencher| {
        bencher.iter(|| {
            let again = self::project(black_box(text));
            assert_eq!(again.environments.len(), project.environments.len());
        });
    });
    group.bench_function("render", |bencher| {
        bencher.iter(|| assert!(render(black_box(&project), Selection::All) == tree, "the same files"));
    });
    group.bench_function("rule set", |bencher| {
        bencher.iter(|| assert_eq!(rule_set(black_box(platform)).to_bytes().len(), bytes.len()));
    });
    group.bench_function("load of the rule set", |bencher| {
        bencher.iter(|| {
            let loaded = RuleSet::from_bytes(black_box(&bytes)).expect("a rule set");
            assert_eq!(loaded.rules.len(), set.rules.len());
        });
    });
}

/// Parses a file that has no errors.
fn project(text: &str) -> Project {
    let checked = check("platform.toml", text);
    checked.project.unwrap_or_else(|| panic!("not a valid platform file: {:#?}", checked.diagnostics))
}

criterion_group!(benches, stages);
criterion_main!(benches);
