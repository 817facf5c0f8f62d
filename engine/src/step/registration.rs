//! Handles the registration, move, change or retirement of a device.

use std::sync::Arc;

use smol_str::format_smolstr;

use super::{
    Moment, Run, composite, fleet,
    judge::{Tally, end},
};
use crate::{
    compiled::{Compiled, Home},
    ids::DeviceId,
    reason::{Reason, Refusal},
    rehome,
    state::{Device, Registration, ShardState},
};

/// Takes a `device` record. One whose revision is not above the known one is ignored.
pub(super) fn take(
    rules: &Compiled,
    state: &mut ShardState,
    registration: Box<Registration>,
    moment: &Moment<'_>,
    run: &mut Run,
) {
    let known = state.find(registration.id.as_str());
    let before = known.map(|index| &state.devices[index as usize]);
    let is_stale = before.is_some_and(|before| registration.revision <= before.registration.revision);
    if is_stale && !mutant!(OlderRegistrationApplied) {
        run.counts.stale_registrations += 1;
        return;
    }
    let registration = Arc::from(registration);
    let device = match before {
        None => Device::new(registration, rules),
        Some(before) => {
            let Run { shard, effects, counts, .. } = run;
            let mut tally = Tally::new(effects, counts, None, moment.before);
            rehome::rehome(rules, rules, before, registration, &mut |device, home, rule, instance, reason| {
                end(&moment.scene(rules, home, shard), &mut tally, device, rule, instance, reason);
            })
        }
    };
    let index = state.put(device);
    run.counts.registrations += 1;
    composite::settle(rules, state, index, moment, run);
    fleet::report(rules, state, index, moment.ingested_at, run);
}

/// Returns why a registered device has no place in the rule set.
pub(super) fn homeless(rules: &Compiled, registration: &Registration) -> Refusal {
    if registration.retired {
        Refusal::new(Reason::RetiredDevice, "the device was retired")
    } else if rules.type_of(&registration.device_type).is_none() {
        Refusal::new(Reason::UnknownType, format_smolstr!("device type `{}`", registration.device_type))
    } else {
        Refusal::new(Reason::UnknownZone, format_smolstr!("zone `{}`", registration.zone))
    }
}

/// The device of a record: its id, its index and its place in the rule set.
pub(super) fn known<'s>(
    rules: &Compiled,
    state: &'s ShardState,
    device: &str,
) -> Result<(&'s DeviceId, u32, Home), Refusal> {
    // The pseudo-device of a fleet has a key that a plain record may carry, and is not a device.
    let found = state.find(device).map(|index| (index, &state.devices[index as usize]));
    let Some((index, known)) = found.filter(|(_, device)| device.fleet.is_none()) else {
        return Err(Refusal::new(Reason::UnknownDevice, "the device was never registered"));
    };
    known.home.map(|home| (&known.registration.id, index, home)).ok_or_else(|| homeless(rules, &known.registration))
}
