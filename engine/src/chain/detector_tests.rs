use proptest::prelude::*;

use super::{super::memory, *};
use crate::rule::memory::Memory;

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![-1e15..1e15, -1.0..1.0, Just(0.0)]
}

fn time() -> impl Strategy<Value = Timestamp> {
    (0..2_000_000_000_000_i64).prop_map(Timestamp)
}

fn past() -> impl Strategy<Value = Memory> {
    let bucket = (0..3_u32, number(), 0.0..1e30).prop_map(|(n, mean, m2)| match n {
        0 => Bucket::default(),
        n => Bucket { n, mean, m2 },
    });
    let estimate = prop_oneof![
        (number(), 0.0..1e30).prop_map(|(mean, variance)| Estimate::Ewma(Ewma { mean, variance })),
        (any::<u64>(), prop::array::uniform12(bucket))
            .prop_map(|(clock, buckets)| Estimate::Zscore(Zscore { clock: Millis(clock), buckets: Box::new(buckets) })),
        prop::collection::vec(-1e15_f32..1e15, 0..=RING_MAX)
            .prop_map(|values| Estimate::Mad(Mad { values: values.into() })),
    ];
    let outliers =
        prop::option::of((time(), any::<u32>(), time()).prop_map(|(since, anomalous, anomalous_since)| Outliers {
            since,
            anomalous,
            anomalous_since,
        }));
    (time(), time(), number(), any::<u32>(), outliers, estimate).prop_map(
        |(since, newest, origin, learned, outliers, estimate)| {
            let origin = Finite::new(origin).expect("a finite number");
            Memory::Anomaly(Past { since, newest, origin, learned, outliers, estimate })
        },
    )
}

fn remembered() -> impl Strategy<Value = Memory> {
    let length = || (0..1_000_000_000_u64).prop_map(Millis);
    let anchor = (number(), time(), length(), length()).prop_map(|(value, moved_at, began, lasted)| {
        let value = Finite::new(value).expect("a finite number");
        let since = moved_at.after(began);
        Memory::Flatline(Anchor { value, moved_at, since, newest: since.after(lasted) })
    });
    let met = (time(), prop::collection::vec(any::<u32>(), 0..COUNT_MAX as usize)).prop_map(|(oldest, gaps)| {
        let lasted = gaps.iter().copied().map(u64::from).sum();
        Memory::Count(Met { oldest, newest: oldest.after(Millis(lasted)), gaps: gaps.into() })
    });
    prop_oneof![3 => past(), 1 => anchor, 1 => met, 1 => Just(Memory::Stepped)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(remembered in prop::option::of(remembered())) {
        let mut writer = Writer::default();
        memory::write(&mut writer, remembered.as_ref());
        let mut reader = Reader::new(&writer.bytes);
        prop_assert_eq!(memory::read(&mut reader), Ok(remembered));
        prop_assert!(reader.is_empty());
    }

    #[test]
    fn it_takes_few_bytes(remembered in remembered()) {
        let mut writer = Writer::default();
        memory::write(&mut writer, Some(&remembered));
        prop_assert!(writer.bytes.len() <= 700);
        prop_assert!(writer.bytes.len() <= remembered.encoded_bytes() * 2);
    }

    #[test]
    fn any_bytes_give_an_answer(mut bytes: Vec<u8>, tag in 0..6_u8) {
        bytes.insert(0, tag);
        let _ = memory::read(&mut Reader::new(&bytes));
    }
}
