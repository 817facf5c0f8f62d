//! Text for people and shells: the deploy script, the runbook, the workflow. Tera fills the templates in.
//!
//! Each template is escaped for its own language wherever a value stands, without asking for it: a value in a script
//! is quoted for the shell, one in a runbook is literal Markdown, one in a workflow is a YAML string. There is no way
//! to write a value that is not. Structure, as in CloudFormation, is never templated.

use std::{io, sync::LazyLock};

use serde::Serialize;
use tera::{Context, Delimiters, Filter, Kwargs, State, Tera};

/// A template with the language that its values are escaped for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Template {
    /// `scripts/deploy.sh`.
    DeployScript,
    /// `scripts/devices.sh`.
    DevicesScript,
    /// `scripts/serials.sh`.
    SerialsScript,
    /// `scripts/claims.sh`.
    ClaimsScript,
    /// `RUNBOOK.md`.
    Runbook,
    /// `.github/workflows/deploy.yml`.
    Workflow,
}

impl Template {
    const fn name(self) -> &'static str {
        match self {
            Self::DeployScript => "deploy.sh",
            Self::DevicesScript => "devices.sh",
            Self::SerialsScript => "serials.sh",
            Self::ClaimsScript => "claims.sh",
            Self::Runbook => "RUNBOOK.md",
            Self::Workflow => "deploy.yml",
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::DeployScript => include_str!("../../templates/deploy.sh"),
            Self::DevicesScript => include_str!("../../templates/devices.sh"),
            Self::SerialsScript => include_str!("../../templates/serials.sh"),
            Self::ClaimsScript => include_str!("../../templates/claims.sh"),
            Self::Runbook => include_str!("../../templates/RUNBOOK.md"),
            Self::Workflow => include_str!("../../templates/deploy.yml"),
        }
    }

    /// The engine that has it: one for each language that values are escaped for. What scripts have in common is then read
    /// once.
    fn engine(self) -> &'static Tera {
        static SCRIPTS: LazyLock<Tera> = LazyLock::new(|| {
            let scripts =
                [Template::DeployScript, Template::DevicesScript, Template::SerialsScript, Template::ClaimsScript];
            engine(scripts.map(Template::named).into_iter().chain(PARTS), sh)
        });
        static RUNBOOK: LazyLock<Tera> = LazyLock::new(|| engine([Template::Runbook.named()], markdown));
        static WORKFLOW: LazyLock<Tera> = LazyLock::new(|| engine([Template::Workflow.named()], yaml));
        match self {
            Self::DeployScript | Self::DevicesScript | Self::SerialsScript | Self::ClaimsScript => &SCRIPTS,
            Self::Runbook => &RUNBOOK,
            Self::Workflow => &WORKFLOW,
        }
    }

    const fn named(self) -> (&'static str, &'static str) {
        (self.name(), self.text())
    }
}

/// Parts of scripts, most of them of several: what there is once per account; how they call AWS, and what they look at before
/// they change anything; how they find what is there; how they read what devices are to be; how they come to certificates.
const PARTS: [(&str, &str); 5] = [
    ("account.sh", include_str!("../../templates/account.sh")),
    ("calls.sh", include_str!("../../templates/calls.sh")),
    ("found.sh", include_str!("../../templates/found.sh")),
    ("manifest.sh", include_str!("../../templates/manifest.sh")),
    ("certificates.sh", include_str!("../../templates/certificates.sh")),
];

type Escape = fn(&str, &mut dyn io::Write) -> io::Result<()>;

