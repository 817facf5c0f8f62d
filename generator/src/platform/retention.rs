//! `[retention]`: how long things are kept.

use fleetform_engine::units::Millis;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{check::bounds::Bounds, check::context::Context, schema::types::Duration, source::At};

/// How long the alert history is kept unless the file says otherwise.
const ALERTS: &str = "400d";

/// How long a row of the hot table is kept unless the file says otherwise.
const HOT: &str = "24h";

/// `[retention]` as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRetention {
    /// How long the alert history is kept, 1d to 10y.
    #[schemars(extend("default" = ALERTS))]
    pub(crate) alerts: Option<Duration>,
    /// How long the hot table keeps a sample, 1h to 30d in whole seconds; only with `storage.hot = "dynamodb"`.
    #[schemars(extend("default" = HOT))]
    pub(crate) hot: Option<Duration>,
}

impl RawRetention {
    /// The life of a row of the alert history.
    pub(crate) fn check(&self, at: &At<'_>, context: &Context<'_>) -> Millis {
        Bounds::new("1d", "10y").check(self.alerts, ALERTS, &at.key("alerts"), context)
    }

    /// The life of a row of the hot table.
    pub(crate) fn check_hot(&self, at: &At<'_>, context: &Context<'_>) -> Millis {
        Bounds::new("1h", "30d").in_whole("1s").check(self.hot, HOT, at, context)
    }
}
