//! Rules about silence, in cases that a session under a single set of rules cannot show.

use fleetform_engine::memory::Memory;
use serde_json::{Value, json};

use crate::support::{EXAMPLE, Host, START_MS, Stream};

/// How often `valve-quiet` has fired on a valve that had been silent for a minute and a half when the rule was added,
/// with these hours from half past five, the time it was last heard from.
fn firings(minutes: i64) -> usize {
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut set: Value = serde_json::from_slice(EXAMPLE).unwrap();
        change(&mut set["rules"]["valve-quiet"]);
        serde_json::to_vec(&set).unwrap()
    };
    let memory = Memory::new();
    let without = memory.add_rule_set(&changed(&|rule| rule["enabled"] = json!(false)));
    let hours = json!({ "days": ["sat"], "from_minute": 330, "to_minute": 330 + minutes });
    let with = memory.add_rule_set(&changed(&|rule| rule["active"] = hours.clone()));
    let mut stream = Stream::default();
    stream.rules(1, &without, START_MS);
    stream.register("valve-0", "valve", "zone-a");
    stream.reading("valve-0", json!({ "position": 1 }), 0);
    stream.rules(2, &with, START_MS + 90_000);
    stream.wrap("tick", "valve-0", json!({}), START_MS + 100_000);
    Host::new(&memory).deliver_all(&stream);
    memory.rows().alerts.into_values().filter(|alert| alert.rule.as_str() == "valve-quiet").count()
}

#[test]
fn silence_that_a_new_rule_finds_late_is_found_in_its_hours() {
    assert_eq!(firings(2), 1);
    assert_eq!(firings(1), 0, "they were over when it came");
}
