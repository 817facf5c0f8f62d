//! A contract as a Rust module that needs only the standard library.

use std::fmt::Write;

use fleetform_engine::rule_set::TimestampFormat;

use super::{Bounds, Contract, Field, Layout, Node, Part, Values, literal, names};

const INFALLIBLE: &str = "a string takes any text";

/// Reserved words of Rust, in any edition, that a metric's id can equal.
const RESERVED: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// Returns the module.
pub(super) fn module(contract: &Contract<'_>) -> String {
    let ids = |fields: &[Field<'_>]| {
        names::fields(&fields.iter().map(|field| field.id.as_str()).collect::<Vec<_>>(), RESERVED)
    };
    let module = Module { contract, readings: ids(&contract.readings), health: ids(&contract.health) };
    let mut text = String::new();
    module.write(&mut text).expect(INFALLIBLE);
    text
}

struct Module<'a> {
    contract: &'a Contract<'a>,
    readings: Vec<String>,
    health: Vec<String>,
}

impl Module<'_> {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "//! {}", self.contract.title())?;
        writeln!(out, "#![allow(dead_code, non_camel_case_types)]\n")?;
        out.push_str(include_str!("../../../templates/contract/writer.rs"));
        self.write_types(out)?;
        self.write_samples(out)?;
        self.write_topics(out)
    }

    fn write_types(&self, out: &mut String) -> std::fmt::Result {
        for field in &self.contract.readings {
            let Values::Enum(words) = field.value else { continue };
            let name = of_enum(field);
            let variants: Vec<String> =
                names::words(words).iter().map(|word| names::pascal(&word.to_ascii_lowercase())).collect();
            writeln!(out, "\n/// The words of `{}`.", field.id)?;
            writeln!(out, "#[derive(Clone, Copy, Debug, PartialEq, Eq)]\npub enum {name} {{")?;
            for (variant, word) in variants.iter().zip(words) {
                writeln!(out, "    /// {}", literal::rust(word))?;
                writeln!(out, "    {},", variant_name(variant))?;
            }
            writeln!(out, "}}\n\nimpl {name} {{\n    /// The word.\n    pub const fn as_str(self) -> &'static str {{")?;
            writeln!(out, "        match self {{")?;
            for (variant, word) in variants.iter().zip(words) {
                writeln!(out, "            Self::{} => {},", variant_name(variant), literal::rust(word))?;
            }
            writeln!(out, "        }}\n    }}\n}}")?;
        }
        self.write_struct(out, "What a device measures.", "Readings", &self.contract.readings, &self.readings)?;
        if !self.health.is_empty() {
            self.write_struct(out, "What a device says of its health.", "Health", &self.contract.health, &self.health)?;
        }
        writeln!(
            out,
            "\n/// What was measured at one time.\n#[derive(Clone, Debug, PartialEq)]\npub struct Sample {{"
        )?;
        writeln!(
            out,
            "    /// Milliseconds since 1970, UTC. Without it, a sample is taken to be from when it arrived."
        )?;
        writeln!(out, "    pub timestamp_ms: Option<i64>,\n    /// What was measured.\n    pub readings: Readings,")?;
        if !self.health.is_empty() {
            writeln!(out, "    /// The device's health.\n    pub health: Health,")?;
        }
        writeln!(out, "}}")
    }

    fn write_struct(
        &self,
        out: &mut String,
        about: &str,
        name: &str,
        fields: &[Field<'_>],
        names: &[String],
    ) -> std::fmt::Result {
        let default = if fields.iter().any(|field| field.is_required) { "" } else { "Default, " };
        writeln!(out, "\n/// {about}\n#[derive(Clone, Debug, {default}PartialEq)]\npub struct {name} {{")?;
        for (field, name) in fields.iter().zip(names) {
            let kind = match &field.value {
                Values::Float(_) => "f64".to_owned(),
                Values::Int(_) => "i64".to_owned(),
                Values::Bool => "bool".to_owned(),
                Values::Enum(_) => of_enum(field),
                Values::Text => "String".to_owned(),
            };
            let kind = if field.is_required { kind } else { format!("Option<{kind}>") };
            writeln!(out, "    /// {}\n    pub {name}: {kind},", doc(&field.about()))?;
        }
        writeln!(out, "}}")
    }

    fn write_samples(&self, out: &mut String) -> std::fmt::Result {
        let of_one = ("telemetry", "One sample as a message.", "sample: &Sample", self.contract.sample());
        let of_several = self
            .contract
            .batch()
            .map(|layout| ("telemetry_batch", "Several samples as one message.", "samples: &[Sample]", layout));
        if of_several.is_some() {
            writeln!(out, "\nfn put_element(writer: &mut Writer, sample: &Sample) {{\n    writer.open(\"\", '{{');")?;
            self.write_layout(out, &self.contract.element())?;
            writeln!(out, "    writer.close('}}');\n}}")?;
        }
        for (name, about, argument, layout) in [Some(of_one), of_several].into_iter().flatten() {
            writeln!(out, "\n/// {about}")?;
            writeln!(out, "pub fn {name}(device_id: &str, {argument}) -> Result<String, Invalid> {{")?;
            writeln!(out, "    let mut writer = Writer::default();\n    writer.open(\"\", '{{');")?;
            self.write_layout(out, &layout)?;
            writeln!(out, "    writer.close('}}');\n    writer.end()\n}}")?;
        }
        Ok(())
    }

    fn write_layout(&self, out: &mut String, layout: &Layout<'_>) -> std::fmt::Result {
        for (key, node) in &layout.0 {
            let literal = literal::rust(&literal::json_key(key));
            match node {
                Node::Object(inner) => {
                    writeln!(out, "    writer.open({literal}, '{{');")?;
                    self.write_layout(out, inner)?;
                    writeln!(out, "    writer.close('}}');")?;
                }
                Node::Part(Part::DeviceId) => writeln!(out, "    writer.text({literal}, device_id);")?,
                Node::Part(Part::Timestamp) => {
                    let clock = match self.contract.message.timestamp_format {
                        TimestampFormat::Rfc3339 => "rfc3339",
                        TimestampFormat::EpochS => "epoch_s",
                        TimestampFormat::EpochMs => "epoch_ms",
                    };
                    writeln!(out, "    if let Some(ms) = sample.timestamp_ms {{")?;
                    writeln!(out, "        writer.{clock}({literal}, ms);\n    }}")?;
                }
                Node::Part(Part::Readings) => {
                    writeln!(out, "    writer.open({literal}, '{{');")?;
                    for (field, name) in self.contract.readings.iter().zip(&self.readings) {
                        let key = literal::rust(&literal::json_key(field.key));
                        write_value(out, field, &key, &format!("sample.readings.{name}"))?;
                    }
                    writeln!(out, "    writer.close('}}');")?;
                }
                Node::Part(Part::Health(index)) => {
                    let (field, name) = (&self.contract.health[*index], &self.health[*index]);
                    write_value(out, field, &literal, &format!("sample.health.{name}"))?;
                }
                Node::Part(Part::Batch) => {
                    writeln!(out, "    writer.open({literal}, '[');\n    for sample in samples {{")?;
                    writeln!(out, "        put_element(&mut writer, sample);\n    }}\n    writer.close(']');")?;
                }
            }
        }
        Ok(())
    }

    fn write_topics(&self, out: &mut String) -> std::fmt::Result {
        for (channel, topic) in &self.contract.topics {
            let pattern = topic.with_device("{device_id}");
            writeln!(out, "\n/// The device's topic of this channel at the message broker.")?;
            writeln!(
                out,
                "pub fn {channel}_topic(device_id: &str) -> String {{\n    format!({})\n}}",
                literal::rust(&pattern)
            )?;
        }
        Ok(())
    }
}

