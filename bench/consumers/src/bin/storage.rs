//! The cost of storing and exporting: processor time for converting batches of the stream to rows, and the rows of a
//! day to a Parquet file, with ports in memory. The first round is not counted. The output is checked in every round;
//! times never are.

use std::{
    collections::HashMap,
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use clap::{Parser, ValueEnum};
use fleetform_consumers::{
    Failure,
    corpus::{self, DEVICE_TYPE, READINGS, USUAL, device, zone},
    random::Random,
    rules,
    statistics::Spread,
};
use fleetform_engine::{
    drive::PortError,
    rows::{
        Reader,
        columns::{Column, ColumnType, FIXED},
    },
    units::{Millis, Timestamp},
};
use fleetform_runtime::{
    event::kinesis::KinesisEvent,
    export::{Exporter, OBJECT_BYTES, downsample::Downsample, manifest::Layout, memory::World},
    frame::fixture,
    iceberg::{TableName, snapshot::Day},
    store::{
        Encoded, Rows,
        batch::Opened,
        handover,
        history::{History, Registered},
    },
};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;
use smol_str::SmolStr;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SEED: u64 = 20_260_131;
const DAY: Day = Day(20_000);
const DAY_US: i64 = 86_400_000_000;
/// The number of rows in a file of the table.
const FILE_ROWS: usize = 100_000;
/// The number of devices in a day's rows.
const DEVICES: usize = 2_000;

/// Measures storing and exporting.
#[derive(Parser)]
struct Arguments {
    /// Counted rounds.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The number of rows in the exported day.
    #[arg(long, default_value_t = 1_000_000)]
    rows: usize,
    /// What to measure; everything by default.
    #[arg(long, value_delimiter = ',')]
    cases: Vec<Case>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Case {
    /// Events of the stream as JSON rows, handed over in the calls that Firehose takes.
    Store,
    /// A day of a zone, from the table's files to an object.
    Export,
    /// The same, with hourly aggregates in another object.
    Downsample,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let wanted = |case: Case| arguments.cases.is_empty() || arguments.cases.contains(&case);
    let measured = || -> Result<(), Failure> {
        if wanted(Case::Store) {
            store(arguments.rounds)?;
        }
        if wanted(Case::Export) {
            export(arguments.rounds, arguments.rows, None)?;
        }
        if wanted(Case::Downsample) {
            let hourly = Downsample { every: Millis::from_secs(3_600), until: Millis(u64::MAX) };
            export(arguments.rounds, arguments.rows, Some(hourly))?;
        }
        Ok(())
    };
    match measured() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The time and the output of a round.
struct Round {
    cpu_s: f64,
    rows: usize,
    bytes: usize,
    objects: usize,
}

/// Runs rounds, whose output must all be the same.
fn rounds(count: usize, mut pass: impl FnMut() -> Result<Round, Failure>) -> Result<(Round, Vec<f64>), Failure> {
    let first = pass()?;
    let mut seconds = Vec::new();
    for _ in 0..count.max(1) {
        let round = pass()?;
        if (round.rows, round.bytes, round.objects) != (first.rows, first.bytes, first.objects) {
            return Err(format!("rounds differ: {} rows after {}", round.rows, first.rows).into());
        }
        seconds.push(round.cpu_s);
    }
    Ok((first, seconds))
}

/// Accepts rows, and counts them.
#[derive(Default)]
struct Taken {
    rows: AtomicUsize,
    bytes: AtomicUsize,
}

impl Rows for Taken {
    async fn put(&self, rows: Vec<Bytes>) -> Result<Vec<Option<String>>, PortError> {
        self.rows.fetch_add(rows.len(), Ordering::Relaxed);
        self.bytes.fetch_add(rows.iter().map(Bytes::len).sum(), Ordering::Relaxed);
        Ok(vec![None; rows.len()])
    }
}

fn store(count: usize) -> Result<(), Failure> {
    let events = corpus::generate(SEED, USUAL).events;
    let mut reader = Reader::from_bytes(&rules::rule_set(10))?;
    let mut known: HashMap<SmolStr, History> = HashMap::new();
    for index in 0..USUAL.devices {
        let registered = Registered {
            from: None,
            at: Timestamp(0),
            revision: 1,
            device_type: DEVICE_TYPE.parse()?,
            zone: zone(index).parse()?,
            retired: false,
        };
        known.insert(device(index).into(), History::beginning(registered));
    }
    let tokio = tokio::runtime::Builder::new_current_thread().build()?;
    let (round, seconds) = rounds(count, || {
        let (began, taken) = (cpu_s(), Taken::default());
        for event in &events {
            let event = KinesisEvent::parse(event)?;
            let stored = Opened::new(&mut reader, &event.batch()).rows(&mut reader, 1, &mut known, Encoded::json);
            tokio.block_on(handover::rows(&taken, &stored.rows, &|| true))?;
        }
        let cpu_s = cpu_s() - began;
        Ok(Round { cpu_s, rows: taken.rows.into_inner(), bytes: taken.bytes.into_inner(), objects: 0 })
    })?;
    let values = READINGS.len() + 1;
    let speed = |each: usize| Spread::of(seconds.iter().map(|seconds| (round.rows * each) as f64 / seconds));
    println!(
        "store: {} events of {} records, {} rows of {values} values, {} bytes a row",
        events.len(),
        USUAL.records,
        round.rows,
        round.bytes / round.rows.max(1)
    );
    println!("  {} rows/s a core", speed(1));
    println!("  {} readings/s a core", speed(values));
    Ok(())
}

/// The columns of three readings and two health values, on which docs/storage.md bases the cost of storing.
fn columns() -> Vec<Column> {
    let column = |(name, column_type): (&str, _)| Column { name: name.into(), column_type, required: false };
    let own = [
        ("battery_level", ColumnType::Float),
        ("flow", ColumnType::Float),
        ("pressure", ColumnType::Float),
        ("signal_strength", ColumnType::Float),
        ("state", ColumnType::Text),
    ];
    FIXED.into_iter().chain(own.map(column)).collect()
}

/// A table with a day of a zone, as Firehose leaves it: each file has all devices for a while.
fn table(rows: usize) -> Result<World, Failure> {
    let world = World::with_columns(&columns());
    let fields = world.metadata().columns()?;
    let mut random = Random::new(SEED);
    let step = DAY_US / rows.max(1) as i64;
    for from in (0..rows).step_by(FILE_ROWS) {
        let file: Vec<_> = (from..rows.min(from + FILE_ROWS))
            .map(|number| {
                let sampled_at = (i64::from(DAY.0) * DAY_US + number as i64 * step) / 1_000 * 1_000;
                let state = if number % 2 == 0 { "stopped" } else { "running" };
                let mut tenths = |end: u64| random.below(end * 10) as f64 / 10.0;
                json!({
                    "device_id": device(number % DEVICES), "sampled_at": sampled_at, "ingested_at": sampled_at + 250_000,
                    "zone": zone(0), "device_type": DEVICE_TYPE, "record": corpus::sequence(number),
                    "battery_level": tenths(100), "flow": tenths(90), "pressure": 40.0 + tenths(20),
                    "signal_strength": -tenths(90), "state": state,
                })
            })
            .collect();
        world.append_frame(&zone(0), DAY, &fixture::from_json(fields.clone(), &file));
    }
    Ok(world)
}

fn export(count: usize, rows: usize, downsample: Option<Downsample>) -> Result<(), Failure> {
    let world = table(rows)?;
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let (round, seconds) = rounds(count, || {
        let exporter = Exporter {
            catalog: world.clone(),
            files: world.clone(),
            cold: World::new(),
            table: TableName { bucket_arn: "b".to_owned(), namespace: "n".to_owned(), table: "t".to_owned() },
            after: Millis(0),
            keep: Millis(u64::MAX),
            layout: Layout::ZoneDay,
            group_rows: 2_000_000,
            object_bytes: OBJECT_BYTES,
            codec: fleetform_runtime::frame::parquet::Codec::default(),
            downsample,
        };
        let began = cpu_s();
        let report = tokio.block_on(exporter.run(&(DAY..=DAY), || Timestamp(DAY.end().0), || true))?;
        let cpu_s = cpu_s() - began;
        let samples = report.exported.iter().map(|(_, samples)| samples).sum::<u64>();
        if samples != rows as u64 {
            return Err(format!("{samples} samples of {rows} rows: {report:?}").into());
        }
        Ok(Round { cpu_s, rows, bytes: report.bytes.try_into()?, objects: exporter.cold.cold().len() - 1 })
    })?;
    println!(
        "export{}: {rows} rows of {} columns, {} objects, {} bytes a row",
        if downsample.is_some() { " with aggregates" } else { "" },
        columns().len(),
        round.objects,
        round.bytes / rows.max(1)
    );
    println!("  {} rows/s a core", Spread::of(seconds.iter().map(|seconds| rows as f64 / seconds)));
    Ok(())
}

/// The processor time of this process, in seconds.
fn cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
