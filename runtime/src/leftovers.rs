//! Retries partially accepted batches: rejected items are sent again after a pause, until all are accepted or no
//! progress is made.

use std::time::Duration;

use fleetform_engine::drive::PortError;

/// Maximum consecutive calls of which the service accepts nothing.
pub const FRUITLESS_MAX: u32 = 6;
/// Pauses before the first and later retries; limits are per second.
const PAUSES: [Duration; 3] = [Duration::from_millis(100), Duration::from_millis(300), Duration::from_millis(900)];

/// Some items were not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Left {
    /// The index of the first item that was not accepted; all before it were.
    pub first: usize,
    /// The reason.
    pub why: PortError,
}

/// Sends items until all are accepted. `put` makes one call of the service's operation `call`, and returns for each
/// item, in order, why it was rejected. `pause` waits before the next call, and returns whether there is time for it.
///
/// # Errors
/// If a call fails, if too many in a row accept nothing, or if time is over.
pub async fn put_all<T: Clone, C, P>(
    call: &str,
    things: impl IntoIterator<Item = T>,
    put: impl Fn(Vec<T>) -> C,
    pause: impl Fn(u32) -> P,
) -> Result<(), Left>
where
    C: Future<Output = Result<Vec<Option<String>>, PortError>>,
    P: Future<Output = bool>,
{
    let mut left: Vec<(usize, T)> = things.into_iter().enumerate().collect();
    let mut fruitless = 0;
    loop {
        let Some(first) = left.first().map(|(place, _)| *place) else { return Ok(()) };
        let refused = put(left.iter().map(|(_, thing)| thing.clone()).collect()).await;
        let refused = refused.map_err(|why| Left { first, why })?;
        if refused.len() != left.len() {
            let why = PortError(format!("{call}: {} answers to {} records", refused.len(), left.len()));
            return Err(Left { first, why });
        }
        let Some(reason) = refused.iter().flatten().next().cloned() else { return Ok(()) };
        let before = left.len();
        let mut refusals = refused.iter();
        left.retain(|_| refusals.next().is_some_and(Option::is_some));
        fruitless = if left.len() < before { 0 } else { fruitless + 1 };
        if fruitless >= FRUITLESS_MAX || !pause(fruitless).await {
            let first = left.first().map_or(first, |(place, _)| *place);
            return Err(Left { first, why: PortError(format!("{call}: {reason}: {} records are left", left.len())) });
        }
    }
}

/// Waits before the next call, longer after more fruitless calls. There is always time for another.
pub async fn pause(fruitless: u32) -> bool {
    tokio::time::sleep(PAUSES[(fruitless as usize).min(PAUSES.len() - 1)]).await;
    true
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, future::ready};

    use super::*;

    async fn unpaused(_: u32) -> bool {
        true
    }

    #[tokio::test]
    async fn what_a_call_leaves_over_is_put_again() {
        let calls = RefCell::new(Vec::new());
        let put = |left: Vec<u32>| {
            // Every second item is accepted.
            let throttled = |at| (at % 2 == 1).then(|| "ProvisionedThroughputExceededException".to_owned());
            let answers = (0..left.len()).map(throttled).collect();
            calls.borrow_mut().push(left);
            ready(Ok(answers))
        };
        assert_eq!(put_all("PutRecords", [1, 2, 3, 4, 5], put, unpaused).await, Ok(()));
        assert_eq!(calls.take(), [vec![1, 2, 3, 4, 5], vec![2, 4], vec![4]]);
    }

    #[tokio::test]
    async fn a_service_that_takes_nothing_is_given_up_and_says_why() {
        let calls = RefCell::new(0);
        let put = |left: Vec<u32>| {
            *calls.borrow_mut() += 1;
            // The first item is accepted at once, the others never.
            let refused = left.iter().map(|thing| (*thing > 1).then(|| "InternalFailure".to_owned()));
            ready(Ok(refused.collect()))
        };
        let failed = put_all("PutRecords", [1, 2, 3], put, unpaused).await.expect_err("something is left");
        assert_eq!((failed.first, failed.why.0.as_str()), (1, "PutRecords: InternalFailure: 2 records are left"));
        assert_eq!(calls.take(), FRUITLESS_MAX + 1);
        let over = |_| ready(false);
        let failed = put_all("PutRecords", [1, 2, 3], put, over).await.expect_err("no time is left");
        assert_eq!((failed.first, calls.take()), (1, 1));
        let lost = |_: Vec<u32>| ready(Err(PortError("PutRecords: no answer in time".into())));
        assert_eq!(put_all("PutRecords", [1], lost, unpaused).await.map_err(|left| left.first), Err(0));
        let short = |_: Vec<u32>| ready(Ok(vec![None]));
        assert!(put_all("PutRecords", [1, 2], short, unpaused).await.is_err());
        assert_eq!(put_all("PutRecords", Vec::<u32>::new(), lost, unpaused).await, Ok(()));
    }
}
