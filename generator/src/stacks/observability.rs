//! The stack `observability`: alarms, each with at least one recipient, and a dashboard.

mod samples;
mod watches;

use std::collections::BTreeSet;

use fleetform_engine::{ids::ContactId, rule_set::Channel};
use serde_json::{Value, json};
use smol_str::{SmolStr, format_smolstr};

use super::{
    alerting::{self, add_topic, addresses},
    ingest, processing, provisioning,
    site::Site,
    storage,
};
use watches::{Watch, metric, own_metric, watches};

use crate::{
    cfn::{
        resource::{
            budgets::{Budget, BudgetData, Notification, NotificationWithSubscribers, Spend, Subscriber},
            cloudwatch::{Alarm, Dashboard, Metric, MetricQuery, MetricStat},
            sns::Topic,
        },
        stack::{Output, Stack},
        value::Text,
    },
    platform::region::{Service, offers},
};

/// Maximum number of actions that an alarm has for one state.
const ALARM_ACTIONS_MAX: usize = 5;

/// The monitored resources of the other stacks.
#[derive(Clone, Copy)]
pub(crate) struct Watched<'a> {
    pub(crate) ingest: &'a ingest::Outputs,
    pub(crate) alerting: &'a alerting::Outputs,
    pub(crate) processing: &'a processing::Outputs,
    pub(crate) storage: Option<&'a storage::Outputs>,
    pub(crate) provisioning: Option<&'a provisioning::Outputs>,
}

/// Builds the stack.
pub(crate) fn stacks(site: &Site<'_>, watched: Watched<'_>) -> (Vec<Stack>, ()) {
    let mut stack = site.stack("observability", "alarms and a dashboard");
    let names = Names::import(&mut stack, watched);
    let mut audience = Audience { site, key: &watched.ingest.key_arn, own_topics: Vec::new() };
    let everybody = everybody(site);
    for watch in watches(site, &names) {
        let actions = audience.actions(&mut stack, "Ops", &everybody);
        add_alarm(&mut stack, watch, actions);
    }
    let observe = &site.platform.observe;
    if let Some(lag) = &observe.ingestion_lag {
        for (id, limit, word) in
            [("EventLagWarnAlarm", lag.warn, "worth a look"), ("EventLagPageAlarm", lag.page, "to be acted on")]
        {
            let actions = audience.actions(&mut stack, "Lag", &lag.to);
            let watch = Watch {
                id,
                description: format!("The newest evaluated record is more than {} s old: {word}", limit.as_secs()),
                metrics: vec![own_metric(site, "EventLagMs")],
                stat: "Maximum",
                period_s: 60,
                periods: 3,
                above: limit.0,
            };
            add_alarm(&mut stack, watch, actions);
        }
    }
    let actions = audience.actions(&mut stack, "Ops", &everybody);
    add_silence_alarm(site, &mut stack, actions.clone());
    if let (Some(names), Some(kept)) = (&names.storage, &site.platform.storage) {
        samples::silence(names, kept).into_iter().for_each(|silence| silence.add(&mut stack, actions.clone()));
    }
    if let Some(quarantine) = &observe.quarantine {
        let actions = audience.actions(&mut stack, "Quarantine", &quarantine.to);
        let watch = Watch {
            id: "QuarantineAlarm",
            description: format!("More than {} records were quarantined in an hour", quarantine.max_per_hour),
            metrics: vec![own_metric(site, "Quarantined")],
            stat: "Sum",
            period_s: 3_600,
            periods: 1,
            above: u64::from(quarantine.max_per_hour),
        };
        add_alarm(&mut stack, watch, actions);
    }
    let environment = &site.platform.environment;
    if let Some(limit) = environment.monthly_budget_usd.filter(|_| offers(&environment.region, Service::Budgets)) {
        let actions = audience.actions(&mut stack, "Ops", &everybody);
        stack.add("MonthlyBudget", budget(limit, &actions));
    }
    stack.add("Dashboard", Dashboard { dashboard_body: dashboard(site, &names) });
    (vec![stack], ())
}

