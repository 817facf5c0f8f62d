//! The cases about shadows: the classic one, those that the platform names, and those that it does not.

use super::cases::{Table, publish, receive, subscribe};

impl Table<'_> {
    /// The names of the platform's shadows.
    pub(super) fn shadow_names(&self) -> Vec<String> {
        self.site.platform.shadows().into_iter().map(ToString::to_string).collect()
    }

    /// Every device has the shadows that the platform names, on its own thing, just like the classic one.
    pub(super) fn shadows(&mut self) {
        let names = self.shadow_names();
        let nobodys = nobodys(&names);
        const REQUESTS: &[&str] = &["get", "update"];
        const ANSWERS: &[&str] =
            &["get/accepted", "get/rejected", "update/accepted", "update/rejected", "update/delta"];
        const OTHERS: &[&str] = &["update/documents", "delete/accepted", "delete/rejected"];
        let of_all = |device: &str, names: &[String], rests: &[&str]| -> Vec<String> {
            let of_one = |name| rests.iter().map(move |rest| format!("$aws/things/{device}/shadow/name/{name}/{rest}"));
            names.iter().flat_map(of_one).collect()
        };
        let of_classic = |device: &str, rests: &[&str]| -> Vec<String> {
            rests.iter().map(|rest| format!("$aws/things/{device}/shadow/{rest}")).collect()
        };
        let unretained = |topics: Vec<String>| topics.into_iter().map(|topic| publish(topic, false)).collect();

        self.on_each("publish to the shadow", true, |device| unretained(of_classic(device, REQUESTS)));
        self.on_each("publish to a named shadow", true, |device| unretained(of_all(device, &names, REQUESTS)));
        self.on_each("publish to delete a shadow", false, |device| {
            let named = of_all(device, &names, &["delete"]);
            unretained(of_classic(device, &["delete"]).into_iter().chain(named).collect())
        });
        self.on_each("publish to a shadow that nobody named", false, |device| {
            unretained(of_all(device, &nobodys, &["get", "update", "delete"]))
        });
        self.on_each("publish to a shadow, retained", false, |device| {
            let named = of_all(device, &names, &["update"]);
            of_classic(device, &["update"]).into_iter().chain(named).map(|topic| publish(topic, true)).collect()
        });
        let everyones = |topic: &dyn Fn(&str) -> Vec<String>| topic("+").into_iter().map(subscribe).collect();
        for (subscribing, receiving, topics, must) in [
            (
                "subscribe to the shadow's answers",
                "receive the shadow's answers",
                &(|device: &str| of_classic(device, ANSWERS)) as &dyn Fn(&str) -> Vec<String>,
                true,
            ),
            (
                "subscribe to a named shadow's answers",
                "receive a named shadow's answers",
                &|device| of_all(device, &names, ANSWERS),
                true,
            ),
            (
                "subscribe to other shadow topics",
                "receive from other shadow topics",
                &|device| {
                    let named = of_all(device, &names, OTHERS);
                    let nobodys = of_all(device, &nobodys, &["get/accepted", "update/delta", "update/documents"]);
                    of_classic(device, OTHERS).into_iter().chain(named).chain(nobodys).collect()
                },
                false,
            ),
        ] {
            self.on_each(subscribing, must, |device| topics(device).into_iter().map(subscribe).collect());
            self.on_everyone(subscribing, everyones(topics));
            self.on_each(receiving, must, |device| topics(device).into_iter().map(receive).collect());
        }
        self.on_each("subscribe to everything of the thing", false, |device| {
            const WIDE: [&str; 5] = ["#", "+", "+/+", "update/+", "*"];
            let below = names.iter().flat_map(|name| WIDE.map(|rest| format!("shadow/name/{name}/{rest}")));
            let below: Vec<String> = below.collect();
            ["#", "+", "shadow/#", "shadow/+", "shadow/+/+", "shadow/*"]
                .into_iter()
                .chain(["shadow/name/#", "shadow/name/+/#", "shadow/name/+/update/delta", "shadow/name/*/update/delta"])
                .chain(below.iter().map(String::as_str))
                .map(|rest| subscribe(format!("$aws/things/{device}/{rest}")))
                .collect()
        });
        self.on_everyone(
            "subscribe to everything of the thing",
            ["$aws/things/#", "$aws/things/+/shadow/#", "$aws/things/+/shadow/name/+/update/delta", "$aws/things/*"]
                .map(|filter| subscribe(filter.to_owned()))
                .to_vec(),
        );
    }
}

/// Names of shadows that the platform does not have: one that resembles none, and those that extend, truncate or differ
/// only in case from one of its own.
pub(super) fn nobodys(names: &[String]) -> Vec<String> {
    let alike = names.iter().flat_map(|name| {
        let shorter = name.get(..name.len() - 1).unwrap_or_default();
        let other_case = if name.bytes().any(|byte| byte.is_ascii_lowercase()) {
            name.to_ascii_uppercase()
        } else {
            name.to_ascii_lowercase()
        };
        [format!("{name}0"), shorter.to_owned(), other_case]
    });
    let others = ["nobodys", "$package"].map(str::to_owned).into_iter().chain(alike);
    others.filter(|other| !other.is_empty() && !names.contains(other)).collect()
}
