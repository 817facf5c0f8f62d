//! `fleetform devices sync`.

use clap::Args;
use fleetform_generator::platform::Platform;

use crate::{
    deployed::now,
    found::{stack_name, wait},
    input::{self, DEFAULT_FILE},
    registry::{self, Thing, iot},
    sender::{Record, Sender},
    terminal::{Stop, counted, print, tell},
};

/// How often progress is reported.
const PROGRESS_EVERY_MS: i64 = 5_000;

/// Put the records of all registered devices onto the stream again, as the registry has them
///
/// For a stream whose states were lost or started from scratch. Each record keeps its revision: a platform that knows the device already ignores it. The registry is only read. Exits with 1 if a device was left out.
#[derive(Args, Debug)]
pub(crate) struct Sync {
    /// Start with this device, in the order of names: where an interrupted run says to continue
    #[arg(long, value_name = "DEVICE")]
    from: Option<String>,
    /// The stream; defaults to the one of the environment's stack
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// The environment; defaults to the file's default environment
    #[arg(long, value_name = "ENVIRONMENT")]
    env: Option<String>,
    /// The platform file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    file: camino::Utf8PathBuf,
    /// Print the records, and put none on the stream
    #[arg(long)]
    dry_run: bool,
}

impl Sync {
    pub(crate) fn run(self) -> Result<(), Stop> {
        let project = input::project(&self.file)?;
        let platform = input::platform(&project, self.env.as_deref())?;
        wait(self.sync(platform))
    }

    async fn sync(&self, platform: &Platform) -> Result<(), Stop> {
        let stack = stack_name(platform);
        let mut told = now().0;
        let mut progress = |count| {
            if now().0 - told >= PROGRESS_EVERY_MS {
                told = now().0;
                tell(format_args!("{} so far", counted(count, "thing")));
            }
        };
        let registry = iot::open(platform).await?;
        let things = iot::things_of(&registry, platform, &stack, &mut progress).await?;
        let (count, first) = (things.len(), self.from.as_deref().unwrap_or_default());
        let mut left_out = 0;
        let mut records = Vec::new();
        for thing in things.iter().filter(|thing| thing.name.as_str() >= first) {
            match record(platform, thing) {
                Ok(data) => records.push(Record { key: thing.name.clone(), data }),
                Err(problem) => {
                    left_out += 1;
                    tell(format_args!("warning: {} is left out: {problem}", thing.name));
                }
            }
        }
        let put = records.len();
        if self.dry_run {
            for Record { data, .. } in records {
                print(&format!("{}\n", String::from_utf8_lossy(&data)))?;
            }
            tell(format_args!("the records of {put} of the {count} devices of {stack} would be put on the stream"));
        } else {
            let mut sender = Sender::open(platform, self.stream.as_deref()).await?;
            sender.take(records);
            put_all(&mut sender, put).await?;
            tell(format_args!("the records of {put} of the {count} devices of {stack} are on {}", sender.stream()));
        }
        if left_out > 0 {
            return Err(Stop::failed(format_args!("{} left out", counted(left_out, "device")))
                .help("register them again with scripts/devices.sh add, or remove them"));
        }
        Ok(())
    }
}

/// The last record on the stream, with a new time.
fn record(platform: &Platform, thing: &Thing) -> Result<Vec<u8>, String> {
    let registration = registry::registration(thing, platform)?;
    let revision = thing.revision().ok_or("its thing has no revision")?;
    Ok(registration.record(revision, now()))
}

/// Puts all records that wait. An error comes with where another run continues.
async fn put_all(sender: &mut Sender, all: usize) -> Result<(), Stop> {
    let mut told = now().0;
    while let Some(next) = sender.next().map(|record| record.key.clone()) {
        if now().0 - told >= PROGRESS_EVERY_MS {
            told = now().0;
            tell(format_args!("{} of {all}; next is {next}", all - sender.waiting()));
        }
        sender.put().await.map_err(|stop| {
            // Refused records wait ahead of the rest.
            let next = sender.next().map_or(next.as_str(), |record| &record.key);
            stop.help(format_args!(
                "{} of {all} records are on the stream: continue with --from {next}",
                all - sender.waiting()
            ))
        })?;
    }
    Ok(())
}