/// The names of monitored resources, as parameters of the stack.
struct Names {
    stream: Text,
    evaluate: Text,
    notify: Text,
    relay: Text,
    sweep: Text,
    /// Only if samples are stored.
    storage: Option<StorageNames>,
    /// Only if devices are provisioned by claim.
    provision: Option<Text>,
    mappings: Vec<Text>,
    dead_letters: Vec<Text>,
    tables: Vec<(&'static str, Text)>,
}

/// The same for the sample store.
struct StorageNames {
    store: Text,
    columns: Text,
    export: Text,
    query: Text,
    by: Keeper,
}

/// The sample store.
enum Keeper {
    Iceberg { delivery_stream: Text },
    Timestream { database: Text },
}

impl Names {
    fn import(stack: &mut Stack, watched: Watched<'_>) -> Self {
        let mut import = |output: &Output| stack.import(output);
        let Watched { ingest, alerting, processing, storage, provisioning } = watched;
        let processing::Outputs { evaluate, notify, relay, sweep, .. } = processing;
        let provision = provisioning.map(|outputs| &outputs.provision);
        let mut tables = vec![
            ("AlertConfigurationThrottleAlarm", import(&alerting.configuration_name)),
            ("AlertsTableThrottleAlarm", import(&alerting.alerts_name)),
            ("DeliveriesTableThrottleAlarm", import(&alerting.deliveries_name)),
            ("OutboxTableThrottleAlarm", import(&alerting.outbox_name)),
            ("QuarantineTableThrottleAlarm", import(&processing.quarantine_name)),
        ];
        if let Some(storage) = storage {
            tables.push(("RegistrationsTableThrottleAlarm", import(&storage.registrations_name)));
            tables.extend(storage.hot_name.iter().map(|name| ("HotTableThrottleAlarm", import(name))));
        }
        let of_storage =
            storage.map(|storage| [&storage.store, &storage.columns, &storage.export, &storage.query].into_iter());
        tables.extend(provisioning.map(|outputs| ("AllowListTableThrottleAlarm", import(&outputs.allow_list_name))));
        Self {
            stream: import(&ingest.stream_name),
            evaluate: import(&evaluate.name),
            notify: import(&notify.name),
            relay: import(&relay.name),
            sweep: import(&sweep.name),
            storage: storage.and_then(|storage| {
                let store = import(&storage.store.name);
                let delivery_stream = storage.delivery_stream_name.as_ref();
                let iceberg = delivery_stream.map(|name| Keeper::Iceberg { delivery_stream: import(name) });
                let timestream = storage.timestream_database_name.as_ref();
                let by = iceberg.or_else(|| timestream.map(|name| Keeper::Timestream { database: import(name) }))?;
                let [columns, export, query] =
                    [&storage.columns, &storage.export, &storage.query].map(|one| import(&one.name));
                Some(StorageNames { store, columns, export, query, by })
            }),
            provision: provision.map(|one| import(&one.name)),
            mappings: [evaluate, notify, relay, sweep]
                .into_iter()
                .chain(of_storage.clone().into_iter().flatten())
                .filter_map(|one| one.mapping_id.as_ref())
                .map(&mut import)
                .collect(),
            dead_letters: [evaluate, notify, relay, sweep]
                .into_iter()
                .chain(of_storage.into_iter().flatten())
                .chain(provision)
                .map(|one| import(&one.dead_letters_name))
                .collect(),
            tables,
        }
    }

