//! `type = "device_alarm"`: the device itself has raised an alarm, on its channel `alerts`.

use std::{collections::BTreeSet, ops::Range};

use fleetform_engine::rule_set::{ALARM_CODE_CHARACTERS_MAX, AlarmCode, Condition, is_alarm_code};

use super::{Kind, RawRule, Subject, hold::check_no_sample_keys};
use crate::{
    check::context::{Context, shown},
    diagnostic::{Code, Diagnostic},
};

pub(super) const KIND: Kind =
    Kind { words: &["device_alarm", "DEVICE_ALARM"], required: &[], optional: &["codes"], shapes: Vec::new, check };

fn check(raw: &RawRule, subject: &Subject<'_, '_>) -> Option<Condition> {
    check_no_sample_keys(raw, subject);
    let codes_at = subject.at.key("codes");
    let mut codes: BTreeSet<AlarmCode> = BTreeSet::new();
    for (index, text) in raw.codes.iter().flatten().enumerate() {
        let place = codes_at.index(index);
        let Some(code) = check_code(text, subject.context.value(&place), subject.context) else { continue };
        if !codes.insert(code) {
            let message = format!("rule `{}` names the code `{}` twice", subject.id, shown(text));
            subject.context.report(
                Diagnostic::new(Code::Duplicate, subject.context.value(&place), message).help("remove one of them"),
            );
        }
    }
    Some(Condition::DeviceAlarm { codes })
}

/// Checks a code; reports a text that cannot be an alarm code.
pub(crate) fn check_code(text: &str, span: Range<usize>, context: &Context<'_>) -> Option<AlarmCode> {
    let code = AlarmCode::new(text);
    if is_alarm_code(&code) {
        return Some(code);
    }
    let message = format!("`{}` is no code of an alarm", shown(text));
    context.report(
        Diagnostic::new(Code::InvalidName, span, message)
            .help(format!("a code has 1 to {ALARM_CODE_CHARACTERS_MAX} printable characters")),
    );
    None
}
