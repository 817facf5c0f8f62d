//! A setting of a device type, with the check of its values that both the command and simulated devices make.

use fleetform_engine::ids::SettingId;
use fleetform_fleet::Setting;
use fleetform_generator::platform::setting;

/// A setting as devices take it.
pub(crate) fn setting(id: &SettingId, declared: &setting::Setting) -> Setting {
    Setting {
        name: id.to_string(),
        value: declared.value.clone(),
        text_chars_max: declared.text_chars_max as usize,
        default: declared.default.clone(),
    }
}
