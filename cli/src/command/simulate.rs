//! `fleetform simulate`.

use std::{
    collections::BTreeMap,
    io::{self, BufWriter, IsTerminal as _, Write},
};

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use fleetform_engine::units::{Millis, Timestamp};
use fleetform_fleet::{DEVICES_MAX, Fleet, Group, Member, Mix, NameTemplate, Options, Profile};
use fleetform_generator::{Registration, duration, platform::Platform, rule_set};

#[cfg(feature = "mqtt")]
use crate::mqtt;
#[cfg(feature = "aws")]
use crate::{deployed, live, sender};
use crate::{
    input::{self, File},
    out_file::{self, unwritable},
    terminal::{Stop, counted, tell},
};

/// The default start of a run, a Monday: the moment at which rule tests start.
const START: &str = "2026-01-05T12:00:00Z";

/// The longest run.
const LENGTH_MAX: Millis = Millis::from_secs(365 * 86_400);

/// How many times progress is reported during a run.
const PROGRESS_STEPS: f64 = 20.0;

/// Write what a fleet of simulated devices would send
///
/// Creates as many devices as the platform file states, and writes the records that the topic rules would put on the
/// telemetry stream, one per line: first the devices' registrations, then every message in the order of arrival. The
/// same arguments give the same bytes. `fleetform explain --log` reads them. With `--live` the records go onto the
/// stream of a deployed platform instead, in real time, and with `--mqtt` to a message broker, over one connection per
/// device.
#[derive(Args, Debug)]
pub(crate) struct Simulate {
    #[command(flatten)]
    file: File,
    /// The environment; defaults to the file's default environment
    #[arg(long, value_name = "ENVIRONMENT")]
    env: Option<String>,
    /// How long the devices send
    #[arg(long = "for", value_name = "DURATION", default_value = "10m", value_parser = length)]
    length: Millis,
    /// When they start; with `--live` and `--mqtt` it is now
    #[arg(long, value_name = "RFC3339", default_value = START, value_parser = moment)]
    start: Timestamp,
    /// Seed for everything random
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Devices of each type in each zone, instead of the platform file's `count`
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    per_zone: Option<u32>,
    /// How the devices behave, with shares: `steady=9,malformed=1`. The profiles are steady, daily, step, drift, stuck,
    /// burst, silence, skew, duplicates, disorder and malformed; defaults to a mix of all
    #[arg(long, value_name = "PROFILES")]
    profiles: Option<Mix>,
    /// Names of the devices, with `{type}`, `{zone}` and the device's number, padded with zeros to a width: `{n:WIDTH}`
    #[arg(long, value_name = "TEMPLATE", default_value = "sim-{n:5}", value_parser = NameTemplate::parse)]
    name: NameTemplate,
    /// The file to write; defaults to standard output
    #[arg(long, value_name = "FILE", value_parser = out_file::path)]
    out: Option<Utf8PathBuf>,
    /// Register the devices on the deployed platform's telemetry stream, and put each message there at its time
    #[cfg(feature = "aws")]
    #[arg(long, conflicts_with_all = ["out", "start"])]
    #[cfg_attr(feature = "mqtt", arg(conflicts_with = "mqtt"))]
    live: bool,
    /// The stream; defaults to the one of the environment's stack
    #[cfg(feature = "aws")]
    #[arg(long, value_name = "NAME", requires = "live")]
    stream: Option<String>,
    #[cfg(feature = "mqtt")]
    #[command(flatten)]
    mqtt: mqtt::Arguments,
}

fn length(text: &str) -> Result<Millis, String> {
    let length = duration(text).filter(|length| (Millis(1)..=LENGTH_MAX).contains(length));
    length.ok_or_else(|| "write a length of time up to a year, such as 90s, 10m or 24h".to_owned())
}

fn moment(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_rfc3339(text).ok_or_else(|| format!("write it as {START}"))
}

/// What was written.
#[derive(Default)]
struct Written {
    messages: u64,
    samples: u64,
    malformed: u64,
}

