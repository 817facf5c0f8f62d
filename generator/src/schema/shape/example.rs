//! What to write where a key is missing: a line that is accepted there, with names that the file declares.

use serde_json::Value;

use crate::source::escape;

/// A table of the root that is missing, written so that it may stand before the first header.
pub(super) fn of_root(key: &str) -> Option<&'static str> {
    Some(match key {
        "platform" => "platform = { name = \"my-fleet\" }",
        "environments" => "environments.dev = { account = \"111111111111\", region = \"us-east-1\" }",
        "zones" => "zones.zone-a = {}",
        "device_types" => "device_types.sensor = { readings = { pressure = { min = 0, max = 10 } } }",
        _ => return None,
    })
}

/// A key of a table, with a value.
pub(super) fn of_key(key: &str, table: &[String], schema: Option<&Value>, written: Written<'_>) -> String {
    format!("{key} = {}", value(key, table, schema, written))
}

fn value(key: &str, table: &[String], schema: Option<&Value>, Written { root, names }: Written<'_>) -> String {
    let first = table.first().map_or("", String::as_str);
    let last = table.last().map_or("", String::as_str);
    let file = File { root, names, table };
    let fixed = match (first, last, key) {
        ("environments", _, "account") => "\"111111111111\"",
        ("environments", _, "region") => "\"us-east-1\"",
        ("device_types", _, "readings") => "{ pressure = { min = 0, max = 10 } }",
        ("device_types", _, "default") => return file.default(),
        ("rules", "samples", "breach") => "3",
        ("rules", "samples", "of") => "5",
        ("rules", "active", "from") => "\"06:00\"",
        ("rules", "active", "to") => "\"22:00\"",
        ("rules", "threshold", "attribute") => return quoted(file.attribute()),
        ("rules", "threshold", "default") | ("rules", _, "threshold") => "60.0",
        (_, "webhook", "url") => "\"https://hooks.example/alerts\"",
        ("rules", _, "type") => "\"threshold\"",
        ("rules", _, "metric") => return quoted(file.metric()),
        ("rules", _, "severity") => return quoted(file.severity()),
        ("rules", _, "operator") => "\">\"",
        ("rules", _, "per") => "\"1m\"",
        ("rules", _, "min") => "0.0",
        ("rules", _, "max") => "10.0",
        ("rules", _, "window") => "\"1h\"",
        ("rules", _, "sensitivity") => "6.0",
        ("rules", _, "min_std") => "0.5",
        ("rules", _, "at_least") => "3",
        ("rules", _, "of") => "\"offline\"",
        ("rules", _, "equals") => return file.state(),
        ("tests", _, "name") => "\"fires after five minutes\"",
        ("tests", _, "rule") => return quoted(file.first("rules").unwrap_or("high-pressure")),
        ("tests", "device", "type") => return quoted(file.device_type()),
        ("tests", "device", "zone") => return quoted(file.zone()),
        ("tests", _, "device") => {
            return format!("{{ type = {}, zone = {} }}", quoted(file.device_type()), quoted(file.zone()));
        }
        ("tests", _, "series") => return file.series(),
        ("tests", _, "expect") => "[{ at = \"0s\", state = \"inactive\" }]",
        ("tests", _, "at") => "\"0s\"",
        ("tests", _, "state") => "\"firing\"",
        ("routes", _, "to") => "[\"zone\"]",
        ("channels", _, "origination") => "\"+12025550100\"",
        ("severities", _, "rank") => "1",
        ("observe", _, "warn") => "\"60s\"",
        ("observe", _, "page") => "\"5m\"",
        ("observe", _, "max_per_hour") => "100",
        ("observe", _, "to") => return format!("[{}]", quoted(file.first("contacts").unwrap_or("oncall"))),
        _ => "",
    };
    if !fixed.is_empty() {
        return fixed.to_owned();
    }
    let shape = schema.and_then(|schema| schema.pointer(&format!("/properties/{}", escape(key))));
    let default = shape.and_then(|shape| shape.get("default").or_else(|| shape.pointer("/examples/0")));
    default.map_or_else(|| "…".to_owned(), Value::to_string)
}

fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

/// What a file says, and the file that declares what it names: itself, or of a file of tests the platform's.
#[derive(Clone, Copy)]
pub(super) struct Written<'v> {
    pub(super) root: &'v Value,
    pub(super) names: &'v Value,
}

/// What is declared, for an example in one of the tables of a file.
struct File<'v> {
    root: &'v Value,
    names: &'v Value,
    table: &'v [String],
}

/// A reading that the file declares.
struct Declared<'v> {
    device_type: &'v str,
    metric: &'v str,
    reading: &'v Value,
}

