//! Which regions lack a service that the stacks use.
//!
//! The availability of a service is derived from the resource types that CloudFormation offers in a region, as listed
//! by cfn-lint. A region that is not listed as lacking anything, even an unknown one, is assumed to have everything
//! except closed services.

/// The AWS regions ("AWS Regions", AWS Regions and Availability Zones user guide), including those in China and
/// GovCloud.
pub(crate) const KNOWN: [&str; 38] = [
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
];

/// A service that is not available in every region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// AWS IoT Core; without it no platform can be deployed.
    Iot,
    /// The AWS IoT Device Defender audit.
    DeviceDefender,
    /// AWS Budgets, as a CloudFormation resource.
    Budgets,
    /// The sample store: Amazon S3 Tables, its catalog in AWS Glue, and Amazon Data Firehose, which writes to it.
    SampleTables,
    /// Amazon Timestream for LiveAnalytics.
    Timestream,
    /// Text messages through Amazon SNS.
    TextMessages,
}

impl Service {
    /// Its display name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Iot => "AWS IoT Core",
            Self::DeviceDefender => "the audit of AWS IoT Device Defender",
            Self::Budgets => "AWS Budgets",
            Self::SampleTables => "Amazon Data Firehose into Amazon S3 Tables",
            Self::Timestream => "Amazon Timestream for LiveAnalytics",
            Self::TextMessages => "text messages by Amazon SNS",
        }
    }

    fn is_in(self, region: &str) -> bool {
        let missing_in: &[&str] = match self {
            // The SDKs have no endpoint for it in the isolated partitions and in the European Sovereign Cloud.
            Self::Iot if !["aws", "aws-cn", "aws-us-gov"].contains(&partition(region)) => return false,
            Self::Iot => &[
                "af-south-1",
                "ap-east-2",
                "ap-northeast-3",
                "ap-south-2",
                "ap-southeast-3",
                "ap-southeast-4",
                "ap-southeast-6",
                "ap-southeast-7",
                "ca-west-1",
                "eu-central-2",
                "mx-central-1",
            ],
            Self::DeviceDefender => &["eu-south-1", "il-central-1", "sa-east-1"],
            Self::Budgets => &[
                "ap-east-1",
                "ap-southeast-5",
                "eu-north-1",
                "eu-south-1",
                "eu-south-2",
                "il-central-1",
                "me-central-1",
                "us-gov-east-1",
                "us-gov-west-1",
            ],
            // Firehose cannot deliver to Iceberg tables in China, GovCloud and Malaysia ("Considerations and
            // limitations", Amazon Data Firehose developer guide); in the others, CloudFormation cannot create the
            // catalog.
            Self::SampleTables => &[
                "ap-east-2",
                "ap-southeast-5",
                "ap-southeast-6",
                "ap-southeast-7",
                "cn-north-1",
                "cn-northwest-1",
                "me-central-1",
                "us-gov-east-1",
                "us-gov-west-1",
            ],
            // It accepts no new customers and will not be offered in further regions.
            Self::Timestream => return TIMESTREAM.contains(&region),
            // "Supported Regions" for SMS, Amazon SNS developer guide.
            Self::TextMessages => &["cn-north-1", "cn-northwest-1"],
        };
        !missing_in.contains(&region)
    }
}

/// Regions with Amazon Timestream for LiveAnalytics ("Amazon Timestream endpoints and quotas", AWS general reference).
const TIMESTREAM: [&str; 9] = [
    "ap-northeast-1",
    "ap-south-1",
    "ap-southeast-2",
    "eu-central-1",
    "eu-west-1",
    "us-east-1",
    "us-east-2",
    "us-gov-west-1",
    "us-west-2",
];

/// Whether a region offers a service.
pub fn offers(region: &str, service: Service) -> bool {
    service.is_in(region)
}

/// The region prefixes of all partitions except the default one.
const PARTITIONS: [(&str, &str); 7] = [
    ("cn-", "aws-cn"),
    ("eu-isoe-", "aws-iso-e"),
    ("eusc-", "aws-eusc"),
    ("us-gov-", "aws-us-gov"),
    ("us-iso-", "aws-iso"),
    ("us-isob-", "aws-iso-b"),
    ("us-isof-", "aws-iso-f"),
];

/// The partition of a region, which the ARNs of its resources start with.
pub fn partition(region: &str) -> &'static str {
    PARTITIONS.iter().find(|(beginning, _)| region.starts_with(beginning)).map_or("aws", |(_, partition)| partition)
}
