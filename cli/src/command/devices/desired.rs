//! `fleetform devices desired`.

use std::{collections::BTreeMap, fmt::Write as _, num::NonZeroU32, time::Duration};

use clap::Args;
use fleetform_engine::{ids::ShadowName, rule_set::ValueType, units::Timestamp};
use fleetform_generator::platform::{Platform, device_type::DeviceType, setting};
use fleetform_runtime::aws::things;
use serde_json::{Map, Value, json};

use super::known::ago;
use crate::{
    deployed::now,
    found::{check_region, stack_name, wait},
    input::{self, DEFAULT_FILE},
    registry::{
        Thing, iot,
        shadows::{Shadow, Shadows},
    },
    setting::setting,
    terminal::{Stop, counted, print, tell},
};

/// How often progress is reported.
const PROGRESS_EVERY_MS: i64 = 5_000;

/// How often a shadow is read again because of concurrent changes.
const CONFLICTS_MAX: u32 = 5;

/// Show or change the desired settings of devices
///
/// For one device, or for all devices of a zone or a type. Without `--set` and `--unset`, lists the settings whose desired and reported values differ, or with `--all` every setting, and when each was reported: for a device that is offline, the last known value. A value is checked against the type's `desired` in the platform file before the first device is changed. A setting is read and written in the shadow that it belongs to. Devices that already have the desired value are skipped, so a run that was interrupted is continued by the next.
#[derive(Args, Debug)]
#[command(group(clap::ArgGroup::new("whom").required(true).multiple(true).args(["device", "zone", "device_type"])))]
pub(crate) struct Desired {
    /// The device
    #[arg(value_name = "DEVICE", conflicts_with_all = ["zone", "device_type"])]
    device: Option<String>,
    /// The devices of this zone, without those of the zones in it
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// The devices of this type
    #[arg(long = "type", value_name = "TYPE")]
    device_type: Option<String>,
    /// Set the desired value of a setting; may be given several times
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = name_and_value)]
    set: Vec<(String, String)>,
    /// Remove the desired value of a setting; may be given several times
    #[arg(long = "unset", value_name = "NAME")]
    unset: Vec<String>,
    /// Number of devices you expect to change; required, and checked, when more than one matches
    #[arg(long, value_name = "NUMBER")]
    count: Option<usize>,
    /// Maximum number of devices per second
    #[arg(long, value_name = "NUMBER", default_value = "10")]
    rate: NonZeroU32,
    /// Also list settings whose reported value is the desired one
    #[arg(long, conflicts_with_all = ["set", "unset"])]
    all: bool,
    /// The environment; defaults to the file's default environment
    #[arg(long, value_name = "ENVIRONMENT")]
    env: Option<String>,
    /// The platform file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    file: camino::Utf8PathBuf,
    /// Print what would be changed, and change nothing
    #[arg(long)]
    dry_run: bool,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// A selected device, with its new desired values.
struct Meant<'p> {
    device: String,
    device_type: &'p DeviceType,
    values: Values<'p>,
}

/// Values of settings by the shadow that these live in; none for the classic one.
type Values<'p> = BTreeMap<Option<&'p ShadowName>, Map<String, Value>>;

impl Desired {
    pub(crate) fn run(self) -> Result<(), Stop> {
        let project = input::project(&self.file)?;
        let platform = input::platform(&project, self.env.as_deref())?;
        if let Some(zone) = self.zone.as_deref().filter(|zone| !platform.zones.contains_key(*zone)) {
            return Err(Stop::bad_input(format_args!("there is no zone `{zone}`")));
        }
        if let Some(of_type) = self.device_type.as_deref() {
            // A wrong value is reported before any call.
            self.values(platform, of_type).map_err(Stop::bad_input)?;
        }
        check_region(platform)?;
        wait(self.act(platform))
    }

    /// Whether anything is to be set.
    fn changes(&self) -> bool {
        !self.set.is_empty() || !self.unset.is_empty()
    }

    async fn act(&self, platform: &Platform) -> Result<(), Stop> {
        let stack = stack_name(platform);
        let registry = iot::open(platform).await?;
        let things = match self.device.as_deref() {
            Some(device) => things::thing(&registry, device).await?.into_iter().collect(),
            None => iot::things_of(&registry, platform, &stack, |_| ()).await?,
        };
        let meant = self.meant(platform, &things)?;
        if meant.is_empty() {
            return Err(Stop::failed(format_args!("{stack} has no matching device in service")));
        }
        let shadows = Shadows::of(registry).await?;
        if !self.changes() {
            return self.show(&shadows, &meant).await;
        }
        let count = meant.len();
        if count > 1 && self.count != Some(count) && !self.dry_run {
            return Err(Stop::bad_input(format_args!("this would change {count} devices"))
                .help(format_args!("preview with --dry-run, then confirm with --count {count}")));
        }
        self.set(&shadows, &meant).await
    }