/// Fills a template in. The text ends with one line break.
pub(crate) fn render(template: Template, values: &impl Serialize) -> String {
    let context = Context::from_serialize(values).expect("values are a struct");
    let text = template.engine().render(template.name(), &context);
    let mut text = text.expect("a template names only the values of its struct");
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn engine(templates: impl IntoIterator<Item = (&'static str, &'static str)>, escape: Escape) -> Tera {
    let templates: Vec<_> = templates.into_iter().collect();
    let mut tera = Tera::new();
    // The usual ones mean something in a shell (`${#list[@]}`) and in a workflow (`${{ … }}`).
    let delimiters = Delimiters {
        block_start: "{%".into(),
        block_end: "%}".into(),
        variable_start: "<{".into(),
        variable_end: "}>".into(),
        comment_start: "<#".into(),
        comment_end: "#>".into(),
    };
    tera.set_delimiters(delimiters).expect("no template is there yet");
    tera.set_escape_fn(escape);
    tera.autoescape_on(templates.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    tera.register_filter("code", Code);
    tera.add_raw_templates(templates).expect("the templates are part of the program");
    tera
}

/// One word of a POSIX shell, whatever the text: in single quotes nothing is special but a single quote.
fn sh(text: &str, output: &mut dyn io::Write) -> io::Result<()> {
    write!(output, "'{}'", text.replace('\'', r"'\''"))
}

/// Literal text within a line of Markdown: no markup, no HTML, no line break. What means something only at the start
/// of a line stays as it is, since no template starts a line with a value.
fn markdown(text: &str, output: &mut dyn io::Write) -> io::Result<()> {
    for character in text.chars() {
        match character {
            '\n' | '\r' => output.write_all(b" ")?,
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '&' | '|' | '~' | '$' => write!(output, "\\{character}")?,
            _ => write!(output, "{character}")?,
        }
    }
    Ok(())
}

/// The filter `code`: a value as a code span, in which Markdown reads no escapes.
struct Code;

impl Filter<&str, String> for Code {
    fn call(&self, text: &str, _: Kwargs, _: &State<'_>) -> String {
        let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or(0);
        let fence = "`".repeat(longest + 1);
        let space = if longest > 0 { " " } else { "" };
        format!("{fence}{space}{}{space}{fence}", text.replace(['\n', '\r'], " "))
    }

    fn is_safe(&self) -> bool {
        true
    }
}

/// A double-quoted YAML scalar. JSON strings are YAML, but for a few characters that YAML counts as line breaks.
fn yaml(text: &str, output: &mut dyn io::Write) -> io::Result<()> {
    let quoted = serde_json::to_string(text)?;
    for character in quoted.chars() {
        match character {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                write!(output, "\\u{:04x}", character as u32)?
            }
            _ => write!(output, "{character}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use serde_json::{Value, json};

    use super::*;

    const NASTY: [&str; 8] = [
        "it's",
        r#"say "no""#,
        "two words  and\ttabs",
        "$(touch pwned) `touch pwned` ${HOME} $HOME",
        "one line\nanother\n",
        r"back\slash \' \\",
        "; rm -rf / # && || | > < * ? [a] {a,b} ~ !",
        "",
    ];

    /// The names that a template uses, each with a value made from `text`; one element for each list.
    fn values(template: Template, text: &str) -> Value {
        match template {
            Template::DeployScript => json!({
                "platform": text, "environment": text, "account": text, "region": text, "url_suffix": text,
                "stack": text, "artifacts_stack": text, "account_stack": text, "catalog_stack": text, "stores": 1, "tables": 1,
                "own_bucket": text, "protect": 0, "confirm": 1, "reserved": 0, "log_days": 30, "email_addresses": 2, "rule_set": text,
                "templates": [{ "file": text, "sha256": text }],
            }),
            Template::DevicesScript
            | Template::SerialsScript
            | Template::ClaimsScript
            | Template::Runbook
            | Template::Workflow => unreachable!("one script is run"),
        }
    }

    #[test]
    fn every_value_of_a_script_comes_through_the_shell_as_it_was() {
        let names = [
            "PLATFORM",
            "ENVIRONMENT",
            "ACCOUNT",
            "REGION",
            "URL_SUFFIX",
            "STACK",
            "ARTIFACTS_STACK",
            "ACCOUNT_STACK",
            "OWN_BUCKET",
            "RULE_SET",
            "{TEMPLATES[0]}",
            "{TEMPLATES[1]}",
        ];
        for text in NASTY {
            let script = render(Template::DeployScript, &values(Template::DeployScript, text));
            let (head, _) = script.split_once("\nusage() {").expect("values are set before the first function");
            let prints: String = names.iter().map(|name| format!("printf '%s\\0' \"${name}\"\n")).collect();
            let folder = std::env::temp_dir();
            let output = Command::new("bash").current_dir(folder).args(["-c", &format!("{head}\n{prints}")]).output();
            let output = output.expect("bash runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            let expected = format!("{text}\0").repeat(names.len());
            assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
        }
    }

    #[test]
    fn a_value_is_one_literal_line_of_markdown() {
        let escaped = |text: &str| {
            let mut output = Vec::new();
            markdown(text, &mut output).expect("a Vec takes every write");
            String::from_utf8(output).expect("text stays text")
        };
        assert_eq!(escaped("North reservoir, 2 km"), "North reservoir, 2 km");
        assert_eq!(escaped("<b>\n# [x](y) `z` a_b | *c*"), r"\<b\> # \[x\](y) \`z\` a\_b \| \*c\*");
    }

    #[test]
    fn a_code_span_holds_any_value_as_it_is() {
        let context = Context::new();
        let state = State::new(&context);
        let span = |text| Code.call(text, Kwargs::default(), &state);
        assert_eq!(span("x86_64"), "`x86_64`");
        assert_eq!(span("a`b``c"), "``` a`b``c ```");
        assert_eq!(span("two\nlines"), "`two lines`");
    }

    #[test]
    fn a_value_is_one_yaml_string() {
        for text in NASTY.into_iter().chain(["on", "2012-10-17", "a: b", "\u{2028}\u{85}\u{feff}", "'\"\\"]) {
            let mut output = Vec::new();
            yaml(text, &mut output).expect("a Vec takes every write");
            let output = String::from_utf8(output).expect("text stays text");
            assert!(!output.contains(['\n', '\u{2028}', '\u{85}', '\u{feff}']), "{output}");
            let read: String = serde_saphyr::from_str(&output).expect("it is YAML");
            assert_eq!(read, text);
        }
    }
}
