//! The codes: one for each kind of problem, with a name, a severity and a page. A code is never reused for something
//! else.

use std::fmt;

/// How serious a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing can be generated.
    Error,
    /// Probably not what the author intended.
    Warning,
}

impl Severity {
    /// The severity as a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal $severity:ident $slug:literal $title:literal,)*) => {
        /// A kind of problem.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $name,)*
        }

        impl Code {
            /// All codes, in numerical order.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its number, as in `P014`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $number,)* }
            }

            /// Its name, as in `unknown-metric`.
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$name => $slug,)* }
            }

            /// A short title.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// The severity of this kind of problem.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }
        }
    };
}

codes! {
    Syntax = "P001" Error "syntax" "the text is not TOML",
    FileTooLarge = "P002" Error "file-too-large" "the file is larger than 8 MiB",
    NestedTooDeeply = "P003" Error "nested-too-deeply" "tables or arrays nest deeper than 64",
    UnknownKey = "P004" Error "unknown-key" "a key that means nothing here",
    WrongType = "P005" Error "wrong-type" "a value of the wrong type",
    MissingKey = "P006" Error "missing-key" "a key that must be there is missing",
    ValueNotAllowed = "P007" Error "value-not-allowed" "a word that is not one of the allowed ones",
    OutOfBounds = "P008" Error "out-of-bounds" "a number, a time or a size outside its bounds",
    NotFinite = "P009" Error "not-finite" "a number that is not finite or does not fit",
    InvalidName = "P010" Error "invalid-name" "a name with characters that names do not have",
    NameCollision = "P011" Error "name-collision" "two names that become the same in CloudFormation",
    UnknownZone = "P012" Error "unknown-zone" "a zone that the file does not declare",
    UnknownDeviceType = "P013" Error "unknown-device-type" "a device type that the file does not declare",
    UnknownMetric = "P014" Error "unknown-metric" "a metric that no matching device type reports",
    UnknownContact = "P015" Error "unknown-contact" "a contact that the file does not declare",
    UnknownSeverity = "P016" Error "unknown-severity" "a severity that the file does not declare",
    UnknownRule = "P017" Error "unknown-rule" "a rule that the file does not declare",
    UnknownAttribute = "P018" Error "unknown-attribute" "an attribute that no matching device type has",
    UnknownEnvironment = "P019" Error "unknown-environment" "an environment that the file does not declare",
    InvalidDuration = "P020" Error "invalid-duration" "a length of time without a unit, or with an unknown one",
    InvalidSize = "P021" Error "invalid-size" "a size without a unit, or with an unknown one",
    UnknownTimezone = "P022" Error "unknown-timezone" "a time zone that is not in the IANA database",
    InvalidUnit = "P023" Error "invalid-unit" "a unit that is not a UCUM code",
    InvalidPhone = "P024" Error "invalid-phone" "a phone number that is not E.164",
    InvalidEmail = "P025" Error "invalid-email" "an address that is not an e-mail address",
    InvalidWebhook = "P026" Error "invalid-webhook" "a webhook that is not a plain https URL",
    PastedSecret = "P027" Error "pasted-secret" "a secret in the file itself",
    UnsafeText = "P028" Error "unsafe-text" "text with characters that other systems would act on",
    InvalidPattern = "P029" Error "invalid-pattern" "a pattern that is not a regular expression",
    InvalidTopic = "P030" Error "invalid-topic" "a topic that AWS IoT or the policies cannot use",
    ThresholdOutOfReach = "P031" Error "threshold-out-of-reach" "a limit that the reading can never pass",
    ClearOnWrongSide = "P032" Error "clear-on-wrong-side" "a clear value on the alerting side of the threshold",
    EmptyRange = "P033" Error "empty-range" "a lower bound that is not below the upper one",
    DurationOutOfReach = "P034" Error "duration-out-of-reach" "a duration that no run of samples can reach",
    KeysExclude = "P035" Error "keys-exclude-each-other" "keys that do not go together",
    BreachAboveOf = "P036" Error "breach-above-of" "more breaching samples than samples",
    StreamMode = "P037" Error "stream-mode" "shards with an on-demand stream, or none with a provisioned one",
    TooFewShards = "P038" Error "too-few-shards" "fewer shards than the devices need",
    NoOrigination = "P039" Error "no-origination" "text messages without a number that they come from",
    RouteWithoutRecipient = "P040" Warning "route-without-recipient" "a route that reaches nobody",
    RouteNeverReached = "P041" Warning "route-never-reached" "a route behind another that takes all its alerts",
    ZoneWithoutContact = "P042" Warning "zone-without-contact" "a zone whose alerts reach nobody",
    RuleShadowed = "P043" Warning "rule-shadowed" "a rule that another one makes needless",
    RuleMatchesNothing = "P044" Warning "rule-matches-nothing" "a rule that no device can meet",
    UnprotectedProduction = "P045" Warning "unprotected-production" "a production environment without protection",
    Unused = "P046" Warning "unused" "something that nothing refers to",
    LogRetention = "P047" Error "log-retention" "a retention that CloudWatch Logs does not offer",
    OfflineTooSoon = "P048" Error "offline-too-soon" "devices that count as offline between two messages",
    ZoneCycle = "P049" Error "zone-cycle" "zones that contain each other",
    InvalidSet = "P050" Error "invalid-set" "an environment's `set` that leads nowhere",
    UnknownLogicalId = "P051" Error "unknown-logical-id" "an override of a resource that does not exist",
    MetricOfWrongType = "P052" Error "metric-of-wrong-type" "a rule on a metric whose values it cannot compare",
    ImpossibleState = "P053" Error "impossible-state" "a state that the reading never takes",
    Duplicate = "P054" Error "duplicate" "the same thing twice",
    Empty = "P055" Error "empty" "something that must not be empty",
    InvalidAwsName = "P056" Error "invalid-aws-name" "an account, region, bucket or ARN that AWS does not know",
    TimesOutOfOrder = "P057" Error "times-out-of-order" "two times in the wrong order",
    UnknownPlaceholder = "P058" Error "unknown-placeholder" "a placeholder that a notice does not know",
    AlarmReachesNobody = "P059" Error "alarm-reaches-nobody" "an alarm without a phone or an e-mail address",
    PolicyTooLong = "P060" Error "policy-too-long" "topics so long that an IoT policy does not fit",
    RegionWithoutIot = "P061" Error "region-without-iot" "a region without AWS IoT Core",
    NotInRegion = "P062" Warning "not-in-region" "something that the environment's region does not offer",
    NearlyFull = "P063" Warning "nearly-full" "a platform that will soon be spread over more stacks",
    InvalidSeries = "P064" Error "invalid-series" "a series of a test that cannot be read",
    ImpossibleExpectation = "P065" Error "impossible-expectation" "an expectation that no run of its test can meet",
    TestMissesRule = "P066" Error "test-misses-rule" "a test whose device its rule never meets",
    FalseAlerts = "P067" Warning "false-alerts" "an anomaly rule that chance alone makes fire",
    WindowTooShort = "P068" Error "window-too-short" "a window that never holds enough samples",
    FleetTooSmall = "P069" Warning "fleet-too-small" "a fleet rule without a zone that has enough devices",
    RuleCycle = "P070" Error "rule-cycle" "composite rules that read each other",
    ShadowTooLarge = "P071" Error "shadow-too-large" "settings that do not fit into a shadow",
    ReservedReading = "P072" Error "reserved-reading" "a reading with a name that the table of samples needs for itself",
    MixedReading = "P073" Error "mixed-reading" "a reading that means different things in two device types",
    HotRetention = "P074" Error "hot-retention" "a retention of the hot table without a hot table",
    InvalidSchedule = "P075" Error "invalid-schedule" "a schedule that nothing can be done by",
    InvalidAuthority = "P076" Error "invalid-authority" "a certificate that is no certificate authority's",
    ServerMadeKeys = "P077" Warning "server-made-keys" "private keys that AWS makes",
    ClosedService = "P078" Error "closed-service" "a service that takes no new customers",
    ChangedReading = "P079" Error "changed-reading" "a reading of another type than its column in the table of samples",
    UnevenInterval = "P080" Error "uneven-interval" "an interval that does not divide a day",
    SparseInterval = "P081" Warning "sparse-interval" "an interval that holds one sample at most",
    NotText = "P082" Error "not-text" "the file is not UTF-8 text",
    UnknownRegion = "P083" Warning "unknown-region" "a region that is not known",
    SharedTraffic = "P084" Warning "shared-traffic" "two environments that receive each other's messages",
}

impl Code {
    /// Whether the source text must not be shown, because it may contain a secret and logs have many readers.
    pub const fn hides_source(self) -> bool {
        matches!(self, Self::PastedSecret)
    }

    /// The page that explains the code, relative to the repository root.
    pub fn page(self) -> String {
        format!("docs/errors/{}.md", self.as_str())
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise() {
        let numbers: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
        assert!(numbers.iter().all(|number| number.len() == 4 && number.starts_with('P')), "{numbers:?}");
    }
}