impl Simulate {
    pub(crate) fn run(self) -> Result<(), Stop> {
        let project = input::project(&self.file.file)?;
        let platform = input::platform(&project, self.env.as_deref())?;
        let rules = rule_set(platform);
        let start = self.begin(platform)?;
        let groups = self.groups(platform)?;
        let mut fleet = Fleet::new(&rules, &groups, self.options(platform, start))
            .map_err(|error| Stop::bad_input(error).help("choose shorter names with --name"))?;
        let registrations = self.registrations(platform, &fleet, start)?;
        let by_profile = count_profiles(fleet.devices());
        #[cfg(feature = "mqtt")]
        if self.mqtt.is_given() {
            // The devices are the same whenever they start.
            let fleet_at =
                |start| Fleet::new(&rules, &groups, self.options(platform, start)).expect("names are checked");
            return self.mqtt.run(platform, fleet.devices(), self.seed, fleet_at, &by_profile);
        }
        let devices = fleet.devices().len();
        #[cfg(feature = "aws")]
        if self.live {
            let keys = fleet.devices().iter().map(|device| device.id.to_string());
            let records = keys.zip(registrations).map(|(key, data)| sender::Record { key, data }).collect();
            let sent = live::send(platform, self.stream.as_deref(), &mut fleet, records)?;
            tell(format_args!(
                "{} sent {} with {}; {} of the messages are malformed",
                counted(devices, "device"),
                counted(sent.messages, "message"),
                counted(sent.samples, "sample"),
                sent.malformed
            ));
            tell(format_args!("profiles: {by_profile}"));
            let late = sent.latest_ms as f64 / 1_000.0;
            tell(format_args!("records retried: {}; the latest message was {late:.1} s late", sent.retried));
            return Ok(());
        }
        let written = match &self.out {
            None => match write(&mut fleet, &registrations, &mut BufWriter::new(io::stdout().lock())) {
                // A reader that has closed the pipe is not a failure.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                result => {
                    result.map_err(|error| Stop::failed(format_args!("cannot write to standard output: {error}")))?
                }
            },
            Some(path) => to_file(path, &self.file.file, &mut fleet, &registrations)?,
        };
        tell(format_args!(
            "{} sent {} with {}; {} of the messages are malformed",
            counted(devices, "device"),
            counted(written.messages, "message"),
            counted(written.samples, "sample"),
            written.malformed
        ));
        tell(format_args!("profiles: {by_profile}"));
        Ok(())
    }

    fn options(&self, platform: &Platform, start: Timestamp) -> Options {
        Options {
            seed: self.seed,
            start,
            length: self.length,
            mix: self.profiles.clone().unwrap_or_default(),
            names: self.name.clone(),
            last_will: platform.mqtt.last_will,
        }
    }

    /// The number of devices of each type in each zone.
    fn groups(&self, platform: &Platform) -> Result<Vec<Group>, Stop> {
        let mut groups = Vec::new();
        for (device_type, described) in &platform.device_types {
            let group = |zone: &_, count| Group { device_type: device_type.clone(), zone: Clone::clone(zone), count };
            match self.per_zone {
                Some(count) => groups.extend(platform.zones.keys().map(|zone| group(zone, count))),
                None => groups.extend(described.count.iter().map(|(zone, count)| group(zone, *count))),
            }
        }
        let devices: u64 = groups.iter().map(|group| u64::from(group.count)).sum();
        if devices == 0 {
            return Err(Stop::bad_input("no device type has a `count`, so there are no devices to simulate")
                .help("give their number in each zone: fleetform simulate --per-zone 10"));
        }
        if devices > DEVICES_MAX {
            return Err(Stop::bad_input(format_args!(
                "{devices} devices are too many: at most {DEVICES_MAX} can be simulated"
            ))
            .help("simulate fewer with --per-zone"));
        }
        Ok(groups)
    }

    /// When the run starts: now, if a deployed platform sees it.
    fn begin(&self, platform: &Platform) -> Result<Timestamp, Stop> {
        let environment = &platform.environment;
        if self.is_seen() && environment.protect {
            return Err(Stop::bad_input(format_args!(
                "environment `{}` is protected, and simulated devices would raise alerts there",
                environment.id
            ))
            .help("choose an unprotected environment with --env"));
        }
        #[cfg(feature = "aws")]
        if self.live {
            return Ok(deployed::now());
        }
        Ok(self.start)
    }

    /// Whether messages may reach a deployed platform.
    fn is_seen(&self) -> bool {
        let seen: &[bool] = &[
            #[cfg(feature = "aws")]
            self.live,
            #[cfg(feature = "mqtt")]
            self.mqtt.is_seen(),
        ];
        seen.contains(&true)
    }

    /// The records that register the devices, checked like those of real devices.
    fn registrations(&self, platform: &Platform, fleet: &Fleet<'_>, start: Timestamp) -> Result<Vec<Vec<u8>>, Stop> {
        let revision = u64::try_from(start.0).unwrap_or_default();
        let registrations = fleet.devices().iter().map(|device| {
            let (id, device_type, zone) = (device.id.as_str(), device.device_type.as_str(), device.zone.as_str());
            Registration::new(platform, id, device_type, zone, &[])
                .map(|registration| registration.record(revision, start))
                .map_err(|errors| {
                    let error = errors.first().expect("there is no failure without an error");
                    Stop::bad_input(error).help("choose matching names with --name, such as SN-{n:6}")
                })
        });
        registrations.collect()
    }
}

fn count_profiles(devices: &[Member]) -> String {
    let mut counts: BTreeMap<Profile, u64> = BTreeMap::new();
    for device in devices {
        *counts.entry(device.profile).or_default() += 1;
    }
    let counts: Vec<String> = counts.iter().map(|(profile, count)| format!("{} {count}", profile.as_str())).collect();
    counts.join(", ")
}

/// Writes a file atomically: an earlier one stays until the new one is complete.
fn to_file(
    path: &Utf8Path,
    platform: &Utf8Path,
    fleet: &mut Fleet<'_>,
    registrations: &[Vec<u8>],
) -> Result<Written, Stop> {
    if path.canonicalize().is_ok_and(|path| platform.canonicalize().is_ok_and(|platform| platform == path)) {
        return Err(Stop::bad_input(format_args!("`{path}` is the platform file")).help("name another file to write"));
    }
    let file = out_file::create(path)?;
    let mut output = BufWriter::new(&file);
    let written = write(fleet, registrations, &mut output).map_err(|error| unwritable(path, &error))?;
    drop(output);
    file.persist(path).map_err(|error| unwritable(path, &error.error))?;
    Ok(written)
}

fn write(fleet: &mut Fleet<'_>, registrations: &[Vec<u8>], output: &mut impl Write) -> io::Result<Written> {
    for registration in registrations {
        output.write_all(registration)?;
        output.write_all(b"\n")?;
    }
    let shows_progress = io::stderr().is_terminal();
    let mut written = Written::default();
    let mut told = 0.0;
    while let Some(event) = fleet.next() {
        output.write_all(&fleet.record(&event))?;
        output.write_all(b"\n")?;
        written.messages += 1;
        written.samples += event.samples as u64;
        written.malformed += u64::from(event.is_malformed);
        let step = (fleet.share(event.at) * PROGRESS_STEPS).floor();
        if shows_progress && step > told {
            told = step;
            let percent = 100.0 * step / PROGRESS_STEPS;
            tell(format_args!("{percent} %: {} messages", written.messages));
        }
    }
    output.flush()?;
    Ok(written)
}