impl<'v> Declared<'v> {
    fn kind(&self) -> &'v str {
        self.reading.get("type").and_then(Value::as_str).unwrap_or("float")
    }
}

impl<'v> File<'v> {
    /// A table or an item that the example is in, so many steps from the root.
    fn around(&self, steps: usize) -> Option<&'v Value> {
        self.table.iter().take(steps).try_fold(self.root, |value, key| match value {
            Value::Array(items) => items.get(key.parse::<usize>().ok()?),
            other => other.get(key.as_str()),
        })
    }

    /// The rule that the example is in, or the one that its test names.
    fn rule(&self) -> Option<&'v Value> {
        let own = self.around(2)?;
        match self.table.first().map(String::as_str) {
            Some("tests") => self.names.get("rules")?.get(own.get("rule")?.as_str()?),
            _ => Some(own),
        }
    }

    /// The text at a path of that rule.
    fn of_rule(&self, pointer: &str) -> Option<&'v str> {
        self.rule()?.pointer(pointer)?.as_str().filter(|name| is_name(name))
    }

    /// The first name of a table of the root.
    fn first(&self, table: &str) -> Option<&'v str> {
        entries(self.names.get(table)).map(|(name, _)| name).next()
    }

    /// All readings of the device types that the rule may read.
    fn readings(&self) -> impl Iterator<Item = Declared<'v>> {
        let named = self.of_rule("/device_types/0");
        let types = entries(self.names.get("device_types"));
        types.filter(move |(id, _)| named.is_none_or(|named| named == *id)).flat_map(|(device_type, value)| {
            entries(value.get("readings")).map(move |(metric, reading)| Declared { device_type, metric, reading })
        })
    }

    fn metric(&self) -> &'v str {
        let of_states = self.of_rule("/type") == Some("state");
        let fits = |found: &Declared<'_>| match found.kind() {
            "enum" | "bool" => of_states,
            "string" => false,
            _ => !of_states,
        };
        self.readings().find(fits).map_or("pressure", |found| found.metric)
    }

    /// A value of the rule's metric, as a state rule compares it.
    fn state(&self) -> String {
        let metric = self.of_rule("/metric");
        let found = self.readings().find(|found| Some(found.metric) == metric);
        match found {
            Some(found) if found.kind() == "bool" => "true".to_owned(),
            found => found.and_then(|found| found.reading.pointer("/values/0")).unwrap_or(&"fault".into()).to_string(),
        }
    }

    fn attribute(&self) -> &'v str {
        let types = entries(self.names.get("device_types"));
        let mut attributes = types.flat_map(|(_, value)| entries(value.get("attributes")));
        attributes.next().map_or("limit", |(name, _)| name)
    }

    fn severity(&self) -> &'v str {
        let mut declared = entries(self.names.get("severities")).map(|(name, _)| name).peekable();
        let first = declared.peek().copied();
        declared.find(|name| *name == "high").or(first).unwrap_or("high")
    }

    fn device_type(&self) -> &'v str {
        let metric = self.of_rule("/metric");
        let reporter = self.readings().find(|found| metric.is_none_or(|metric| metric == found.metric));
        reporter.map(|found| found.device_type).or_else(|| self.first("device_types")).unwrap_or("meter")
    }

    fn zone(&self) -> &'v str {
        self.of_rule("/zones/0").or_else(|| self.first("zones")).unwrap_or("zone-a")
    }

    fn series(&self) -> String {
        let metric = self.of_rule("/metric").unwrap_or_else(|| self.metric());
        let kind = self.readings().find(|found| found.metric == metric);
        let values = match kind.map_or("float", |found| found.kind()) {
            "enum" => self.state(),
            "bool" => "\"true\"".to_owned(),
            _ => "\"40 65x8\"".to_owned(),
        };
        format!("{{ {metric} = {values} }}")
    }

    /// What the table that the example is in takes.
    fn default(&self) -> String {
        let own = self.around(self.table.len());
        let least = match own.and_then(|own| own.get("type")).and_then(Value::as_str) {
            Some("bool") => return "false".to_owned(),
            Some("string") => return "\"\"".to_owned(),
            Some("enum") => own.and_then(|own| own.pointer("/values/0")),
            _ => own.and_then(|own| own.get("min")),
        };
        least.map_or_else(|| "0".to_owned(), Value::to_string)
    }
}

/// The entries of a table whose keys are plain names.
fn entries(table: Option<&Value>) -> impl Iterator<Item = (&str, &Value)> {
    let entries = table.and_then(Value::as_object).into_iter().flatten();
    entries.map(|(name, value)| (name.as_str(), value)).filter(|(name, _)| is_name(name))
}

fn is_name(text: &str) -> bool {
    text.len() <= 63 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