    /// Every function that reads a stream or sends the time to its shards. `provision`, `columns` and `query` are
    /// called directly, so their callers see failures; `export` has its own alarms.
    fn functions(&self) -> impl Iterator<Item = &Text> {
        let store = self.storage.iter().map(|storage| &storage.store);
        [&self.evaluate, &self.notify, &self.relay, &self.sweep].into_iter().chain(store)
    }
}

fn add_alarm(stack: &mut Stack, watch: Watch, actions: Vec<Text>) {
    let single = watch.metrics.len() == 1;
    let terms = watch.metrics.into_iter().enumerate().map(|(index, metric)| MetricQuery {
        id: format_smolstr!("m{}", index + 1),
        expression: None,
        metric_stat: Some(MetricStat { metric, period: watch.period_s, stat: watch.stat }),
        return_data: single,
    });
    let mut metrics: Vec<_> = terms.collect();
    if !single {
        // Without `FILL`, a term without data would leave the whole sum without data.
        let sum: Vec<_> = metrics.iter().map(|term| format!("FILL({}, 0)", term.id)).collect();
        metrics.push(MetricQuery {
            id: SmolStr::new("sum"),
            expression: Some(sum.join(" + ")),
            metric_stat: None,
            return_data: true,
        });
    }
    stack.add(
        watch.id,
        Alarm {
            alarm_description: watch.description,
            alarm_actions: actions,
            comparison_operator: "GreaterThanThreshold",
            threshold: watch.above,
            evaluation_periods: watch.periods,
            // Nothing happened, so nothing was counted.
            treat_missing_data: "notBreaching",
            metrics,
        },
    );
}

/// Adds an alarm for the absence of something: no open shard received the time for three sweeps, or at least five
/// minutes.
fn add_silence_alarm(site: &Site<'_>, stack: &mut Stack, actions: Vec<Text>) {
    let sweep_every_s = u32::try_from(site.platform.processor.sweep_every.as_secs()).unwrap_or(u32::MAX);
    let silence = Silence {
        id: "SweepSilentAlarm",
        description: "Silent shards are told no time: nobody is missed, and no alert ends by itself",
        metric: own_metric(site, "Ticks"),
        period_s: (3 * sweep_every_s).max(300),
        periods: 1,
    };
    silence.add(stack, actions);
}

/// Something that must be counted at least once in a number of periods.
struct Silence {
    id: &'static str,
    description: &'static str,
    metric: Metric,
    period_s: u32,
    periods: u32,
}

impl Silence {
    fn add(self, stack: &mut Stack, actions: Vec<Text>) {
        let metric_stat = MetricStat { metric: self.metric, period: self.period_s, stat: "Sum" };
        stack.add(
            self.id,
            Alarm {
                alarm_description: self.description.to_owned(),
                alarm_actions: actions,
                comparison_operator: "LessThanThreshold",
                threshold: 1,
                evaluation_periods: self.periods,
                // Nothing was counted, so nothing happened.
                treat_missing_data: "breaching",
                metrics: vec![MetricQuery {
                    id: SmolStr::new("m1"),
                    expression: None,
                    metric_stat: Some(metric_stat),
                    return_data: true,
                }],
            },
        );
    }
}

/// All contacts that are named anywhere in `observe`, in file order.
fn everybody(site: &Site<'_>) -> Vec<ContactId> {
    let observe = &site.platform.observe;
    let lag = observe.ingestion_lag.iter().flat_map(|lag| &lag.to);
    let quarantine = observe.quarantine.iter().flat_map(|quarantine| &quarantine.to);
    let mut seen = BTreeSet::new();
    lag.chain(quarantine).filter(|contact| seen.insert(*contact)).cloned().collect()
}

/// The recipients of alarms: the topics of contacts, or a topic of the stack itself if those are not sufficient.
struct Audience<'a> {
    site: &'a Site<'a>,
    key: &'a Output,
    own_topics: Vec<(&'static str, Text)>,
}

impl Audience<'_> {
    /// Returns the ARNs of the topics that an alarm for these contacts publishes to: at least one, and never more than
    /// an alarm allows.
    fn actions(&mut self, stack: &mut Stack, id: &'static str, contacts: &[ContactId]) -> Vec<Text> {
        let site = self.site;
        let named = |contact: &&ContactId| contacts.contains(contact);
        let topics: Vec<_> = site.topics().filter(|(contact, _)| named(contact)).collect();
        if (1..=ALARM_ACTIONS_MAX).contains(&topics.len()) {
            return topics.into_iter().map(|(contact, channel)| site.topic_arn(contact, channel)).collect();
        }
        // Without contacts there is still a topic, which recipients can subscribe to later.
        let id = if topics.is_empty() { "Ops" } else { id };
        if let Some((_, arn)) = self.own_topics.iter().find(|(own, _)| *own == id) {
            return vec![arn.clone()];
        }
        let of = |wanted: Channel| -> BTreeSet<SmolStr> {
            let topics = topics.iter().filter(|(_, channel)| *channel == wanted);
            topics.flat_map(|(contact, channel)| addresses(site, contact, *channel)).collect()
        };
        let owner = site.platform.owner.iter().filter(|owner| topics.is_empty() && owner.contains('@')).cloned();
        let sms = Vec::from_iter(of(Channel::Sms));
        let email = of(Channel::Email).into_iter().chain(owner).collect();
        let display_name = Some(site.platform.deploy.prefix.clone());
        let topic = Topic { topic_name: None, display_name, kms_master_key_id: stack.import(self.key) };
        let arn = add_topic(stack, &format!("{id}Alarm"), topic, &[(Channel::Sms, sms), (Channel::Email, email)]);
        self.own_topics.push((id, arn.clone()));
        vec![arn]
    }
}

