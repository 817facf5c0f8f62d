//! One device in a delta or a base. Everything is written under its name, so that a reader with a rule set in another
//! order finds its place. Anything that equals its value in a new device is left out.

use smol_str::SmolStr;

use super::{
    codec::{Malformed, Reader, Writer},
    fleet, memory,
};
use crate::{
    compiled::{Compiled, Kind, Metric},
    effect::Evidence,
    ids::{AttributeId, DeviceId, DeviceTypeId, ZoneId},
    metric::MetricState,
    state::{Device, Firing, Flaps, Head, Instance, Notice, Phase, Presence, Quiet, Registration},
    units::{Finite, Timestamp},
    value::Value,
};

pub(super) fn write(writer: &mut Writer, device: &Device, head: &Head, rules: &Compiled) {
    let registration = &device.registration;
    writer.text(registration.id.as_str());
    writer.number(registration.revision);
    writer.name(registration.device_type.as_str());
    writer.name(registration.zone.as_str());
    writer.number(u64::from(registration.retired));
    writer.number(registration.attributes.len() as u64);
    for (id, value) in &registration.attributes {
        writer.name(id.as_str());
        writer.float(value.get());
    }
    write_time(writer, device.last_ingest, head);
    write_presence(writer, device.presence, head);
    fleet::write_memberships(writer, &device.memberships);
    if let Some(fleet) = &device.fleet {
        fleet::write_members(writer, fleet);
    }
    let Some(home) = device.home else {
        writer.number(0);
        writer.number(0);
        return;
    };
    let (device_type, plan) = (rules.device_type(home), rules.plan(home));

    let metrics = || device_type.metrics.iter().zip(&device.metrics).filter(|(_, state)| state.seen() > 0);
    writer.number(metrics().count() as u64);
    for (metric, state) in metrics() {
        writer.name(metric.id.as_str());
        write_time(writer, state.newest(), head);
        write_value(writer, state.value(), Some(metric));
        writer.number(u64::from(state.seen()));
    }

    let instances = || device.instances.iter().filter(|(_, instance)| !instance.is_default());
    writer.number(instances().count() as u64);
    for (slot, instance) in instances() {
        let rule = &device_type.rules[plan.rules[slot] as usize];
        writer.name(rule.id.as_str());
        write_instance(writer, instance, device_type.metric(rule), head);
    }
}

pub(super) fn read(reader: &mut Reader<'_>, rules: &Compiled, head: &Head) -> Result<Device, Malformed> {
    let registration = Registration {
        id: DeviceId::stored(reader.text("a device's id")?).ok_or(Malformed("a device's id"))?,
        revision: reader.number("a revision")?,
        device_type: match reader.name("a device type")? {
            fleets if fleets == DeviceTypeId::FLEET.as_str() => DeviceTypeId::FLEET,
            name => DeviceTypeId::new(name).map_err(|_| Malformed("a device type"))?,
        },
        zone: ZoneId::new(reader.name("a zone")?).map_err(|_| Malformed("a zone"))?,
        retired: reader.number("whether a device is retired")? != 0,
        attributes: (0..reader.count("the number of attributes")?)
            .map(|_| {
                let id = AttributeId::new(reader.name("an attribute")?).map_err(|_| Malformed("an attribute"))?;
                Ok((id, Finite::new(reader.float("an attribute")?).ok_or(Malformed("an attribute"))?))
            })
            .collect::<Result<_, Malformed>>()?,
    };
    let mut device = Device::new(registration.into(), rules);
    device.last_ingest = read_time(reader, head)?;
    device.presence = read_presence(reader, head)?;
    device.memberships = fleet::read_memberships(reader)?;
    if device.registration.id.fleet().is_some() {
        device.fleet = Some(Box::new(fleet::read_members(reader)?));
    }
    let place = device.home.map(|home| (rules.device_type(home), rules.plan(home)));

    for _ in 0..reader.count("the number of metrics")? {
        let name = reader.name("a metric")?;
        let (device_type, _) = place.ok_or(Malformed("a metric without a device type"))?;
        let index = device_type.metric_of(name).ok_or(Malformed("a metric that its rule set does not know"))?;
        let newest = read_time(reader, head)?;
        let value = read_value(reader, Some(&device_type.metrics[index]))?;
        let seen =
            u32::try_from(reader.number("a number of samples")?).map_err(|_| Malformed("a number of samples"))?;
        if seen == 0 {
            return Err(Malformed("a metric without a sample"));
        }
        device.metrics[index] = MetricState::new(newest, value, seen);
    }
    for _ in 0..reader.count("the number of rules")? {
        let name = reader.name("a rule")?;
        let (device_type, plan) = place.ok_or(Malformed("a rule without a device type"))?;
        let slot = plan
            .rules
            .iter()
            .position(|rule| device_type.rules[*rule as usize].id.as_str() == name)
            .ok_or(Malformed("a rule that its rule set does not know"))?;
        let rule = &device_type.rules[plan.rules[slot] as usize];
        let instance = read_instance(reader, device_type.metric(rule), head)?;
        if instance.is_default() {
            return Err(Malformed("a rule that stands as it began"));
        }
        device.instances[slot] = instance;
    }
    Ok(device)
}

