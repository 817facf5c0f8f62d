//! List prices of us-east-1 in 2026.

use crate::event::query::Read;

/// US dollars per terabyte (10^12 bytes) scanned by Athena ("Amazon Athena pricing").
const SCANNED_TB_USD: f64 = 5.0;
/// The minimum number of bytes that are charged for a query ("Amazon Athena pricing").
const SCANNED_BYTES_MIN: u64 = 10_000_000;
/// US dollars per gigabyte (10^9 bytes) scanned by Timestream, in an account that is charged by bytes and not by
/// compute units ("Amazon Timestream pricing").
const METERED_GB_USD: f64 = 0.01;
/// US dollars per million read request units of a table with on-demand capacity ("Pricing for On-Demand Capacity",
/// Amazon DynamoDB pricing).
const READ_UNITS_1M_USD: f64 = 0.125;

/// The cost of an Athena query. A query that scans nothing is free.
pub(super) fn scanned(bytes: u64) -> Read {
    let paid = if bytes == 0 { 0 } else { bytes.max(SCANNED_BYTES_MIN) };
    Read { scanned_bytes: bytes, cost_usd: paid as f64 / 1e12 * SCANNED_TB_USD, ..Read::default() }
}

/// The cost of a Timestream query, from the number of bytes that the service reports as charged.
pub(super) fn metered(bytes: u64) -> Read {
    Read { scanned_bytes: bytes, cost_usd: bytes as f64 / 1e9 * METERED_GB_USD, ..Read::default() }
}

/// The cost of a request to the hot table.
pub(super) fn hot(read_units: f64) -> Read {
    let cost_usd = read_units / 1e6 * READ_UNITS_1M_USD;
    Read { hot_requests: 1, hot_read_units: read_units, cost_usd, ..Read::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_of_athena_is_paid_by_the_byte_from_ten_megabytes_on() {
        let cost = |bytes| (scanned(bytes).cost_usd * 1e9).round();
        assert_eq!([0, 1, 10_000_000, 2_000_000_000_000].map(cost), [0.0, 50_000.0, 50_000.0, 1e10]);
    }
}
