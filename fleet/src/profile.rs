//! How simulated devices behave, and how the behaviors are distributed over a fleet.

use std::str::FromStr;

/// How a device behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// Values vary around the device's own level.
    Steady,
    /// Values rise and fall with the time of day.
    Daily,
    /// Values are higher from the middle of the run on.
    Step,
    /// Values rise throughout the run.
    Drift,
    /// Values are the same from a third of the run on.
    Stuck,
    /// From time to time, values are near the upper bound for a few samples.
    Burst,
    /// The device is gone in the middle third of the run.
    Silence,
    /// The device's clock is minutes ahead or behind.
    Skew,
    /// Some messages arrive twice.
    Duplicates,
    /// Some messages arrive after those that were sent later.
    Disorder,
    /// Some messages cannot be read, or contain something invalid.
    Malformed,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 11] = [
        Self::Steady,
        Self::Daily,
        Self::Step,
        Self::Drift,
        Self::Stuck,
        Self::Burst,
        Self::Silence,
        Self::Skew,
        Self::Duplicates,
        Self::Disorder,
        Self::Malformed,
    ];

    /// Returns the name of the profile.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Daily => "daily",
            Self::Step => "step",
            Self::Drift => "drift",
            Self::Stuck => "stuck",
            Self::Burst => "burst",
            Self::Silence => "silence",
            Self::Skew => "skew",
            Self::Duplicates => "duplicates",
            Self::Disorder => "disorder",
            Self::Malformed => "malformed",
        }
    }

    /// Its share of a fleet by default, in percent.
    const fn usual(self) -> u32 {
        match self {
            Self::Steady => 60,
            Self::Daily => 20,
            Self::Step | Self::Drift | Self::Burst | Self::Silence => 3,
            Self::Stuck | Self::Skew => 2,
            Self::Duplicates => 2,
            Self::Disorder | Self::Malformed => 1,
        }
    }
}

/// Shares of profiles in a fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix(Vec<(Profile, u32)>);

/// Why a string is not a mix of profiles.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMix {
    /// A profile is unknown.
    #[error("there is no profile `{0}`")]
    Unknown(String),
    /// A share is not a number.
    #[error("`{0}` is not a share: write a whole number up to 1000000")]
    Share(String),
    /// A profile stands there twice.
    #[error("profile `{0}` is given twice")]
    Twice(&'static str),
    /// No device would have a profile.
    #[error("all shares are 0")]
    Nothing,
}

const SHARE_MAX: u32 = 1_000_000;

impl Mix {
    pub(crate) fn pick(&self, chance: &mut fastrand::Rng) -> Profile {
        let all = self.0.iter().map(|(_, share)| share).sum();
        let mut point = chance.u32(0..all);
        for (profile, share) in &self.0 {
            match point.checked_sub(*share) {
                Some(rest) => point = rest,
                None => return *profile,
            }
        }
        unreachable!("the shares add up to {all}")
    }
}

impl Default for Mix {
    fn default() -> Self {
        Self(Profile::ALL.map(|profile| (profile, profile.usual())).to_vec())
    }
}

impl FromStr for Mix {
    type Err = BadMix;

    /// Parses profiles with their shares, such as `steady=9,malformed=1`. A profile without a share has 1.
    fn from_str(text: &str) -> Result<Self, BadMix> {
        let mut shares: Vec<(Profile, u32)> = Vec::new();
        for part in text.split(',') {
            let (name, share) = part.split_once('=').unwrap_or((part, "1"));
            let profile = Profile::ALL.into_iter().find(|profile| profile.as_str() == name);
            let profile = profile.ok_or_else(|| BadMix::Unknown(name.to_owned()))?;
            let share = share.parse().ok().filter(|share| *share <= SHARE_MAX);
            let share = share.ok_or_else(|| BadMix::Share(part.to_owned()))?;
            if shares.iter().any(|(known, _)| *known == profile) {
                return Err(BadMix::Twice(profile.as_str()));
            }
            shares.push((profile, share));
        }
        if shares.iter().all(|(_, share)| *share == 0) { Err(BadMix::Nothing) } else { Ok(Self(shares)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_kept_to() {
        let mix: Mix = "steady=3,drift".parse().unwrap();
        let mut chance = fastrand::Rng::with_seed(1);
        let picked: Vec<Profile> = (0..4_000).map(|_| mix.pick(&mut chance)).collect();
        let steady = picked.iter().filter(|profile| **profile == Profile::Steady).count();
        assert!((2_850..3_150).contains(&steady), "{steady}");
        assert!(picked.iter().all(|profile| [Profile::Steady, Profile::Drift].contains(profile)));
    }

    #[test]
    fn a_mix_that_is_none_says_why() {
        for (text, error) in [
            ("calm", BadMix::Unknown("calm".to_owned())),
            ("", BadMix::Unknown(String::new())),
            ("steady=x", BadMix::Share("steady=x".to_owned())),
            ("steady=-1", BadMix::Share("steady=-1".to_owned())),
            ("steady=1000001", BadMix::Share("steady=1000001".to_owned())),
            ("steady,steady=2", BadMix::Twice("steady")),
            ("steady=0", BadMix::Nothing),
        ] {
            assert_eq!(text.parse::<Mix>(), Err(error));
        }
    }

    #[test]
    fn usual_shares_are_percents() {
        assert_eq!(Profile::ALL.map(Profile::usual).iter().sum::<u32>(), 100);
    }
}