fn write_instance(writer: &mut Writer, instance: &Instance, metric: Option<&Metric>, head: &Head) {
    match &instance.phase {
        Phase::Inactive => writer.number(0),
        Phase::Pending { since } => {
            writer.number(1);
            write_time(writer, Some(*since), head);
        }
        Phase::Firing(firing) => {
            writer.number(2);
            writer.text(&firing.episode);
            write_time(writer, Some(firing.since), head);
            write_time(writer, firing.quiet_since.map(|quiet| quiet.at), head);
            write_time(writer, firing.quiet_since.map(|quiet| quiet.ingested_at), head);
            write_value(writer, Some(firing.value), metric);
            write_evidence(writer, firing.evidence.as_ref());
            writer.number(match firing.notice {
                Notice::Owed { counted: false } => 0,
                Notice::Owed { counted: true } => 1,
                Notice::Given => 2,
            });
            writer.number(u64::from(firing.repeats));
        }
    }
    writer.number(instance.breached);
    writer.number(instance.unclear);
    write_time(writer, instance.noticed_at, head);
    writer.number(u64::from(instance.suppressed));
    memory::write(writer, instance.memory.as_deref());
    match &instance.flaps {
        None => writer.number(0),
        Some(flaps) => {
            writer.number(1 + u64::from(flaps.flapping));
            writer.number(flaps.recent.len() as u64);
            for at in &flaps.recent {
                write_time(writer, Some(*at), head);
            }
        }
    }
}

fn read_instance(reader: &mut Reader<'_>, metric: Option<&Metric>, head: &Head) -> Result<Instance, Malformed> {
    let time = |reader: &mut Reader<'_>| read_time(reader, head)?.ok_or(Malformed("a time"));
    let phase = match reader.number("a phase")? {
        0 => Phase::Inactive,
        1 => Phase::Pending { since: time(reader)? },
        2 => Phase::Firing(Box::new(Firing {
            episode: SmolStr::new(reader.text("an episode")?),
            since: time(reader)?,
            quiet_since: match (read_time(reader, head)?, read_time(reader, head)?) {
                (Some(at), Some(ingested_at)) => Some(Quiet { at, ingested_at }),
                (None, None) => None,
                (Some(_), None) | (None, Some(_)) => return Err(Malformed("a quiet time")),
            },
            value: read_value(reader, metric)?.ok_or(Malformed("the value of an episode"))?,
            evidence: read_evidence(reader)?,
            notice: match reader.number("a notice")? {
                0 => Notice::Owed { counted: false },
                1 => Notice::Owed { counted: true },
                2 => Notice::Given,
                _ => return Err(Malformed("a notice")),
            },
            repeats: u32::try_from(reader.number("a number of notices")?)
                .map_err(|_| Malformed("a number of notices"))?,
        })),
        _ => return Err(Malformed("a phase")),
    };
    Ok(Instance {
        phase,
        breached: reader.number("a window")?,
        unclear: reader.number("a window")?,
        noticed_at: read_time(reader, head)?,
        suppressed: u32::try_from(reader.number("a number of firings")?)
            .map_err(|_| Malformed("a number of firings"))?,
        memory: memory::read(reader)?.map(Box::new),
        flaps: match reader.number("flapping")? {
            0 => None,
            flapping @ (1 | 2) => {
                let count = reader.count("a number of firings")?;
                let recent = (0..count).map(|_| time(reader)).collect::<Result<_, _>>()?;
                Some(Box::new(Flaps { recent, flapping: flapping == 2 }))
            }
            _ => return Err(Malformed("flapping")),
        },
    })
}

