//! `[retention]`: how long things are kept.

use fleetform_engine::units::Millis;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{check::bounds::Bounds, check::context::Context, schema::types::Duration, source::At};

/// How long the alert history is kept unless the file says otherwise.
const ALERTS: &str = "400d";

/// `[retention]` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRetention {
    /// How long the alert history is kept, 1d to 10y.
    #[schemars(extend("default" = ALERTS))]
    pub(crate) alerts: Option<Duration>,
}

impl RawRetention {
    /// The life of a row of the alert history.
    pub(crate) fn check(&self, at: &At<'_>, context: &Context<'_>) -> Millis {
        Bounds::new("1d", "10y").check(self.alerts, ALERTS, &at.key("alerts"), context)
    }
}
