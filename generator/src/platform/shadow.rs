//! `device_types.X.shadows`: named shadows, which devices have in addition to the classic one.
//!
//! Settings define their contents. For AWS IoT, a named shadow belongs to a thing, whatever its type, so every device
//! may use each of the platform's shadow names on its own thing.

use std::collections::BTreeMap;

use fleetform_engine::ids::{DeviceTypeId, ShadowName};

use super::device_type::DeviceType;
use crate::{
    cfn::value::logical_id,
    check::context::{Context, shown},
    diagnostic::{Code, Diagnostic},
    source::At,
};

/// Maximum number of policies on a certificate: "Maximum number of policies that can be attached to a certificate or
/// Amazon Cognito identity", <https://docs.aws.amazon.com/general/latest/gr/iot-core.html>.
pub const CERTIFICATE_POLICIES_MAX: usize = 10;

/// Policies that a device has whatever its shadows are called: for connecting, for the classic shadow, for commands.
const OTHER_POLICIES: usize = 3;

/// Maximum number of shadow names in a platform: each is a policy of every device.
pub const SHADOW_NAMES_MAX: usize = CERTIFICATE_POLICIES_MAX - OTHER_POLICIES;

/// Returns the names for one device type, without duplicates, in file order.
pub(crate) fn names(raw: Option<&Vec<String>>, at: &At<'_>, context: &Context<'_>) -> Vec<ShadowName> {
    let mut names: Vec<ShadowName> = Vec::new();
    for (index, name) in raw.into_iter().flatten().enumerate() {
        // The schema has the same rule, so a violation has already been reported.
        let Ok(name) = ShadowName::new(name) else { continue };
        if let Some(first) = names.iter().position(|known| *known == name) {
            context.report(
                Diagnostic::new(
                    Code::Duplicate,
                    context.value(&at.index(index)),
                    format!("the shadow `{name}` stands here twice"),
                )
                .related(context.value(&at.index(first)), "first named here")
                .help("remove one of them"),
            );
        } else {
            names.push(name);
        }
    }
    names
}

/// Resolves the shadow that a setting names, which must be one of its device type's.
pub(crate) fn reference(
    name: &str,
    setting: &str,
    names: &[ShadowName],
    at: &At<'_>,
    context: &Context<'_>,
) -> Option<ShadowName> {
    if let Some(found) = names.iter().find(|known| known.as_str() == name) {
        return Some(found.clone());
    }
    let message = format!("setting `{setting}` lives in shadow `{}`, which its device type does not have", shown(name));
    let diagnostic = Diagnostic::new(Code::ValueNotAllowed, context.value(at), message).label("no such shadow");
    context.report(match context.nearest(name, names.iter().map(ShadowName::as_str)) {
        Some(near) => diagnostic.replace(format!("did you mean `{near}`?"), format!("\"{near}\"")),
        None if ShadowName::new(name).is_err() => diagnostic.help(format!("a shadow's name is {}", ShadowName::RULE)),
        None => {
            let all: Vec<String> = names.iter().map(ShadowName::as_str).chain([name]).map(|name| format!("\"{name}\"")).collect();
            diagnostic.help(format!(
                "name it among the type's: shadows = [{}]; or leave `shadow` out, and the setting lives in the classic one",
                all.join(", ")
            ))
        }
    });
    None
}

/// Reports names that policies cannot distinguish, and more names than a certificate has room for.
pub(crate) fn check(types: &BTreeMap<DeviceTypeId, DeviceType>, at: &At<'_>, context: &Context<'_>) {
    let mut places = BTreeMap::new();
    for (id, device_type) in types {
        let type_at = at.key(id.as_str());
        let names_at = type_at.key("shadows");
        for (index, name) in device_type.shadows.iter().enumerate() {
            let span = context.value(&names_at.index(index));
            let first = places.entry(name).or_insert_with(|| span.clone());
            if span.start < first.start {
                *first = span;
            }
        }
    }
    let mut places: Vec<_> = places.into_iter().collect();
    places.sort_by_key(|(_, span)| span.start);
    // A policy is also a file, and some file systems ignore case.
    let key = |name: &ShadowName| logical_id(name.as_str(), "").to_ascii_lowercase();
    for (index, (name, span)) in places.iter().enumerate() {
        if let Some((first, first_span)) = places[..index].iter().find(|(first, _)| key(first) == key(name)) {
            context.report(
                Diagnostic::new(
                    Code::NameCollision,
                    span.clone(),
                    format!("the policies of the shadows `{first}` and `{name}` would have one name"),
                )
                .related(first_span.clone(), "the other one")
                .help("rename one of them: let them differ in more than case, `_` and `-`"),
            );
        }
    }
    if let Some((name, span)) = places.get(SHADOW_NAMES_MAX) {
        context.report(
            Diagnostic::new(
                Code::OutOfBounds,
                span.clone(),
                format!(
                    "a platform has at most {SHADOW_NAMES_MAX} names of shadows, and with `{name}` this one has {}",
                    places.len()
                ),
            )
            .help(format!(
                "let device types share names, or let settings share a shadow: each name is a policy of every device, and \
                 AWS IoT attaches at most {CERTIFICATE_POLICIES_MAX} to a certificate"
            )),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Checked, check};

    fn checked(types: &str) -> Checked {
        let text = format!(
            "schema = 1\n[platform]\nname = \"water\"\n[environments.dev]\naccount = \"111111111111\"\n\
             region = \"us-east-1\"\n[zones.zone-a]\ncontacts = [\"oncall\"]\n[contacts.oncall]\n\
             email = [\"oncall@water.example\"]\n{types}\n"
        );
        check("platform.toml", &text)
    }

    fn device_type(id: &str, shadows: &[&str]) -> String {
        format!("[device_types.{id}]\nreadings = {{ level = {{}} }}\nshadows = {shadows:?}\n")
    }

    fn problems(types: &str) -> Vec<(Code, String)> {
        checked(types).diagnostics.into_iter().map(|found| (found.code, found.message)).collect()
    }

    #[test]
    fn device_types_may_share_names() {
        let types = device_type("meter", &["config", "firmware"]) + &device_type("valve", &["config"]);
        let project = checked(&types).project.expect("a sound file");
        let platform = &project.environments["dev"];
        let names: Vec<&str> = platform.shadows().into_iter().map(ShadowName::as_str).collect();
        assert_eq!(names, ["config", "firmware"]);
    }

    #[test]
    fn a_certificate_has_room_for_seven() {
        let seven = ["a", "b", "c", "d", "e", "f", "g"];
        assert_eq!(problems(&(device_type("meter", &seven) + &device_type("valve", &["g", "a"]))), []);
        let found = problems(&(device_type("valve", &seven) + &device_type("meter", &["g", "h", "i"])));
        let message = "a platform has at most 7 names of shadows, and with `h` this one has 9".to_owned();
        assert_eq!(found, [(Code::OutOfBounds, message)]);
    }

    #[test]
    fn names_differ_in_more_than_policies_tell_apart() {
        for other in ["Config", "con-fig", "CONFIG"] {
            let types = device_type("meter", &["config"]) + &device_type("valve", &[other]);
            let message = format!("the policies of the shadows `config` and `{other}` would have one name");
            assert_eq!(problems(&types), [(Code::NameCollision, message)]);
        }
        assert_eq!(problems(&device_type("meter", &["config", "config-2"])), []);
        assert_eq!(problems(&device_type("meter", &["a", "b", "a"]))[0].0, Code::Duplicate);
    }
}
