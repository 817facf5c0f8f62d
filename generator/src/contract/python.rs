//! A contract as a Python module that needs only the standard library.

use std::fmt::Write;

use fleetform_engine::rule_set::TimestampFormat;

use super::{Bounds, Contract, Field, Layout, Node, Part, Values, literal, names};

const INFALLIBLE: &str = "a string takes any text";

/// Reserved words of Python that a metric's id can equal, and `field`, which the dataclasses use.
const RESERVED: &[&str] = &[
    "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else", "except",
    "field", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal", "not", "or", "pass",
    "raise", "return", "try", "while", "with", "yield",
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
        writeln!(out, "\"\"\"{}\"\"\"\n", self.contract.title())?;
        out.push_str(include_str!("../../../templates/contract/writer.py"));
        self.write_types(out)?;
        self.write_samples(out)?;
        for (channel, topic) in &self.contract.topics {
            let pattern = literal::python(&topic.with_device("{device_id}"));
            writeln!(out, "\n\ndef {channel}_topic(device_id: str) -> str:")?;
            writeln!(
                out,
                "    \"\"\"The device's topic of this channel at the message broker.\"\"\"\n    return f{pattern}"
            )?;
        }
        Ok(())
    }

    fn write_types(&self, out: &mut String) -> std::fmt::Result {
        for field in &self.contract.readings {
            let Values::Enum(words) = field.value else { continue };
            writeln!(out, "\n\nclass {}(Enum):\n    \"\"\"The words of {}.\"\"\"\n", of_enum(field), field.id)?;
            for (name, word) in names::words(words).iter().zip(words) {
                writeln!(out, "    {name} = {}", literal::python(word))?;
            }
        }
        write_class(out, "Readings", "What a device measures.", &self.contract.readings, &self.readings)?;
        if !self.health.is_empty() {
            write_class(out, "Health", "What a device says of its health.", &self.contract.health, &self.health)?;
        }
        writeln!(
            out,
            "\n\n@dataclass\nclass Sample:\n    \"\"\"What was measured at one time.\"\"\"\n\n    readings: Readings"
        )?;
        writeln!(out, "    # Milliseconds since 1970, UTC. Without it, a sample is taken to be from when it arrived.")?;
        writeln!(out, "    timestamp_ms: Optional[int] = None")?;
        if !self.health.is_empty() {
            writeln!(out, "    health: Health = field(default_factory=Health)")?;
        }
        Ok(())
    }

    fn write_samples(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "\n\ndef _readings(readings: Readings) -> dict[str, Any]:\n    values: dict[str, Any] = {{}}")?;
        for (field, name) in self.contract.readings.iter().zip(&self.readings) {
            let key = literal::python(field.key);
            let place = format!("readings.{name}");
            let value = checked(field, &place);
            if field.is_required {
                writeln!(out, "    values[{key}] = {value}")?;
            } else {
                writeln!(out, "    if {place} is not None:\n        values[{key}] = {value}")?;
            }
        }
        writeln!(out, "    return values")?;
        writeln!(out, "\n\ndef _element(sample: Sample) -> dict[str, Any]:\n    message: dict[str, Any] = {{}}")?;
        self.write_layout(out, &self.contract.element(), &mut Vec::new())?;
        writeln!(out, "    return message")?;
        writeln!(out, "\n\ndef telemetry(device_id: str, sample: Sample) -> str:")?;
        writeln!(out, "    \"\"\"One sample as a message.\"\"\"\n    message = _element(sample)")?;
        let device = self.contract.message.device_id.as_str();
        writeln!(
            out,
            "    _put(message, {}, _text(\"device_id\", device_id))",
            tuple(&device.split('.').collect::<Vec<_>>())
        )?;
        writeln!(out, "    return _end(message)")?;
        if let Some(batch) = self.contract.batch() {
            writeln!(out, "\n\ndef telemetry_batch(device_id: str, samples: Sequence[Sample]) -> str:")?;
            writeln!(out, "    \"\"\"Several samples as one message.\"\"\"\n    message: dict[str, Any] = {{}}")?;
            self.write_layout(out, &batch, &mut Vec::new())?;
            writeln!(out, "    return _end(message)")?;
        }
        Ok(())
    }

    fn write_layout<'l>(&self, out: &mut String, layout: &Layout<'l>, path: &mut Vec<&'l str>) -> std::fmt::Result {
        for (key, node) in &layout.0 {
            path.push(key);
            let place = tuple(path);
            match node {
                Node::Object(inner) => self.write_layout(out, inner, path)?,
                Node::Part(Part::DeviceId) => {
                    writeln!(out, "    _put(message, {place}, _text(\"device_id\", device_id))")?;
                }
                Node::Part(Part::Timestamp) => {
                    let clock = match self.contract.message.timestamp_format {
                        TimestampFormat::Rfc3339 => "_rfc3339",
                        TimestampFormat::EpochS => "_epoch_s",
                        TimestampFormat::EpochMs => "_epoch_ms",
                    };
                    writeln!(out, "    if sample.timestamp_ms is not None:")?;
                    writeln!(out, "        _put(message, {place}, {clock}(sample.timestamp_ms))")?;
                }
                Node::Part(Part::Readings) => writeln!(out, "    _put(message, {place}, _readings(sample.readings))")?,
                Node::Part(Part::Health(index)) => {
                    let (field, name) = (&self.contract.health[*index], &self.health[*index]);
                    let value = format!("sample.health.{name}");
                    writeln!(out, "    if {value} is not None:")?;
                    writeln!(out, "        _put(message, {place}, {})", checked(field, &value))?;
                }
                Node::Part(Part::Batch) => {
                    writeln!(out, "    _put(message, {place}, [_element(sample) for sample in samples])")?;
                }
            }
            path.pop();
        }
        Ok(())
    }
}

/// Writes a class. Required fields come first, because the others have defaults.
fn write_class(out: &mut String, name: &str, about: &str, fields: &[Field<'_>], names: &[String]) -> std::fmt::Result {
    writeln!(out, "\n\n@dataclass\nclass {name}:\n    \"\"\"{about}\"\"\"\n")?;
    for is_required in [true, false] {
        for (field, name) in fields.iter().zip(names).filter(|(field, _)| field.is_required == is_required) {
            let kind = match &field.value {
                Values::Float(_) => "float".to_owned(),
                Values::Int(_) => "int".to_owned(),
                Values::Bool => "bool".to_owned(),
                Values::Enum(_) => of_enum(field),
                Values::Text => "str".to_owned(),
            };
            let kind = if is_required { kind } else { format!("Optional[{kind}] = None") };
            writeln!(out, "    # {}\n    {name}: {kind}", field.about())?;
        }
    }
    Ok(())
}

fn checked(field: &Field<'_>, value: &str) -> String {
    let part = literal::python(field.id.as_str());
    let bounds = |bounds: &Bounds| format!("{}, {}", literal::number(bounds.min), literal::number(bounds.max));
    match &field.value {
        Values::Float(limits) => format!("_number({part}, {value}, {})", bounds(limits)),
        Values::Int(limits) => format!("_whole({part}, {value}, {})", bounds(limits)),
        Values::Bool => format!("_truth({part}, {value})"),
        Values::Enum(_) => format!("_word({part}, {}, {value})", of_enum(field)),
        Values::Text => format!("_text({part}, {value})"),
    }
}

fn of_enum(field: &Field<'_>) -> String {
    format!("{}Value", names::pascal(field.id.as_str()))
}

fn tuple(path: &[&str]) -> String {
    let keys: String = path.iter().map(|key| format!("{}, ", literal::python(key))).collect();
    format!("({})", keys.trim_end())
}
