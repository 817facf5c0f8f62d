//! A contract as a C header: a struct for each sample, and functions that write messages into a buffer like `snprintf`.

use std::fmt::Write;

use fleetform_engine::rule_set::TimestampFormat;

use super::{Bounds, Contract, Field, Layout, Node, Part, Values, literal, names};

const INFALLIBLE: &str = "a string takes any text";

/// Reserved words of C and C++ that a metric's id can equal, and macros of the included headers.
const RESERVED: &[&str] = &[
    "alignas",
    "alignof",
    "and",
    "and_eq",
    "asm",
    "auto",
    "bitand",
    "bitor",
    "bool",
    "break",
    "case",
    "catch",
    "char",
    "char16_t",
    "char32_t",
    "char8_t",
    "class",
    "co_await",
    "co_return",
    "co_yield",
    "compl",
    "concept",
    "const",
    "const_cast",
    "consteval",
    "constexpr",
    "constinit",
    "continue",
    "decltype",
    "default",
    "delete",
    "do",
    "double",
    "dynamic_cast",
    "else",
    "enum",
    "explicit",
    "export",
    "extern",
    "false",
    "float",
    "for",
    "friend",
    "goto",
    "if",
    "inline",
    "int",
    "linux",
    "long",
    "mutable",
    "namespace",
    "new",
    "noexcept",
    "not",
    "not_eq",
    "nullptr",
    "operator",
    "or",
    "or_eq",
    "private",
    "protected",
    "public",
    "register",
    "reinterpret_cast",
    "requires",
    "restrict",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "static_assert",
    "static_cast",
    "stderr",
    "stdin",
    "stdout",
    "struct",
    "switch",
    "template",
    "this",
    "thread_local",
    "throw",
    "true",
    "try",
    "typedef",
    "typeid",
    "typename",
    "typeof",
    "union",
    "unix",
    "unsigned",
    "using",
    "arm",
    "i386",
    "mips",
    "sparc",
    "sun",
    "virtual",
    "void",
    "volatile",
    "wchar_t",
    "while",
    "xor",
    "xor_eq",
];

/// Returns the header.
pub(super) fn header(contract: &Contract<'_>) -> String {
    let header = Header {
        contract,
        readings: names::fields(&ids(&contract.readings), RESERVED),
        health: names::fields(&ids(&contract.health), RESERVED),
    };
    let mut text = String::new();
    header.write(&mut text).expect(INFALLIBLE);
    text
}

fn ids<'a>(fields: &[Field<'a>]) -> Vec<&'a str> {
    fields.iter().map(|field| field.id.as_str()).collect()
}

struct Header<'a> {
    contract: &'a Contract<'a>,
    readings: Vec<String>,
    health: Vec<String>,
}

