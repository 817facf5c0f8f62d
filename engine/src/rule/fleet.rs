//! `type = "fleet"`: too many of a zone's devices are in a given state.

use smol_str::{SmolStr, format_smolstr};

use super::Finding;
use crate::{
    effect::Evidence,
    fleet::FLEET_DEVICES_MIN,
    rule_set::{FleetLimit, FleetOf, Operator},
    units::Finite,
    value::Value,
};

#[derive(Debug)]
pub(crate) struct Fleet {
    /// The state that is counted.
    pub(crate) of: FleetOf,
    operator: Operator,
    threshold: FleetLimit,
}

impl Fleet {
    pub(super) fn new(of: &FleetOf, operator: Operator, threshold: FleetLimit) -> Self {
        Self { of: of.clone(), operator, threshold }
    }

    /// Compares a number of devices out of the registered ones.
    pub(crate) fn look(&self, devices: u32, registered: u32) -> Finding {
        let (part, threshold) = match self.threshold {
            FleetLimit::Devices(threshold) => (f64::from(devices), threshold),
            // Multiplying first keeps an integral percentage exact.
            FleetLimit::Percent(threshold) => (f64::from(devices) * 100.0 / f64::from(registered.max(1)), threshold),
        };
        let part = Finite::new(part).unwrap_or(Finite::ZERO);
        let breach = registered >= FLEET_DEVICES_MIN && self.operator.holds(part, threshold);
        let mut finding = Finding::new(breach, !breach, Value::Number(part));
        finding.evidence = Some(Evidence::Fleet { devices, registered });
        finding
    }

    pub(super) fn limit(&self) -> SmolStr {
        let operator = self.operator.as_str();
        match self.threshold {
            FleetLimit::Devices(threshold) => format_smolstr!("{operator} {threshold} devices"),
            FleetLimit::Percent(threshold) => format_smolstr!("{operator} {threshold} % of devices"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(operator: Operator, threshold: FleetLimit, (devices, registered): (u32, u32), breach: bool, part: f64) {
        let found = Fleet::new(&FleetOf::Offline, operator, threshold).look(devices, registered);
        assert_eq!((found.breach, found.clear), (breach, !breach), "{devices} of {registered}");
        assert_eq!(found.value, Value::Number(Finite::new(part).unwrap()), "{devices} of {registered}");
        assert_eq!(found.evidence, Some(Evidence::Fleet { devices, registered }));
    }

    #[test]
    fn a_share_is_of_the_registered_devices() {
        let limit = FleetLimit::Percent(Finite::new(30.0).unwrap());
        check(Operator::Above, limit, (3, 10), false, 30.0);
        check(Operator::AtLeast, limit, (3, 10), true, 30.0);
        check(Operator::Above, limit, (4, 10), true, 40.0);
        check(Operator::Above, limit, (0, 0), false, 0.0);
    }

    #[test]
    fn a_number_is_one_of_devices() {
        let limit = FleetLimit::Devices(Finite::new(3.0).unwrap());
        check(Operator::AtLeast, limit, (3, 1_000), true, 3.0);
        check(Operator::Above, limit, (3, 1_000), false, 3.0);
    }

    #[test]
    fn a_few_devices_are_no_fleet() {
        let limit = FleetLimit::Percent(Finite::new(20.0).unwrap());
        check(Operator::Above, limit, (4, 4), false, 100.0);
        check(Operator::Above, limit, (5, 5), true, 100.0);
    }

    #[test]
    fn the_limit_is_said_in_words() {
        let limit = |threshold| Fleet::new(&FleetOf::Offline, Operator::Above, threshold).limit();
        assert_eq!(limit(FleetLimit::Percent(Finite::new(20.0).unwrap())), "> 20 % of devices");
        assert_eq!(limit(FleetLimit::Devices(Finite::new(4.0).unwrap())), "> 4 devices");
    }
}