    /// The selected devices in service, each with its new desired values. Reports all problems.
    fn meant<'p>(&self, platform: &'p Platform, things: &[Thing]) -> Result<Vec<Meant<'p>>, Stop> {
        let is_meant = |thing: &&Thing| {
            let is = |asked: Option<&str>, name| asked.is_none_or(|asked| thing.attribute(name) == Some(asked));
            thing.attribute("stack") == Some(&stack_name(platform))
                && is(self.zone.as_deref(), "zone")
                && is(self.device_type.as_deref(), "type")
                && !thing.is_retired()
        };
        let (mut meant, mut problems) = (Vec::new(), BTreeMap::new());
        for thing in things.iter().filter(is_meant) {
            let named = thing.attribute("type").unwrap_or_default();
            match (platform.device_types.get(named), self.values(platform, named)) {
                (Some(device_type), Ok(values)) => {
                    meant.push(Meant { device: thing.name.clone(), device_type, values });
                }
                (_, Err(problem)) => *problems.entry(problem).or_insert(0) += 1,
                (None, Ok(_)) => unreachable!("a type that is not there takes no values"),
            }
        }
        if problems.is_empty() {
            return Ok(meant);
        }
        let says = if self.changes() { "error" } else { "warning" };
        for (problem, count) in &problems {
            tell(format_args!("{says}: {}: {problem}", counted(*count, "device")));
        }
        if !self.changes() {
            return Ok(meant);
        }
        Err(Stop::bad_input("nothing was changed").help("choose the type whose devices have the setting with --type"))
    }

    /// The new desired values of devices of a type.
    fn values<'p>(&self, platform: &'p Platform, device_type: &str) -> Result<Values<'p>, String> {
        let Some(declared) = platform.device_types.get(device_type) else {
            return Err(format!("there is no device type `{device_type}`"));
        };
        let find = |name: &str| {
            let known: Vec<&str> = declared.desired.keys().map(|id| id.as_str()).collect();
            declared.desired.get_key_value(name).ok_or_else(|| {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                format!("device type `{device_type}` has no setting `{name}`; its settings: {known}")
            })
        };
        let mut values = Values::new();
        let mut put = |declared: &'p setting::Setting, name: &str, value| {
            let of_shadow = values.entry(declared.shadow.as_ref()).or_default();
            match of_shadow.insert(name.to_owned(), value) {
                None => Ok(()),
                Some(_) => Err(format!("setting `{name}` is given twice")),
            }
        };
        for (name, text) in &self.set {
            let (id, declared) = find(name)?;
            let value = read(&declared.value, text);
            if !setting(id, declared).takes(&value) {
                return Err(format!("setting `{name}` of device type `{device_type}` does not take `{text}`"));
            }
            put(declared, name, value)?;
        }
        for name in &self.unset {
            let (_, declared) = find(name)?;
            put(declared, name, Value::Null)?;
        }
        Ok(values)
    }

    async fn show(&self, shadows: &Shadows, meant: &[Meant<'_>]) -> Result<(), Stop> {
        let mut pace = Pace::new(self.rate);
        let mut differ = 0;
        for Meant { device, device_type, .. } in meant {
            pace.wait().await;
            let mut found = BTreeMap::new();
            for name in device_type.settings_by_shadow().into_keys() {
                found.insert(name, shadows.read(device, name).await?);
            }
            let lines = differences(device, device_type, &found, self.all, now());
            differ += usize::from(!differences(device, device_type, &found, false, now()).is_empty());
            print(&lines)?;
        }
        tell(format_args!("{differ} of {} differ from what is desired", counted(meant.len(), "device")));
        Ok(())
    }

    async fn set(&self, shadows: &Shadows, meant: &[Meant<'_>]) -> Result<(), Stop> {
        let (mut pace, mut told, mut set, count) = (Pace::new(self.rate), now().0, 0, meant.len());
        for (Meant { device, values, .. }, done) in meant.iter().zip(0_usize..) {
            pace.wait().await;
            if now().0 - told >= PROGRESS_EVERY_MS {
                told = now().0;
                tell(format_args!("{done} of {count}; next is {device}"));
            }
            let is_set = self.set_one(shadows, device, values).await.map_err(|stop| {
                stop.help(format_args!("{done} of {count} devices are done: run this again to continue"))
            })?;
            set += usize::from(is_set);
        }
        let would = if self.dry_run { "would be " } else { "" };
        tell(format_args!("{would}set on {set} of {}; {} already had it", counted(count, "device"), count - set));
        Ok(())
    }

    /// Whether there was anything to set in any of a device's shadows.
    async fn set_one(&self, shadows: &Shadows, device: &str, values: &Values<'_>) -> Result<bool, Stop> {
        let mut is_set = false;
        for (name, values) in values {
            is_set |= self.set_shadow(shadows, device, *name, values).await?;
        }
        Ok(is_set)
    }

    /// Whether there was anything to set in one of them.
    async fn set_shadow(
        &self,
        shadows: &Shadows,
        device: &str,
        name: Option<&ShadowName>,
        values: &Map<String, Value>,
    ) -> Result<bool, Stop> {
        let mut conflicts = 0;
        loop {
            let shadow = shadows.read(device, name).await?;
            let lacks =
                |(name, value): &(&String, &Value)| !are_same(shadow.desired.get(*name).unwrap_or(&Value::Null), value);
            let new: Map<String, Value> =
                values.iter().filter(lacks).map(|(name, value)| (name.clone(), value.clone())).collect();
            if new.is_empty() {
                return Ok(false);
            }
            let line = format!("{device} {}{}\n", json!(new), in_shadow(name));
            if self.dry_run {
                print(&format!("would set {line}"))?;
                return Ok(true);
            }
            match shadows.desire(device, name, &new, &shadow).await {
                // It was changed between the two calls, perhaps by the device itself.
                Err(error) if error.is_conflict() && conflicts < CONFLICTS_MAX => conflicts += 1,
                done => {
                    done?;
                    print(&line)?;
                    return Ok(true);
                }
            }
        }
    }
}

/// A value as given on the command line.
fn read(value: &ValueType, text: &str) -> Value {
    match value {
        ValueType::Float { .. } | ValueType::Int { .. } | ValueType::Bool => {
            serde_json::from_str(text).unwrap_or(Value::Null)
        }
        ValueType::Enum { .. } | ValueType::String => json!(text),
    }
}

/// Whether two values are equal: a whole number may be written with a point.
fn are_same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

/// The shadow of settings, if it is not the classic one.
fn in_shadow(name: Option<&ShadowName>) -> String {
    name.map_or_else(String::new, |name| format!(" in shadow {name}"))
}

/// One line per setting: its desired and its reported value.
fn differences(
    device: &str,
    device_type: &DeviceType,
    shadows: &BTreeMap<Option<&ShadowName>, Shadow>,
    all: bool,
    now: Timestamp,
) -> String {
    let mut lines = String::new();
    for (id, declared) in &device_type.desired {
        let (name, shadow) = (id.as_str(), &shadows[&declared.shadow.as_ref()]);
        let (desired, reported) = (shadow.desired.get(name), shadow.reported.get(name));
        let differs = desired.is_some_and(|desired| !reported.is_some_and(|reported| are_same(desired, reported)));
        if !all && !differs {
            continue;
        }
        let said = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), ToString::to_string);
        let since = shadow.reported_at.get(name).map_or(String::new(), |at| format!(" {} ago", ago(*at, now)));
        let (desired, reported) = (said(desired), said(reported));
        let place = in_shadow(declared.shadow.as_ref());
        let _written = writeln!(lines, "{device} {name}: desired {desired}, reported {reported}{since}{place}");
    }
    lines
}

/// Limits the number of devices per second.
struct Pace {
    every: Duration,
    next: tokio::time::Instant,
}

impl Pace {
    fn new(rate: NonZeroU32) -> Self {
        Self { every: Duration::from_secs(1) / rate.get(), next: tokio::time::Instant::now() }
    }

    async fn wait(&mut self) {
        tokio::time::sleep_until(self.next).await;
        self.next = tokio::time::Instant::now() + self.every;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_its_setting_has_it() {
        assert_eq!(read(&ValueType::Float { min: None, max: None }, "-2.5"), json!(-2.5));
        assert_eq!(read(&ValueType::Bool, "true"), json!(true));
        assert_eq!(read(&ValueType::Bool, "yes"), Value::Null);
        // A string that looks like a number is a string.
        assert_eq!(read(&ValueType::String, "60"), json!("60"));
    }

    #[test]
    fn numbers_are_the_same_however_they_are_written() {
        assert!(are_same(&json!(70), &json!(70.0)) && are_same(&json!("a"), &json!("a")));
        assert!(!are_same(&json!(70), &json!("70")) && !are_same(&Value::Null, &json!(0)));
    }
}
