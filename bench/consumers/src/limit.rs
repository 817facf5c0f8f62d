//! The cost of reading only, with the fastest available libraries: event and envelope as borrowed types with sonic-rs,
//! base64 with AVX2 into a reused buffer, and the message as a value of sonic-rs.

use fleetform_consumers::{Failure, Pass, tally::Tally};
use serde::Deserialize;
use sonic_rs::{JsonContainerTrait as _, JsonValueTrait as _, Value};

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "Records")]
    records: Vec<Record<'a>>,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    kinesis: Kinesis<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kinesis<'a> {
    partition_key: &'a str,
    sequence_number: &'a str,
    data: &'a str,
    approximate_arrival_timestamp: f64,
}

#[derive(Deserialize)]
struct Wrapped<'a> {
    p: &'a str,
    d: &'a str,
    t: i64,
}

#[derive(Default)]
pub(crate) struct Limit {
    data: Vec<u8>,
    payload: Vec<u8>,
    tally: Tally,
}

fn decode<'b>(text: &str, buffer: &'b mut Vec<u8>) -> Result<&'b [u8], Failure> {
    if buffer.len() < text.len() {
        buffer.resize(text.len(), 0);
    }
    let out = base64_simd::Out::from_slice(buffer.as_mut_slice());
    Ok(base64_simd::STANDARD.decode(text.as_bytes(), out).map_err(|error| error.to_string())?)
}

fn is_message(message: &Value) -> bool {
    let good = |sample: &Value| {
        sample.get("readings").and_then(|readings| readings.as_object()).is_some_and(|readings| {
            readings.iter().all(|(_, value)| value.as_f64().map(std::hint::black_box).is_some())
        })
    };
    match message.get("records").and_then(|records| records.as_array()) {
        Some(records) => records.iter().all(good),
        None => good(message),
    }
}

impl Pass for Limit {
    fn event(&mut self, body: &[u8]) -> Result<(), Failure> {
        let event: Event<'_> = sonic_rs::from_slice(body)?;
        for Record { kinesis } in &event.records {
            self.tally.records += 1;
            let data = decode(kinesis.data, &mut self.data)?;
            let wrapped: Wrapped<'_> = sonic_rs::from_slice(data)?;
            std::hint::black_box((kinesis.partition_key, kinesis.sequence_number));
            std::hint::black_box((kinesis.approximate_arrival_timestamp, wrapped.d, wrapped.t));
            let payload = decode(wrapped.p, &mut self.payload)?;
            let message = sonic_rs::from_slice::<Value>(payload);
            if !message.is_ok_and(|message| is_message(&message)) {
                self.tally.malformed += 1;
            }
        }
        Ok(())
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}
