//! Fleet alerts in place of device alerts: while a fleet alert fires, the alerts of the devices that it counts are
//! recorded without separate notices. The engine decides which fleet rules these are (`engine::routing`).

use fleetform_engine::{
    drive::PortError,
    effect::{NoticeKind, Notification},
    ids::{RuleId, ZoneId},
    routing,
    rule_set::RuleSet,
};

/// The port to the alerts of fleets, and to the notices held for them.
pub trait Fleets: Sync {
    /// Whether the newest alert of a fleet rule in a zone is firing, and not muted.
    fn is_firing(&self, rule: &RuleId, zone: &ZoneId) -> impl Future<Output = Result<bool, PortError>> + Send;

    /// Holds a new notice back, and records the alert that it is held for.
    fn hold(&self, notification: &str, held_for: &str) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Whether a notice was held back.
    fn was_held(&self, notification: &str) -> impl Future<Output = Result<bool, PortError>> + Send;

    /// Records that a held notice's episode is notified after all.
    fn speak(&self, notification: &str) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// The alert that a notice is held for, as `zone/<zone>/<rule>`; `None` if it is to be delivered. The end of an episode
/// is delivered if its beginning was.
pub async fn held_for<F: Fleets>(
    fleets: &F,
    rules: &RuleSet,
    notification: &Notification,
) -> Result<Option<String>, PortError> {
    let alert = &notification.alert;
    let speakers = routing::fleets(rules, alert);
    let beginning = || Notification::id_of(&alert.episode, NoticeKind::Firing, 0);
    let name = |rule: &RuleId, zone: &ZoneId| format!("zone/{zone}/{rule}");
    match notification.kind {
        NoticeKind::Resolved => {
            let Some((rule, zone)) = speakers.first() else { return Ok(None) };
            Ok(fleets.was_held(&beginning()).await?.then(|| name(rule, zone)))
        }
        NoticeKind::Firing | NoticeKind::Repeat | NoticeKind::Flapping => {
            for (rule, zone) in &speakers {
                if fleets.is_firing(rule, zone).await? {
                    return Ok(Some(name(rule, zone)));
                }
            }
            if notification.kind == NoticeKind::Repeat && !speakers.is_empty() {
                fleets.speak(&beginning()).await?;
            }
            Ok(None)
        }
    }
}