/// The budget of the account, which holds one environment: costs by tag would first require activating the tag by hand.
fn budget(limit_usd: u32, topics: &[Text]) -> Budget {
    // A budget publishes to one topic per notification.
    let subscribers = || vec![Subscriber { subscription_type: "SNS", address: topics[0].clone() }];
    let notification = |notification_type, threshold| NotificationWithSubscribers {
        notification: Notification { comparison_operator: "GREATER_THAN", notification_type, threshold },
        subscribers: subscribers(),
    };
    Budget {
        budget: BudgetData {
            budget_type: "COST",
            time_unit: "MONTHLY",
            budget_limit: Spend { amount: limit_usd, unit: "USD" },
        },
        notifications_with_subscribers: vec![notification("ACTUAL", 80), notification("FORECASTED", 100)],
    }
}

fn dashboard(site: &Site<'_>, names: &Names) -> Text {
    let line = |metric: Metric, stat: &str| {
        let mut row = vec![json!(metric.namespace), json!(metric.metric_name)];
        for dimension in &metric.dimensions {
            row.extend([json!(dimension.name), json!(dimension.value)]);
        }
        row.push(json!({ "stat": stat }));
        Value::Array(row)
    };
    let own = |names: &[&'static str], stat: &str| -> Vec<Value> {
        names.iter().map(|name| line(own_metric(site, name), stat)).collect()
    };
    let lambda = |name: &'static str, stat: &str| -> Vec<Value> {
        names
            .functions()
            .chain(&names.provision)
            .map(|function| line(metric("AWS/Lambda", name, [("FunctionName", function)]), stat))
            .collect()
    };
    let stream = |name: &'static str| line(metric("AWS/Kinesis", name, [("StreamName", &names.stream)]), "Sum");
    let storage = names.storage.iter().flat_map(|names| samples::graphs(site, names));
    let storage = storage.map(|(title, metrics)| {
        (title, metrics.into_iter().map(|(metric, stat)| line(metric, stat)).collect::<Vec<_>>())
    });
    let graphs: [(&str, Vec<Value>); 10] = [
        ("Records and quarantined records", own(&["Records", "Quarantined"], "Sum")),
        ("Transitions and failed deliveries", own(&["Transitions", "DeliveryFailures"], "Sum")),
        ("Age of the newest evaluated record", own(&["EventLagMs"], "Maximum")),
        ("Age of the oldest waiting record", lambda("IteratorAge", "Maximum")),
        ("Ticks and notices that were put in again", own(&["Ticks", "Redriven"], "Sum")),
        ("How far the newest full copy of a state is behind", own(&["BaseBehindMs"], "Maximum")),
        ("Errors", lambda("Errors", "Sum")),
        ("Duration", lambda("Duration", "p99")),
        ("Records on the stream", vec![stream("IncomingRecords"), stream("WriteProvisionedThroughputExceeded")]),
        (
            "Dead letters",
            names
                .dead_letters
                .iter()
                .map(|queue| {
                    line(metric("AWS/SQS", "ApproximateNumberOfMessagesVisible", [("QueueName", queue)]), "Maximum")
                })
                .collect(),
        ),
    ];
    let widgets: Vec<_> = graphs
        .into_iter()
        .chain(storage)
        .enumerate()
        .map(|(index, (title, metrics))| {
            json!({
                "type": "metric",
                "x": 12 * (index % 2),
                "y": 6 * (index / 2),
                "width": 12,
                "height": 6,
                "properties": {
                    "title": title,
                    "region": Text::region(),
                    "period": 60,
                    "view": "timeSeries",
                    "metrics": metrics,
                },
            })
        })
        .collect();
    Text::json(&json!({ "widgets": widgets }))
}
