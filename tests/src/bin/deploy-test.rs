//! Runs the deploy test. `cargo xtask test` starts it in its own network, with everything it needs prepared.

use std::process::ExitCode;

use fleetform_tests::deploy::{Setup, run};

const USAGE: &str = "usage: deploy-test FLEETFORM ARTIFACTS PYTHON ICEBERG AWS WORK (see `cargo xtask deploy-test`)";

#[tokio::main]
async fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).map(Into::into).collect();
    let Ok([fleetform, artifacts, python, iceberg, aws, work]) = <[_; 6]>::try_from(words) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(Setup { fleetform, artifacts, python, iceberg, aws, work }).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            println!("deploy: 0 passed, 1 failed");
            ExitCode::FAILURE
        }
    }
}
