//! `fleetform override set` and `clear`: write a row of the table, which reaches the platform's shards.

use aws_sdk_dynamodb::{operation::put_item::PutItemError, types::AttributeValue};
use clap::Args;
use fleetform_engine::{
    ids::{ContactId, RuleId},
    overrides::Override,
    units::{Finite, Timestamp},
};
use fleetform_generator::rule_set;

use super::{
    Table, Target,
    row::{self, Set as SetBy},
};
use crate::{
    deployed::now,
    found::failed,
    terminal::{Stop, print, tell},
};

/// Override a rule until further notice, replacing any earlier override of it
///
/// Whatever is not given stays as in the platform file. The override takes effect within seconds; alerts that fire
/// under another threshold end.
#[derive(Args, Debug)]
pub(crate) struct Set {
    /// The rule
    #[arg(value_name = "RULE")]
    rule: String,
    /// Whether the rule is evaluated
    #[arg(long, value_name = "BOOL")]
    enabled: Option<bool>,
    /// The threshold that a value, or a rate of change, is compared with
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    threshold: Option<f64>,
    /// Send no notices for this long, as in `2h`, or until this moment, as in `2026-02-01T08:00:00Z`
    #[arg(long, value_name = "TIME", value_parser = until)]
    mute: Option<Timestamp>,
    /// Notify this contact instead of those of the routes; may be given several times
    #[arg(long = "contact", value_name = "CONTACT")]
    contacts: Vec<String>,
    /// End the override after this long, or at this moment
    #[arg(long, value_name = "TIME", value_parser = until)]
    until: Option<Timestamp>,
    #[command(flatten)]
    write: Write,
}

/// Remove the override of a rule, which is then as in the platform file
#[derive(Args, Debug)]
pub(crate) struct Clear {
    /// The rule
    #[arg(value_name = "RULE")]
    rule: String,
    #[command(flatten)]
    write: Write,
}

#[derive(Args, Debug)]
struct Write {
    /// The reason, for later readers
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The author; defaults to the user who runs the command
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
    #[command(flatten)]
    target: Target,
    /// Print the row, and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// A moment, or a length from now on.
fn until(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(Timestamp(at.as_millisecond()));
    }
    let length: jiff::SignedDuration =
        text.parse().map_err(|_| "write a length as in `2h` or a moment as in `2026-02-01T08:00:00Z`".to_owned())?;
    if length.is_negative() || length.is_zero() {
        return Err("the length must be above zero".to_owned());
    }
    let length = i64::try_from(length.as_millis()).map_err(|_| "the length is too long".to_owned())?;
    Ok(Timestamp(now().0.saturating_add(length)))
}

impl Set {
    pub(crate) fn run(self) -> Result<(), Stop> {
        let Self { rule, enabled, threshold, mute, contacts, until, write } = self;
        let threshold = match threshold {
            Some(value) => {
                Some(Finite::new(value).ok_or_else(|| Stop::bad_input("--threshold is not a finite number"))?)
            }
            None => None,
        };
        let contacts = contacts.iter().map(|id| ContactId::new(id)).collect::<Result<Vec<_>, _>>();
        let contacts = contacts.map_err(Stop::bad_input)?;
        let row = Override {
            revision: 0,
            enabled,
            threshold,
            muted_until: mute,
            contacts: (!contacts.is_empty()).then(|| contacts.into()),
            until,
        };
        if (Override { until: None, ..row.clone() }) == Override::default() {
            return Err(Stop::bad_input("nothing to override").help(
                "give --enabled, --threshold, --mute or --contact; to remove an override: `fleetform override clear`",
            ));
        }
        write.run(&rule, row)
    }
}

impl Clear {
    pub(crate) fn run(self) -> Result<(), Stop> {
        self.write.run(&self.rule, Override::default())
    }
}

impl Write {
    fn run(self, rule: &str, mut row: Override) -> Result<(), Stop> {
        let platform = self.target.platform()?;
        let id = RuleId::new(rule).map_err(Stop::bad_input)?;
        row.check(&id, &rule_set(&platform)).map_err(|error| Stop::bad_input(format_args!("`{rule}`: {error}")))?;
        let author = self.author.clone().or_else(|| std::env::var("USER").ok()).filter(|name| !name.is_empty());
        let author = author.ok_or_else(|| Stop::bad_input("no author is known").help("pass one with --author NAME"))?;
        let by = SetBy { author: &author, reason: &self.reason, at: now() };
        row.revision = now().0.unsigned_abs();
        if self.dry_run {
            return print(&format!("{}\n", row::line(&row::attributes(rule, &row, &by))));
        }
        let line = self.target.with(&platform, async |table| put(&table, rule, row, &by).await)?;
        print(&format!("{line}\n"))?;
        tell(format_args!("it takes effect in {} within seconds", platform.environment.id));
        Ok(())
    }
}

/// Replaces the row, unless it was changed meanwhile.
async fn put(table: &Table, rule: &str, mut row: Override, by: &SetBy<'_>) -> Result<String, Stop> {
    let Table { client, name } = table;
    let key = AttributeValue::S(rule.to_owned());
    let found = client.get_item().table_name(name).key("rule", key).consistent_read(true).send().await;
    let found = found.map_err(|error| failed(&format!("read table `{name}`"), error))?;
    let known = found.item.as_ref().and_then(row::revision);
    // A clock that was set back must not result in a row that every shard ignores.
    row.revision = row.revision.max(known.map_or(0, |known| known.saturating_add(1)));
    let attributes = row::attributes(rule, &row, by);
    let line = row::line(&attributes);
    let put = client.put_item().table_name(name).set_item(Some(attributes));
    let put = match known {
        None => put.condition_expression("attribute_not_exists(revision)"),
        Some(known) => put
            .condition_expression("revision = :known")
            .expression_attribute_values(":known", AttributeValue::N(known.to_string())),
    };
    match put.send().await {
        Ok(_) => Ok(line),
        Err(error) if matches!(error.as_service_error(), Some(PutItemError::ConditionalCheckFailedException(_))) => {
            Err(Stop::failed(format_args!("another override of `{rule}` was written at the same time"))
                .help("check it with `fleetform override list`, then try again"))
        }
        Err(error) => Err(failed(&format!("write to table `{name}`"), error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_length_or_a_moment() {
        assert_eq!(until("2026-01-31T10:30:00Z"), Ok(Timestamp(1_769_855_400_000)));
        let before = now();
        let end = until("2h").expect("a length");
        assert!(end >= Timestamp(before.0 + 7_200_000) && end <= Timestamp(now().0 + 7_200_000));
        for wrong in ["tomorrow", "-2h", "0s", ""] {
            assert!(until(wrong).is_err(), "{wrong}");
        }
    }
}
