//! Counts the resources of CloudFormation templates, YAML or JSON, and prints one number.
//!
//! This is a separate program, because a process starts with the peak memory of the one that starts it: a program that
//! measures memory must stay small.

use std::{fs, process::ExitCode};

use serde_json::Value;

fn main() -> ExitCode {
    let mut count = 0;
    for path in std::env::args().skip(1) {
        match resources(&path) {
            Ok(resources) => count += resources,
            Err(error) => {
                eprintln!("{path}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{count}");
    ExitCode::SUCCESS
}

fn resources(path: &str) -> Result<usize, Box<dyn std::error::Error>> {
    let text = fs::read_to_string(path)?;
    let template: Value =
        if path.ends_with(".json") { serde_json::from_str(&text)? } else { serde_saphyr::from_str(&text)? };
    Ok(template["Resources"].as_object().ok_or("there are no resources")?.len())
}
