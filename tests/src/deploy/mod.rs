//! The deploy test: generated stacks are deployed by their own script, records are sent, and alerts come out. Each part
//! is asserted through the services' own interfaces.

mod aggregates;
mod alert;
mod authority;
mod command;
mod crash;
mod delivery;
mod devices;
mod export;
mod fleet;
mod overrides;
mod platform;
mod provisioning;
mod query;
mod redrive;
mod script;
mod services;
mod stacks;
mod state;
mod storage;
mod sweep;

use std::{
    error::Error,
    net::{Ipv4Addr, SocketAddr},
};

use camino::Utf8PathBuf;

use crate::{aws::Aws, emulator::Emulator, transcript::Transcript, webhook::Receiver};

/// What the test needs on this machine.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The `fleetform` command.
    pub fleetform: Utf8PathBuf,
    /// The folder with `evaluate.zip`, `deliver.zip`, `jobs.zip`, `store.zip`, `export.zip` and `live.zip`.
    pub artifacts: Utf8PathBuf,
    /// The Python environment with the emulator.
    pub python: Utf8PathBuf,
    /// A Python environment with a different reader and writer of Iceberg and Parquet.
    pub iceberg: Utf8PathBuf,
    /// The AWS CLI.
    pub aws: Utf8PathBuf,
    /// The test's own folder, which is emptied first.
    pub work: Utf8PathBuf,
}

/// The account in `tests/deploy/platform.toml`.
const ACCOUNT: &str = "111111111111";
const REGION: &str = "us-east-1";
/// The webhook's address: a public IP address, which the test's own network has on the loopback interface.
const WEBHOOK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10)), 8443);
const EMULATOR_PORT: u16 = 4566;

/// Anything that ends the test early.
type Failure = Box<dyn Error + Send + Sync>;

/// Everything that runs during the test.
struct Test {
    setup: Setup,
    aws: Aws,
    /// Kept alive: the services run in it.
    _emulator: Emulator,
    webhook: Receiver,
    transcript: Transcript,
}

/// Runs the whole test. Returns whether all checks passed.
pub async fn run(setup: Setup) -> Result<bool, Failure> {
    if setup.work.exists() {
        std::fs::remove_dir_all(&setup.work)?;
    }
    std::fs::create_dir_all(setup.work.join("home"))?;
    let emulator = Emulator::start(&setup.python, &setup.iceberg, &setup.work.join("emulator"), EMULATOR_PORT)?;
    let aws = Aws::new(&setup.aws, &emulator.endpoint(), ACCOUNT, REGION, &setup.work.join("home"));
    let webhook = Receiver::start(WEBHOOK)
        .await
        .map_err(|error| format!("cannot listen on {WEBHOOK}: {error}; run this below tests/deploy/namespace.py"))?;
    let mut test = Test { setup, aws, _emulator: emulator, webhook, transcript: Transcript::default() };
    test.scenario().await?;
    Ok(test.transcript.close())
}

impl Test {
    async fn scenario(&mut self) -> Result<(), Failure> {
        self.make_secret()?;
        self.generate(platform::Variant::First)?;
        self.dry_run_changes_nothing()?;
        self.create()?;
        self.assert_services()?;
        self.sample_columns(&["battery_level", "flow_rate", "pressure", "signal_strength", "temperature"])?;
        self.second_run_changes_nothing()?;
        let mut raised = self.raise_alert().await?;
        self.deliver_alert(&mut raised).await?;
        self.bad_records_are_set_aside(&mut raised).await?;
        self.samples_are_stored(&raised).await?;
        self.samples_are_exported().await?;
        self.update()?;
        self.adopt_rules(&mut raised).await?;
        self.sweep(&mut raised).await?;
        self.programs_are_killed_in_mid_batch(&mut raised).await?;
        self.two_environments_share_a_shard(&mut raised).await?;
        self.records_are_put_again(&mut raised).await?;
        self.operators_set_a_rule(&mut raised).await?;
        self.state_is_shown_and_repaired(&mut raised).await?;
        self.devices_come_and_go()?;
        self.a_fleet_comes_and_goes(&mut raised).await?;
        self.devices_are_provisioned_by_claim(&mut raised).await?;
        self.devices_come_with_certificates_of_an_authority(&mut raised).await?;
        self.delete()
    }
}
