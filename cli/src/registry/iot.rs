//! Access to AWS IoT's registry, and to the things in it that belong to an environment.
//!
//! How calls to AWS IoT are made is up to the runtime.

use fleetform_generator::platform::Platform;
use fleetform_runtime::aws::iot::Patience;
pub(crate) use fleetform_runtime::aws::iot::{CallError, Iot, MARKER, TOKEN, encode};
use fleetform_runtime::aws::signed::{Method, http_client};

use super::Thing;
use crate::{
    found::{self, check_account},
    terminal::Stop,
};

/// Things in one answer: <https://docs.aws.amazon.com/iot/latest/apireference/API_ListThings.html>.
const PAGE_THINGS: usize = 250;

/// Attempts of a call that AWS throttles; the longest first wait between them, in milliseconds, and the variable that
/// overrides it.
const ATTEMPTS: u32 = 9;
const BACKOFF_MS: u64 = 500;
const BACKOFF_VARIABLE: &str = "FLEETFORM_BACKOFF_MS";

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        Self::failed(error)
    }
}

/// The registry of a platform's environment.
pub(crate) async fn open(platform: &Platform) -> Result<Iot, Stop> {
    let config = found::config(platform).await?;
    let provider = config.credentials_provider().ok_or_else(|| Stop::failed("there are no AWS credentials"))?;
    let http = http_client().map_err(|error| Stop::failed(format_args!("cannot connect to AWS: {error}")))?;
    let backoff_ms = std::env::var(BACKOFF_VARIABLE).ok().and_then(|value| value.parse().ok());
    let patience = Patience { attempts: ATTEMPTS, backoff_ms: backoff_ms.unwrap_or(BACKOFF_MS) };
    let region = platform.environment.region.to_string();
    Ok(Iot::new(http, provider, region, config.endpoint_url(), patience))
}

/// The things of a stack's devices, in the order of their names. `progress` is called with how many there are so far.
pub(crate) async fn things_of(
    iot: &Iot,
    platform: &Platform,
    stack: &str,
    mut progress: impl FnMut(usize),
) -> Result<Vec<Thing>, Stop> {
    let stack_is = encode(stack);
    let path = format!("/things?attributeName=stack&attributeValue={stack_is}&maxResults={PAGE_THINGS}");
    let mut things: Vec<Thing> = iot.pages("list things", Method::GET, &path, "things", TOKEN, &mut progress).await?;
    for thing in &things {
        check_account(platform, &format!("thing `{}`", thing.name), &thing.arn)?;
    }
    // An emulator may filter by nothing.
    things.retain(|thing| thing.attribute("stack") == Some(stack));
    things.sort_by(|a, b| a.name.cmp(&b.name));
    things.dedup_by(|a, b| a.name == b.name);
    Ok(things)
}
