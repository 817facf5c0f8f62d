//! Which regions lack a service that the stacks use.
//!
//! What a service offers is read off the resource types that CloudFormation has in a region, as cfn-lint lists them. A
//! region that is not named here is taken to have everything.

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
}

impl Service {
    /// What people call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Iot => "AWS IoT Core",
            Self::DeviceDefender => "the audit of AWS IoT Device Defender",
            Self::Budgets => "AWS Budgets",
            Self::SampleTables => "Amazon Data Firehose into Amazon S3 Tables",
        }
    }

    const fn missing_in(self) -> &'static [&'static str] {
        match self {
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
        }
    }
}

/// Whether a region has a service.
pub fn offers(region: &str, service: Service) -> bool {
    !service.missing_in().contains(&region)
}
