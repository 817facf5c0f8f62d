//! The function `export`, which exports days of samples from their table, its schedule, and the bucket for exports.

use fleetform_engine::units::Millis;
use fleetform_policy::iam::{Statement, Target};

use super::{Access, Given, timestream::STAGING};
use crate::{
    cfn::{
        resource::s3::Bucket,
        stack::{Handle, Stack},
        value::Text,
    },
    platform::{
        downsample::Downsample,
        retention::{ColdClass, STANDARD_IA_AFTER},
        storage::{Engine, Storage},
    },
    stacks::{
        bucket::{self, Expiry, Plan as BucketPlan},
        function::{self, Plan},
        schedule::{self, Plan as SchedulePlan},
        shared::{FunctionOutputs, common_environment, dead_letters},
        site::Site,
    },
};

/// Memory, in MiB: for the rows of one row group, the file being read and the objects being written. New accounts allow
/// no more per function ("Lambda quotas", AWS Lambda developer guide).
const MEMORY_MIB: u32 = 3_008;
/// Seconds that it may take: the maximum for a function ("Lambda quotas", AWS Lambda developer guide).
const TIMEOUT_S: u32 = 900;
/// How long an undeliverable event is kept, and how often its delivery is retried.
const EVENT_AGE_MAX_S: u32 = 3_600;
const RETRIES_MAX: u32 = 10;

/// The prefix of aggregates.
pub(super) const AGGREGATES: &str = "aggregates/";

/// The bucket for exported samples.
pub(super) struct Cold(pub(super) Handle<Bucket>);

/// Adds the bucket of exports.
pub(super) fn add_cold(stack: &mut Stack, given: &Given, kept: &Storage) -> Cold {
    let cold = bucket::add(
        stack,
        cold_id(kept.engine),
        BucketPlan {
            key: &given.key,
            access_log: (&given.access_log, "cold/"),
            expiry: expiry(kept),
            class: transition(kept.retention.cold_class),
        },
        |_| Vec::new(),
    );
    stack.output("ColdBucketName", "Name of the bucket of exported samples", cold.reference());
    Cold(cold)
}

/// When exported files expire. A manifest expires with the samples that it names, and Timestream's leftovers expire
/// with both.
fn expiry(kept: &Storage) -> Expiry {
    let days = |length: Millis| u32::try_from(length.as_secs() / 86_400).unwrap_or(u32::MAX);
    let cold = days(kept.retention.cold);
    let Some(Downsample { keep, .. }) = kept.retention.downsample else { return Expiry::Days(cold) };
    let left = match kept.engine {
        Engine::Iceberg => None,
        Engine::Timestream { .. } => Some((STAGING, cold)),
    };
    let samples = ["samples/", "manifests/"].map(|prefix| (prefix, cold));
    Expiry::ByPrefix(samples.into_iter().chain(left).chain([(AGGREGATES, days(keep))]).collect())
}

/// When exported files move to their storage class.
const fn transition(class: ColdClass) -> Option<(&'static str, u32)> {
    match class {
        ColdClass::IntelligentTiering => Some(("INTELLIGENT_TIERING", 0)),
        ColdClass::Standard => None,
        ColdClass::StandardIa => Some(("STANDARD_IA", (STANDARD_IA_AFTER.as_secs() / 86_400) as u32)),
        ColdClass::GlacierIr => Some(("GLACIER_IR", 0)),
    }
}

pub(super) fn add(
    site: &Site<'_>,
    stack: &mut Stack,
    given: &Given,
    kept: &Storage,
    Cold(cold): &Cold,
    source: Access,
) -> FunctionOutputs {
    let export = &kept.export;
    let mut environment = common_environment(site);
    environment.extend(source.environment);
    environment.extend([
        ("FLEETFORM_COLD_BUCKET", cold.reference()),
        ("FLEETFORM_EXPORT_PARTITION_BY", export.layout.as_str().into()),
        ("FLEETFORM_EXPORT_COMPRESSION", export.compression.as_str().into()),
        ("FLEETFORM_EXPORT_AFTER_S", export.after.as_secs().to_string().into()),
        ("FLEETFORM_WARM_RETENTION_S", kept.retention.warm.as_secs().to_string().into()),
    ]);
    let mut folders = vec!["manifests/", "samples/"];
    if let Some(Downsample { every, .. }) = kept.retention.downsample {
        environment.insert("FLEETFORM_DOWNSAMPLE_S", every.as_secs().to_string().into());
        environment.insert("FLEETFORM_COLD_RETENTION_S", kept.retention.cold.as_secs().to_string().into());
        folders.push(AGGREGATES);
    }
    let plan = Plan {
        id: "Export",
        handler: "export",
        description: "Writes days of samples out of their table, and takes old ones out of it",
        code: given.artifacts.code(stack, "ExportCodeKey", "Key of the zip of the function export"),
        memory_mib: MEMORY_MIB,
        timeout_s: TIMEOUT_S,
        reserved: None,
        environment,
        statements: source.statements.into_iter().chain(statements(cold, &folders)).collect(),
    };
    let added = function::add(site, stack, &given.key, plan);
    schedule::add(
        site,
        stack,
        &given.key,
        &added,
        SchedulePlan {
            id: "ExportSchedule",
            description: "Wakes the function export",
            role_description: "Lets the schedule wake the function export",
            expression: export.schedule.to_string(),
            timezone: Some(export.timezone.clone()),
            event_age_max_s: EVENT_AGE_MAX_S,
            retries_max: RETRIES_MAX,
        },
    );
    FunctionOutputs {
        name: stack.output("ExportFunctionName", "Name of the function export", added.function.reference()),
        dead_letters_name: dead_letters(stack, &added, "ExportDeadLettersName"),
        mapping_id: None,
    }
}

/// The id of the bucket for exports. Each engine has its own, because the numbers in manifests are specific to an
/// engine.
const fn cold_id(engine: Engine) -> &'static str {
    match engine {
        Engine::Iceberg => "ColdBucket",
        Engine::Timestream { .. } => "TimestreamColdBucket",
    }
}

/// The function's permissions for the bucket.
fn statements(cold: &Handle<Bucket>, folders: &[&str]) -> Vec<Statement<Text>> {
    let objects = |folders: &[&str]| -> Vec<Target<Text>> {
        folders.iter().map(|prefix| bucket::objects(&cold.arn(), prefix)).collect()
    };
    vec![
        Statement::allow("WriteExports", ["s3:GetObject", "s3:PutObject"], objects(folders)),
        // Objects that no manifest names. Manifests, whose folder is listed first, are never deleted.
        Statement::allow("ClearExports", ["s3:DeleteObject"], objects(&folders[1..])),
        Statement::allow("ListExports", ["s3:ListBucket"], [Target::One(cold.arn())]),
    ]
}
