//! A contract as a TypeScript module: message types, which readers of messages can use too, and functions that write
//! them.

use std::fmt::Write;

use fleetform_engine::rule_set::TimestampFormat;

use super::{Bounds, Contract, Field, Layout, Node, Part, Values, literal, names};

const INFALLIBLE: &str = "a string takes any text";

/// Properties that every object has. The compiler assumes that they are present, so an optional property of another
/// type with such a name could never be omitted.
const OF_EVERY_OBJECT: &[&str] = &[
    "constructor",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "toLocaleString",
    "toString",
    "valueOf",
];

/// Returns the module.
pub(super) fn module(contract: &Contract<'_>) -> String {
    let mut text = String::new();
    write(contract, &mut text).expect(INFALLIBLE);
    text
}

fn write(contract: &Contract<'_>, out: &mut String) -> std::fmt::Result {
    writeln!(out, "/** {} */\n", contract.title())?;
    out.push_str(include_str!("../../../templates/contract/writer.ts"));
    write_types(contract, out)?;
    write_messages(contract, out)?;
    write_functions(contract, out)?;
    for (channel, topic) in &contract.topics {
        let (before, after) = topic
            .with_device("\0")
            .split_once('\0')
            .map(|(a, b)| (literal::typescript(a), literal::typescript(b)))
            .expect("a topic has a device level");
        writeln!(out, "\n/** The device's topic of this channel at the message broker. */")?;
        writeln!(
            out,
            "export function {channel}Topic(deviceId: string): string {{\n  return {before} + text(\"deviceId\", deviceId) + {after};\n}}"
        )?;
    }
    Ok(())
}

/// Writes the types that programs work with; names are the metrics' own.
fn write_types(contract: &Contract<'_>, out: &mut String) -> std::fmt::Result {
    for field in &contract.readings {
        let Values::Enum(words) = field.value else { continue };
        let list: Vec<String> = words.iter().map(|word| literal::typescript(word)).collect();
        let name = of_enum(field);
        writeln!(out, "\n/** The words of `{}`. */\nexport const {name}s = [{}] as const;", field.id, list.join(", "))?;
        writeln!(out, "export type {name} = (typeof {name}s)[number];")?;
    }
    write_interface(out, "Readings", "What a device measures.", &contract.readings)?;
    if !contract.health.is_empty() {
        write_interface(out, "Health", "What a device says of its health.", &contract.health)?;
    }
    writeln!(out, "\n/** What was measured at one time. */\nexport interface Sample {{")?;
    writeln!(out, "  /** Milliseconds since 1970, UTC. Without it, a sample is taken to be from when it arrived. */")?;
    writeln!(out, "  timestampMs?: number;\n  readings: Readings;")?;
    if !contract.health.is_empty() {
        writeln!(out, "  health?: Health;")?;
    }
    writeln!(out, "}}")
}

