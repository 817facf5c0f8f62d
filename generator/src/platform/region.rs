//! Which regions lack a service that the stacks use.
//!
//! What a service offers is read off the resource types that CloudFormation has in a region, as cfn-lint lists them. A
//! region that lacks nothing by this is taken to have everything but what is closed, also one that is not known.

/// The regions of AWS ("AWS Regions", AWS Regions and Availability Zones user guide), with those of China and GovCloud.
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

/// A service that not every region has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// AWS IoT Core: without it there is no platform.
    Iot,
    /// The audit of AWS IoT Device Defender.
    DeviceDefender,
    /// AWS Budgets, as a resource of CloudFormation.
    Budgets,
    /// What stores samples: Amazon S3 Tables, its catalog in AWS Glue, and Amazon Data Firehose, which writes there.
    SampleTables,
    /// Amazon Timestream for LiveAnalytics.
    Timestream,
    /// Text messages by Amazon SNS.
    TextMessages,
}

impl Service {
    /// What people call it.
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
            // The SDKs have no endpoint of it in the isolated partitions and in the European Sovereign Cloud.
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
            // Firehose delivers to no Iceberg table in China, GovCloud and Malaysia ("Considerations and limitations",
            // Amazon Data Firehose developer guide); in the others it is the catalog that CloudFormation cannot make.
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
            // It takes no new customers, and comes to no further region.
            Self::Timestream => return TIMESTREAM.contains(&region),
            // "Supported Regions" of SMS, Amazon SNS developer guide.
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

/// Whether a region has a service.
pub fn offers(region: &str, service: Service) -> bool {
    service.is_in(region)
}

/// The beginnings of regions by which AWS tells the partitions apart, all but that of most regions.
const PARTITIONS: [(&str, &str); 7] = [
    ("cn-", "aws-cn"),
    ("eu-isoe-", "aws-iso-e"),
    ("eusc-", "aws-eusc"),
    ("us-gov-", "aws-us-gov"),
    ("us-iso-", "aws-iso"),
    ("us-isob-", "aws-iso-b"),
    ("us-isof-", "aws-iso-f"),
];

/// The partition that a region is in, with which ARNs of its resources begin.
pub fn partition(region: &str) -> &'static str {
    PARTITIONS.iter().find(|(beginning, _)| region.starts_with(beginning)).map_or("aws", |(_, partition)| partition)
}