impl Header<'_> {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        let name = &self.contract.name;
        let guard = format!("FLEETFORM_{}_CONTRACT_H", name.to_ascii_uppercase());
        writeln!(out, "// {}", self.contract.title())?;
        writeln!(
            out,
            "//\n// Each function gives back the length of what it writes, without the final NUL. If that is not less than `size`,"
        )?;
        writeln!(out, "// the text was cut. FLEETFORM_INVALID stands for what the platform would refuse.")?;
        writeln!(out, "#ifndef {guard}\n#define {guard} 1\n")?;
        out.push_str(include_str!("../../../templates/contract/writer.h"));
        self.write_types(out)?;
        self.write_sample(out)?;
        self.write_functions(out)?;
        writeln!(out, "#endif")
    }

    fn write_types(&self, out: &mut String) -> std::fmt::Result {
        let name = &self.contract.name;
        for field in &self.contract.readings {
            let Values::Enum(words) = field.value else { continue };
            let of = self.of_enum(field);
            writeln!(out, "\n// The words of `{}`.\nenum {of} {{", field.id)?;
            for word in names::words(words) {
                writeln!(out, "    {}_{word},", of.to_ascii_uppercase())?;
            }
            writeln!(out, "}};\n\nstatic const char *const {of}_words[] = {{")?;
            for word in words {
                writeln!(out, "    {},", literal::c(word))?;
            }
            writeln!(out, "}};")?;
        }
        writeln!(out, "\n// A value that may be missing has `is_set` beside it.\nstruct {name}_readings {{")?;
        self.write_fields(out, &self.contract.readings, &self.readings)?;
        writeln!(out, "}};")?;
        if !self.health.is_empty() {
            writeln!(out, "\nstruct {name}_health {{")?;
            self.write_fields(out, &self.contract.health, &self.health)?;
            writeln!(out, "}};")?;
        }
        writeln!(out, "\nstruct {name}_sample {{")?;
        writeln!(
            out,
            "    // Milliseconds since 1970, UTC. Without it, a sample is taken to be from when it arrived."
        )?;
        writeln!(out, "    struct {{\n        bool is_set;\n        int64_t value;\n    }} timestamp_ms;")?;
        writeln!(out, "    struct {name}_readings readings;")?;
        if !self.health.is_empty() {
            writeln!(out, "    struct {name}_health health;")?;
        }
        writeln!(out, "}};")
    }

    fn write_fields(&self, out: &mut String, fields: &[Field<'_>], names: &[String]) -> std::fmt::Result {
        for (field, name) in fields.iter().zip(names) {
            let kind = match &field.value {
                Values::Float(_) => "double ".to_owned(),
                Values::Int(_) => "int64_t ".to_owned(),
                Values::Bool => "bool ".to_owned(),
                Values::Enum(_) => format!("enum {} ", self.of_enum(field)),
                Values::Text => "const char *".to_owned(),
            };
            writeln!(out, "    // {}", field.about())?;
            if field.is_required {
                writeln!(out, "    {kind}{name};")?;
            } else {
                writeln!(out, "    struct {{\n        bool is_set;\n        {kind}value;\n    }} {name};")?;
            }
        }
        Ok(())
    }

    fn of_enum(&self, field: &Field<'_>) -> String {
        format!("{}_{}_value", self.contract.name, field.id)
    }

    /// Writes the function that writes the contents of a sample, with or without the device's id.
    fn write_sample(&self, out: &mut String) -> std::fmt::Result {
        let name = &self.contract.name;
        for (suffix, layout) in [("sample", self.contract.sample()), ("element", self.contract.element())] {
            if suffix == "element" && self.contract.message.batch.is_none() {
                continue;
            }
            let has_device = layout.has(Part::DeviceId);
            let device = if has_device { "const char *device_id, " } else { "" };
            writeln!(
                out,
                "\nstatic inline void {name}_put_{suffix}(fleetform_writer *writer, {device}const struct {name}_sample *sample) {{"
            )?;
            writeln!(out, "    fleetform_open(writer, \"\", '{{');")?;
            self.write_layout(out, &layout)?;
            writeln!(out, "    fleetform_close(writer, '}}');\n}}")?;
        }
        Ok(())
    }

    fn write_layout(&self, out: &mut String, layout: &Layout<'_>) -> std::fmt::Result {
        for (key, node) in &layout.0 {
            let literal = literal::c(&literal::json_key(key));
            match node {
                Node::Object(inner) => {
                    writeln!(out, "    fleetform_open(writer, {literal}, '{{');")?;
                    self.write_layout(out, inner)?;
                    writeln!(out, "    fleetform_close(writer, '}}');")?;
                }
                Node::Part(Part::DeviceId) => writeln!(out, "    fleetform_text(writer, {literal}, device_id);")?,
                Node::Part(Part::Timestamp) => {
                    let clock = match self.contract.message.timestamp_format {
                        TimestampFormat::Rfc3339 => "rfc3339",
                        TimestampFormat::EpochS => "epoch_s",
                        TimestampFormat::EpochMs => "epoch_ms",
                    };
                    writeln!(out, "    if (sample->timestamp_ms.is_set) {{")?;
                    writeln!(out, "        fleetform_{clock}(writer, {literal}, sample->timestamp_ms.value);\n    }}")?;
                }
                Node::Part(Part::Readings) => {
                    writeln!(out, "    fleetform_open(writer, {literal}, '{{');")?;
                    for (field, name) in self.contract.readings.iter().zip(&self.readings) {
                        let key = literal::c(&literal::json_key(field.key));
                        self.write_value(out, field, &key, &format!("sample->readings.{name}"))?;
                    }
                    writeln!(out, "    fleetform_close(writer, '}}');")?;
                }
                Node::Part(Part::Health(index)) => {
                    let (field, name) = (&self.contract.health[*index], &self.health[*index]);
                    self.write_value(out, field, &literal, &format!("sample->health.{name}"))?;
                }
                Node::Part(Part::Batch) => {
                    let name = &self.contract.name;
                    writeln!(out, "    fleetform_open(writer, {literal}, '[');")?;
                    writeln!(out, "    for (at = 0; at < count; at++) {{")?;
                    writeln!(out, "        {name}_put_element(writer, &samples[at]);\n    }}")?;
                    writeln!(out, "    fleetform_close(writer, ']');")?;
                }
            }
        }
        Ok(())
    }

    fn write_value(&self, out: &mut String, field: &Field<'_>, key: &str, place: &str) -> std::fmt::Result {
        let value = if field.is_required { place.to_owned() } else { format!("{place}.value") };
        let bounds = |bounds: &Bounds| format!("{}, {}", literal::number(bounds.min), literal::number(bounds.max));
        let call = match &field.value {
            Values::Float(limits) => format!("fleetform_number(writer, {key}, {value}, {});", bounds(limits)),
            Values::Int(limits) => format!("fleetform_whole(writer, {key}, {value}, {});", bounds(limits)),
            Values::Bool => format!("fleetform_truth(writer, {key}, {value});"),
            Values::Enum(words) => {
                let words_of = format!("{}_words", self.of_enum(field));
                let count = words.len();
                format!(
                    "fleetform_text(writer, {key}, (unsigned)({value}) < {count}u ? {words_of}[(unsigned)({value})] : NULL);"
                )
            }
            Values::Text => format!("fleetform_text(writer, {key}, {value});"),
        };
        if field.is_required {
            writeln!(out, "    {call}")
        } else {
            writeln!(out, "    if ({place}.is_set) {{\n        {call}\n    }}")
        }
    }

    fn write_functions(&self, out: &mut String) -> std::fmt::Result {
        let name = &self.contract.name;
        writeln!(out, "\n// One sample as a message.")?;
        writeln!(
            out,
            "static inline int {name}_telemetry(char *buffer, size_t size, const char *device_id, const struct {name}_sample *sample) {{\n    \
             fleetform_writer writer = fleetform_begin(buffer, size);\n    \
             {name}_put_sample(&writer, device_id, sample);\n    \
             return fleetform_end(&writer);\n}}"
        )?;
        if let Some(batch) = self.contract.batch() {
            writeln!(
                out,
                "\nstatic inline void {name}_put_batch(fleetform_writer *writer, const char *device_id, const struct {name}_sample *samples, size_t count) {{\n    \
                 size_t at;\n    \
                 fleetform_open(writer, \"\", '{{');"
            )?;
            self.write_layout(out, &batch)?;
            writeln!(out, "    fleetform_close(writer, '}}');\n}}")?;
            writeln!(
                out,
                "\n// Several samples as one message.\n\
                 static inline int {name}_telemetry_batch(char *buffer, size_t size, const char *device_id, const struct {name}_sample *samples, size_t count) {{\n    \
                 fleetform_writer writer = fleetform_begin(buffer, size);\n    \
                 {name}_put_batch(&writer, device_id, samples, count);\n    \
                 return fleetform_end(&writer);\n}}"
            )?;
        }
        writeln!(
            out,
            "\n// What the device says of itself, which may be its will.\n\
             static inline int {name}_status(char *buffer, size_t size, bool is_online) {{\n    \
             fleetform_writer writer = fleetform_begin(buffer, size);\n    \
             fleetform_raw(&writer, is_online ? \"{{\\\"status\\\":\\\"online\\\"}}\" : \"{{\\\"status\\\":\\\"offline\\\"}}\");\n    \
             return fleetform_end(&writer);\n}}\n\n\
             // An alarm that the device raises or ends.\n\
             static inline int {name}_alarm(char *buffer, size_t size, const char *code, bool is_active) {{\n    \
             fleetform_writer writer = fleetform_begin(buffer, size);\n    \
             fleetform_open(&writer, \"\", '{{');\n    \
             fleetform_code(&writer, \"\\\"code\\\":\", code);\n    \
             fleetform_truth(&writer, \"\\\"active\\\":\", is_active);\n    \
             fleetform_close(&writer, '}}');\n    \
             return fleetform_end(&writer);\n}}"
        )?;
        writeln!(out, "\n// The device's topics at the message broker.")?;
        for (channel, topic) in &self.contract.topics {
            let (before, after) = topic
                .with_device("\0")
                .split_once('\0')
                .map(|(a, b)| (literal::c(a), literal::c(b)))
                .expect("a topic has a device level");
            writeln!(
                out,
                "static inline int {name}_{channel}_topic(char *buffer, size_t size, const char *device_id) {{\n    \
                 return snprintf(buffer, size, \"%s%s%s\", {before}, device_id, {after});\n}}\n"
            )?;
        }
        Ok(())
    }
}