fn write_value(out: &mut String, field: &Field<'_>, key: &str, place: &str) -> std::fmt::Result {
    let part = literal::rust(field.id.as_str());
    let bounds = |bounds: &Bounds| format!("{}, {}", literal::number(bounds.min), literal::number(bounds.max));
    let call = |value: &str| match &field.value {
        Values::Float(limits) => format!("writer.number({key}, {part}, {value}, {});", bounds(limits)),
        Values::Int(limits) => format!("writer.whole({key}, {part}, {value}, {});", bounds(limits)),
        Values::Bool => format!("writer.truth({key}, {value});"),
        Values::Enum(_) => format!("writer.text({key}, {value}.as_str());"),
        Values::Text => format!("writer.text({key}, {value});"),
    };
    let is_text = matches!(field.value, Values::Text);
    if field.is_required {
        writeln!(out, "    {}", call(&if is_text { format!("&{place}") } else { place.to_owned() }))
    } else {
        let borrowed = if is_text { format!("&{place}") } else { place.to_owned() };
        writeln!(out, "    if let Some(value) = {borrowed} {{\n        {}\n    }}", call("value"))
    }
}

fn of_enum(field: &Field<'_>) -> String {
    format!("{}Value", names::pascal(field.id.as_str()))
}

/// `Self` is the only reserved word in Pascal case.
fn variant_name(variant: &str) -> &str {
    if variant == "Self" { "Self_" } else { variant }
}

/// Escapes the square brackets in units, which rustdoc would read as links.
fn doc(text: &str) -> String {
    text.replace('[', "\\[").replace(']', "\\]")
}