fn write_interface(out: &mut String, name: &str, about: &str, fields: &[Field<'_>]) -> std::fmt::Result {
    writeln!(out, "\n/** {about} */\nexport interface {name} {{")?;
    for (field, name) in fields.iter().zip(properties(fields)) {
        // A unit may contain `*/`, so this is not a block comment.
        writeln!(out, "  // {}\n  {name}{}: {};", field.about(), optional(field), kind(field))?;
    }
    writeln!(out, "}}")
}

/// Returns metric ids as property names.
fn properties(fields: &[Field<'_>]) -> Vec<String> {
    names::fields(&fields.iter().map(|field| field.id.as_str()).collect::<Vec<_>>(), OF_EVERY_OBJECT)
}

fn optional(field: &Field<'_>) -> &'static str {
    if field.is_required { "" } else { "?" }
}

fn kind(field: &Field<'_>) -> String {
    match &field.value {
        Values::Float(_) | Values::Int(_) => "number".to_owned(),
        Values::Bool => "boolean".to_owned(),
        Values::Enum(_) => of_enum(field),
        Values::Text => "string".to_owned(),
    }
}

fn of_enum(field: &Field<'_>) -> String {
    format!("{}Value", names::pascal(field.id.as_str()))
}

/// Writes the message types; keys are the message's own.
fn write_messages(contract: &Contract<'_>, out: &mut String) -> std::fmt::Result {
    writeln!(out, "\n/** The readings in a message. */\nexport interface ReadingsInMessage {{")?;
    for field in &contract.readings {
        let is_of_every_object = !field.is_required && OF_EVERY_OBJECT.contains(&field.key);
        let kind = if is_of_every_object { "unknown".to_owned() } else { kind(field) };
        writeln!(out, "  {}{}: {kind};", literal::typescript(field.key), optional(field))?;
    }
    writeln!(out, "}}")?;
    let mut interfaces = vec![
        ("SampleMessage", "One sample as a message.", contract.sample()),
        ("SampleInBatch", "One sample of a batch.", contract.element()),
    ];
    interfaces.extend(contract.batch().map(|batch| ("BatchMessage", "Several samples as one message.", batch)));
    for (name, about, layout) in interfaces {
        writeln!(out, "\n/** {about} */\nexport interface {name} {}", shape(contract, &layout, ""))?;
    }
    let batch = if contract.message.batch.is_some() { " | BatchMessage" } else { "" };
    writeln!(out, "\n/** What a device publishes on its telemetry topic. */")?;
    writeln!(out, "export type TelemetryMessage = SampleMessage{batch} | SampleInBatch[];")
}

/// Returns the type of an object, with `indent` before its last line.
fn shape(contract: &Contract<'_>, layout: &Layout<'_>, indent: &str) -> String {
    let deeper = format!("{indent}  ");
    let properties: String = layout
        .0
        .iter()
        .map(|(key, node)| {
            let (optional, kind) = match node {
                Node::Object(inner) => {
                    let needed = inner.has(Part::Readings) || inner.has(Part::Batch);
                    (if needed { "" } else { "?" }, shape(contract, inner, &deeper))
                }
                Node::Part(Part::DeviceId) => ("?", "string".to_owned()),
                Node::Part(Part::Timestamp) => {
                    let kind = match contract.message.timestamp_format {
                        TimestampFormat::Rfc3339 => "string",
                        TimestampFormat::EpochS | TimestampFormat::EpochMs => "number",
                    };
                    ("?", kind.to_owned())
                }
                Node::Part(Part::Readings) => ("", "ReadingsInMessage".to_owned()),
                Node::Part(Part::Health(index)) => ("?", kind(&contract.health[*index])),
                Node::Part(Part::Batch) => ("", "SampleInBatch[]".to_owned()),
            };
            format!("{deeper}{}{optional}: {kind};\n", literal::typescript(key))
        })
        .collect();
    format!("{{\n{properties}{indent}}}")
}

fn write_functions(contract: &Contract<'_>, out: &mut String) -> std::fmt::Result {
    writeln!(out, "\nfunction readingsOf(readings: Readings): object {{\n  return object([")?;
    for (field, name) in contract.readings.iter().zip(properties(&contract.readings)) {
        let part = literal::typescript(&name);
        let key = literal::typescript(field.key);
        let value = format!("own(readings, {part})");
        let value = if field.is_required { format!("must({part}, {value})") } else { value };
        writeln!(out, "    entry({key}, {value}, (value) => {}),", checked(field, "value"))?;
    }
    writeln!(out, "  ]);\n}}")?;
    writeln!(
        out,
        "\nfunction element(sample: Sample): (Entry | undefined)[] {{\n  return {};\n}}",
        entries(contract, &contract.element(), "  ")
    )?;
    writeln!(out, "\n/** One sample as a message. */")?;
    writeln!(out, "export function telemetry(deviceId: string, sample: Sample): string {{")?;
    writeln!(out, "  return end(object({}));\n}}", entries(contract, &contract.sample(), "  "))?;
    if let Some(batch) = contract.batch() {
        writeln!(out, "\n/** Several samples as one message. */")?;
        writeln!(out, "export function telemetryBatch(deviceId: string, samples: readonly Sample[]): string {{")?;
        writeln!(out, "  return end(object({}));\n}}", entries(contract, &batch, "  "))?;
    }
    Ok(())
}

/// Returns the entries of an object, with `indent` before the last line.
fn entries(contract: &Contract<'_>, layout: &Layout<'_>, indent: &str) -> String {
    let deeper = format!("{indent}  ");
    let entries: Vec<String> = layout
        .0
        .iter()
        .map(|(key, node)| {
            let key = literal::typescript(key);
            match node {
                Node::Object(inner) => format!("[{key}, object({})]", entries(contract, inner, &deeper)),
                Node::Part(Part::DeviceId) => format!("[{key}, text(\"deviceId\", deviceId)]"),
                Node::Part(Part::Timestamp) => {
                    let clock = match contract.message.timestamp_format {
                        TimestampFormat::Rfc3339 => "rfc3339",
                        TimestampFormat::EpochS => "epoch_s",
                        TimestampFormat::EpochMs => "epoch_ms",
                    };
                    format!("entry({key}, sample.timestampMs, clocks.{clock})")
                }
                Node::Part(Part::Readings) => format!("[{key}, readingsOf(sample.readings)]"),
                Node::Part(Part::Health(index)) => {
                    let field = &contract.health[*index];
                    let part = literal::typescript(&properties(&contract.health)[*index]);
                    let value = format!("own<Health, {part}>(sample.health ?? {{}}, {part})");
                    format!("entry({key}, {value}, (value) => {})", checked(field, "value"))
                }
                Node::Part(Part::Batch) => format!("[{key}, samples.map((sample) => object(element(sample)))]"),
            }
        })
        .collect();
    let lines: String = entries.iter().map(|entry| format!("{deeper}{entry},\n")).collect();
    format!("[\n{lines}{indent}]")
}

fn checked(field: &Field<'_>, value: &str) -> String {
    let part = literal::typescript(field.id.as_str());
    let bounds = |bounds: &Bounds| format!("{}, {}", literal::number(bounds.min), literal::number(bounds.max));
    match &field.value {
        Values::Float(limits) => format!("number({part}, {value}, {})", bounds(limits)),
        Values::Int(limits) => format!("whole({part}, {value}, {})", bounds(limits)),
        Values::Bool => format!("truth({part}, {value})"),
        Values::Enum(_) => format!("word({part}, {value}, {}s)", of_enum(field)),
        Values::Text => format!("text({part}, {value})"),
    }
}