fn write_presence(writer: &mut Writer, presence: Presence, head: &Head) {
    writer.number(presence.order.map_or(0, |order| order.saturating_add(1)));
    write_time(writer, presence.gone_at, head);
    write_time(writer, presence.offline_since, head);
}

fn read_presence(reader: &mut Reader<'_>, head: &Head) -> Result<Presence, Malformed> {
    Ok(Presence {
        order: reader.number("a place of presence")?.checked_sub(1),
        gone_at: read_time(reader, head)?,
        offline_since: read_time(reader, head)?,
    })
}

/// Writes the evidence of an episode as its rows hold it, since few episodes have any.
fn write_evidence(writer: &mut Writer, evidence: Option<&Evidence>) {
    match evidence {
        None => writer.text(""),
        Some(evidence) => {
            let json = serde_json::to_vec(evidence).expect("evidence has text keys and finite numbers only");
            writer.blob(&json);
        }
    }
}

fn read_evidence(reader: &mut Reader<'_>) -> Result<Option<Evidence>, Malformed> {
    match reader.blob("evidence")? {
        [] => Ok(None),
        json => serde_json::from_slice(json).map(Some).map_err(|_| Malformed("evidence")),
    }
}

/// Writes a time as its distance from the shard's time, which is usually short. Zero stands for no time.
fn write_time(writer: &mut Writer, time: Option<Timestamp>, head: &Head) {
    match time {
        None => writer.number(0),
        Some(time) => {
            writer.number(1);
            writer.signed(time.0.wrapping_sub(head.shard_time.0));
        }
    }
}

fn read_time(reader: &mut Reader<'_>, head: &Head) -> Result<Option<Timestamp>, Malformed> {
    match reader.number("a time")? {
        0 => Ok(None),
        1 => Ok(Some(Timestamp(reader.signed("a time")?.wrapping_add(head.shard_time.0)))),
        _ => Err(Malformed("a time")),
    }
}

fn write_value(writer: &mut Writer, value: Option<Value>, metric: Option<&Metric>) {
    match value {
        None => writer.number(0),
        Some(Value::Number(number)) => {
            writer.number(1);
            writer.float(number.get());
        }
        Some(Value::Bool(truth)) => writer.number(2 + u64::from(truth)),
        Some(Value::Word(word)) => {
            writer.number(4);
            writer.name(&metric.map_or(&[][..], Metric::words)[usize::from(word)]);
        }
    }
}

fn read_value(reader: &mut Reader<'_>, metric: Option<&Metric>) -> Result<Option<Value>, Malformed> {
    let what = "a value";
    Ok(match reader.number(what)? {
        0 => None,
        1 => Some(Value::Number(Finite::new(reader.float(what)?).ok_or(Malformed(what))?)),
        2 => Some(Value::Bool(false)),
        3 => Some(Value::Bool(true)),
        4 => {
            let word = reader.name(what)?;
            match metric.map(|metric| &metric.kind) {
                Some(Kind::Enum { index, .. }) => Some(Value::Word(*index.get(word).ok_or(Malformed(what))?)),
                Some(Kind::Float { .. } | Kind::Int { .. } | Kind::Bool | Kind::Text) | None => {
                    return Err(Malformed(what));
                }
            }
        }
        _ => return Err(Malformed(what)),
    })
}
