//! What a condition remembers, in a delta or a base.

use smol_str::SmolStr;

use super::{
    codec::{Malformed, Reader, Writer},
    detector,
};
use crate::rule::memory::{ALARMS_MAX, Memory};

pub(super) fn write(writer: &mut Writer, memory: Option<&Memory>) {
    match memory {
        None => writer.number(0),
        Some(Memory::Alarms(codes)) => {
            writer.number(1);
            writer.number(codes.len() as u64);
            codes.iter().for_each(|code| writer.name(code));
        }
        Some(Memory::Anomaly(past)) => {
            writer.number(2);
            detector::write_past(writer, past);
        }
        Some(Memory::Flatline(anchor)) => {
            writer.number(6);
            detector::write_anchor(writer, *anchor);
        }
        Some(Memory::Count(met)) => {
            writer.number(4);
            detector::write_met(writer, met);
        }
        Some(Memory::Stepped) => writer.number(5),
    }
}

pub(super) fn read(reader: &mut Reader<'_>) -> Result<Option<Memory>, Malformed> {
    let what = "what a rule remembers";
    Ok(match reader.number(what)? {
        0 => None,
        1 => {
            let count = reader.count(what)?;
            if count > ALARMS_MAX {
                return Err(Malformed(what));
            }
            let codes = (0..count).map(|_| reader.name(what).map(SmolStr::new)).collect::<Result<_, _>>()?;
            Some(Memory::Alarms(codes))
        }
        2 => Some(Memory::Anomaly(detector::read_past(reader)?)),
        3 => Some(Memory::Flatline(detector::read_line(reader)?)),
        4 => Some(Memory::Count(detector::read_met(reader)?)),
        5 => Some(Memory::Stepped),
        6 => Some(Memory::Flatline(detector::read_anchor(reader)?)),
        _ => return Err(Malformed(what)),
    })
}
