//! Names of simulated devices.

/// Template of device names, with placeholders for the device's type, zone and number in the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameTemplate(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    DeviceType,
    Zone,
    /// The number, padded with zeros to this width.
    Number(usize),
}

/// Maximum width of the number.
const WIDTH_MAX: usize = 20;

/// Why a text is not a template of a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTemplate {
    /// A place of it is not known.
    #[error("`{{{0}}}` is not one of {{type}}, {{zone}}, {{n}} and {{n:WIDTH}}")]
    Unknown(String),
    /// A place of it has no end.
    #[error("`{{{0}` lacks the `}}` at its end")]
    Unclosed(String),
    /// Every device would have the same name.
    #[error("{{n}} is missing: all devices would have the same name")]
    NoNumber,
}

impl NameTemplate {
    /// Parses a template, such as `SN-{n:6}`.
    pub fn parse(text: &str) -> Result<Self, BadTemplate> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (place, after) = after.split_once('}').ok_or_else(|| BadTemplate::Unclosed(after.to_owned()))?;
            parts.push(Part::Text(before.to_owned()));
            parts.push(match place.split_once(':') {
                None if place == "type" => Part::DeviceType,
                None if place == "zone" => Part::Zone,
                None if place == "n" => Part::Number(0),
                Some(("n", width)) => match width.parse() {
                    Ok(width) if width <= WIDTH_MAX => Part::Number(width),
                    _ => return Err(BadTemplate::Unknown(place.to_owned())),
                },
                None | Some(_) => return Err(BadTemplate::Unknown(place.to_owned())),
            });
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        if parts.iter().any(|part| matches!(part, Part::Number(_))) {
            Ok(Self(parts))
        } else {
            Err(BadTemplate::NoNumber)
        }
    }

    pub(crate) fn name(&self, device_type: &str, zone: &str, number: usize) -> String {
        let text = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::DeviceType => device_type.to_owned(),
            Part::Zone => zone.to_owned(),
            Part::Number(width) => format!("{number:0width$}"),
        };
        self.0.iter().map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_is_filled_in() {
        let template = NameTemplate::parse("a-{type}.{zone}-{n:4}{n}").unwrap();
        assert_eq!(template.name("pump", "zone-a", 12), "a-pump.zone-a-001212");
        for bad in ["{}-{n}", "{n:x}", "{n:99}", "{serial}"] {
            assert!(matches!(NameTemplate::parse(bad), Err(BadTemplate::Unknown(_))), "{bad}");
        }
        let unclosed = NameTemplate::parse("sim-{n:5").unwrap_err();
        assert_eq!(unclosed.to_string(), "`{n:5` lacks the `}` at its end");
        assert_eq!(NameTemplate::parse("pump"), Err(BadTemplate::NoNumber));
        assert_eq!(NameTemplate::parse("{serial}{n}"), Err(BadTemplate::Unknown("serial".to_owned())));
    }
}
